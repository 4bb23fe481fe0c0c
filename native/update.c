/* SPDX-License-Identifier: Apache-2.0 */
/* update.c - changing a table of Services */
#include "update.h"

#include <stdlib.h>
#include <string.h>

/**
 * DOC: Theory of operation
 *
 * A table arrives as an image: flat arrays that refer to each other by position. An image holds a whole table, or only
 * what is different: frontends that go, frontends that come or are other than before, addresses that mean something
 * else. Each frontend brings along the pools that it forwards to, so an image never refers to what is in the table.
 * Changing a table costs as much as the change is large.
 *
 * An image is checked wholly before anything is written. After that only room can be wanting. Then the table is
 * cleared and must be filled from a whole image before it is used; the other table of the engine, which is in force,
 * knows nothing of it.
 *
 * What a frontend needs besides itself (pools, ranges, endpoints) is its own and goes with it; pools are counted, for
 * several verdicts and several frontends of one image may share one. A frontend that replaces another is put in place
 * before the other goes, so that what both need (the number of a backend, say) stays.
 *
 * An engine has two tables, which get the same updates one after the other: see engine.c. Whatever is decided here
 * depends only on the updates, so both have everything at the same positions.
 */

static bool is_family(uint8_t family)
{
	return family == TUPLE_IPV4 || family == TUPLE_IPV6;
}

static bool is_protocol(uint8_t protocol)
{
	return protocol == TUPLE_TCP || protocol == TUPLE_UDP || protocol == TUPLE_SCTP;
}

/* Whether a piece of an array lies inside it. */
static bool is_within(uint32_t first, uint32_t count, uint32_t length)
{
	return first <= length && count <= length - first;
}

/* Ranges do not say their family: who refers to them does. */
static bool are_ranges_of(uint8_t family, uint32_t first, uint32_t count, const struct service_image *image)
{
	if (!is_within(first, count, image->counts.ranges))
		return false;
	for (uint32_t i = first; i < first + count; i++) {
		if (!address_is_of(&image->ranges[i].low, family) || !address_is_of(&image->ranges[i].high, family))
			return false;
	}
	return true;
}

static bool is_good_frontend(const struct service_frontend *frontend, const struct service_image *image)
{
	const struct service_counts *counts = &image->counts;

	if (!is_family(frontend->family) || !is_protocol(frontend->protocol) ||
	    !address_is_of(&frontend->address, frontend->family))
		return false;
	if (frontend->sources_first != SERVICE_ANYBODY &&
	    !are_ranges_of(frontend->family, frontend->sources_first, frontend->sources_count, image))
		return false;
	if (!is_within(frontend->serving_first, frontend->serving_count, counts->endpoints))
		return false;
	for (uint32_t i = 0; i < frontend->serving_count; i++) {
		if (!address_is_of(&image->endpoints[frontend->serving_first + i].address, frontend->family))
			return false;
	}
	for (unsigned int i = 0; i < SERVICE_CLIENTS; i++) {
		const struct service_verdict *verdict = &frontend->verdicts[i];

		if (verdict->action >= SERVICE_ACTIONS)
			return false;
		/* Fetching ahead looks at the pool whatever the action is. */
		if (verdict->action != SERVICE_FORWARD && verdict->pool != 0)
			return false;
		if (verdict->action != SERVICE_FORWARD)
			continue;
		/* Pools were checked before: they have a first backend, and the others are of its family. */
		if (verdict->pool >= counts->pools ||
		    image->backends[image->pools[verdict->pool].first].family != frontend->family)
			return false;
	}
	return true;
}

static bool is_good_pool(const struct service_pool *pool, const struct service_image *image)
{
	if (pool->count == 0 || pool->count > UINT32_MAX / SERVICE_WEIGHT_MOST || pool->owner == 0 ||
	    !is_within(pool->first, pool->count, image->counts.backends))
		return false;
	if (pool->pick >= SERVICE_PICKS)
		return false;
	for (uint32_t i = 1; i < pool->count; i++) {
		if (image->backends[pool->first + i].family != image->backends[pool->first].family)
			return false;
	}
	return true;
}

