/* SPDX-License-Identifier: Apache-2.0 */
/* runs.h - which places of an array are taken, in runs of places side by side */
#ifndef SVCPLANE_RUNS_H
#define SVCPLANE_RUNS_H

#include <stddef.h>
#include <stdint.h>

/* Runs up to this long are given again to whoever wants exactly as many places. */
#define RUNS_EXACT 64

/* One list for each exact length, and one for each power of two above. */
#define RUNS_LISTS (RUNS_EXACT + 32)

/* There is no such run. */
#define RUNS_NONE UINT32_MAX

/**
 * struct runs - The places of one array
 * @places:	The array; the first bytes of a run that was given back hold where another of its list begins
 * @size:	Bytes of a place, at least 4
 * @limit:	How many places there are
 * @fresh:	Places from here on were never given out
 * @used:	Places that are taken
 * @lists:	Runs that were given back
 */
struct runs {
	uint8_t *places;
	size_t size;
	uint32_t limit;
	uint32_t fresh;
	uint32_t used;
	uint32_t lists[RUNS_LISTS];
};

void runs_begin(struct runs *runs, void *places, size_t size, uint32_t limit);
void runs_clear(struct runs *runs);
uint32_t runs_take(struct runs *runs, uint32_t count);
void runs_give_back(struct runs *runs, uint32_t first, uint32_t count);

#endif
