/* SPDX-License-Identifier: Apache-2.0 */
/* known.h - what nearly every packet is: one of a flow that is known, with nothing special about it */
#ifndef SVCPLANE_KNOWN_H
#define SVCPLANE_KNOWN_H

#include "engine.h"
#include "rewrite.h"

/**
 * known_decide() - Decide about a packet and carry it out, if nothing needs to be asked but which flow it belongs to
 * @engine:	The engine
 * @packet:	Of PACKET_TRANSPORT; it is translated in place
 * @hint:	Where its flow may be
 * @decision:	Is filled in
 *
 * decision_make() would decide the same, and asks everything itself about what is refused here: pieces, SCTP, unfinished
 * checksums, flows that may have ended, hashes that are alike by chance.
 *
 * Return: false if only decision_make() can tell; nothing was done then
 */
static inline bool known_decide(struct engine *engine, const struct packet *packet, const struct decision_hint *hint,
				struct decision *decision)
{
	unsigned int direction;
	struct flow *flow = flow_try(&engine->flows, hint->reference, &packet->tuple, engine->now, &direction);

	if (!flow || flow->epoch != engine->epoch || packet->is_piece || !rewrite_is_plain(packet) ||
	    (packet->opens && tracking_is_over(flow->events)))
		return false;
	*decision = (struct decision){
		.outcome = DECISION_FORWARD,
		.rule = DECISION_FLOW,
		.client = DECISION_NOBODY,
		.marks = direction == TRACKING_REPLY ? DECISION_REPLY : 0,
		.frontend = DECISION_NOTHING,
		.backend = DECISION_NOTHING,
	};
	rewrite_plain(packet, flow, direction);
	flow_see(&engine->flows, flow, direction, packet->signals, packet->network_length, engine->now);
	return true;
}

#endif