static enum service_error check(const struct service_image *image)
{
	const struct service_counts *counts = &image->counts;

	for (uint32_t i = 0; i < counts->backends; i++) {
		const struct service_backend *backend = &image->backends[i];

		if (!is_family(backend->family) || !address_is_of(&backend->address, backend->family) ||
		    backend->weight < 1 || backend->weight > SERVICE_WEIGHT_MOST)
			return SERVICE_BAD_BACKEND;
	}
	for (uint32_t i = 0; i < counts->pools; i++) {
		if (!is_good_pool(&image->pools[i], image))
			return SERVICE_BAD_POOL;
	}
	for (uint32_t i = 0; i < counts->frontends; i++) {
		if (!is_good_frontend(&image->frontends[i], image))
			return SERVICE_BAD_FRONTEND;
	}
	for (uint32_t i = 0; i < counts->addresses; i++) {
		const struct service_address *address = &image->addresses[i];

		if (!is_family(address->family) || !address_is_of(&address->address, address->family))
			return SERVICE_BAD_ADDRESS;
	}
	for (unsigned int i = 0; i < 2; i++) {
		const struct service_family *family = &image->families[i];
		uint8_t version = i == 0 ? TUPLE_IPV4 : TUPLE_IPV6;

		if (!are_ranges_of(version, family->cidrs_first, family->cidrs_count, image) ||
		    !are_ranges_of(version, family->pods_first, family->pods_count, image) ||
		    family->pods_count > 1 || !address_is_of(&family->egress, version))
			return SERVICE_BAD_FAMILY;
	}
	return SERVICE_OK;
}

/* Pools */

/* Gives back what the first backends of a pool hold. */
static void release_backends(struct service_table *table, const struct service_pool *pool, uint32_t count,
			     struct update_names *names)
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

static void release_pool(struct service_table *table, uint32_t position, struct update_names *names)
{
	struct service_pool *pool = &table->pools[position];

	release_backends(table, pool, pool->count, names);
	if (pool->pick == SERVICE_MAGLEV) {
		if (table->draws[position].turn == SERVICE_NO_TURN)
			table->without_maglev--;
		else
			runs_give_back(&table->maglev_runs, table->draws[position].turn, 1);
	}
	*pool = (struct service_pool){0};
	runs_give_back(&table->pool_runs, position, 1);
}

/* One user less; the last takes the pool along. */
static void let_go(struct service_table *table, uint32_t position, struct update_names *names)
{
	if (--table->pool_users[position] == 0)
		release_pool(table, position, names);
}

/* Takes the numbers of a pool's backends. Gives back those it took if there are not enough. */
static bool name_backends(struct service_table *table, const struct service_pool *pool, struct update_names *names)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		struct service_backend *backend = &table->backends[pool->first + i];
		struct name name = {backend->address, .owner = pool->owner, .port = backend->port,
				    .family = backend->family};

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

/* Weights of 10, 20 and 30 are 1, 2 and 3: then more pools have all the same, and are drawn from faster. */
static void reduce_weights(struct service_backend *backends, uint32_t count)
{
	uint32_t divisor = 0;

	for (uint32_t i = 0; i < count && divisor != 1; i++)
		divisor = greatest_common_divisor(backends[i].weight, divisor);
	for (uint32_t i = 0; i < count && divisor != 1; i++)
		backends[i].weight /= divisor;
}

static void prepare_draw(struct service_table *table, const struct service_pool *pool, struct service_draw *draw)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < pool->count; i++) {
		total += table->backends[pool->first + i].weight;
		table->shares[pool->first + i] = total;
	}
	*draw = (struct service_draw){total, choose_step(total, pool->count), SERVICE_NO_TURN};
}

