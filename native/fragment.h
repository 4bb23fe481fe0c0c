/* SPDX-License-Identifier: Apache-2.0 */
/* fragment.h - what was decided about the first piece of a packet, for the pieces that follow */
#ifndef SVCPLANE_FRAGMENT_H
#define SVCPLANE_FRAGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "hash.h"
#include "index.h"
#include "packet.h"
#include "tuple.h"

/* Packets whose pieces can be on their way at once. */
#define FRAGMENT_PACKETS 1024

/* How long pieces are waited for: as Linux does (net.ipv4.ipfrag_time, 30 s). */
#define FRAGMENT_MILLISECONDS 30000

/**
 * enum fragment_fate - What is done with the pieces that follow
 * @FRAGMENT_DROP:	They are dropped, as the first was dropped or rejected
 * @FRAGMENT_PASS:	They go on as they are
 * @FRAGMENT_TRANSLATE:	Their addresses become others
 */
enum fragment_fate {
	FRAGMENT_DROP,
	FRAGMENT_PASS,
	FRAGMENT_TRANSLATE,
};

/**
 * struct fragment - What was decided about one packet that came in pieces
 * @source:		As in its pieces
 * @destination:	As in its pieces
 * @identification:	As in its pieces
 * @family:		TUPLE_IPV4 or TUPLE_IPV6; 0 if the entry is not in use
 * @protocol:		Of an IPv4 packet; 0 for IPv6, where the identification is enough (RFC 8200, 4.5)
 * @fate:		enum fragment_fate
 * @direction:		Which way the pieces go
 * @hash:		The hash of all above but @fate and @direction
 * @flow:		The number of the flow that the first belonged to
 * @tally:		Where that flow is counted
 * @deadline:		When this is forgotten, in milliseconds
 * @new_source:		What becomes of the source
 * @new_destination:	What becomes of the destination
 */
struct fragment {
	struct address source;
	struct address destination;
	uint32_t identification;
	uint8_t family;
	uint8_t protocol;
	uint8_t fate;
	uint8_t direction;
	uint32_t hash;
	uint32_t flow;
	uint32_t tally;
	uint64_t deadline;
	struct address new_source;
	struct address new_destination;
};

/**
 * struct fragment_table - The packets of which pieces may still come
 * @fragments:	A ring: the next entry to be written is the oldest; entry 0 is never used
 * @index:	From what pieces have in common to entries
 * @key:	Secret of the hashes
 * @next:	The entry to be written next
 */
struct fragment_table {
	struct fragment *fragments;
	struct index index;
	struct hash_key key;
	uint32_t next;
};

uint32_t fragment_hash(const struct fragment_table *table, const struct packet *packet);
void fragment_carve(struct fragment_table *table, struct arena *arena);
struct fragment *fragment_find(struct fragment_table *table, const struct packet *packet, uint64_t now);
struct fragment *fragment_add(struct fragment_table *table, const struct packet *packet, uint64_t now);

#endif
