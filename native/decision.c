/* SPDX-License-Identifier: Apache-2.0 */
/* decision.c - what becomes of a packet, and why */
#include "decision.h"

#include "engine.h"
#include "fragment.h"
#include "icmp.h"
#include "nat.h"
#include "pick.h"

/**
 * DOC: Theory of operation
 *
 * This is dataplane/reference.py in C, question by question and in its order; whoever changes one changes both, and
 * the tests hold them against each other on random tables and packets. What the reference leaves to kernels is
 * decided here too:
 *
 * - A TCP or SCTP packet that belongs to no flow and does not open one is dropped if it would have been forwarded.
 *   Translating it would make up a connection that the backend does not know (it would answer with a reset), and
 *   passing it on untranslated would send it to an address that is nobody's.
 * - A packet that opens a connection, on the ports of one that has ended, begins a new flow.
 * - A source port that is taken is replaced, with or without masquerading (nat.c).
 */

static void drop(struct decision *decision, enum decision_rule rule, enum decision_reason reason)
{
	decision->outcome = DECISION_DROP;
	decision->rule = (uint8_t)rule;
	decision->reason = (uint8_t)reason;
}

static void reject(struct decision *decision, enum decision_rule rule)
{
	decision->outcome = DECISION_REJECT;
	decision->rule = (uint8_t)rule;
}

/* A packet to an address and port that nobody serves. */
static void decide_unserved(const struct service_table *table, const struct tuple *tuple, uint8_t roles,
			    struct decision *decision)
{
	if (roles & SERVICE_CLUSTER_IP) {
		reject(decision, DECISION_CLUSTER_IP);
	} else if (service_is_given_out(table, &tuple->destination, tuple->family)) {
		drop(decision, DECISION_SERVICE_CIDR, DECISION_NO_SERVICE);
	} else {
		decision->outcome = DECISION_PASS;
		decision->rule = DECISION_SERVICE_CIDR;
	}
}

/* A packet of no flow that is none of our business. */
static void pass_unknown(struct decision *decision)
{
	decision->outcome = DECISION_PASS;
	decision->rule = DECISION_FLOW;
}

/* An error about another packet: it is ours if that one was. */
static void decide_error(struct engine *engine, struct packet *packet, struct decision *decision)
{
	struct packet quoted;
	struct tuple answer;
	struct flow *flow;
	unsigned int direction;

	if (!icmp_parse_error(packet, &quoted)) {
		pass_unknown(decision);
		return;
	}
	answer = tuple_reversed(&quoted.tuple);
	flow = flow_find(&engine->flows, &answer, tuple_hash(&engine->key, &answer), engine->now, &direction);
	if (!flow || !engine_flow_goes_on(engine, flow)) {
		pass_unknown(decision);
		return;
	}
	if (!packet->is_unfinished && !icmp_checksum_is_right(packet)) {
		drop(decision, DECISION_FLOW, DECISION_BAD_CHECKSUM);
		return;
	}
	decision->rule = DECISION_FLOW;
	if (direction == TRACKING_REPLY)
		decision->marks |= DECISION_REPLY;
	icmp_translate(packet, &quoted, flow, direction);
}

/* Makes the pieces that follow go the way of the first. @flow is NULL if that was not translated. */
static void remember_first_piece(struct engine *engine, const struct packet *packet, const struct flow *flow,
				 unsigned int direction, enum decision_outcome outcome)
{
	struct fragment *first;

	/*
	 * Those that follow what passed pass anyway, unless they would be kept waiting, or follow an earlier packet that
	 * had the same identification.
	 */
	if (outcome == DECISION_PASS && !engine->held.capacity &&
	    !fragment_find(&engine->fragments, packet, engine->now))
		return;
	first = fragment_add(&engine->fragments, packet, engine->now);
	if (!flow) {
		first->fate = outcome == DECISION_PASS ? FRAGMENT_PASS : FRAGMENT_DROP;
		return;
	}
	first->fate = FRAGMENT_TRANSLATE;
	first->direction = (uint8_t)direction;
	first->flow = (uint32_t)(flow - engine->flows.flows);
	first->tally = flow->tally;
	first->new_source = flow->tuples[!direction].destination;
	first->new_destination = flow->tuples[!direction].source;
}

