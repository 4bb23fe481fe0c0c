/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - the forwarding table: frontends, pools, backends, and whose addresses are whose */
#include "service.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * A table arrives as an image: flat arrays that refer to each other by position. Loading checks every reference,
 * copies the arrays and builds two hash indexes over them; after that it is only read. An engine has two tables,
 * loads into the one that is not in use, and changes over between two batches. A table that was refused changes
 * nothing.
 *
 * Finding a frontend costs one bucket and one frontend, whatever the number of Services. A NodePort is filed
 * under the unspecified address of its family and found by a second lookup, which is made only for addresses that
 * answer NodePorts. All that an address can be to us (a cluster IP, an address of this host, one that answers
 * NodePorts) is in one entry, so one lookup tells.
 *
 * Networks come as ranges sorted and apart from each other: whether one holds an address is a binary search.
 */

/**
 * service_carve() - Take the memory of a table
 * @table:	The table
 * @arena:	Where from
 * @limits:	The most that it must be able to hold
 */
void service_carve(struct service_table *table, struct arena *arena, const struct service_limits *limits)
{
	*table = (struct service_table){.limits = *limits};
	table->frontends = arena_take(arena, limits->frontends, sizeof(*table->frontends));
	table->pools = arena_take(arena, limits->pools, sizeof(*table->pools));
	table->backends = arena_take(arena, limits->backends, sizeof(*table->backends));
	table->endpoints = arena_take(arena, limits->endpoints, sizeof(*table->endpoints));
	table->ranges = arena_take(arena, limits->ranges, sizeof(*table->ranges));
	table->addresses = arena_take(arena, limits->addresses, sizeof(*table->addresses));
	table->pod_interfaces = arena_take(arena, SERVICE_INTERFACES, sizeof(*table->pod_interfaces));
	table->member_held = arena_take(arena, limits->members, sizeof(*table->member_held));
	table->draws = arena_take(arena, limits->pools, sizeof(*table->draws));
	table->shares = arena_take(arena, limits->backends, sizeof(*table->shares));
	table->maglevs = arena_take(arena, (size_t)limits->maglevs * MAGLEV_SLOTS, sizeof(*table->maglevs));
	table->maglev_backends = arena_take(arena, MAGLEV_BACKENDS, sizeof(*table->maglev_backends));
	index_carve(&table->frontend_index, arena, limits->frontends);
	index_carve(&table->address_index, arena, limits->addresses);
}

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

static enum service_error check_counts(const struct service_limits *counts, const struct service_limits *limits)
{
	if (counts->frontends > limits->frontends || counts->pools > limits->pools ||
	    counts->backends > limits->backends || counts->endpoints > limits->endpoints ||
	    counts->ranges > limits->ranges || counts->addresses > limits->addresses ||
	    counts->tallies > limits->tallies || counts->members > limits->members ||
	    counts->maglevs > limits->maglevs)
		return SERVICE_TOO_MANY;
	return SERVICE_OK;
}