/* Returns where the pool is in the table, or RUNS_NONE if there is no room. */
static uint32_t put_pool(struct service_table *table, const struct service_image *image, uint32_t number,
			 struct update_names *names)
{
	struct service_pool pool = image->pools[number];
	const struct service_backend *backends = image->backends + pool.first;
	uint32_t position = runs_take(&table->pool_runs, 1);

	if (position == RUNS_NONE)
		return RUNS_NONE;
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
	table->pools[position] = pool;
	/* The update itself, until it is over: frontends come and go meanwhile. */
	table->pool_users[position] = 1;
	prepare_draw(table, &pool, &table->draws[position]);
	if (pool.pick == SERVICE_MAGLEV)
		table->without_maglev++;
	return position;
}

/*
 * Gives the pools that want a Maglev table theirs, as far as there are any: last in an update, when what went has given
 * back its own. Who gets none picks at random, and gets one when it is free.
 */
static void give_maglevs(struct service_table *table)
{
	uint32_t to_see = table->without_maglev;

	for (uint32_t position = 0; to_see > 0 && position < table->pool_runs.fresh; position++) {
		const struct service_pool *pool = &table->pools[position];
		struct service_draw *draw = &table->draws[position];

		if (pool->count == 0 || pool->pick != SERVICE_MAGLEV || draw->turn != SERVICE_NO_TURN)
			continue;
		to_see--;
		if (pool->count > MAGLEV_BACKENDS)
			continue;
		uint32_t maglev = runs_take(&table->maglev_runs, 1);

		if (maglev == RUNS_NONE)
			return;
		build_maglev(table, pool, table->maglevs + (size_t)maglev * MAGLEV_SLOTS);
		draw->turn = maglev;
		table->without_maglev--;
	}
}

/* Frontends */

static void release_pieces(struct service_table *table, const struct service_frontend *frontend)
{
	if (frontend->sources_first != SERVICE_ANYBODY)
		runs_give_back(&table->range_runs, frontend->sources_first, frontend->sources_count);
	runs_give_back(&table->endpoint_runs, frontend->serving_first, frontend->serving_count);
}

/* Gives back all that a frontend has, but for its place in the index. */
static void release_frontend(struct service_table *table, uint32_t position, struct update_names *names)
{
	struct service_frontend *frontend = &table->frontends[position];

	release_pieces(table, frontend);
	for (unsigned int i = 0; i < SERVICE_CLIENTS; i++) {
		const struct service_verdict *verdict = &frontend->verdicts[i];

		if (verdict->action == SERVICE_FORWARD)
			let_go(table, verdict->pool, names);
	}
	*frontend = (struct service_frontend){0};
	runs_give_back(&table->frontend_runs, position, 1);
}

static void remove_frontend(struct service_table *table, const struct service_frontend *frontend,
			    struct update_names *names)
{
	uint32_t position = (uint32_t)(frontend - table->frontends);

	(void)index_remove(&table->frontend_index, service_hash(&table->key, frontend), position + 1);
	release_frontend(table, position, names);
}

static int compare_endpoints(const void *first, const void *second)
{
	return memcmp(first, second, sizeof(struct service_endpoint));
}

static int compare_ranges(const void *first, const void *second)
{
	return memcmp(first, second, sizeof(struct service_range));
}

/* Copies a piece of the image's ranges. Returns where it is, or RUNS_NONE. */
static uint32_t put_ranges(struct service_table *table, const struct service_image *image, uint32_t from,
			   uint32_t count)
{
	uint32_t first = runs_take(&table->range_runs, count);

	/* An empty array may be NULL, to which nothing must be added, not even zero. */
	if (first == RUNS_NONE || count == 0)
		return first;
	memcpy(table->ranges + first, image->ranges + from, count * sizeof(*image->ranges));
	qsort(table->ranges + first, count, sizeof(*image->ranges), compare_ranges);
	return first;
}

