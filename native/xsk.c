/* SPDX-License-Identifier: Apache-2.0 */
/* xsk.c - one AF_XDP socket: four rings that it shares with the kernel */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/**
 * DOC: Theory of operation
 *
 * Kernel and process share one piece of memory, cut into frames, and rings of 32-bit counters that only ever grow: an
 * entry is at its counter modulo the size of the ring. Each ring has one writer and one reader. A frame goes round:
 *
 *	free --> fill --> (kernel receives) --> receive --> ours, to look at
 *	free <-- complete <-- (kernel sends) <-- transmit <--'
 *
 * Many sockets use one memory, so a frame that came in on one interface is sent on another without being copied by
 * us. The first socket only brings the memory in; it is bound to an interface that is there as long as we are, because
 * others can be bound only while the first is.
 *
 * The kernel copies: into a frame when it receives, and out of it when it sends. Interfaces that could do without
 * (XDP_ZEROCOPY) are not used so, because all that share one memory would have to be of this kind, and a veth is not.
 *
 * The counters are published with release and read with acquire semantics: who sees a counter sees the entries.
 */

/* linux/if_xdp.h of Linux 6.17; older kernels refuse it, and send 32 packets for each system call. */
#define BUDGET_OPTION 9

/* Calls until a full ring of packets is sent, 32 at a time, and as many again for those that were refused. */
#define KICKS 128

/* socket.h of older systems has them not. */
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

static uint32_t acquire(const uint32_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void release(uint32_t *counter, uint32_t value) /* NOLINT(readability-non-const-parameter): it is written */
{
	__atomic_store_n(counter, value, __ATOMIC_RELEASE);
}

static int map_ring(struct xsk_ring *ring, int descriptor, const struct xdp_ring_offset *offsets, size_t entry,
		    off_t page)
{
	size_t size = offsets->desc + XSK_RING * entry;
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, page);

	if (memory == MAP_FAILED)
		return -errno;
	*ring = (struct xsk_ring){
		.producer = (void *)(memory + offsets->producer),
		.consumer = (void *)(memory + offsets->consumer),
		.flags = (void *)(memory + offsets->flags),
		.entries = memory + offsets->desc,
		.memory = memory,
		.size = size,
	};
	return 0;
}

static void unmap_ring(struct xsk_ring *ring)
{
	if (ring->memory)
		(void)munmap(ring->memory, ring->size);
	*ring = (struct xsk_ring){0};
}

static int set_option(int descriptor, int option, const void *value, socklen_t size)
{
	return setsockopt(descriptor, SOL_XDP, option, value, size) == 0 ? 0 : -errno;
}

static int make_rings(int descriptor, const int *options, size_t count, int size)
{
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = set_option(descriptor, options[i], &size, sizeof(size));
	return result;
}

static int bind_to(int descriptor, uint32_t interface, uint32_t queue, uint16_t flags, int memory)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = flags,
		.sxdp_ifindex = interface,
		.sxdp_queue_id = queue,
		.sxdp_shared_umem_fd = (flags & XDP_SHARED_UMEM) ? (uint32_t)memory : 0,
	};

	return bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

/**
 * xsk_create_memory() - Share memory with the kernel
 * @memory:	The memory, aligned to pages
 * @size:	Its bytes
 * @frame:	Bytes of a frame: 2048 or 4096
 * @interface:	An interface that is up and will stay; nothing is received from it
 *
 * Return: a descriptor, for xsk_open(); or -errno
 */
int xsk_create_memory(void *memory, size_t size, uint32_t frame, uint32_t interface)
{
	static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING};
	struct xdp_umem_reg registration = {
		.addr = (uint64_t)(uintptr_t)memory,
		.len = size,
		.chunk_size = frame,
	};
	int descriptor = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int result;

	if (descriptor < 0)
		return -errno;
	result = set_option(descriptor, XDP_UMEM_REG, &registration, sizeof(registration));
	if (result == 0)
		result = make_rings(descriptor, rings, sizeof(rings) / sizeof(*rings), 2);
	if (result == 0)
		result = bind_to(descriptor, interface, 0, XDP_COPY, 0);
	if (result == 0)
		return descriptor;
	(void)close(descriptor);
	return result;
}