static bool is_good_frontend(const struct service_frontend *frontend, const struct service_image *image)
{
	const struct service_limits *counts = &image->counts;

	if (!is_family(frontend->family) || !is_protocol(frontend->protocol))
		return false;
	if (frontend->sources_first != SERVICE_ANYBODY &&
	    !is_within(frontend->sources_first, frontend->sources_count, counts->ranges))
		return false;
	if (!is_within(frontend->serving_first, frontend->serving_count, counts->endpoints))
		return false;
	for (unsigned int i = 0; i < SERVICE_CLIENTS; i++) {
		const struct service_verdict *verdict = &frontend->verdicts[i];

		if (verdict->action >= SERVICE_ACTIONS)
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
	if (pool->count == 0 || pool->count > UINT32_MAX / SERVICE_WEIGHT_MOST ||
	    !is_within(pool->first, pool->count, image->counts.backends))
		return false;
	if (pool->pick >= SERVICE_PICKS || (pool->pick == SERVICE_MAGLEV && pool->count > MAGLEV_BACKENDS))
		return false;
	for (uint32_t i = 1; i < pool->count; i++) {
		if (image->backends[pool->first + i].family != image->backends[pool->first].family)
			return false;
	}
	return true;
}

static enum service_error check_image(const struct service_image *image)
{
	const struct service_limits *counts = &image->counts;
	uint32_t maglevs = 0;

	for (uint32_t i = 0; i < counts->backends; i++) {
		const struct service_backend *backend = &image->backends[i];

		if (!is_family(backend->family) || backend->tally >= counts->tallies ||
		    backend->member >= counts->members || backend->weight < 1 ||
		    backend->weight > SERVICE_WEIGHT_MOST)
			return SERVICE_BAD_BACKEND;
	}
	for (uint32_t i = 0; i < counts->pools; i++) {
		if (!is_good_pool(&image->pools[i], image))
			return SERVICE_BAD_POOL;
		maglevs += image->pools[i].pick == SERVICE_MAGLEV;
	}
	if (maglevs != counts->maglevs)
		return SERVICE_BAD_POOL;
	for (uint32_t i = 0; i < counts->frontends; i++) {
		if (!is_good_frontend(&image->frontends[i], image))
			return SERVICE_BAD_FRONTEND;
	}
	for (uint32_t i = 0; i < counts->addresses; i++) {
		if (!is_family(image->addresses[i].family))
			return SERVICE_BAD_ADDRESS;
	}
	for (unsigned int i = 0; i < 2; i++) {
		const struct service_family *family = &image->families[i];

		if (!is_within(family->cidrs_first, family->cidrs_count, counts->ranges) ||
		    !is_within(family->pods_first, family->pods_count, counts->ranges) || family->pods_count > 1)
			return SERVICE_BAD_FAMILY;
	}
	return SERVICE_OK;
}

static uint32_t hash_address(const struct hash_key *key, const struct address *address, uint32_t what)
{
	uint64_t words[3] = {0, 0, what};

	memcpy(words, address, sizeof(*address));
	return (uint32_t)hash_words(key, words, 3);
}

static uint32_t hash_frontend(const struct hash_key *key, const struct address *address, uint8_t family,
			      uint8_t protocol, uint16_t port)
{
	return hash_address(key, address, (uint32_t)port << 16 | (uint32_t)protocol << 8 | family);
}

static const struct service_address *find_address(const struct service_table *table, const struct address *address,
						  uint8_t family)
{
	struct index_cursor cursor;
	uint32_t hash = hash_address(&table->key, address, family);

	for (uint32_t found = index_first(&table->address_index, hash, &cursor); found != INDEX_NONE;
	     found = index_next(&table->address_index, &cursor)) {
		const struct service_address *candidate = &table->addresses[found - 1];

		if (candidate->family == family && address_equal(&candidate->address, address))
			return candidate;
	}
	return NULL;
}

static enum service_error build_indexes(struct service_table *table)
{
	index_clear(&table->frontend_index);
	index_clear(&table->address_index);
	for (uint32_t i = 0; i < table->counts.frontends; i++) {
		const struct service_frontend *f = &table->frontends[i];

		if (service_find(table, &f->address, f->family, f->protocol, f->port))
			return SERVICE_DOUBLE;
		index_insert(&table->frontend_index,
			     hash_frontend(&table->key, &f->address, f->family, f->protocol, f->port), i + 1);
	}
	for (uint32_t i = 0; i < table->counts.addresses; i++) {
		const struct service_address *a = &table->addresses[i];

		if (find_address(table, &a->address, a->family))
			return SERVICE_DOUBLE;
		index_insert(&table->address_index, hash_address(&table->key, &a->address, a->family), i + 1);
	}
	return SERVICE_OK;
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

static void prepare_draw(struct service_table *table, const struct service_pool *pool, struct service_draw *draw)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i < pool->count; i++) {
		total += table->backends[pool->first + i].weight;
		table->shares[pool->first + i] = total;
	}
	*draw = (struct service_draw){total, choose_step(total, pool->count), SERVICE_NO_TURN};
}

