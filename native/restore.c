/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - flows and clients that an engine before this one knew */
#include "restore.h"

#include "nat.h"

/**
 * DOC: Theory of operation
 *
 * What is restored comes from outside, from a file perhaps, and is believed in nothing: it is checked as far as an
 * engine depends on it, and whatever follows from something else (hashes, checksum deltas) is computed here. Time is
 * handed over as what remains of it, since the clock of the engine before was another.
 */

/* A year: longer than any timeout, and short enough that no sum overflows. */
#define MOST_MILLISECONDS UINT64_C(31536000000)

static bool is_good_tuple(const struct tuple *tuple)
{
	if (tuple->family != TUPLE_IPV4 && tuple->family != TUPLE_IPV6)
		return false;
	if (tuple->protocol != TUPLE_TCP && tuple->protocol != TUPLE_UDP && tuple->protocol != TUPLE_SCTP)
		return false;
	return tuple->zero == 0 && address_is_of(&tuple->source, tuple->family) &&
	       address_is_of(&tuple->destination, tuple->family);
}

/**
 * restore_flow() - Know a flow again
 * @engine:	The engine
 * @saved:	Tuples, packets, tally, events and flags; the rest is computed
 * @remaining:	Milliseconds until it is forgotten
 *
 * Return: what became of it
 */
enum restore_result restore_flow(struct engine *engine, const struct flow *saved, uint64_t remaining)
{
	const struct tuple *original = &saved->tuples[TRACKING_ORIGINAL];
	const struct tuple *reply = &saved->tuples[TRACKING_REPLY];
	struct flow flow = *saved;
	unsigned int direction;

	if (!is_good_tuple(original) || !is_good_tuple(reply) || original->family != reply->family ||
	    original->protocol != reply->protocol || tuple_equal(original, reply))
		return RESTORE_BAD;
	if (saved->tally > engine_table(engine)->limits.tallies || remaining == 0 || remaining > MOST_MILLISECONDS)
		return RESTORE_BAD;
	for (unsigned int i = 0; i < 2; i++) {
		flow.hash[i] = tuple_hash(&engine->key, &flow.tuples[i]);
		if (flow_find(&engine->flows, &flow.tuples[i], flow.hash[i], engine->now, &direction))
			return RESTORE_KNOWN;
	}
	/* Nobody is given up for what is only remembered. */
	if (engine->flows.used >= engine->flows.capacity)
		return RESTORE_FULL;
	nat_prepare(&flow);
	flow.deadline = engine->now + remaining;
	flow.zero = 0;
	/* Whether it may go on is asked before its next packet. */
	flow.epoch = engine->epoch - 1;
	engine->settling.flow = 1;
	return flow_add(&engine->flows, &flow, engine->now) ? RESTORE_DONE : RESTORE_FULL;
}

/**
 * restore_client() - Know again which backend a client had
 * @engine:	The engine
 * @saved:	Client, affinity and member, by the numbers of the table in force
 * @remaining:	Milliseconds until it is forgotten
 *
 * Return: what became of it
 */
enum restore_result restore_client(struct engine *engine, const struct affinity_entry *saved, uint64_t remaining)
{
	const struct service_table *table = engine_table(engine);
	struct affinity_entry *entry;

	if (saved->affinity == 0 || saved->member == 0 || saved->member > table->limits.members ||
	    !table->member_pools[saved->member] || remaining == 0 || remaining > MOST_MILLISECONDS)
		return RESTORE_BAD;
	entry = affinity_find(&engine->affinities, saved->affinity, &saved->client);
	if (entry)
		return RESTORE_KNOWN;
	entry = affinity_add(&engine->affinities, saved->affinity, &saved->client, engine->now);
	if (!entry)
		return RESTORE_FULL;
	entry->member = saved->member;
	entry->expires = engine->now + remaining;
	return RESTORE_DONE;
}
