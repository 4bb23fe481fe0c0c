/* SPDX-License-Identifier: Apache-2.0 */
/* forwarding.c - where a packet leaves: the routes and neighbours of the kernel, put together */
#include "forwarding.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * The kernel asks twice: which way (routes, by longest prefix), and which hardware address has the next hop
 * (neighbours). Whoever fills this table has asked both already, so that a packet asks once: a neighbour that is known
 * is a route of full length of its own, and a network whose hosts are neighbours is one to the kernel, which finds
 * them out. So the table needs no rule for what is missing: every address has a longest prefix, and if nothing better
 * is known, its way is FORWARDING_KERNEL.
 *
 * Prefixes of one length are found by a hash, lengths are tried from the longest to the shortest. Nodes have few
 * lengths: hosts, one for the pods of a node, and the default.
 */

/* Only the kernel's own routes are hashed, and nobody outside chooses these: any key will do. */
static const struct hash_key key = {UINT64_C(0x9ae16a3b2f90404f), UINT64_C(0xc3a5c85c97cb3127)};

static unsigned int family_index(uint8_t family)
{
	return family == TUPLE_IPV6;
}

static struct address masked(const struct address *address, unsigned int length)
{
	struct address result = {{0}};
	unsigned int bytes = length / 8;

	memcpy(result.bytes, address->bytes, bytes);
	if (length % 8)
		result.bytes[bytes] = (uint8_t)(address->bytes[bytes] & (0xff00 >> length % 8));
	return result;
}

static uint32_t hash_of(const struct address *address, uint8_t family, uint8_t length)
{
	uint64_t words[3];

	memcpy(words, address->bytes, sizeof(address->bytes));
	words[2] = (uint64_t)family << 8 | length;
	return (uint32_t)hash_words(&key, words, 3);
}

/**
 * forwarding_carve() - Give a table its memory
 * @table:	The table, empty afterwards
 * @arena:	Where from
 * @limit:	The most routes
 */
void forwarding_carve(struct forwarding_table *table, struct arena *arena, uint32_t limit)
{
	table->limit = limit;
	table->routes = arena_take(arena, limit, sizeof(*table->routes));
	index_carve(&table->index, arena, limit);
}

static const struct forwarding_route *find(const struct forwarding_table *table, const struct address *network,
					   uint8_t family, uint8_t length)
{
	struct index_cursor cursor;
	uint32_t reference = index_first(&table->index, hash_of(network, family, length), &cursor);

	for (; reference != INDEX_NONE; reference = index_next(&table->index, &cursor)) {
		const struct forwarding_route *route = &table->routes[reference - 1];

		if (route->family == family && route->length == length && address_equal(&route->address, network))
			return route;
	}
	return NULL;
}

/* Writes down a length that occurs, keeping the longest first. */
static void note_length(struct forwarding_table *table, uint8_t family, uint8_t length)
{
	uint8_t *lengths = table->lengths[family_index(family)];
	uint8_t *count = &table->lengths_count[family_index(family)];
	unsigned int at = 0;

	while (at < *count && lengths[at] > length)
		at++;
	if (at < *count && lengths[at] == length)
		return;
	memmove(lengths + at + 1, lengths + at, *count - at);
	lengths[at] = length;
	(*count)++;
}

/**
 * forwarding_load() - Fill a table
 * @table:	The table; what was in it is gone
 * @routes:	The routes; of two to the same network the first counts
 * @count:	How many
 *
 * Return: false if there are too many, or one is none; then the table is empty
 */
bool forwarding_load(struct forwarding_table *table, const struct forwarding_route *routes, uint32_t count)
{
	bool loaded = count <= table->limit;

	index_clear(&table->index);
	memset(table->lengths_count, 0, sizeof(table->lengths_count));
	table->count = 0;
	for (uint32_t i = 0; i < count && loaded; i++) {
		struct forwarding_route route = routes[i];

		loaded = (route.family == TUPLE_IPV4 && route.length <= 32) ||
			 (route.family == TUPLE_IPV6 && route.length <= 128);
		if (!loaded)
			break;
		route.address = masked(&route.address, route.length);
		if (find(table, &route.address, route.family, route.length))
			continue;
		table->routes[table->count++] = route;
		index_insert(&table->index, hash_of(&route.address, route.family, route.length), table->count);
		note_length(table, route.family, route.length);
	}
	if (!loaded)
		memset(table->lengths_count, 0, sizeof(table->lengths_count));
	return loaded;
}

/**
 * forwarding_find() - The way to an address
 * @table:	The table
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 * @address:	The address
 *
 * Return: the route, or NULL if there is none
 */
const struct forwarding_route *forwarding_find(const struct forwarding_table *table, uint8_t family,
					       const struct address *address)
{
	const uint8_t *lengths = table->lengths[family_index(family)];

	for (unsigned int i = 0; i < table->lengths_count[family_index(family)]; i++) {
		struct address network = masked(address, lengths[i]);
		const struct forwarding_route *route = find(table, &network, family, lengths[i]);

		if (route)
			return route;
	}
	return NULL;
}