/* What each pool needs to pick. */
static void prepare_pools(struct service_table *table)
{
	uint32_t maglevs = 0;

	for (uint32_t i = 0; i < table->counts.pools; i++) {
		const struct service_pool *pool = &table->pools[i];

		prepare_draw(table, pool, &table->draws[i]);
		if (pool->pick != SERVICE_MAGLEV)
			continue;
		build_maglev(table, pool, table->maglevs + (size_t)maglevs * MAGLEV_SLOTS);
		table->draws[i].turn = maglevs++;
	}
}

static void copy(void *to, const void *from, size_t count, size_t size)
{
	/* An empty array may be NULL, which memcpy() must not be given. */
	if (count > 0)
		memcpy(to, from, count * size);
}

/**
 * service_load() - Fill a table from an image
 * @table:	The table, which nobody reads meanwhile
 * @image:	What it shall hold; not needed any more afterwards
 * @key:	Secret for the hashes
 *
 * Return: SERVICE_OK, or what is wrong with the image; then the table must not be used
 */
enum service_error service_load(struct service_table *table, const struct service_image *image,
				const struct hash_key *key)
{
	const struct service_limits *counts = &image->counts;
	enum service_error error = check_counts(counts, &table->limits);

	if (error == SERVICE_OK)
		error = check_image(image);
	if (error != SERVICE_OK)
		return error;

	table->counts = *counts;
	table->key = *key;
	copy(table->frontends, image->frontends, counts->frontends, sizeof(*image->frontends));
	copy(table->pools, image->pools, counts->pools, sizeof(*image->pools));
	copy(table->backends, image->backends, counts->backends, sizeof(*image->backends));
	copy(table->endpoints, image->endpoints, counts->endpoints, sizeof(*image->endpoints));
	copy(table->ranges, image->ranges, counts->ranges, sizeof(*image->ranges));
	copy(table->addresses, image->addresses, counts->addresses, sizeof(*image->addresses));
	copy(table->pod_interfaces, image->pod_interfaces, SERVICE_INTERFACES, sizeof(*image->pod_interfaces));
	copy(table->families, image->families, 2, sizeof(*image->families));

	memset(table->member_held, 0, table->limits.members);
	for (uint32_t i = 0; i < counts->backends; i++)
		table->member_held[table->backends[i].member] = 1;
	prepare_pools(table);
	return build_indexes(table);
}

/**
 * service_find() - The frontend with exactly this key
 * @table:	The table
 * @address:	The frontend's address; unspecified for a NodePort
 * @family:	Of that address
 * @protocol:	TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 * @port:	In network byte order
 *
 * Return: the frontend, or NULL
 */
const struct service_frontend *service_find(const struct service_table *table, const struct address *address,
					    uint8_t family, uint8_t protocol, uint16_t port)
{
	struct index_cursor cursor;
	uint32_t hash = hash_frontend(&table->key, address, family, protocol, port);

	for (uint32_t found = index_first(&table->frontend_index, hash, &cursor); found != INDEX_NONE;
	     found = index_next(&table->frontend_index, &cursor)) {
		const struct service_frontend *candidate = &table->frontends[found - 1];

		if (candidate->port == port && candidate->protocol == protocol && candidate->family == family &&
		    address_equal(&candidate->address, address))
			return candidate;
	}
	return NULL;
}

/**
 * service_find_for() - The frontend that serves the destination of a packet
 * @table:	The table
 * @tuple:	The packet's
 * @roles:	service_roles() of its destination
 *
 * Return: a frontend of that very address; else a NodePort, if the address answers them; else NULL
 */
const struct service_frontend *service_find_for(const struct service_table *table, const struct tuple *tuple,
						uint8_t roles)
{
	static const struct address any = {{0}};
	const struct service_frontend *own;

	/* Nobody's address: in the table it only stands for NodePorts. */
	if (address_equal(&tuple->destination, &any))
		return NULL;
	own = service_find(table, &tuple->destination, tuple->family, tuple->protocol, tuple->destination_port);
	if (own || !(roles & SERVICE_ANSWERS_NODE_PORTS))
		return own;
	return service_find(table, &any, tuple->family, tuple->protocol, tuple->destination_port);
}

