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
 * A list need not be written down: it begins at a slot and goes on in equal steps, round and round. As the number of
 * slots is a prime, that comes by every slot once, whatever the step.
 */

#define FREE UINT16_MAX

/**
 * maglev_build() - Fill a table
 * @slots:	MAGLEV_SLOTS of them: each is set to a position in @backends
 * @backends:	Their names, all different; in any order, but the table depends on it where two ask for one slot
 * @count:	1 to MAGLEV_BACKENDS
 */
void maglev_build(uint16_t *slots, struct maglev_backend *backends, uint32_t count)
{
	memset(slots, 0xff, MAGLEV_SLOTS * sizeof(*slots)); /* FREE */
	for (uint32_t i = 0; i < count; i++) {
		backends[i].at = (uint32_t)(backends[i].name >> 32) % MAGLEV_SLOTS;
		backends[i].step = (uint32_t)backends[i].name % (MAGLEV_SLOTS - 1) + 1;
	}
	for (uint32_t taken = 0, turn = 0; taken < MAGLEV_SLOTS; taken++) {
		struct maglev_backend *backend = &backends[turn];

		while (slots[backend->at] != FREE) {
			backend->at += backend->step;
			if (backend->at >= MAGLEV_SLOTS)
				backend->at -= MAGLEV_SLOTS;
		}
		slots[backend->at] = (uint16_t)turn;
		turn = turn + 1 < count ? turn + 1 : 0;
	}
}