static uint32_t put_endpoints(struct service_table *table, const struct service_image *image, uint32_t from,
			      uint32_t count)
{
	uint32_t first = runs_take(&table->endpoint_runs, count);

	if (first == RUNS_NONE || count == 0)
		return first;
	memcpy(table->endpoints + first, image->endpoints + from, count * sizeof(*image->endpoints));
	qsort(table->endpoints + first, count, sizeof(*image->endpoints), compare_endpoints);
	return first;
}

/* Copies what a frontend refers to, and makes it refer to the copies. */
static bool put_pieces(struct service_table *table, const struct service_image *image,
		       struct service_frontend *frontend)
{
	if (frontend->sources_first != SERVICE_ANYBODY) {
		frontend->sources_first = put_ranges(table, image, frontend->sources_first, frontend->sources_count);
		if (frontend->sources_first == RUNS_NONE)
			return false;
	}
	frontend->serving_first = put_endpoints(table, image, frontend->serving_first, frontend->serving_count);
	if (frontend->serving_first != RUNS_NONE)
		return true;
	frontend->serving_first = frontend->serving_count = 0;
	release_pieces(table, frontend);
	return false;
}

/* Whether flows through one frontend may all go on through another. */
static bool all_go_on(const struct service_table *table, const struct service_frontend *before,
		      const struct service_frontend *after)
{
	if (!before->ends_flows)
		return true;
	for (uint32_t i = 0; i < before->serving_count; i++) {
		const struct service_endpoint *endpoint = &table->endpoints[before->serving_first + i];

		if (!service_serves(table, after, &endpoint->address, endpoint->port))
			return false;
	}
	return true;
}

/* Puts a frontend in the place of the one that has its key, if there is one. Returns where, or RUNS_NONE. */
static uint32_t put_frontend(struct service_table *table, const struct service_image *image, uint32_t number,
			     struct update_names *names)
{
	struct service_frontend frontend = image->frontends[number];
	const struct service_frontend *before =
		service_find(table, &frontend.address, frontend.family, frontend.protocol, frontend.port);
	uint32_t position = runs_take(&table->frontend_runs, 1);

	if (position == RUNS_NONE)
		return RUNS_NONE;
	if (!put_pieces(table, image, &frontend)) {
		runs_give_back(&table->frontend_runs, position, 1);
		return RUNS_NONE;
	}
	for (unsigned int i = 0; i < SERVICE_CLIENTS; i++) {
		struct service_verdict *verdict = &frontend.verdicts[i];

		if (verdict->action != SERVICE_FORWARD)
			continue;
		verdict->pool = table->placed[verdict->pool];
		table->pool_users[verdict->pool]++;
	}
	table->frontends[position] = frontend;
	if (before) {
		if (!all_go_on(table, before, &table->frontends[position]))
			table->ended.flows = true;
		remove_frontend(table, before, names);
	}
	index_insert(&table->frontend_index, service_hash(&table->key, &frontend), position + 1);
	return position;
}

static void take_away(struct service_table *table, const struct service_key *key, struct update_names *names)
{
	const struct service_frontend *frontend =
		service_find(table, &key->address, key->family, key->protocol, key->port);

	if (!frontend)
		return;
	if (frontend->ends_flows)
		table->ended.flows = true;
	remove_frontend(table, frontend, names);
}

/* Everything else */

static bool put_address(struct service_table *table, const struct service_address *address)
{
	uint32_t position = service_find_address(table, &address->address, address->family);
	uint32_t hash = service_hash_address(&table->key, &address->address, address->family);

	if (position == SERVICE_NOWHERE) {
		if (!address->roles)
			return true;
		position = runs_take(&table->address_runs, 1);
		if (position == RUNS_NONE)
			return false;
		index_insert(&table->address_index, hash, position + 1);
	}
	table->addresses[position] = *address;
	if (!address->roles) {
		(void)index_remove(&table->address_index, hash, position + 1);
		runs_give_back(&table->address_runs, position, 1);
	}
	return true;
}

