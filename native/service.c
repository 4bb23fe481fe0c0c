/* SPDX-License-Identifier: Apache-2.0 */
/* service.c - the forwarding table: frontends, pools, backends, and whose addresses are whose */
#include "service.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * Here tables are read; update.c changes them, and never one that packets are looked up in: an engine has two.
 *
 * Finding a frontend costs one bucket and one frontend, a cache line each, whatever the number of Services. A NodePort
 * is filed under the unspecified address of its family and found by a second lookup, which is made only for addresses
 * that answer NodePorts. All that an address can be to us (a cluster IP, an address of this host, one that answers
 * NodePorts) is in one entry, so one lookup tells; and it is asked only where the answer matters.
 *
 * Networks come as ranges sorted and apart from each other: whether one holds an address is a binary search.
 */

/**
 * service_carve() - Take the memory of a table
 * @table:	The table
 * @arena:	Where from
 * @limits:	The most that it must be able to hold
 * @turns:	Those of the engine: twice as many as @limits has pools, and one
 */
void service_carve(struct service_table *table, struct arena *arena, const struct service_limits *limits,
		   struct service_turn *turns)
{
	*table = (struct service_table){.limits = *limits, .turns = turns};
	table->frontends = arena_take(arena, limits->frontends, sizeof(*table->frontends));
	table->pools = arena_take(arena, limits->pools, sizeof(*table->pools));
	table->backends = arena_take(arena, limits->backends, sizeof(*table->backends));
	table->endpoints = arena_take(arena, limits->endpoints, sizeof(*table->endpoints));
	table->ranges = arena_take(arena, limits->ranges, sizeof(*table->ranges));
	table->addresses = arena_take(arena, limits->addresses, sizeof(*table->addresses));
	table->pod_interfaces = arena_take(arena, SERVICE_INTERFACES, sizeof(*table->pod_interfaces));
	table->pool_users = arena_take(arena, limits->pools, sizeof(*table->pool_users));
	table->member_pools = arena_take(arena, (size_t)limits->members + 1, sizeof(*table->member_pools));
	table->shares = arena_take(arena, limits->backends, sizeof(*table->shares));
	table->placed = arena_take(arena, limits->pools, sizeof(*table->placed));
	table->maglevs = arena_take(arena, (size_t)limits->maglevs * MAGLEV_SLOTS, sizeof(*table->maglevs));
	table->maglev_backends = arena_take(arena, MAGLEV_BACKENDS, sizeof(*table->maglev_backends));
	index_carve(&table->frontend_index, arena, limits->frontends);
	index_carve(&table->address_index, arena, limits->addresses);
	runs_begin(&table->frontend_runs, table->frontends, sizeof(*table->frontends), limits->frontends);
	runs_begin(&table->pool_runs, table->pools, sizeof(*table->pools), limits->pools);
	runs_begin(&table->backend_runs, table->backends, sizeof(*table->backends), limits->backends);
	runs_begin(&table->endpoint_runs, table->endpoints, sizeof(*table->endpoints), limits->endpoints);
	runs_begin(&table->range_runs, table->ranges, sizeof(*table->ranges), limits->ranges);
	runs_begin(&table->address_runs, table->addresses, sizeof(*table->addresses), limits->addresses);
	runs_begin(&table->maglev_runs, table->maglevs, MAGLEV_SLOTS * sizeof(*table->maglevs), limits->maglevs);
}

/* The hash of an address, followed by at most three bytes. */
static uint32_t hash_address(const struct hash_key *key, const struct address *address, uint8_t family, uint32_t rest,
			     size_t bytes)
{
	uint64_t words[2];

	if (family == TUPLE_IPV4)
		return (uint32_t)hash_with_rest(key, NULL, 0, (uint64_t)rest << 32 | address_ipv4(address), 4 + bytes);
	memcpy(words, address, sizeof(words));
	return (uint32_t)hash_with_rest(key, words, 2, rest, bytes);
}

static uint32_t hash_frontend(const struct hash_key *key, const struct address *address, uint8_t family,
			      uint8_t protocol, uint16_t port)
{
	return hash_address(key, address, family, (uint32_t)protocol << 16 | port, sizeof(port) + sizeof(protocol));
}

