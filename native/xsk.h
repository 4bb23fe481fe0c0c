/* SPDX-License-Identifier: Apache-2.0 */
/* xsk.h - the AF_XDP sockets of one queue: rings that they share with the kernel */
#ifndef SVCPLANE_XSK_H
#define SVCPLANE_XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of each ring, and of that in which what opens connections waits; powers of two. */
#define XSK_RING    2048
#define XSK_OPENING 256

/**
 * enum xsk_kind - What the XDP program tells apart: each kind has a socket of its own to receive from
 * @XSK_OTHERS:		All but the next
 * @XSK_OPENS:		Packets that open connections
 * @XSK_KINDS:		How many there are
 */
enum xsk_kind {
	XSK_OTHERS,
	XSK_OPENS,
	XSK_KINDS,
};

/**
 * struct xsk_ring - A queue that one side fills and the other empties
 * @producer:	Entries written so far; shared
 * @consumer:	Entries read so far; shared
 * @flags:	What the kernel wants; shared
 * @entries:	The entries; shared
 * @mask:	Its entries less one
 * @mine:	Our own counter, @producer of what we fill and @consumer of what we empty, before it is published
 * @memory:	What is mapped
 * @size:	Bytes of @memory
 */
struct xsk_ring {
	uint32_t *producer;
	uint32_t *consumer;
	uint32_t *flags;
	void *entries;
	uint32_t mask;
	uint32_t mine;
	void *memory;
	size_t size;
};

/**
 * struct xsk_packet - A packet in a ring
 * @frame:	Where it begins in the shared memory
 * @length:	Its bytes
 */
struct xsk_packet {
	uint64_t frame;
	uint32_t length;
};

/**
 * struct xsk - One queue of one interface
 * @descriptors: The sockets, by kind, or -1. All but receiving is done by the first
 * @fill:	To the kernel: frames to receive into
 * @receive:	From the kernel: frames that were received into, by kind
 * @transmit:	To the kernel: frames to send
 * @complete:	From the kernel: frames that were sent
 * @filled:	Frames that are in @fill, or received and not taken yet
 * @sending:	Frames that are in @transmit, or on their way until they come back
 * @unsent:	There is something in @transmit that the kernel was not told of
 */
struct xsk {
	int descriptors[XSK_KINDS];
	struct xsk_ring fill;
	struct xsk_ring receive[XSK_KINDS];
	struct xsk_ring transmit;
	struct xsk_ring complete;
	uint32_t filled;
	uint32_t sending;
	bool unsent;
};

/**
 * struct xsk_statistics - Packets that the kernel did not deliver (struct xdp_statistics)
 * @dropped:	No frame to receive into, or too long for one
 * @full:	No room in the ring, by kind
 */
struct xsk_statistics {
	uint64_t dropped;
	uint64_t full[XSK_KINDS];
};

int xsk_create_memory(void *memory, size_t size, uint32_t frame, uint32_t interface);
int xsk_open(struct xsk *xsk, int memory, uint32_t interface, uint32_t queue);
void xsk_close(struct xsk *xsk);
int xsk_busy_poll(const struct xsk *xsk, int microseconds);
void xsk_poll(const struct xsk *xsk);

size_t xsk_waiting(const struct xsk *xsk, enum xsk_kind kind);
size_t xsk_take(struct xsk *xsk, enum xsk_kind kind, struct xsk_packet *packets, size_t most);
size_t xsk_fill(struct xsk *xsk, const uint64_t *frames, size_t count);
bool xsk_send(struct xsk *xsk, uint64_t frame, uint32_t length);
int xsk_kick(struct xsk *xsk);
size_t xsk_reap(struct xsk *xsk, uint64_t *frames, size_t most);
void xsk_statistics(const struct xsk *xsk, struct xsk_statistics *statistics);

#endif