/* A packet of a protocol without ports, so of no Service. */
static void decide_portless(struct engine *engine, struct packet *packet, struct decision *decision)
{
	const struct service_table *table = engine_table(engine);
	const struct tuple *tuple = &packet->tuple;

	if (icmp_is_error(packet))
		decide_error(engine, packet, decision);
	else
		decide_unserved(table, tuple, service_roles(table, &tuple->destination, tuple->family), decision);
	if (packet->is_piece)
		remember_first_piece(engine, packet, NULL, 0, (enum decision_outcome)decision->outcome);
}

/*
 * The flow may be over before its last pieces have come, and then the tally another backend's. If not it counts there,
 * or another flow to the same backend is in its place: so the tally is still what it was.
 */
static void count_piece(struct engine *engine, const struct fragment *first, uint32_t bytes)
{
	const struct flow *flow = &engine->flows.flows[first->flow];
	struct flow_tally *tally = &engine->flows.tallies[first->tally];

	if (!flow_in_use(flow) || flow->tally != first->tally)
		return;
	tally->packets[first->direction]++;
	tally->bytes[first->direction] += bytes;
}

/* A piece of a packet, and not the first. */
static void decide_fragment(struct engine *engine, struct packet *packet, struct decision *decision)
{
	const struct tuple *tuple = &packet->tuple;
	const struct fragment *first = fragment_find(&engine->fragments, packet, engine->now);

	if (!first && engine->held.capacity) {
		decision->outcome = DECISION_HOLD;
		decision->rule = DECISION_FLOW;
		return;
	}
	if (!first) {
		uint8_t roles = service_roles(engine_table(engine), &tuple->destination, tuple->family);

		if (roles & SERVICE_CLUSTER_IP)
			drop(decision, DECISION_FLOW, DECISION_FRAGMENT);
		else
			pass_unknown(decision);
		return;
	}
	if (first->fate == FRAGMENT_DROP) {
		drop(decision, DECISION_FLOW, DECISION_FRAGMENT);
		return;
	}
	if (first->fate == FRAGMENT_PASS) {
		pass_unknown(decision);
		return;
	}
	decision->rule = DECISION_FLOW;
	if (first->direction == TRACKING_REPLY)
		decision->marks |= DECISION_REPLY;
	nat_rewrite_addresses(packet, &first->new_source, &first->new_destination);
	count_piece(engine, first, packet->network_length);
}

/* Whether a backend, if there is one, is of a pool: what was picked for a packet may be of another client's. */
static bool is_of_pool(const struct service_table *table, const struct service_pool *pool,
		       const struct service_backend *backend)
{
	return backend && (size_t)(backend - table->backends) - pool->first < pool->count;
}

/* The backend for a new connection, by affinity or by chance. */
static const struct service_backend *choose_backend(struct engine *engine, const struct service_pool *pool,
						    const struct tuple *tuple, const struct decision_hint *hint,
						    struct affinity_entry **entry, struct decision *decision)
{
	const struct service_table *table = engine_table(engine);
	const struct service_backend *backend = NULL;

	if (pool->affinity) {
		*entry = affinity_find(&engine->affinities, pool->affinity, &tuple->source);
		backend = pick_remembered(table, pool, *entry, engine->now);
		if (!backend && *entry && (*entry)->expires > engine->now && table->member_pools[(*entry)->member])
			decision->marks |= DECISION_ELSEWHERE;
	}
	decision->rule = backend ? DECISION_AFFINITY : DECISION_PICK;
	if (backend) {
		decision->marks |= DECISION_REMEMBERED;
	} else if (is_of_pool(table, pool, hint->backend)) {
		backend = hint->backend;
	} else {
		uint32_t chance = hint->frontend != INDEX_NONE ? hint->chance : random_draw(&engine->random);

		backend = pick_backend(table, pool, engine->flows.tallies, hint->hash, chance);
	}
	decision->backend = (uint32_t)(backend - table->backends) - pool->first;
	return backend;
}

/* Whether a packet of a flow, new or known, can be translated; else it is dropped, and nothing has happened. */
static bool translatable(const struct packet *packet, const struct flow *flow, unsigned int direction,
			 struct decision *decision)
{
	if (nat_can_rewrite(packet, flow, direction))
		return true;
	drop(decision, DECISION_FLOW, packet->is_piece ? DECISION_FRAGMENT : DECISION_BAD_CHECKSUM);
	return false;
}

