/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - the pools of a forwarding table, while it is changed */
#include "pool.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * A pool is there as long as somebody uses it: the verdicts that forward to it, and the update that brings it, until
 * that is over. With it go its backends, its Maglev table, and its hold on the numbers that stay with things from one
 * table to the next (names.c): each backend has one for its traffic and, with affinity, one for its clients.
 *
 * So it is with turns. Whose turn it is belongs to no table, for packets move it on in the one while the next is made
 * and put in force. A pool that takes the place of another, perhaps with other backends, has the same turn, and goes on
 * from where it stands (pick.c); and what is not replaced but loaded anew finds it by the first frontend and kind of
 * client that the pool is for.
 */

/* Gives back what the first backends of a pool hold. */
static void release_backends(struct service_table *table, const struct service_pool *pool, uint32_t count,
			     struct pool_names *names)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct service_backend *backend = &table->backends[pool->first + i];

		names_give_back(&names->tallies, backend->tally);
		if (backend->member == NAMES_NONE)
			continue;
		if (--table->member_pools[backend->member] == 0)
			table->ended.members = true;
		names_give_back(&names->members, backend->member);
	}
	runs_give_back(&table->backend_runs, pool->first, pool->count);
}

static void release_pool(struct service_table *table, uint32_t position, struct pool_names *names)
{
	struct service_pool *pool = &table->pools[position];

	release_backends(table, pool, pool->count, names);
	if (pool->pick == SERVICE_MAGLEV && pool->slot == SERVICE_NO_SLOT)
		table->without_maglev--;
	else if (pool->pick == SERVICE_MAGLEV)
		runs_give_back(&table->maglev_runs, pool->slot, 1);
	else if (pool->slot != SERVICE_NO_SLOT)
		names_give_back(&names->turns, pool->slot);
	*pool = (struct service_pool){0};
	runs_give_back(&table->pool_runs, position, 1);
}

/**
 * pool_let_go() - One user less; the last takes the pool along
 * @table:	The table
 * @position:	Where the pool is in it
 * @names:	The numbers that are given back with it
 */
void pool_let_go(struct service_table *table, uint32_t position, struct pool_names *names)
{
	if (--table->pool_users[position] == 0)
		release_pool(table, position, names);
}

/* What a backend's traffic is counted for. */
static struct name name_of(const struct service_pool *pool, const struct service_backend *backend)
{
	return (struct name){backend->address, .owner = pool->owner, .port = backend->port, .family = backend->family};
}

/**
 * pool_prefetch() - Have what pool_put() will look for brought into the cache
 * @pool:	A pool that will be put into a table soon
 * @backends:	Its backends
 * @names:	The numbers that it will hold
 *
 * Numbers are found by a hash, anywhere in memory: without this, a large table waits for nothing else.
 */
void pool_prefetch(const struct service_pool *pool, const struct service_backend *backends,
		   const struct pool_names *names)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		const struct name name = name_of(pool, &backends[i]);

		names_prefetch(&names->tallies, &name);
	}
}

/* Takes the numbers of a pool's backends. Gives back those it took if there are not enough. */
static bool name_backends(struct service_table *table, const struct service_pool *pool, struct pool_names *names)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		struct service_backend *backend = &table->backends[pool->first + i];
		struct name name = name_of(pool, backend);

		backend->member = NAMES_NONE;
		backend->tally = names_take(&names->tallies, &name);
		if (backend->tally == NAMES_NONE) {
			release_backends(table, pool, i, names);
			return false;
		}
		if (!pool->affinity)
			continue;
		name.owner = pool->affinity;
		backend->member = names_take(&names->members, &name);
		if (backend->member == NAMES_NONE) {
			release_backends(table, pool, i + 1, names);
			return false;
		}
		table->member_pools[backend->member]++;
	}
	return true;
}