/**
 * service_hash() - Where a frontend is filed
 * @key:	Secret of the hashes
 * @frontend:	The frontend
 *
 * Return: the hash of its address, family, protocol and port
 */
uint32_t service_hash(const struct hash_key *key, const struct service_frontend *frontend)
{
	return hash_frontend(key, &frontend->address, frontend->family, frontend->protocol, frontend->port);
}

/**
 * service_hash_address() - Where an address is filed
 * @key:	Secret of the hashes
 * @address:	The address
 * @family:	Of that address
 *
 * Return: the hash of both
 */
uint32_t service_hash_address(const struct hash_key *key, const struct address *address, uint8_t family)
{
	return hash_address(key, address, family, 0, 0);
}

/**
 * service_find_address() - Where an address is that is something to us
 * @table:	The table
 * @address:	The address
 * @family:	Of that address
 *
 * Return: its position in @table->addresses, or SERVICE_NOWHERE
 */
uint32_t service_find_address(const struct service_table *table, const struct address *address, uint8_t family)
{
	struct index_cursor cursor;
	uint32_t hash = service_hash_address(&table->key, address, family);

	for (uint32_t found = index_first(&table->address_index, hash, &cursor); found != INDEX_NONE;
	     found = index_next(&table->address_index, &cursor)) {
		const struct service_address *candidate = &table->addresses[found - 1];

		if (candidate->family == family && address_equal(&candidate->address, address))
			return found - 1;
	}
	return SERVICE_NOWHERE;
}

static const struct service_frontend *find(const struct service_table *table, uint32_t hash,
					   const struct address *address, uint8_t family, uint8_t protocol,
					   uint16_t port)
{
	struct index_cursor cursor;

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
	return find(table, hash_frontend(&table->key, address, family, protocol, port), address, family, protocol, port);
}

/**
 * service_hash_for() - Where the frontend of exactly the destination of a packet is filed
 * @table:	The table
 * @tuple:	The packet's
 *
 * Return: what service_hash() gives for such a frontend
 */
uint32_t service_hash_for(const struct service_table *table, const struct tuple *tuple)
{
	return hash_frontend(&table->key, &tuple->destination, tuple->family, tuple->protocol,
			     tuple->destination_port);
}

/**
 * service_find_for() - The frontend that serves the destination of a packet
 * @table:	The table
 * @tuple:	The packet's
 * @hash:	service_hash_for() it
 * @roles:	Is set to service_roles() of its destination if there is no frontend of that very address
 *
 * Return: a frontend of that very address; else a NodePort, if the address answers them; else NULL
 */
const struct service_frontend *service_find_for(const struct service_table *table, const struct tuple *tuple,
						uint32_t hash, uint8_t *roles)
{
	static const struct address any = {{0}};
	const struct service_frontend *own = NULL;

	/* Nobody's address: in the table it only stands for NodePorts. */
	if (!address_equal(&tuple->destination, &any))
		own = find(table, hash, &tuple->destination, tuple->family, tuple->protocol, tuple->destination_port);
	if (own)
		return own;
	*roles = service_roles(table, &tuple->destination, tuple->family);
	if (!(*roles & SERVICE_ANSWERS_NODE_PORTS) || address_equal(&tuple->destination, &any))
		return NULL;
	return service_find(table, &any, tuple->family, tuple->protocol, tuple->destination_port);
}

/**
 * service_find_original() - The frontend that a flow came in by
 * @table:	The table, perhaps a later one
 * @original:	The flow's tuple from the client
 * @is_node_port:	Whether it came in by a NodePort, which has no address of its own
 *
 * Return: the frontend, or NULL if it is gone
 */
const struct service_frontend *service_find_original(const struct service_table *table, const struct tuple *original,
						     bool is_node_port)
{
	static const struct address any = {{0}};

	return service_find(table, is_node_port ? &any : &original->destination, original->family, original->protocol,
			    original->destination_port);
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
	uint32_t position = service_find_address(table, address, family);

	return position == SERVICE_NOWHERE ? 0 : table->addresses[position].roles;
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
	const struct service_endpoint wanted = {.address = *address, .port = port};
	uint32_t from = 0, to = frontend->serving_count;

	if (!frontend->ends_flows)
		return true;
	const struct service_endpoint *endpoints = table->endpoints + frontend->serving_first;

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
