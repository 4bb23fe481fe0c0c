/* SPDX-License-Identifier: Apache-2.0 */
/* pick.c - which backend of a pool a new connection gets */
#include "pick.h"

#define MILLISECONDS UINT64_C(1000)

/**
 * pick_backend() - Pick one, each equally likely, as kube-proxy does
 * @table:	The table
 * @pool:	One of its pools
 * @random:	Where chance comes from; not asked if there is no choice
 *
 * Return: a backend of the pool
 */
const struct service_backend *pick_backend(const struct service_table *table, const struct service_pool *pool,
					   struct random *random)
{
	uint32_t position = pool->count > 1 ? random_below(random, pool->count) : 0;

	return &table->backends[pool->first + position];
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