/**
 * service_roles() - What an address is to us
 * @table:	The table
 * @address:	The address
 * @family:	Of that address
 *
 * Return: bits SERVICE_CLUSTER_IP, SERVICE_ANSWERS_NODE_PORTS, SERVICE_HOST
 */
uint8_t service_roles(const struct service_table *table, const struct address *address, uint8_t family)
{
	const struct service_address *found = find_address(table, address, family);

	return found ? found->roles : 0;
}

static const struct service_family *family_of(const struct service_table *table, uint8_t family)
{
	return &table->families[family == TUPLE_IPV6];
}

static bool is_in_ranges(const struct service_table *table, uint32_t first, uint32_t count,
			 const struct address *address)
{
	const struct service_range *ranges = table->ranges + first;
	uint32_t from = 0, to = count;

	/* The answer is in [from, to), if anywhere. */
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (memcmp(address, &ranges[middle].low, sizeof(*address)) < 0)
			to = middle;
		else if (memcmp(address, &ranges[middle].high, sizeof(*address)) > 0)
			from = middle + 1;
		else
			return true;
	}
	return false;
}

/**
 * service_classify() - Who opens a connection
 * @table:	The table
 * @tuple:	The tuple of the first packet
 * @interface:	Where it came in; 0 if this host itself sends it
 *
 * Return: the first that is true, in the order of the enum: a pod's address may be the host's too
 */
enum service_client service_classify(const struct service_table *table, const struct tuple *tuple,
				     uint16_t interface)
{
	const struct service_family *family = family_of(table, tuple->family);

	if (is_in_ranges(table, family->pods_first, family->pods_count, &tuple->source))
		return SERVICE_POD;
	if (interface < SERVICE_INTERFACES && table->pod_interfaces[interface])
		return SERVICE_POD;
	if (service_roles(table, &tuple->source, tuple->family) & SERVICE_HOST)
		return SERVICE_NODE;
	return SERVICE_OUTSIDE;
}

/**
 * service_allows() - Whether a source may connect to a frontend
 * @table:	The table
 * @frontend:	One of its frontends
 * @source:	Who asks; of the frontend's family
 *
 * Return: true if the frontend is open to everybody or has a range with @source
 */
bool service_allows(const struct service_table *table, const struct service_frontend *frontend,
		    const struct address *source)
{
	return frontend->sources_first == SERVICE_ANYBODY ||
	       is_in_ranges(table, frontend->sources_first, frontend->sources_count, source);
}

/**
 * service_serves() - Whether flows from a frontend to an endpoint may go on
 * @table:	The table
 * @frontend:	One of its frontends
 * @address:	The endpoint's address
 * @port:	The endpoint's port, in network byte order
 *
 * Return: true if the endpoint still serves, or flows from there end by themselves
 */
bool service_serves(const struct service_table *table, const struct service_frontend *frontend,
		    const struct address *address, uint16_t port)
{
	const struct service_endpoint *endpoints = table->endpoints + frontend->serving_first;
	const struct service_endpoint wanted = {.address = *address, .port = port};
	uint32_t from = 0, to = frontend->serving_count;

	if (!frontend->ends_flows)
		return true;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		int order = memcmp(&wanted, &endpoints[middle], sizeof(wanted));

		if (order == 0)
			return true;
		if (order < 0)
			to = middle;
		else
			from = middle + 1;
	}
	return false;
}

/**
 * service_is_given_out() - Whether an address is in the networks that cluster IPs are given from
 * @table:	The table
 * @address:	The address
 * @family:	Of that address
 *
 * Return: true if it is
 */
bool service_is_given_out(const struct service_table *table, const struct address *address, uint8_t family)
{
	const struct service_family *of_family = family_of(table, family);

	return is_in_ranges(table, of_family->cidrs_first, of_family->cidrs_count, address);
}
