/* SPDX-License-Identifier: Apache-2.0 */
/* pick.c - which backend of a pool a new connection gets */
#include "pick.h"

#define MILLISECONDS UINT64_C(1000)

/* One that has the fewest. The search begins anywhere, or the first of those with equally few would always be taken. */
static uint32_t pick_least(const struct service_table *table, const struct service_pool *pool,
			   const struct flow_tally *tallies, uint32_t begin)
{
	const struct service_backend *backends = table->backends + pool->first;
	uint32_t best = begin;

	for (uint32_t i = 1; i < pool->count; i++) {
		uint32_t at = begin + i < pool->count ? begin + i : begin + i - pool->count;

		if (tallies[backends[at].tally].active < tallies[backends[best].tally].active)
			best = at;
	}
	return best;
}

/**
 * pick_backend() - Pick one for a new connection
 * @table:	The table
 * @pool:	One of its pools
 * @tallies:	What the backends have to do
 * @hash:	tuple_hash() of the connection
 * @random:	Where chance comes from; not asked if there is no choice
 *
 * Return: a backend of the pool
 */
const struct service_backend *pick_backend(const struct service_table *table, const struct service_pool *pool,
					   const struct flow_tally *tallies, uint32_t hash, struct random *random)
{
	const struct service_backend *backends = table->backends + pool->first;
	uint32_t *turn = &table->turns[pool - table->pools];

	if (pool->count == 1)
		return backends;
	switch ((enum service_pick)pool->pick) {
	case SERVICE_ROUND_ROBIN:
		/* A new table begins anywhere: if it began with the first, frequent changes would favour that. */
		*turn = *turn ? *turn % pool->count + 1 : random_below(random, pool->count) + 1;
		return &backends[*turn - 1];
	case SERVICE_LEAST_CONNECTIONS:
		return &backends[pick_least(table, pool, tallies, random_below(random, pool->count))];
	case SERVICE_MAGLEV:
		return &backends[table->maglevs[(size_t)*turn * MAGLEV_SLOTS + maglev_slot(hash)]];
	case SERVICE_RANDOM:
	case SERVICE_PICKS:
		break;
	}
	return &backends[random_below(random, pool->count)];
}

/**
 * pick_remembered() - The backend that a client had last
 * @table:	The table
 * @pool:	One of its pools, with affinity
 * @entry:	What is remembered of the client, or NULL
 * @now:	Milliseconds
 *
 * The backend is nearly always where it was; only after the pool has changed is it searched for.
 *
 * Return: a backend of the pool, or NULL if the time is over or the backend is not in this pool
 */
const struct service_backend *pick_remembered(const struct service_table *table, const struct service_pool *pool,
					      const struct affinity_entry *entry, uint64_t now)
{
	const struct service_backend *backends = table->backends + pool->first;

	if (!entry || entry->expires <= now)
		return NULL;
	if (entry->position < pool->count && backends[entry->position].member == entry->member)
		return &backends[entry->position];
	for (uint32_t i = 0; i < pool->count; i++) {
		if (backends[i].member == entry->member)
			return &backends[i];
	}
	return NULL;
}

/**
 * pick_remember() - Remember which backend a client got, and begin its time anew
 * @table:	The table
 * @pool:	One of its pools, with affinity
 * @backend:	The backend of that pool
 * @affinities:	Where it is remembered
 * @entry:	What was remembered of the client, or NULL
 * @client:	The client's address
 * @now:	Milliseconds
 */
void pick_remember(const struct service_table *table, const struct service_pool *pool,
		   const struct service_backend *backend, struct affinity_table *affinities,
		   struct affinity_entry *entry, const struct address *client, uint64_t now)
{
	if (!entry)
		entry = affinity_add(affinities, pool->affinity, client, now);
	if (!entry)
		return;
	entry->member = backend->member;
	entry->position = (uint32_t)(backend - table->backends) - pool->first;
	entry->expires = now + pool->seconds * MILLISECONDS;
}
