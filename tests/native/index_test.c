/* SPDX-License-Identifier: Apache-2.0 */
/* index_test.c - the index against a list, with few hashes, so that buckets overflow all the time */
#include "index.h"

#include <stdio.h>
#include <stdlib.h>

#define REFERENCES 64
#define STEPS	   200000

/* By reference: its hash, and whether it is in. */
static uint32_t hashes[REFERENCES + 1];
static bool in[REFERENCES + 1];
static int failures;

static void expect(bool truth, const char *what, int step)
{
	if (truth)
		return;
	failures++;
	(void)fprintf(stderr, "step %d: %s\n", step, what);
}

static uint32_t next_random(uint32_t limit)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % limit;
}

/* How often a lookup gives this reference. */
static unsigned int count_found(const struct index *index, uint32_t reference)
{
	struct index_cursor cursor;
	unsigned int found = 0;

	for (uint32_t at = index_first(index, hashes[reference], &cursor); at != INDEX_NONE;
	     at = index_next(index, &cursor))
		found += at == reference;
	return found;
}

static void change(struct index *index, int step, uint32_t different_hashes)
{
	uint32_t reference = 1 + next_random(REFERENCES);

	if (in[reference]) {
		expect(index_remove(index, hashes[reference], reference), "what is in can be removed", step);
		in[reference] = false;
	} else {
		expect(!index_remove(index, hashes[reference], reference), "what is not in cannot be removed", step);
		hashes[reference] = next_random(different_hashes) * 0x1001;
		index_insert(index, hashes[reference], reference);
		in[reference] = true;
	}
}

int main(void)
{
	struct arena measured = {0}, arena;
	struct index index;

	index_carve(&index, &measured, REFERENCES);
	if (arena_create(&arena, measured.used) != 0)
		return EXIT_FAILURE;
	index_carve(&index, &arena, REFERENCES);

	for (int step = 0; step < STEPS && !failures; step++) {
		/* At first all keys have one home; later they are spread. */
		change(&index, step, 1 + (uint32_t)step / 1000);
		for (uint32_t i = 1; i <= REFERENCES; i++)
			expect(count_found(&index, i) == (in[i] ? 1 : 0), "found once if in, else never", step);
	}
	index_clear(&index);
	for (uint32_t i = 1; i <= REFERENCES; i++)
		expect(count_found(&index, i) == 0, "nothing is found after clearing", STEPS);
	arena_destroy(&arena);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
