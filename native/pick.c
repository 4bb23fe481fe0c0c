/* SPDX-License-Identifier: Apache-2.0 */
/* pick.c - which backend of a pool a new connection gets */
#include "pick.h"

#include "names.h"

#define MILLISECONDS UINT64_C(1000)

/* The backend that a number below the sum of the weights belongs to. */
static uint32_t position_of(const struct service_table *table, const struct service_pool *pool, uint32_t number)
{
	const uint32_t *shares = table->shares + pool->first;
	uint32_t from = 0, to = pool->count - 1;

	if (pool->total == pool->count)
		return number;
	/* The answer is in [from, to]: the first whose share reaches beyond the number. */
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (number < shares[middle])
			to = middle;
		else
			from = middle + 1;
	}
	return from;
}

/* The last number that belongs to a backend. */
static uint32_t last_number(const struct service_table *table, const struct service_pool *pool, uint32_t position)
{
	return pool->total == pool->count ? position : table->shares[pool->first + position] - 1;
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

/*
 * From one turn to the next in a round of @total turns, so that every number comes once in a round. Where weights make
 * several numbers of one backend, they stand side by side: steps of about the golden ratio spread them over the round.
 */
static uint32_t choose_step(uint32_t total, uint32_t count)
{
	uint32_t step = (uint32_t)((uint64_t)total * 618 / 1000);

	if (total == count)
		return 1;
	while (greatest_common_divisor(total, step) != 1)
		step++;
	return step;
}

/*
 * Goes on in a pool that is not as it was at the last turn: after the backend that had it; or, if that is gone, with the
 * one that is now in its place, which was behind it. One that nobody had a turn of begins anywhere: if all began with the
 * first, Services of few connections would favour that.
 */
static uint32_t resume_turn(const struct service_table *table, const struct service_pool *pool,
			    struct service_turn *turn, uint32_t chance)
{
	const struct service_backend *backends = table->backends + pool->first;
	bool is_first = turn->tally == NAMES_NONE;

	turn->total = pool->total;
	turn->step = choose_step(pool->total, pool->count);
	if (is_first)
		return random_scaled(chance, pool->total);
	for (uint32_t i = 0; i < pool->count; i++) {
		if (backends[i].tally == turn->tally)
			return (uint32_t)(((uint64_t)last_number(table, pool, i) + turn->step) % turn->total);
	}
	return turn->number < pool->total ? turn->number : 0;
}

static uint32_t next_turn(const struct service_table *table, const struct service_pool *pool, uint32_t chance)
{
	const struct service_backend *backends = table->backends + pool->first;
	struct service_turn *turn = &table->turns[pool->slot];

	if (turn->total == pool->total && backends[position_of(table, pool, turn->number)].tally == turn->tally)
		turn->number = (uint32_t)(((uint64_t)turn->number + turn->step) % turn->total);
	else
		turn->number = resume_turn(table, pool, turn, chance);
	uint32_t position = position_of(table, pool, turn->number);

	turn->tally = backends[position].tally;
	return position;
}

/* Whether one has less to do than the other, for its weight. */
static bool has_less(const struct service_backend *one, const struct service_backend *other,
		     const struct flow_tally *tallies)
{
	return tallies[one->tally].active * other->weight < tallies[other->tally].active * one->weight;
}

/* One that has the fewest. The search begins anywhere, or the first of those with equally few would always be taken. */
static uint32_t pick_least(const struct service_table *table, const struct service_pool *pool,
			   const struct flow_tally *tallies, uint32_t begin)
{
	const struct service_backend *backends = table->backends + pool->first;
	uint32_t best = begin;

	for (uint32_t i = 1; i < pool->count; i++) {
		uint32_t at = begin + i < pool->count ? begin + i : begin + i - pool->count;

		if (has_less(&backends[at], &backends[best], tallies))
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
 * @chance:	What random_draw() gave for this connection
 *
 * Return: a backend of the pool
 */
const struct service_backend *pick_backend(const struct service_table *table, const struct service_pool *pool,
					   const struct flow_tally *tallies, uint32_t hash, uint32_t chance)
{
	const struct service_backend *backends = table->backends + pool->first;

	if (pool->count == 1)
		return backends;
	switch ((enum service_pick)pool->pick) {
	case SERVICE_ROUND_ROBIN:
		return &backends[next_turn(table, pool, chance)];
	case SERVICE_LEAST_CONNECTIONS:
		return &backends[pick_least(table, pool, tallies, random_scaled(chance, pool->count))];
	case SERVICE_MAGLEV:
		if (pool->slot == SERVICE_NO_SLOT) /* There was no table left for this pool. */
			break;
		return &backends[table->maglevs[(size_t)pool->slot * MAGLEV_SLOTS + maglev_slot(hash)]];
	case SERVICE_RANDOM:
	case SERVICE_PICKS:
		break;
	}
	return &backends[position_of(table, pool, random_scaled(chance, pool->total))];
}

/**
 * pick_prefetch() - Have the backend that a new connection will get brought into the cache
 * @table:	The table
 * @pool:	The pool that it will probably be sent to
 * @tallies:	What the backends have to do
 * @hash:	tuple_hash() of the connection
 * @chance:	What random_draw() gave for this connection
 *
 * Return: the backend that pick_backend() will give for the same; or NULL if that depends on what comes before: on
 * clients and connections
 */
const struct service_backend *pick_prefetch(const struct service_table *table, const struct service_pool *pool,
					    const struct flow_tally *tallies, uint32_t hash, uint32_t chance)
{
	const struct service_backend *backend;

	if (pool->affinity)
		return NULL;
	if (pool->count > 1 && (pool->pick == SERVICE_ROUND_ROBIN || pool->pick == SERVICE_LEAST_CONNECTIONS))
		return NULL;
	backend = pick_backend(table, pool, tallies, hash, chance);
	__builtin_prefetch(backend);
	return backend;
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
