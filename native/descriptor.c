/* SPDX-License-Identifier: Apache-2.0 */
/* descriptor.c - a port on a file descriptor: one packet for each read(2) and write(2) */
#define _GNU_SOURCE /* for eventfd and MAP_ANONYMOUS; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "descriptor.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/**
 * DOC: Theory of operation
 *
 * Several things are read and written packet by packet: a tun or tap device, a packet socket, and a socket pair of
 * SOCK_SEQPACKET, whose other end may be a test or whoever plays a capture back: that one needs no rights at all. What
 * is sent on goes out where it came in; whoever stands at the other end knows where to.
 */

struct descriptor {
	struct port port;
	uint8_t *memory;
	enum packet_link link;
	uint16_t interface;
};

#define MEMORY ((size_t)PORT_BATCH * DESCRIPTOR_ROOM)

static int receive(struct port *port, struct port_batch *batch)
{
	struct descriptor *descriptor = (struct descriptor *)port;
	size_t count = 0;

	batch->memory = descriptor->memory;
	batch->size = MEMORY;
	batch->link = descriptor->link;
	while (count < PORT_BATCH) {
		uint32_t offset = (uint32_t)(count * DESCRIPTOR_ROOM);
		ssize_t length = read(port->descriptor, descriptor->memory + offset, DESCRIPTOR_ROOM);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		/* The other end was closed, or the device is gone. */
		if (length <= 0 && count == 0)
			return length < 0 ? -errno : -ENOLINK;
		if (length <= 0)
			break;
		batch->packets[count++] = (struct engine_packet){
			.offset = offset,
			.length = (uint32_t)length,
			.room = DESCRIPTOR_ROOM,
			.interface = descriptor->interface,
		};
		port->counters.bytes += (uint64_t)length;
	}
	port->counters.received += count;
	port->counters.batches += count > 0;
	return (int)count;
}

static void send_on(struct port *port, const struct port_batch *batch, size_t number, uint64_t *counter)
{
	const struct engine_packet *packet = &batch->packets[number];
	ssize_t sent;

	do {
		sent = write(port->descriptor, batch->memory + packet->offset, packet->length);
	} while (sent < 0 && errno == EINTR);
	if (sent == (ssize_t)packet->length) {
		(*counter)++;
		return;
	}
	/* Its queue is full, or it will not have this packet: as on a wire, the packet is lost. */
	port->counters.lost++;
	port->counters.errors++;
}

static int finish(struct port *port, struct port_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		const struct decision *decision = &batch->packets[i].decision;

		if (decision->outcome == DECISION_FORWARD)
			send_on(port, batch, i, &port->counters.forwarded);
		else if (decision->outcome == DECISION_PASS)
			send_on(port, batch, i, &port->counters.passed);
		else if (decision->outcome == DECISION_REJECT && decision->marks & DECISION_ANSWERED)
			send_on(port, batch, i, &port->counters.answered);
		else
			port->counters.dropped++;
	}
	return 0;
}

static void destroy(struct port *port)
{
	struct descriptor *descriptor = (struct descriptor *)port;

	(void)munmap(descriptor->memory, MEMORY);
	(void)close(port->descriptor);
	free(descriptor);
}

/**
 * descriptor_create() - A port on a descriptor
 * @descriptor:	Does not block (O_NONBLOCK). It is the port's from now on, which closes it
 * @link:	What the first byte of each packet belongs to
 * @interface:	What the engine is told about where packets come in
 *
 * Return: the port, or NULL if there is no memory; then the descriptor is still the caller's
 */
struct port *descriptor_create(int descriptor, enum packet_link link, uint16_t interface)
{
	static const struct port_class class = {"descriptor", receive, finish, destroy};
	struct descriptor *made = calloc(1, sizeof(*made));
	void *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (!made || memory == MAP_FAILED) {
		if (memory != MAP_FAILED)
			(void)munmap(memory, MEMORY);
		free(made);
		return NULL;
	}
	*made = (struct descriptor){
		.port = {.class = &class, .descriptor = descriptor},
		.memory = memory,
		.link = link,
		.interface = interface,
	};
	return &made->port;
}
