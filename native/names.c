/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - numbers for backends, which stay with what they were given to */
#include "names.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * The engine knows a backend by a small number: its traffic is counted there, clients with affinity are sent there. The
 * number must mean the same backend from one table to the next, and another one only when nobody can still mean the
 * old.
 *
 * Whoever holds a number has taken it, once for each pool of each table that it is in. A number that nobody holds any
 * more keeps its meaning in case the backend comes back, until every number is given out and one is needed; then a hand
 * goes round and takes the next that nobody holds. One that still counts connections is passed over: they go on to a
 * backend that is in no table.
 *
 * Only the side that builds tables calls this; packets use the numbers and never ask what they mean. It also is that
 * side which clears a tally for its next owner: nobody holds it, and no flow counts in it.
 */

/**
 * names_carve() - Take the memory for numbers
 * @names:	The numbers
 * @arena:	Where from
 * @limit:	How many
 */
void names_carve(struct names *names, struct arena *arena, uint32_t limit)
{
	*names = (struct names){.limit = limit + 1, .fresh = NAMES_NONE + 1, .hand = NAMES_NONE};
	names->names = arena_take(arena, (size_t)limit + 1, sizeof(*names->names));
	index_carve(&names->index, arena, limit);
}

static uint32_t hash_of(const struct names *names, const struct name *name)
{
	uint64_t words[3] = {0, 0, (uint64_t)name->owner << 32 | (uint64_t)name->port << 16 | name->family};

	memcpy(words, &name->address, sizeof(name->address));
	return (uint32_t)hash_words(&names->key, words, 3);
}

static uint32_t look(const struct names *names, uint32_t hash, const struct name *wanted)
{
	struct index_cursor cursor;

	for (uint32_t number = index_first(&names->index, hash, &cursor); number != INDEX_NONE;
	     number = index_next(&names->index, &cursor)) {
		const struct name *name = &names->names[number];

		if (name->owner == wanted->owner && name->port == wanted->port && name->family == wanted->family &&
		    address_equal(&name->address, &wanted->address))
			return number;
	}
	return NAMES_NONE;
}

/* Takes a number away from a backend that nobody holds. */
static uint32_t recycle(struct names *names)
{
	if (names->held + 1 >= names->limit)
		return NAMES_NONE;
	for (uint32_t i = 1; i < names->limit; i++) {
		names->hand = names->hand + 1 < names->limit ? names->hand + 1 : NAMES_NONE + 1;

		struct name *name = &names->names[names->hand];

		if (name->holders > 0 || (names->tallies && names->tallies[names->hand].active > 0))
			continue;
		(void)index_remove(&names->index, hash_of(names, name), names->hand);
		if (names->tallies)
			names->tallies[names->hand] = (struct flow_tally){0};
		return names->hand;
	}
	return NAMES_NONE;
}

/**
 * names_find() - The number of a backend
 * @names:	The numbers
 * @name:	The backend
 *
 * Return: its number, whether anybody holds it or not; or NAMES_NONE
 */
uint32_t names_find(const struct names *names, const struct name *name)
{
	return look(names, hash_of(names, name), name);
}

/**
 * names_prefetch() - Have what names_take() looks at first brought into the cache
 * @names:	The numbers
 * @name:	The backend
 */
void names_prefetch(const struct names *names, const struct name *name)
{
	index_prefetch(&names->index, hash_of(names, name));
}

/**
 * names_take() - Hold the number of a backend
 * @names:	The numbers
 * @name:	The backend; its owner is not 0
 *
 * Return: its number, a new one if it had none; or NAMES_NONE if all are in use
 */
uint32_t names_take(struct names *names, const struct name *name)
{
	uint32_t hash = hash_of(names, name);
	uint32_t number = look(names, hash, name);

	if (number == NAMES_NONE) {
		number = names->fresh < names->limit ? names->fresh++ : recycle(names);
		if (number == NAMES_NONE)
			return NAMES_NONE;
		names->names[number] = *name;
		names->names[number].holders = 0;
		index_insert(&names->index, hash, number);
	}
	names->held += names->names[number].holders++ == 0;
	return number;
}

/**
 * names_hold() - Hold a number once more
 * @names:	The numbers
 * @number:	What somebody holds
 */
void names_hold(struct names *names, uint32_t number)
{
	names->names[number].holders++;
}

/**
 * names_give_back() - Hold a number no longer
 * @names:	The numbers
 * @number:	What names_take() gave
 */
void names_give_back(struct names *names, uint32_t number)
{
	names->held -= --names->names[number].holders == 0;
}
