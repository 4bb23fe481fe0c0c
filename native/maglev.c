/* SPDX-License-Identifier: Apache-2.0 */
/* maglev.c - the same backend for the same client on every node, and for most clients when backends change */
#include "maglev.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer" (NSDI 2016), section 3.4. Connections
 * are hashed to slots, and each slot belongs to a backend. Every backend has an order of its own in which it would
 * like to have the slots, which follows from its name alone. The backends take turns, and each takes the first slot on
 * its list that is free, until all are taken.
 *
 * Since they take turns, their shares differ by one slot at the most. Since the lists do not change, a backend that
 * goes leaves its slots to the others, and few others change hands. Whoever builds a table of the same backends gets
 * the same table, so that several nodes agree without talking to each other.
 *
 * With weights, whoever has the greatest takes a slot each time it is its turn, and the others as often as they have
 * saved as much: so no backend is ahead or behind of its share by more slots than there are backends.
 *
 * A list need not be written down: it begins at a slot and goes on in equal steps, round and round. As the number of
 * slots is a prime, that comes by every slot once, whatever the step.
 */

#define FREE UINT16_MAX

/**
 * maglev_build() - Fill a table
 * @slots:	MAGLEV_SLOTS of them: each is set to a position in @backends
 * @backends:	Their names, all different, and their weights; in any order, but the table depends on it where two ask
 *		for one slot
 * @count:	1 to MAGLEV_BACKENDS
 */
void maglev_build(uint16_t *slots, struct maglev_backend *backends, uint32_t count)
{
	uint32_t greatest = 1;

	memset(slots, 0xff, MAGLEV_SLOTS * sizeof(*slots)); /* FREE */
	for (uint32_t i = 0; i < count; i++) {
		backends[i].at = (uint32_t)(backends[i].name >> 32) % MAGLEV_SLOTS;
		backends[i].step = (uint32_t)backends[i].name % (MAGLEV_SLOTS - 1) + 1;
		backends[i].credit = 0;
		if (backends[i].weight > greatest)
			greatest = backends[i].weight;
	}
	for (uint32_t taken = 0, turn = 0; taken < MAGLEV_SLOTS; turn = turn + 1 < count ? turn + 1 : 0) {
		struct maglev_backend *backend = &backends[turn];

		backend->credit += backend->weight;
		if (backend->credit < greatest)
			continue;
		backend->credit -= greatest;
		while (slots[backend->at] != FREE) {
			backend->at += backend->step;
			if (backend->at >= MAGLEV_SLOTS)
				backend->at -= MAGLEV_SLOTS;
		}
		slots[backend->at] = (uint16_t)turn;
		taken++;
	}
}
