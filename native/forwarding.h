/* SPDX-License-Identifier: Apache-2.0 */
/* forwarding.h - where a packet leaves: the routes and neighbours of the kernel, put together */
#ifndef SVCPLANE_FORWARDING_H
#define SVCPLANE_FORWARDING_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "index.h"
#include "tuple.h"

/* The exit of what only the kernel can send: to this host itself, to a neighbour that nobody knows yet, and so on. */
#define FORWARDING_KERNEL UINT16_MAX

/* Lengths that prefixes of a family can have. */
#define FORWARDING_LENGTHS 129

/**
 * struct forwarding_route - A network, and the way to it
 * @address:	The network; bits after @length are 0
 * @mac:	Hardware address of the next hop
 * @exit:	Where it leaves: a number of the port's, or FORWARDING_KERNEL
 * @mtu:	Bytes of the longest IP packet that it takes
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 * @length:	Bits of @address that count
 */
struct forwarding_route {
	struct address address;
	uint8_t mac[6];
	uint16_t exit;
	uint16_t mtu;
	uint8_t family;
	uint8_t length;
};

/**
 * struct forwarding_table - Routes that can be looked up by longest prefix
 * @routes:	The routes
 * @index:	From network, length and family to @routes; a reference is a position plus one
 * @limit:	How many there is room for
 * @count:	How many there are
 * @lengths:	By family: the lengths that occur, the longest first
 * @lengths_count: By family: how many
 */
struct forwarding_table {
	struct forwarding_route *routes;
	struct index index;
	uint32_t limit;
	uint32_t count;
	uint8_t lengths[2][FORWARDING_LENGTHS];
	uint8_t lengths_count[2];
};

void forwarding_carve(struct forwarding_table *table, struct arena *arena, uint32_t limit);
bool forwarding_load(struct forwarding_table *table, const struct forwarding_route *routes, uint32_t count);
const struct forwarding_route *forwarding_find(const struct forwarding_table *table, uint8_t family,
					       const struct address *address);

#endif
