/* SPDX-License-Identifier: Apache-2.0 */
/* fragment.c - what was decided about the first piece of a packet, for the pieces that follow */
#include "fragment.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * A packet too large for a link is sent in pieces, and only the first has the ports. What is decided about it is
 * remembered under what the pieces have in common (addresses, identification and, in IPv4, the protocol), and done
 * to those that follow: their addresses are translated, and nothing else has to be. The checksum of the transport
 * header is in the first piece, and its delta is the same whether the packet is whole or not.
 *
 * Pieces are not put together here. One that overtakes the first piece finds nothing, and waits for it (held.c) if the
 * engine was made so. If not, it is dropped if it is for a cluster IP and otherwise goes on as it is, since traffic that
 * has nothing to do with Services comes in pieces too; its receiver cannot put the packet together then. SCTP whose ports
 * change cannot be translated in pieces, because its checksum covers them all.
 *
 * The memory of first pieces is a ring of FRAGMENT_PACKETS. A flood of first pieces makes others be forgotten early;
 * it cannot do more.
 */

/**
 * fragment_carve() - Take the memory of a table
 * @table:	The table
 * @arena:	Where from
 */
void fragment_carve(struct fragment_table *table, struct arena *arena)
{
	*table = (struct fragment_table){.next = 1};
	table->fragments = arena_take(arena, FRAGMENT_PACKETS + 1, sizeof(*table->fragments));
	index_carve(&table->index, arena, FRAGMENT_PACKETS);
}

/* What the pieces of a packet have in common. */
static struct fragment common_to(const struct fragment_table *table, const struct packet *packet)
{
	struct fragment common = {
		.source = packet->tuple.source,
		.destination = packet->tuple.destination,
		.identification = packet->identification,
		.family = packet->tuple.family,
		.protocol = packet->tuple.family == TUPLE_IPV4 ? packet->tuple.protocol : 0,
	};
	uint64_t words[5] = {[4] = common.identification};

	words[4] |= (uint64_t)common.family << 32 | (uint64_t)common.protocol << 40;
	memcpy(words, &common.source, sizeof(common.source));
	memcpy(words + 2, &common.destination, sizeof(common.destination));
	common.hash = (uint32_t)hash_words(&table->key, words, 5);
	return common;
}

/**
 * fragment_hash() - What the pieces of one packet have in common, as a number
 * @table:	The table
 * @packet:	Any of them
 *
 * Return: a hash, which pieces of other packets have only by chance
 */
uint32_t fragment_hash(const struct fragment_table *table, const struct packet *packet)
{
	return common_to(table, packet).hash;
}

static struct fragment *find(struct fragment_table *table, const struct fragment *common)
{
	struct index_cursor cursor;

	for (uint32_t number = index_first(&table->index, common->hash, &cursor); number != INDEX_NONE;
	     number = index_next(&table->index, &cursor)) {
		struct fragment *candidate = &table->fragments[number];

		if (candidate->identification == common->identification && candidate->family == common->family &&
		    candidate->protocol == common->protocol &&
		    address_equal(&candidate->source, &common->source) &&
		    address_equal(&candidate->destination, &common->destination))
			return candidate;
	}
	return NULL;
}

/**
 * fragment_find() - What was decided about the first piece
 * @table:	The table
 * @packet:	A later piece
 * @now:	Milliseconds
 *
 * Return: an entry, or NULL if no first piece came, or too long ago
 */
struct fragment *fragment_find(struct fragment_table *table, const struct packet *packet, uint64_t now)
{
	const struct fragment common = common_to(table, packet);
	struct fragment *found = find(table, &common);

	return found && found->deadline > now ? found : NULL;
}

/**
 * fragment_add() - Remember a first piece
 * @table:	The table
 * @packet:	The first piece, not translated yet
 * @now:	Milliseconds
 *
 * The oldest entry has to go. A first piece that comes again takes the place of itself.
 *
 * Return: an entry, in which the caller writes what was decided
 */
struct fragment *fragment_add(struct fragment_table *table, const struct packet *packet, uint64_t now)
{
	const struct fragment common = common_to(table, packet);
	struct fragment *entry = find(table, &common);

	if (!entry) {
		entry = &table->fragments[table->next];
		if (entry->family)
			(void)index_remove(&table->index, entry->hash, table->next);
		index_insert(&table->index, common.hash, table->next);
		table->next = table->next < FRAGMENT_PACKETS ? table->next + 1 : 1;
	}
	*entry = common;
	entry->deadline = now + FRAGMENT_MILLISECONDS;
	return entry;
}
