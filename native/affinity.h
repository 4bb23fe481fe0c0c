/* SPDX-License-Identifier: Apache-2.0 */
/* affinity.h - which backend a client had last (sessionAffinity: ClientIP) */
#ifndef SVCPLANE_AFFINITY_H
#define SVCPLANE_AFFINITY_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "hash.h"
#include "index.h"
#include "tuple.h"

/* Entries that are looked at for one that has expired when there is no room. */
#define AFFINITY_SCAN 64

/**
 * struct affinity_entry - One client of one service port
 * @client:	Its address, before any translation
 * @expires:	When it is forgotten, in milliseconds
 * @affinity:	Whose memory this is: service_pool.affinity, which also tells the family; 0 if not in use
 * @member:	The backend: service_backend.member
 * @position:	Where in its pool that backend was; a hint
 * @hash:	The hash of @affinity and @client
 * @next_free:	While it is not in use: the number of the next that is not
 * @zero:	Always 0
 */
struct affinity_entry {
	struct address client;
	uint64_t expires;
	uint32_t affinity;
	uint32_t member;
	uint32_t position;
	uint32_t hash;
	uint32_t next_free;
	uint32_t zero;
};

/**
 * struct affinity_counters - What became of entries
 * @created:	Clients remembered
 * @expired:	Entries whose time was over when a search for room came by
 * @settled:	Forgotten because no pool holds the backend any more
 * @refused:	Clients not remembered because there was no room; they are served all the same
 */
struct affinity_counters {
	uint64_t created;
	uint64_t expired;
	uint64_t settled;
	uint64_t refused;
};

/**
 * struct affinity_table - All clients that are remembered
 * @entries:	Entry 0 is never used
 * @index:	From affinity and client to entries
 * @key:	Secret of the hashes
 * @capacity:	Entries that there is room for
 * @used:	Entries there are, those that have expired among them
 * @fresh:	The number of the first entry that was never used
 * @free:	The number of the first entry that was given back; 0 if there is none
 * @hand:	Where the search for room goes on
 * @counters:	What became of entries
 */
struct affinity_table {
	struct affinity_entry *entries;
	struct index index;
	struct hash_key key;
	uint32_t capacity;
	uint32_t used;
	uint32_t fresh;
	uint32_t free;
	uint32_t hand;
	struct affinity_counters counters;
};

void affinity_carve(struct affinity_table *table, struct arena *arena, uint32_t capacity);
struct affinity_entry *affinity_find(struct affinity_table *table, uint32_t affinity, const struct address *client);
struct affinity_entry *affinity_add(struct affinity_table *table, uint32_t affinity, const struct address *client,
				    uint64_t now);
void affinity_settle(struct affinity_table *table, uint32_t number, const uint32_t *pools);

#endif
