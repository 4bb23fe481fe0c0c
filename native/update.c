/* SPDX-License-Identifier: Apache-2.0 */
/* update.c - changing a table of Services */
#include "update.h"

#include <stdlib.h>
#include <string.h>

/**
 * DOC: Theory of operation
 *
 * Changing a table costs as much as the change is large: an image (image.c) says what comes and what goes. It is checked
 * wholly before anything is written. After that only room can be wanting. Then the table is cleared and must be filled
 * from a whole image before it is used; the other table of the engine, which is in force, knows nothing of it.
 *
 * What a frontend needs besides itself is its own and goes with it: ranges, endpoints, and a part in the pools that it
 * forwards to (pool.c). A frontend that replaces another is put in place before the other goes, so that what both need
 * (the number of a backend, say) stays.
 *
 * An engine has two tables, which get the same updates one after the other: see engine.c. Whatever is decided here
 * depends only on the updates, so both have everything at the same positions; and after a whole image the second is made
 * a copy of the first.
 */

/* So far ahead is fetched what a pool will need: longer than memory takes, and less than a near cache holds. */
#define POOLS_AHEAD 4

static void release_pieces(struct service_table *table, const struct service_frontend *frontend)
{
	if (frontend->sources_first != SERVICE_ANYBODY)
		runs_give_back(&table->range_runs, frontend->sources_first, frontend->sources_count);
	runs_give_back(&table->endpoint_runs, frontend->serving_first, frontend->serving_count);
}

/* Gives back all that a frontend has, but for its place in the index. */
static void release_frontend(struct service_table *table, uint32_t position, struct pool_names *names)
{
	struct service_frontend *frontend = &table->frontends[position];

	release_pieces(table, frontend);
	for (unsigned int i = 0; i < SERVICE_CLIENTS; i++) {
		const struct service_verdict *verdict = &frontend->verdicts[i];

		if (verdict->action == SERVICE_FORWARD)
			pool_let_go(table, verdict->pool, names);
	}
	*frontend = (struct service_frontend){0};
	runs_give_back(&table->frontend_runs, position, 1);
}

static void remove_frontend(struct service_table *table, const struct service_frontend *frontend,
			    struct pool_names *names)
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
static uint32_t put_ranges(struct service_table *table, const struct image *image, uint32_t from,
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

static uint32_t put_endpoints(struct service_table *table, const struct image *image, uint32_t from,
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
static bool put_pieces(struct service_table *table, const struct image *image,
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

/* What a frontend forwards a client to, or NULL. */
static const struct service_pool *pool_of(const struct service_table *table, const struct service_frontend *frontend,
					  enum service_client client)
{
	bool forwards = frontend && frontend->verdicts[client].action == SERVICE_FORWARD;

	return forwards ? &table->pools[frontend->verdicts[client].pool] : NULL;
}

/* Puts a frontend in the place of the one that has its key, if there is one. Returns where, or RUNS_NONE. */
static uint32_t put_frontend(struct service_table *table, const struct image *image, uint32_t number,
			     struct pool_names *names)
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
	for (enum service_client i = 0; i < SERVICE_CLIENTS; i++) {
		struct service_verdict *verdict = &frontend.verdicts[i];

		if (verdict->action != SERVICE_FORWARD)
			continue;
		verdict->pool = table->placed[verdict->pool];
		table->pool_users[verdict->pool]++;
		pool_give_turn(&table->pools[verdict->pool], pool_of(table, before, i), &frontend, i, names);
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

static void take_away(struct service_table *table, const struct image_key *key, struct pool_names *names)
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

static bool put_family(struct service_table *table, unsigned int number, const struct image *image)
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

static bool put_pools(struct service_table *table, const struct image *image, uint32_t *done,
		      struct pool_names *names)
{
	for (*done = 0; *done < image->counts.pools; ++*done) {
		const struct service_pool *pool = &image->pools[*done];

		if (image->counts.pools - *done > POOLS_AHEAD)
			pool_prefetch(pool + POOLS_AHEAD, image->backends + pool[POOLS_AHEAD].first, names);

		table->placed[*done] = pool_put(table, pool, image->backends + pool->first, names);
		if (table->placed[*done] == RUNS_NONE)
			return false;
	}
	return true;
}

static bool put_frontends(struct service_table *table, const struct image *image,
			  struct pool_names *names)
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

static bool put_rest(struct service_table *table, const struct image *image)
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
 * Return: IMAGE_OK; or what is wrong with the image, and then the table is empty
 */
enum image_error update_apply(struct service_table *table, const struct image *image,
				struct pool_names *names)
{
	enum image_error error = image->counts.pools > table->limits.pools ? IMAGE_TOO_MANY : image_check(image);
	uint32_t pools = 0;

	if (error == IMAGE_OK && image->whole) {
		update_clear(table, names);
		table->ended = (struct service_ended){.flows = true, .members = true};
	}
	if (error == IMAGE_OK) {
		for (uint32_t i = 0; i < image->counts.gone; i++)
			take_away(table, &image->gone[i], names);
		if (!put_pools(table, image, &pools, names) || !put_frontends(table, image, names) ||
		    !put_rest(table, image))
			error = IMAGE_TOO_MANY;
	}
	for (uint32_t i = 0; i < pools; i++)
		pool_let_go(table, table->placed[i], names);
	if (error == IMAGE_OK)
		pool_give_maglevs(table);
	else
		update_clear(table, names);
	return error;
}

static void copy_runs(struct runs *runs, const struct runs *from)
{
	uint8_t *places = runs->places;

	memcpy(places, from->places, from->fresh * from->size);
	*runs = *from;
	runs->places = places;
}

/**
 * update_copy() - Make a table the same as another
 * @table:	The table, which nobody reads meanwhile
 * @from:	The other, with the same limits and key; it may be read meanwhile
 * @names:	The numbers of both
 */
void update_copy(struct service_table *table, const struct service_table *from, struct pool_names *names)
{
	update_clear(table, names);
	copy_runs(&table->frontend_runs, &from->frontend_runs);
	copy_runs(&table->pool_runs, &from->pool_runs);
	copy_runs(&table->backend_runs, &from->backend_runs);
	copy_runs(&table->endpoint_runs, &from->endpoint_runs);
	copy_runs(&table->range_runs, &from->range_runs);
	copy_runs(&table->address_runs, &from->address_runs);
	copy_runs(&table->maglev_runs, &from->maglev_runs);
	memcpy(table->pool_users, from->pool_users, from->pool_runs.fresh * sizeof(*table->pool_users));
	memcpy(table->member_pools, from->member_pools, names->members.fresh * sizeof(*table->member_pools));
	memcpy(table->shares, from->shares, from->backend_runs.fresh * sizeof(*table->shares));
	index_copy(&table->frontend_index, &from->frontend_index);
	index_copy(&table->address_index, &from->address_index);
	memcpy(table->pod_interfaces, from->pod_interfaces, SERVICE_INTERFACES);
	memcpy(table->families, from->families, sizeof(table->families));
	table->without_maglev = from->without_maglev;
	pool_hold_all(table, names);
}

/**
 * update_clear() - Empty a table
 * @table:	The table, which nobody reads meanwhile
 * @names:	The numbers of backends, which are given back
 */
void update_clear(struct service_table *table, struct pool_names *names)
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