static int map_rings(struct xsk *xsk)
{
	struct xdp_mmap_offsets offsets;
	socklen_t size = sizeof(offsets);
	int fd = xsk->descriptor, result;

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0)
		return -errno;
	result = map_ring(&xsk->fill, fd, &offsets.fr, sizeof(uint64_t), (off_t)XDP_UMEM_PGOFF_FILL_RING);
	if (result == 0)
		result = map_ring(&xsk->complete, fd, &offsets.cr, sizeof(uint64_t),
				  (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
	if (result == 0)
		result = map_ring(&xsk->receive, fd, &offsets.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	if (result == 0)
		result = map_ring(&xsk->transmit, fd, &offsets.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
	return result;
}

/**
 * xsk_open() - A socket on one queue of an interface
 * @xsk:	Is filled in
 * @memory:	What xsk_create_memory() gave
 * @interface:	Number of the interface
 * @queue:	Number of its queue
 *
 * Return: 0 or -errno; -EBUSY may pass, as the kernel gives a queue back some time after its last socket was closed
 */
int xsk_open(struct xsk *xsk, int memory, uint32_t interface, uint32_t queue)
{
	static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
	/* The kernel counts a packet with all that it needs to keep it, which is close to a kilobyte at least. */
	int room = XSK_RING * 4096, budget = XSK_RING, result;

	*xsk = (struct xsk){.descriptor = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0)};
	if (xsk->descriptor < 0)
		return -errno;
	result = make_rings(xsk->descriptor, rings, sizeof(rings) / sizeof(*rings), XSK_RING);
	if (result == 0)
		result = map_rings(xsk);
	if (result == 0)
		result = bind_to(xsk->descriptor, interface, queue, XDP_SHARED_UMEM, memory);
	if (result == 0) {
		/* Both only make it faster. */
		(void)setsockopt(xsk->descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
		(void)set_option(xsk->descriptor, BUDGET_OPTION, &budget, sizeof(budget));
		return 0;
	}
	xsk_close(xsk);
	return result;
}

/**
 * xsk_close() - Give a socket back, and with it the frames that are in its rings
 * @xsk:	The socket; closed already is fine
 */
void xsk_close(struct xsk *xsk)
{
	unmap_ring(&xsk->fill);
	unmap_ring(&xsk->receive);
	unmap_ring(&xsk->transmit);
	unmap_ring(&xsk->complete);
	if (xsk->descriptor >= 0)
		(void)close(xsk->descriptor);
	xsk->descriptor = -1;
}

/**
 * xsk_busy_poll() - Have the driver's queue worked on by whoever polls the socket, not by interrupts
 * @xsk:	The socket
 * @microseconds: How long one system call may go on asking
 *
 * Return: 0 or -errno
 */
int xsk_busy_poll(const struct xsk *xsk, int microseconds)
{
	int yes = 1, budget = 64;

	if (setsockopt(xsk->descriptor, SOL_SOCKET, SO_PREFER_BUSY_POLL, &yes, sizeof(yes)) != 0 ||
	    setsockopt(xsk->descriptor, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof(microseconds)) != 0 ||
	    setsockopt(xsk->descriptor, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)) != 0)
		return -errno;
	return 0;
}

/**
 * xsk_poll() - Have the driver receive now, in this thread, if xsk_busy_poll() was asked for and nothing waits
 * @xsk:	The socket
 *
 * The driver's work is done here then, and not on the processor where it was interrupted: with a veth, that is the
 * sender's.
 */
void xsk_poll(const struct xsk *xsk)
{
	if (acquire(xsk->receive.producer) == xsk->receive.mine)
		(void)recvfrom(xsk->descriptor, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/**
 * xsk_take() - Packets that have come
 * @xsk:	The socket
 * @packets:	Is filled; their frames are the caller's now
 * @most:	How many at the most
 *
 * Return: how many
 */
size_t xsk_take(struct xsk *xsk, struct xsk_packet *packets, size_t most)
{
	struct xsk_ring *ring = &xsk->receive;
	const struct xdp_desc *entries = ring->entries;
	size_t count = acquire(ring->producer) - ring->mine;

	if (count > most)
		count = most;
	for (size_t i = 0; i < count; i++) {
		const struct xdp_desc *entry = &entries[ring->mine++ & (XSK_RING - 1)];

		packets[i] = (struct xsk_packet){.frame = entry->addr, .length = entry->len};
	}
	if (count > 0)
		release(ring->consumer, ring->mine);
	xsk->filled -= (uint32_t)count;
	return count;
}

/**
 * xsk_fill() - Give the kernel frames to receive into
 * @xsk:	The socket
 * @frames:	The frames
 * @count:	How many
 *
 * Return: how many it took; the first of them
 */
size_t xsk_fill(struct xsk *xsk, const uint64_t *frames, size_t count)
{
	struct xsk_ring *ring = &xsk->fill;
	uint64_t *entries = ring->entries;
	size_t room = XSK_RING - (ring->mine - acquire(ring->consumer));

	if (count > room)
		count = room;
	for (size_t i = 0; i < count; i++)
		entries[ring->mine++ & (XSK_RING - 1)] = frames[i];
	if (count > 0)
		release(ring->producer, ring->mine);
	xsk->filled += (uint32_t)count;
	return count;
}

/**
 * xsk_send() - Have a packet sent, after the next xsk_kick()
 * @xsk:	The socket
 * @frame:	Where it begins
 * @length:	Its bytes
 *
 * Return: false if there is no room; then the frame is still the caller's
 */
bool xsk_send(struct xsk *xsk, uint64_t frame, uint32_t length)
{
	struct xsk_ring *ring = &xsk->transmit;
	struct xdp_desc *entries = ring->entries;

	/* What is on its way has to find room in the other ring when it comes back. */
	if (xsk->sending == XSK_RING)
		return false;
	entries[ring->mine++ & (XSK_RING - 1)] = (struct xdp_desc){.addr = frame, .len = length};
	xsk->sending++;
	xsk->unsent = true;
	return true;
}

/**
 * xsk_kick() - Have the kernel send what is to be sent
 * @xsk:	The socket
 *
 * Return: 0 or -errno; what could not be sent now is tried again the next time
 */
int xsk_kick(struct xsk *xsk)
{
	struct xsk_ring *ring = &xsk->transmit;

	release(ring->producer, ring->mine);
	for (unsigned int i = 0; i < KICKS && acquire(ring->consumer) != ring->mine; i++) {
		if (sendto(xsk->descriptor, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			continue;
		if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR)
			return -errno;
	}
	xsk->unsent = acquire(ring->consumer) != ring->mine;
	return 0;
}

/**
 * xsk_reap() - Frames whose packets were sent
 * @xsk:	The socket
 * @frames:	Is filled; they are the caller's now
 * @most:	How many at the most
 *
 * Return: how many
 */
size_t xsk_reap(struct xsk *xsk, uint64_t *frames, size_t most)
{
	struct xsk_ring *ring = &xsk->complete;
	const uint64_t *entries = ring->entries;
	size_t count = acquire(ring->producer) - ring->mine;

	if (count > most)
		count = most;
	for (size_t i = 0; i < count; i++)
		frames[i] = entries[ring->mine++ & (XSK_RING - 1)];
	if (count > 0)
		release(ring->consumer, ring->mine);
	xsk->sending -= (uint32_t)count;
	return count;
}

/**
 * xsk_statistics() - What the kernel did not deliver
 * @xsk:	The socket
 * @statistics:	Is filled in
 */
void xsk_statistics(const struct xsk *xsk, struct xsk_statistics *statistics)
{
	struct xdp_statistics counted = {0};
	socklen_t size = sizeof(counted);

	(void)getsockopt(xsk->descriptor, SOL_XDP, XDP_STATISTICS, &counted, &size);
	/* A socket that copies counts a packet as dropped when it finds no frame, and that ring as empty besides. */
	*statistics = (struct xsk_statistics){
		.dropped = counted.rx_dropped,
		.full = counted.rx_ring_full,
	};
}
