/* SPDX-License-Identifier: Apache-2.0 */
/* runs.c - which places of an array are taken, in runs of places side by side */
#include "runs.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * The backends of a pool lie side by side; pools come and go, and have few different lengths. A run that is given back
 * is kept whole, on the list of its length, for the next that is as long. The list goes through the first bytes of the
 * runs themselves, so nothing is kept beside the array. Above RUNS_EXACT places a list holds all runs of at least a power
 * of two, and gives what is left over of one away for nothing.
 *
 * So an array that is changed for long can run out of places while there are some in runs of another length. Nothing is
 * mended then: whoever fills the array fills it again from the start, where runs_take() gives place after place.
 *
 * What is given depends on nothing but the calls: two arrays that saw the same calls have the same at the same places.
 */

/**
 * runs_begin() - Begin the book of an array, all of whose places are free
 * @runs:	The book
 * @places:	The array
 * @size:	Bytes of a place, at least 4
 * @limit:	How many places
 */
void runs_begin(struct runs *runs, void *places, size_t size, uint32_t limit)
{
	*runs = (struct runs){.places = places, .size = size, .limit = limit};
	runs_clear(runs);
}

/**
 * runs_clear() - All places are free
 * @runs:	The book
 */
void runs_clear(struct runs *runs)
{
	runs->fresh = runs->used = 0;
	for (unsigned int i = 0; i < RUNS_LISTS; i++)
		runs->lists[i] = RUNS_NONE;
}

/* The list of the runs that are at least this long. */
static uint32_t *list_of(struct runs *runs, uint32_t count, uint32_t round_up)
{
	if (count <= RUNS_EXACT)
		return &runs->lists[count - 1];
	uint32_t power = 31 - (uint32_t)__builtin_clz(count);

	if (round_up && count != UINT32_C(1) << power)
		power++;
	return &runs->lists[RUNS_EXACT + power - 1];
}

/**
 * runs_take() - Take places side by side
 * @runs:	The book
 * @count:	How many
 *
 * Return: the first of them (0 for no places), or RUNS_NONE if there are not as many
 */
uint32_t runs_take(struct runs *runs, uint32_t count)
{
	if (count == 0)
		return 0;
	if (count > runs->limit)
		return RUNS_NONE;
	uint32_t *list = list_of(runs, count, 1);
	uint32_t first = *list;

	if (first != RUNS_NONE) {
		memcpy(list, runs->places + first * runs->size, sizeof(*list));
	} else if (count <= runs->limit - runs->fresh) {
		first = runs->fresh;
		runs->fresh += count;
	} else {
		return RUNS_NONE;
	}
	runs->used += count;
	return first;
}

/**
 * runs_give_back() - Give places back
 * @runs:	The book
 * @first:	What runs_take() gave
 * @count:	For how many
 */
void runs_give_back(struct runs *runs, uint32_t first, uint32_t count)
{
	if (count == 0)
		return;
	uint32_t *list = list_of(runs, count, 0);

	memcpy(runs->places + first * runs->size, list, sizeof(*list));
	*list = first;
	runs->used -= count;
}
