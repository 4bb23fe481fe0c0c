/* SPDX-License-Identifier: Apache-2.0 */
/* affinity.c - which backend a client had last (sessionAffinity: ClientIP) */
#include "affinity.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * An entry says: this client, at this service port, was last sent to this backend, and is sent there again until
 * then. The time begins anew with each new connection, never with a packet of one that exists. All addresses and
 * NodePorts of a service port share what is remembered.
 *
 * An entry whose time is over stays where it is until the client comes back and it is written over, or until the
 * room is needed. When all entries are taken, AFFINITY_SCAN of them are looked at for one whose time is over; if
 * there is none, the client is served but not remembered, as with kube-proxy's nftables sets.
 *
 * A backend that no pool of that memory holds any more is forgotten once the new table is in force (engine_settle()),
 * even if it comes back later: its number (service_backend.member) may then be another's. Until then its clients get
 * others as well, since it is found in no pool.
 */

/**
 * affinity_carve() - Take the memory of a table
 * @table:	The table
 * @arena:	Where from
 * @capacity:	Clients that it must be able to remember
 */
void affinity_carve(struct affinity_table *table, struct arena *arena, uint32_t capacity)
{
	*table = (struct affinity_table){.capacity = capacity, .fresh = 1, .hand = 1};
	table->entries = arena_take(arena, (size_t)capacity + 1, sizeof(*table->entries));
	index_carve(&table->index, arena, capacity);
}

static uint32_t affinity_hash(const struct affinity_table *table, uint32_t affinity, const struct address *client)
{
	uint64_t words[3] = {0, 0, affinity};

	memcpy(words, client, sizeof(*client));
	return (uint32_t)hash_words(&table->key, words, 3);
}

static struct affinity_entry *affinity_look(struct affinity_table *table, uint32_t affinity,
					    const struct address *client, uint32_t hash)
{
	struct index_cursor cursor;

	for (uint32_t number = index_first(&table->index, hash, &cursor); number != INDEX_NONE;
	     number = index_next(&table->index, &cursor)) {
		struct affinity_entry *entry = &table->entries[number];

		if (entry->affinity == affinity && address_equal(&entry->client, client))
			return entry;
	}
	return NULL;
}

/**
 * affinity_find() - What is remembered of a client
 * @table:	The table
 * @affinity:	Whose memory
 * @client:	The client's address
 *
 * Return: an entry, whose time may be over, or NULL
 */
struct affinity_entry *affinity_find(struct affinity_table *table, uint32_t affinity, const struct address *client)
{
	return affinity_look(table, affinity, client, affinity_hash(table, affinity, client));
}

static void affinity_remove(struct affinity_table *table, uint32_t number)
{
	struct affinity_entry *entry = &table->entries[number];

	(void)index_remove(&table->index, entry->hash, number);
	*entry = (struct affinity_entry){.next_free = table->free};
	table->free = number;
	table->used--;
}

static void affinity_make_room(struct affinity_table *table, uint64_t now)
{
	for (unsigned int i = 0; i < AFFINITY_SCAN && i < table->capacity; i++) {
		uint32_t number = table->hand;

		table->hand = number < table->capacity ? number + 1 : 1;
		if (table->entries[number].affinity && table->entries[number].expires <= now) {
			table->counters.expired++;
			affinity_remove(table, number);
			return;
		}
	}
}

/**
 * affinity_add() - Begin to remember a client
 * @table:	The table, which does not know this client
 * @affinity:	Whose memory
 * @client:	The client's address
 * @now:	Milliseconds
 *
 * Return: an entry to write the backend and the time into, or NULL if there is no room
 */
struct affinity_entry *affinity_add(struct affinity_table *table, uint32_t affinity, const struct address *client,
				    uint64_t now)
{
	uint32_t number, hash = affinity_hash(table, affinity, client);

	if (!table->free && table->fresh > table->capacity)
		affinity_make_room(table, now);
	if (table->free) {
		number = table->free;
		table->free = table->entries[number].next_free;
	} else if (table->fresh <= table->capacity) {
		number = table->fresh++;
	} else {
		table->counters.refused++;
		return NULL;
	}
	table->entries[number] = (struct affinity_entry){.client = *client, .affinity = affinity, .hash = hash};
	index_insert(&table->index, hash, number);
	table->used++;
	table->counters.created++;
	return &table->entries[number];
}

/**
 * affinity_settle() - Forget a client whose backend is gone
 * @table:	The table
 * @number:	The number of an entry, in use or not
 * @pools:	By member: how many pools hold it
 */
void affinity_settle(struct affinity_table *table, uint32_t number, const uint32_t *pools)
{
	const struct affinity_entry *entry = &table->entries[number];

	if (!entry->affinity || pools[entry->member])
		return;
	table->counters.settled++;
	affinity_remove(table, number);
}
