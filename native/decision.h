/* SPDX-License-Identifier: Apache-2.0 */
/* decision.h - what becomes of a packet, and why */
#ifndef SVCPLANE_DECISION_H
#define SVCPLANE_DECISION_H

#include <stdint.h>

#include "packet.h"

struct engine;

/**
 * enum decision_outcome - What becomes of a packet (dataplane.reference.Outcome, in its order)
 * @DECISION_FORWARD:	It was translated: send it where it says now
 * @DECISION_REJECT:	It is refused, and its sender is told if DECISION_ANSWERED is set
 * @DECISION_DROP:	It is dropped
 * @DECISION_PASS:	It is none of our business: send it where it says
 * @DECISION_HOLD:	A copy of it waits for the first piece of its packet (engine_release()): forget it here
 * @DECISION_OUTCOMES:	How many there are
 */
enum decision_outcome {
	DECISION_FORWARD,
	DECISION_REJECT,
	DECISION_DROP,
	DECISION_PASS,
	DECISION_HOLD,
	DECISION_OUTCOMES,
};

/**
 * enum decision_rule - The question whose answer decided (dataplane.steps.Rule, in its order, after none)
 * @DECISION_NO_RULE:		None was asked: the packet could not be read
 * @DECISION_FLOW:		Does it belong to a connection that is known?
 * @DECISION_FRONTEND:		Is its destination served here?
 * @DECISION_SOURCES:		May this source connect?
 * @DECISION_CLIENT:		Who is asking?
 * @DECISION_VERDICT:		What is done for such a client?
 * @DECISION_AFFINITY:		Has this client been here before?
 * @DECISION_PICK:		Which backend?
 * @DECISION_HAIRPIN:		Is the backend the client itself?
 * @DECISION_MASQUERADE:	Whom will the backend see?
 * @DECISION_CLUSTER_IP:	Is it an address of a Service?
 * @DECISION_SERVICE_CIDR:	Is it an address that a Service could have?
 */
enum decision_rule {
	DECISION_NO_RULE,
	DECISION_FLOW,
	DECISION_FRONTEND,
	DECISION_SOURCES,
	DECISION_CLIENT,
	DECISION_VERDICT,
	DECISION_AFFINITY,
	DECISION_PICK,
	DECISION_HAIRPIN,
	DECISION_MASQUERADE,
	DECISION_CLUSTER_IP,
	DECISION_SERVICE_CIDR,
};

/**
 * enum decision_reason - Why a packet was dropped
 * @DECISION_NOT_DROPPED:	It was not
 * @DECISION_MALFORMED:		Its headers contradict its length or one another
 * @DECISION_TOO_DEEP:		It has more extension headers than are looked at
 * @DECISION_FRAGMENT:		A piece of a packet that was dropped, did not begin here, or cannot be translated
 *				in pieces
 * @DECISION_SOURCE_REFUSED:	The Service does not allow this source
 * @DECISION_POLICY:		There are endpoints, but none that this node may send it to
 * @DECISION_NO_SERVICE:	A cluster IP that no Service has
 * @DECISION_NOT_OPENING:	It would be forwarded, but belongs to no flow and does not begin one
 * @DECISION_FLOWS_FULL:	There is no room for another flow
 * @DECISION_NO_PORT:		No source port is free
 * @DECISION_NO_EGRESS:		It has to be masqueraded, but this node has no address of its family
 * @DECISION_BAD_CHECKSUM:	It was damaged on its way, and translating it would hide that
 * @DECISION_REASONS:		How many there are
 */
enum decision_reason {
	DECISION_NOT_DROPPED,
	DECISION_MALFORMED,
	DECISION_TOO_DEEP,
	DECISION_FRAGMENT,
	DECISION_SOURCE_REFUSED,
	DECISION_POLICY,
	DECISION_NO_SERVICE,
	DECISION_NOT_OPENING,
	DECISION_FLOWS_FULL,
	DECISION_NO_PORT,
	DECISION_NO_EGRESS,
	DECISION_BAD_CHECKSUM,
	DECISION_REASONS,
};

/* Bits of decision.marks. */
#define DECISION_REPLY	    0x01 /* it goes from the backend to the client */
#define DECISION_NEW	    0x02 /* it began a flow */
#define DECISION_REMEMBERED 0x04 /* affinity chose the backend */
#define DECISION_HAIRPINNED 0x08 /* the backend is the client itself */
#define DECISION_MASQUERADED 0x10 /* the backend sees this node's address */
#define DECISION_ANSWERED   0x20 /* what is there now is an answer, to be sent back where the packet came from */
#define DECISION_ELSEWHERE  0x40 /* affinity remembers a backend, but not one that may be chosen here */

/* Where nothing was found. */
#define DECISION_NOTHING UINT32_MAX

/* In decision.client: it was not asked who that is. */
#define DECISION_NOBODY 0xff

/**
 * struct decision - What becomes of a packet, and why
 * @outcome:	enum decision_outcome
 * @rule:	enum decision_rule: the question whose answer decided
 * @reason:	enum decision_reason
 * @client:	enum service_client, or DECISION_NOBODY
 * @marks:	Bits DECISION_REPLY and so on
 * @zero:	Always 0
 * @frontend:	Position of the frontend in the table in force, if it was asked for, or DECISION_NOTHING
 * @backend:	Position of the backend in its pool, if one was picked, or DECISION_NOTHING
 */
struct decision {
	uint8_t outcome;
	uint8_t rule;
	uint8_t reason;
	uint8_t client;
	uint8_t marks;
	uint8_t zero[3];
	uint32_t frontend;
	uint32_t backend;
};

/**
 * struct decision_hint - Where the flow of a packet may be, and what serves its destination
 * @hash:	tuple_hash() of the packet
 * @reference:	What flow_prefetch() gave for it; INDEX_NONE if it has no ports
 * @service:	service_hash() of its destination; only if @reference is INDEX_NONE
 * @frontend:	A reference to the frontend that it may be for, or INDEX_NONE; likewise
 * @chance:	What random_draw() gave for the flow that it may open; only if @reference is, and @frontend is not,
 *		INDEX_NONE
 * @reply:	tuple_hash() of the answers of @backend if they go to where the packet comes from
 * @backend:	The backend that it will get if it opens a flow, or NULL if that is not known yet; likewise
 */
struct decision_hint {
	uint32_t hash;
	uint32_t reference;
	uint32_t service;
	uint32_t frontend;
	uint32_t chance;
	uint32_t reply;
	const struct service_backend *backend;
};

void decision_make(struct engine *engine, struct packet *packet, const struct decision_hint *hint, uint16_t interface,
		   struct decision *decision);

#endif