static void build_maglev(struct service_table *table, const struct service_pool *pool, uint16_t *slots)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		const struct service_backend *backend = &table->backends[pool->first + i];
		uint64_t words[3] = {0, 0, backend->port};

		memcpy(words, &backend->address, sizeof(backend->address));
		table->maglev_backends[i].name = hash_words(&table->key, words, 3);
		table->maglev_backends[i].weight = backend->weight;
	}
	maglev_build(slots, table->maglev_backends, pool->count);
}

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
	while (b > 0) {
		uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Weights of 10, 20 and 30 are 1, 2 and 3: then more pools have all the same, and are drawn from faster. */
static void reduce_weights(struct service_backend *backends, uint32_t count)
{
	uint32_t divisor = 0;

	for (uint32_t i = 0; i < count && divisor != 1; i++)
		divisor = greatest_common_divisor(backends[i].weight, divisor);
	for (uint32_t i = 0; i < count && divisor != 1; i++)
		backends[i].weight /= divisor;
}

/* Sums up the weights of a pool, and says what its backends have of the sum. Where all have one that is no question. */
static void share_out(struct service_table *table, struct service_pool *pool)
{
	const struct service_backend *backends = table->backends + pool->first;
	uint32_t *shares = table->shares + pool->first;

	pool->total = 0;
	for (uint32_t i = 0; i < pool->count; i++)
		pool->total += backends[i].weight;
	for (uint32_t i = 0; i < pool->count && pool->total != pool->count; i++)
		shares[i] = backends[i].weight + (i > 0 ? shares[i - 1] : 0);
}

/**
 * pool_put() - Put a pool into a table
 * @table:	The table
 * @wanted:	The pool; what a table sets is not read
 * @backends:	Its backends, likewise
 * @names:	The numbers that it will hold
 *
 * It has one user: the caller, to let go of it.
 *
 * Return: where it is, or RUNS_NONE if there is no room
 */
uint32_t pool_put(struct service_table *table, const struct service_pool *wanted,
		  const struct service_backend *backends, struct pool_names *names)
{
	struct service_pool pool = *wanted;
	uint32_t position = runs_take(&table->pool_runs, 1);

	if (position == RUNS_NONE)
		return RUNS_NONE;
	pool.slot = SERVICE_NO_SLOT;
	pool.first = runs_take(&table->backend_runs, pool.count);
	if (pool.first == RUNS_NONE) {
		runs_give_back(&table->pool_runs, position, 1);
		return RUNS_NONE;
	}
	memcpy(table->backends + pool.first, backends, pool.count * sizeof(*backends));
	reduce_weights(table->backends + pool.first, pool.count);
	if (!name_backends(table, &pool, names)) {
		runs_give_back(&table->pool_runs, position, 1);
		return RUNS_NONE;
	}
	share_out(table, &pool);
	table->pools[position] = pool;
	table->pool_users[position] = 1;
	if (pool.pick == SERVICE_MAGLEV)
		table->without_maglev++;
	return position;
}

/**
 * pool_give_turn() - Let the backends of a pool have turns, if that is how it picks
 * @pool:	The pool
 * @before:	What the frontend forwarded this client to until now, or NULL
 * @frontend:	A frontend that forwards to it
 * @client:	For whom
 * @names:	The numbers of turns, of which there are enough for all pools of two tables
 *
 * To be called for each verdict that forwards to the pool; the first decides.
 */
void pool_give_turn(struct service_pool *pool, const struct service_pool *before,
		    const struct service_frontend *frontend, enum service_client client, struct pool_names *names)
{
	const struct name name = {frontend->address, .owner = pool->owner, .port = (uint16_t)client,
				  .family = frontend->family};

	if (pool->pick != SERVICE_ROUND_ROBIN || pool->slot != SERVICE_NO_SLOT)
		return;
	if (!before || before->pick != SERVICE_ROUND_ROBIN || before->owner != pool->owner) {
		pool->slot = names_take(&names->turns, &name);
		return;
	}
	pool->slot = before->slot;
	names_hold(&names->turns, pool->slot);
}

/**
 * pool_give_maglevs() - Give the pools that want a Maglev table theirs, as far as there are any
 * @table:	The table
 *
 * Last in an update, when what went has given back its own. Who gets none picks at random, and gets one when it is free.
 */
void pool_give_maglevs(struct service_table *table)
{
	uint32_t to_see = table->without_maglev;

	for (uint32_t position = 0; to_see > 0 && position < table->pool_runs.fresh; position++) {
		struct service_pool *pool = &table->pools[position];

		if (pool->count == 0 || pool->pick != SERVICE_MAGLEV || pool->slot != SERVICE_NO_SLOT)
			continue;
		to_see--;
		if (pool->count > MAGLEV_BACKENDS)
			continue;
		uint32_t maglev = runs_take(&table->maglev_runs, 1);

		if (maglev == RUNS_NONE)
			return;
		build_maglev(table, pool, table->maglevs + (size_t)maglev * MAGLEV_SLOTS);
		pool->slot = maglev;
		table->without_maglev--;
	}
}

/**
 * pool_hold_all() - Hold the numbers of all pools of a table once more
 * @table:	The table, which another has become a copy of
 * @names:	The numbers
 */
void pool_hold_all(const struct service_table *table, struct pool_names *names)
{
	for (uint32_t position = 0; position < table->pool_runs.fresh; position++) {
		const struct service_pool *pool = &table->pools[position];

		for (uint32_t i = 0; i < pool->count; i++) {
			const struct service_backend *backend = &table->backends[pool->first + i];

			names_hold(&names->tallies, backend->tally);
			if (backend->member != NAMES_NONE)
				names_hold(&names->members, backend->member);
		}
		if (pool->count > 0 && pool->pick == SERVICE_ROUND_ROBIN && pool->slot != SERVICE_NO_SLOT)
			names_hold(&names->turns, pool->slot);
	}
}
