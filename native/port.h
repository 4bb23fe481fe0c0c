/* SPDX-License-Identifier: Apache-2.0 */
/* port.h - where packets come from and go to: what every port can do */
#ifndef SVCPLANE_PORT_H
#define SVCPLANE_PORT_H

#include <stddef.h>
#include <stdint.h>

#include "engine.h"

/**
 * DOC: Theory of operation
 *
 * The engine knows nothing of I/O; a port knows nothing of Services. Between them goes a batch: the port fills it
 * with packets that lie in its own memory (a ring that the kernel shares, buffers that it received into, a file), the
 * engine rewrites them there and writes a decision beside each, and the port carries the decisions out:
 *
 *	port_receive()	up to PORT_BATCH packets, without waiting
 *	engine_run()	over the same array, nothing is copied
 *	port_finish()	every packet of the batch once, in order, by its decision
 *
 * Both calls must be made in turn: a port may keep what it needs for finishing in the memory of the batch, which is its
 * own until the next port_receive(). What a decision means to a port:
 *
 *	DECISION_FORWARD	send what is there now where its addresses say
 *	DECISION_PASS		nothing was changed: let it go on as if nobody had looked
 *	DECISION_DROP		forget it
 *	DECISION_HOLD		forget it: the engine has a copy, and gives it out later (only if it was asked to)
 *	DECISION_REJECT		with DECISION_ANSWERED, send what is there now back to where the packet came from;
 *				without, forget it
 *
 * A port that can not send a packet drops it and counts that, by a reason of its own: so for every port
 * received = forwarded + passed + answered + dropped + lost.
 *
 * Ports never block: whoever drives one (worker.c) waits at its descriptor. A port is used by one thread at a time. It
 * asks for all memory when it is made. Ports compose: one may stand before another, and change what goes through.
 */

/* Packets of one batch at the most: as many as the engine works on together. */
#define PORT_BATCH ENGINE_BATCH

/* Interfaces that packets may come in on, as far as ports tell them apart (engine_packet.interface). */
#define PORT_HOST	0 /* this host itself sends it */
#define PORT_OUTSIDE	1 /* any interface but the next */
#define PORT_PODS	2 /* an interface of local pods, where these are told by their interfaces */

/**
 * struct port_counters - What became of the packets of a port
 * @received:	Packets that came in; the sum of the next five
 * @forwarded:	Sent on, translated
 * @passed:	Let go on as they were
 * @answered:	Answered to their sender
 * @dropped:	Dropped, because that was the decision
 * @lost:	Dropped because they could not be read or sent
 * @missed:	Never received: there was no room in a queue (in addition to @received)
 * @bytes:	Bytes of the packets received
 * @batches:	Batches that were not empty
 * @errors:	System calls that failed
 */
struct port_counters {
	uint64_t received;
	uint64_t forwarded;
	uint64_t passed;
	uint64_t answered;
	uint64_t dropped;
	uint64_t lost;
	uint64_t missed;
	uint64_t bytes;
	uint64_t batches;
	uint64_t errors;
};

/**
 * struct port_batch - Packets on their way through
 * @memory:	Where their bytes are; the port's
 * @size:	Bytes of @memory
 * @link:	What the first byte of each belongs to
 * @count:	How many packets
 * @packets:	Where each is, and what becomes of it
 * @cookies:	What the port has to remember of each
 */
struct port_batch {
	uint8_t *memory;
	size_t size;
	enum packet_link link;
	size_t count;
	struct engine_packet packets[PORT_BATCH];
	uint64_t cookies[PORT_BATCH];
};

struct port;

/**
 * struct port_class - What a kind of port does
 * @name:	For messages
 * @receive:	Sets all members of the batch. Returns how many packets there are, 0 if none waits, or -errno if the
 *		port is of no use any more
 * @finish:	Carries out the decisions. Returns 0 or -errno, likewise
 * @destroy:	Gives everything back
 */
struct port_class {
	const char *name;
	int (*receive)(struct port *port, struct port_batch *batch);
	int (*finish)(struct port *port, struct port_batch *batch);
	void (*destroy)(struct port *port);
};

/**
 * struct port - The part of every port that others may see: its first member
 * @class:	What it does
 * @descriptor:	Can be read, as poll(2) says, when a packet waits; -1 if one must ask
 * @busy:	Ask it again at once instead of waiting at @descriptor
 * @counters:	What became of its packets; written by its thread only
 */
struct port {
	const struct port_class *class;
	int descriptor;
	bool busy;
	struct port_counters counters;
};

/**
 * port_receive() - Take packets in, without waiting
 * @port:	The port
 * @batch:	Is filled
 *
 * Return: how many packets, or -errno
 */
static inline int port_receive(struct port *port, struct port_batch *batch)
{
	return port->class->receive(port, batch);
}

/**
 * port_finish() - Carry out what was decided
 * @port:	The port that filled the batch
 * @batch:	With a decision for each packet
 *
 * Return: 0, or -errno
 */
static inline int port_finish(struct port *port, struct port_batch *batch)
{
	return port->class->finish(port, batch);
}

/**
 * port_destroy() - Give a port back
 * @port:	The port, or NULL
 */
static inline void port_destroy(struct port *port)
{
	if (port)
		port->class->destroy(port);
}

#endif
