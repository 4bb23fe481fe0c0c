/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack.h - what Linux tells of its connections: ctnetlink messages, read */
#ifndef SVCPLANE_CONNTRACK_H
#define SVCPLANE_CONNTRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * struct conntrack_way - Where a flow leads: what it is counted under
 * @destination:	Whom the client wrote to; an IPv4 address has twelve zero bytes behind it
 * @backend:		Who answers
 * @destination_port:	In network byte order, as everything here
 * @backend_port:	In network byte order
 * @protocol:		IP protocol number
 * @family:		4 or 6
 * @padding:		Zero
 *
 * Compared and hashed as bytes, so none of them may be left unset.
 */
struct conntrack_way {
	uint8_t destination[16];
	uint8_t backend[16];
	uint16_t destination_port;
	uint16_t backend_port;
	uint8_t protocol;
	uint8_t family;
	uint16_t padding;
};

/**
 * struct conntrack_client - Who opened a flow, and which one of its flows it is
 * @source:	Its address
 * @id:		The kernel's number for the flow (CTA_ID): differs when the same client comes back
 * @port:	Its port, in network byte order
 * @zone:	The conntrack zone, in network byte order
 */
struct conntrack_client {
	uint8_t source[16];
	uint32_t id;
	uint16_t port;
	uint16_t zone;
};

/* The two directions of a flow. */
enum conntrack_direction {
	CONNTRACK_REQUEST, /* from the client */
	CONNTRACK_REPLY,
	CONNTRACK_DIRECTIONS,
};

/**
 * struct conntrack_flow - One flow, as one message tells of it
 * @way:	Where it leads
 * @client:	Who opened it
 * @packets:	Of each direction since it began; 0 if the kernel does not count (nf_conntrack_acct)
 * @bytes:	The same
 * @ended:	It is no more
 */
struct conntrack_flow {
	struct conntrack_way way;
	struct conntrack_client client;
	uint64_t packets[CONNTRACK_DIRECTIONS];
	uint64_t bytes[CONNTRACK_DIRECTIONS];
	bool ended;
};

/* What one netlink message is. */
enum conntrack_message {
	CONNTRACK_FLOW,   /* it tells of a translated flow */
	CONNTRACK_OTHER,  /* nothing that concerns us, or it can't be understood */
	CONNTRACK_LISTED, /* the end of a list */
	CONNTRACK_ERROR,  /* the kernel refuses; or the list changed while it was read */
};

enum conntrack_message conntrack_read(const uint8_t *datagram, size_t size, size_t *used, struct conntrack_flow *flow);

#endif
