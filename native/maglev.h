/* SPDX-License-Identifier: Apache-2.0 */
/* maglev.h - the same backend for the same client on every node, and for most clients when backends change */
#ifndef SVCPLANE_MAGLEV_H
#define SVCPLANE_MAGLEV_H

#include <stdint.h>

#include "hash.h"

/* Slots of a table: a prime, far more than there are backends (the paper's choice). */
#define MAGLEV_SLOTS 65537

/* Most backends of one pool: with more, their shares would differ by more than a tenth. */
#define MAGLEV_BACKENDS 6553

/**
 * struct maglev_backend - One backend while a table is built
 * @name:	Hash of what makes it itself: address and port
 * @at:		The slot that it asks for next
 * @step:	How far it goes on when that slot is taken
 * @weight:	How many slots it gets, relative to the others; at least 1
 * @credit:	How much of a slot it has coming
 */
struct maglev_backend {
	uint64_t name;
	uint32_t at;
	uint32_t step;
	uint32_t weight;
	uint32_t credit;
};

void maglev_build(uint16_t *slots, struct maglev_backend *backends, uint32_t count);

/**
 * maglev_slot() - The slot of a connection
 * @hash:	Hash of its addresses, ports and protocol
 *
 * Return: a number below MAGLEV_SLOTS
 */
static inline uint32_t maglev_slot(uint32_t hash)
{
	return (uint32_t)((uint64_t)hash * MAGLEV_SLOTS >> 32);
}

#endif