/* How a backend is to see the client: bits FLOW_MASQUERADE and FLOW_HAIRPIN. */
static uint8_t decide_masquerade(const struct service_table *table, const struct tuple *tuple, uint16_t interface,
				 const struct service_verdict *verdict, const struct service_backend *backend)
{
	uint8_t flags = verdict->masquerade ? FLOW_MASQUERADE : 0;

	if (backend->local && address_equal(&backend->address, &tuple->source))
		flags |= FLOW_HAIRPIN | FLOW_MASQUERADE;
	/* Masquerading is for what leaves a host: not for what came from elsewhere to a pod with hostNetwork. */
	if (flags && interface != 0 && service_roles(table, &backend->address, backend->family) & SERVICE_HOST)
		return 0;
	return flags;
}

/* Sends a new connection to a backend. Returns the flow, or NULL if the packet has to be dropped. */
static struct flow *open_flow(struct engine *engine, const struct packet *packet, const struct decision_hint *hint,
			      uint16_t interface, const struct service_frontend *frontend,
			      const struct service_verdict *verdict, struct decision *decision)
{
	static const struct address any = {{0}};
	const struct service_table *table = engine_table(engine);
	const struct service_pool *pool = &table->pools[verdict->pool];
	const struct service_family *family = &table->families[packet->tuple.family == TUPLE_IPV6];
	struct affinity_entry *entry = NULL;
	const struct service_backend *backend = choose_backend(engine, pool, &packet->tuple, hint, &entry, decision);
	struct flow flow = {.tuples = {packet->tuple, tuple_reversed(&packet->tuple)}, .tally = backend->tally};
	struct tuple *reply = &flow.tuples[TRACKING_REPLY];

	flow.hash[TRACKING_ORIGINAL] = hint->hash;
	flow.epoch = engine->epoch;
	reply->source = backend->address;
	reply->source_port = backend->port;
	flow.flags = decide_masquerade(table, &packet->tuple, interface, verdict, backend);
	if (address_equal(&frontend->address, &any))
		flow.flags |= FLOW_NODE_PORT;
	if (frontend->ends_flows)
		flow.flags |= FLOW_CAN_END;
	if (flow.flags & FLOW_HAIRPIN)
		decision->marks |= DECISION_HAIRPINNED;
	if (flow.flags & FLOW_MASQUERADE) {
		decision->marks |= DECISION_MASQUERADED;
		if (!family->can_masquerade) {
			drop(decision, DECISION_MASQUERADE, DECISION_NO_EGRESS);
			return NULL;
		}
		reply->destination = family->egress;
	}
	if (backend == hint->backend && !(flow.flags & FLOW_MASQUERADE))
		flow.hash[TRACKING_REPLY] = hint->reply;
	else
		flow.hash[TRACKING_REPLY] = tuple_hash(&engine->key, reply);
	if (!nat_choose_port(&engine->flows, &flow, &engine->key, &engine->random, engine->now)) {
		drop(decision, DECISION_MASQUERADE, DECISION_NO_PORT);
		return NULL;
	}
	if (!translatable(packet, &flow, TRACKING_ORIGINAL, decision))
		return NULL;
	nat_prepare(&flow);

	struct flow *added = flow_add(&engine->flows, &flow, engine->now);

	if (!added) {
		drop(decision, DECISION_FLOW, DECISION_FLOWS_FULL);
		return NULL;
	}
	if (pool->affinity)
		pick_remember(table, pool, backend, &engine->affinities, entry, &packet->tuple.source, engine->now);
	decision->marks |= DECISION_NEW;
	return added;
}

