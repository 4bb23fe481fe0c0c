/* SPDX-License-Identifier: Apache-2.0 */
/* forwarding_test.c - the longest prefix, against looking at all routes */
#include "forwarding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES 200
#define TABLES 200
#define LOOKUPS 500

static int failures;

static uint32_t next_random(uint32_t limit)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % limit;
}

/* Few different bytes, so that prefixes contain one another. */
static struct address random_address(uint8_t family)
{
	static const uint8_t bytes[] = {0, 1, 0x80, 0xff};
	struct address address = {{0}};
	size_t length = family == TUPLE_IPV4 ? 4 : 16;

	for (size_t i = 0; i < length; i++)
		address.bytes[i] = bytes[next_random(i < length - 2 ? 2 : 4)];
	return address;
}

static bool contains(const struct forwarding_route *route, uint8_t family, const struct address *address)
{
	if (route->family != family)
		return false;
	for (unsigned int bit = 0; bit < route->length; bit++) {
		unsigned int mask = 0x80U >> bit % 8;

		if ((route->address.bytes[bit / 8] ^ address->bytes[bit / 8]) & mask)
			return false;
	}
	return true;
}

/* The first of the longest routes that contain the address. */
static const struct forwarding_route *look_at_all(const struct forwarding_route *routes, uint32_t count, uint8_t family,
						  const struct address *address)
{
	const struct forwarding_route *best = NULL;

	for (uint32_t i = 0; i < count; i++) {
		if (contains(&routes[i], family, address) && (!best || routes[i].length > best->length))
			best = &routes[i];
	}
	return best;
}

static void try_table(struct forwarding_table *table)
{
	static struct forwarding_route routes[ROUTES];
	uint32_t count = next_random(ROUTES);

	for (uint32_t i = 0; i < count; i++) {
		uint8_t family = next_random(2) ? TUPLE_IPV4 : TUPLE_IPV6;

		routes[i] = (struct forwarding_route){
			.address = random_address(family),
			.exit = (uint16_t)i,
			.family = family,
			.length = (uint8_t)next_random(family == TUPLE_IPV4 ? 33 : 129),
		};
	}
	if (!forwarding_load(table, routes, count))
		failures++;
	for (unsigned int i = 0; i < LOOKUPS; i++) {
		uint8_t family = next_random(2) ? TUPLE_IPV4 : TUPLE_IPV6;
		struct address address = random_address(family);
		const struct forwarding_route *found = forwarding_find(table, family, &address);
		const struct forwarding_route *wanted = look_at_all(routes, count, family, &address);

		if (!found != !wanted || (found && found->exit != wanted->exit))
			failures++;
	}
}

int main(void)
{
	struct arena arena = {0};
	struct forwarding_table table = {0};
	static struct forwarding_route many[ROUTES + 1];
	const struct address anywhere = {{0}};

	forwarding_carve(&table, &arena, ROUTES);
	if (arena_create(&arena, arena.used) != 0)
		return EXIT_FAILURE;
	forwarding_carve(&table, &arena, ROUTES);
	for (unsigned int i = 0; i < TABLES; i++)
		try_table(&table);

	/* Too many, or one that is none: then there are none. */
	many[0].family = TUPLE_IPV4;
	if (forwarding_load(&table, many, ROUTES + 1) || forwarding_find(&table, TUPLE_IPV4, &anywhere))
		failures++;
	many[0].length = 33;
	if (forwarding_load(&table, many, 1) || forwarding_find(&table, TUPLE_IPV4, &anywhere))
		failures++;
	arena_destroy(&arena);
	if (failures)
		(void)fprintf(stderr, "%d lookups went wrong\n", failures);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