static void release_family(struct service_table *table, const struct service_family *family)
{
	runs_give_back(&table->range_runs, family->cidrs_first, family->cidrs_count);
	runs_give_back(&table->range_runs, family->pods_first, family->pods_count);
}

static bool put_family(struct service_table *table, unsigned int number, const struct service_image *image)
{
	struct service_family family = image->families[number];

	release_family(table, &table->families[number]);
	table->families[number] = (struct service_family){0};
	family.cidrs_first = put_ranges(table, image, family.cidrs_first, family.cidrs_count);
	if (family.cidrs_first == RUNS_NONE)
		return false;
	family.pods_first = put_ranges(table, image, family.pods_first, family.pods_count);
	if (family.pods_first == RUNS_NONE)
		return false;
	table->families[number] = family;
	return true;
}

static bool put_pools(struct service_table *table, const struct service_image *image, uint32_t *done,
		      struct update_names *names)
{
	for (*done = 0; *done < image->counts.pools; ++*done) {
		table->placed[*done] = put_pool(table, image, *done, names);
		if (table->placed[*done] == RUNS_NONE)
			return false;
	}
	return true;
}

static bool put_frontends(struct service_table *table, const struct service_image *image,
			  struct update_names *names)
{
	for (uint32_t i = 0; i < image->counts.frontends; i++) {
		uint32_t position = put_frontend(table, image, i, names);

		if (position == RUNS_NONE)
			return false;
		if (image->positions)
			image->positions[i] = position;
	}
	return true;
}

static bool put_rest(struct service_table *table, const struct service_image *image)
{
	for (uint32_t i = 0; i < image->counts.addresses; i++) {
		if (!put_address(table, &image->addresses[i]))
			return false;
	}
	memcpy(table->pod_interfaces, image->pod_interfaces, SERVICE_INTERFACES);
	return put_family(table, 0, image) && put_family(table, 1, image);
}

/**
 * update_apply() - Change a table
 * @table:	The table, which nobody reads meanwhile
 * @image:	What is different; not needed any more afterwards
 * @names:	The numbers of backends
 *
 * Sets @table->ended where it puts an end to something.
 *
 * Return: SERVICE_OK; or what is wrong with the image, and then the table is empty
 */
enum service_error update_apply(struct service_table *table, const struct service_image *image,
				struct update_names *names)
{
	enum service_error error = image->counts.pools > table->limits.pools ? SERVICE_TOO_MANY : check(image);
	uint32_t pools = 0;

	if (error == SERVICE_OK && image->whole) {
		update_clear(table, names);
		table->ended = (struct service_ended){.flows = true, .members = true};
	}
	if (error == SERVICE_OK) {
		for (uint32_t i = 0; i < image->counts.gone; i++)
			take_away(table, &image->gone[i], names);
		if (!put_pools(table, image, &pools, names) || !put_frontends(table, image, names) ||
		    !put_rest(table, image))
			error = SERVICE_TOO_MANY;
	}
	for (uint32_t i = 0; i < pools; i++)
		let_go(table, table->placed[i], names);
	if (error == SERVICE_OK)
		give_maglevs(table);
	else
		update_clear(table, names);
	return error;
}

/**
 * update_clear() - Empty a table
 * @table:	The table, which nobody reads meanwhile
 * @names:	The numbers of backends, which are given back
 */
void update_clear(struct service_table *table, struct update_names *names)
{
	for (uint32_t position = 0; position < table->frontend_runs.fresh; position++) {
		if (table->frontends[position].family)
			release_frontend(table, position, names);
	}
	index_clear(&table->frontend_index);
	index_clear(&table->address_index);
	runs_clear(&table->frontend_runs);
	runs_clear(&table->pool_runs);
	runs_clear(&table->backend_runs);
	runs_clear(&table->endpoint_runs);
	runs_clear(&table->range_runs);
	runs_clear(&table->address_runs);
	runs_clear(&table->maglev_runs);
	table->without_maglev = 0;
	memset(table->families, 0, sizeof(table->families));
}
