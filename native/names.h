/* SPDX-License-Identifier: Apache-2.0 */
/* names.h - numbers for backends, which stay with what they were given to */
#ifndef SVCPLANE_NAMES_H
#define SVCPLANE_NAMES_H

#include <stdint.h>

#include "arena.h"
#include "flow.h"
#include "hash.h"
#include "index.h"
#include "tuple.h"

/* No backend has this number. */
#define NAMES_NONE 0

/**
 * struct name - What a number stands for
 * @address:	Where the backend is
 * @owner:	Whose backend it is: a number that the caller gives to service ports; 0 if nobody has the number
 * @holders:	How many pools hold it
 * @port:	In network byte order
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 * @zero:	Always 0
 */
struct name {
	struct address address;
	uint32_t owner;
	uint32_t holders;
	uint16_t port;
	uint8_t family;
	uint8_t zero;
};

/**
 * struct names - All numbers of one kind
 * @names:	By number; number 0 is never given out
 * @index:	From owner, address and port to numbers
 * @key:	Secret of the hashes
 * @tallies:	By number: what is counted there, NULL if nothing is; the owner's to set
 * @limit:	One more than the greatest number
 * @fresh:	The least number that was never given out
 * @held:	Numbers that somebody holds
 * @hand:	Where the search for one that nobody holds goes on
 */
struct names {
	struct name *names;
	struct index index;
	struct hash_key key;
	struct flow_tally *tallies;
	uint32_t limit;
	uint32_t fresh;
	uint32_t held;
	uint32_t hand;
};

void names_carve(struct names *names, struct arena *arena, uint32_t limit);
void names_prefetch(const struct names *names, const struct name *name);
uint32_t names_take(struct names *names, const struct name *name);
void names_hold(struct names *names, uint32_t number);
void names_give_back(struct names *names, uint32_t number);
uint32_t names_find(const struct names *names, const struct name *name);

#endif