/* A packet of no known flow. Returns the flow that it begins, if it does. */
static struct flow *decide_new(struct engine *engine, const struct packet *packet, const struct decision_hint *hint,
			       uint16_t interface, struct decision *decision)
{
	const struct service_table *table = engine_table(engine);
	const struct tuple *tuple = &packet->tuple;
	struct decision_hint late;
	uint8_t roles = 0;

	/* Where there seemed to be a flow, nobody has looked for a frontend yet. */
	if (hint->reference != INDEX_NONE) {
		late = *hint;
		late.service = service_hash_for(table, tuple);
		late.frontend = INDEX_NONE;
		late.backend = NULL;
		hint = &late;
	}

	const struct service_frontend *frontend = service_find_for(table, tuple, hint->service, &roles);

	if (!frontend) {
		decide_unserved(table, tuple, roles, decision);
		return NULL;
	}
	decision->frontend = (uint32_t)(frontend - table->frontends);
	if (!service_allows(table, frontend, &tuple->source)) {
		drop(decision, DECISION_SOURCES, DECISION_SOURCE_REFUSED);
		return NULL;
	}

	enum service_client client = service_classify(table, tuple, interface);
	const struct service_verdict *verdict = &frontend->verdicts[client];

	decision->client = (uint8_t)client;
	if (verdict->action == SERVICE_REJECT) {
		reject(decision, DECISION_VERDICT);
		return NULL;
	}
	if (verdict->action == SERVICE_DROP) {
		drop(decision, DECISION_VERDICT, DECISION_POLICY);
		return NULL;
	}
	if (!packet->opens) {
		drop(decision, DECISION_FLOW, DECISION_NOT_OPENING);
		return NULL;
	}
	return open_flow(engine, packet, hint, interface, frontend, verdict, decision);
}

/* The flow that a packet belongs to, if it is known and goes on. */
static struct flow *find_flow(struct engine *engine, const struct packet *packet, const struct decision_hint *hint,
			      unsigned int *direction)
{
	const struct tuple *tuple = &packet->tuple;
	struct flow *flow = flow_try(&engine->flows, hint->reference, tuple, engine->now, direction);

	if (!flow)
		flow = flow_find(&engine->flows, tuple, hint->hash, engine->now, direction);
	if (flow && !engine_flow_goes_on(engine, flow))
		return NULL;
	if (flow && packet->opens && *direction == TRACKING_ORIGINAL && tracking_is_over(flow->events)) {
		engine->flows.counters.reopened++;
		flow_remove(&engine->flows, flow);
		return NULL;
	}
	return flow;
}

/* Decides about a packet of a known flow. Returns the flow, or NULL if the packet has to be dropped. */
static struct flow *decide_known(const struct packet *packet, struct flow *flow, unsigned int direction,
				 struct decision *decision)
{
	decision->rule = DECISION_FLOW;
	if (direction == TRACKING_REPLY)
		decision->marks |= DECISION_REPLY;
	return translatable(packet, flow, direction, decision) ? flow : NULL;
}

static void decide_transport(struct engine *engine, struct packet *packet, const struct decision_hint *hint,
			     uint16_t interface, struct decision *decision)
{
	unsigned int direction = TRACKING_ORIGINAL;
	struct flow *flow = find_flow(engine, packet, hint, &direction);

	if (flow)
		flow = decide_known(packet, flow, direction, decision);
	else
		flow = decide_new(engine, packet, hint, interface, decision);
	if (flow) {
		nat_rewrite(packet, flow, direction);
		flow_see(&engine->flows, flow, direction, packet->signals, packet->network_length, engine->now);
	}
	if (packet->is_piece)
		remember_first_piece(engine, packet, flow, direction, (enum decision_outcome)decision->outcome);
}

/**
 * decision_make() - Decide about a packet, and carry it out
 * @engine:	The engine
 * @packet:	What packet_parse() found; the packet is translated in place
 * @hint:	Where its flow may be
 * @interface:	Where it came in; 0 if this host itself sends it
 * @decision:	Is filled in
 */
void decision_make(struct engine *engine, struct packet *packet, const struct decision_hint *hint, uint16_t interface,
		   struct decision *decision)
{
	*decision = (struct decision){
		.outcome = DECISION_FORWARD,
		.client = DECISION_NOBODY,
		.frontend = DECISION_NOTHING,
		.backend = DECISION_NOTHING,
	};
	switch (packet->kind) {
	case PACKET_TRANSPORT:
		decide_transport(engine, packet, hint, interface, decision);
		break;
	case PACKET_PORTLESS:
		decide_portless(engine, packet, decision);
		break;
	case PACKET_FOREIGN:
		decision->outcome = DECISION_PASS;
		break;
	case PACKET_FRAGMENT:
		decide_fragment(engine, packet, decision);
		break;
	case PACKET_TOO_DEEP:
		drop(decision, DECISION_NO_RULE, DECISION_TOO_DEEP);
		break;
	case PACKET_MALFORMED:
		drop(decision, DECISION_NO_RULE, DECISION_MALFORMED);
		break;
	}
}
