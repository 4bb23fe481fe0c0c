/* SPDX-License-Identifier: Apache-2.0 */
/* tuple.h - what a packet is known by: addresses, ports and protocol */
#ifndef SVCPLANE_TUPLE_H
#define SVCPLANE_TUPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "hash.h"

/* IP versions, as in the first four bits of a header. */
#define TUPLE_IPV4 4
#define TUPLE_IPV6 6

/* IP protocol numbers (IANA). */
#define TUPLE_ICMP   1
#define TUPLE_TCP    6
#define TUPLE_UDP    17
#define TUPLE_ICMPV6 58
#define TUPLE_SCTP   132

/**
 * struct address - An IPv4 or IPv6 address as it is on the wire
 * @bytes:	All sixteen, or an IPv4 address in the first four and zero after it
 *
 * It does not say which family it is of: whoever holds one knows.
 */
struct address {
	uint8_t bytes[16];
};

/**
 * struct tuple - One direction of a flow (what Linux calls a conntrack tuple)
 * @source:		Who sends
 * @destination:	Who is meant
 * @source_port:	In network byte order
 * @destination_port:	In network byte order
 * @protocol:		TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 * @family:		TUPLE_IPV4 or TUPLE_IPV6
 * @zero:		Always 0: tuples are compared and hashed as words
 */
struct tuple {
	struct address source;
	struct address destination;
	uint16_t source_port;
	uint16_t destination_port;
	uint8_t protocol;
	uint8_t family;
	uint16_t zero;
};

#define TUPLE_WORDS (sizeof(struct tuple) / sizeof(uint64_t))

_Static_assert(sizeof(struct tuple) == 40, "a tuple has no padding, or comparing it as words would be wrong");

/**
 * tuple_equal() - Whether two tuples are the same
 * @first:	One
 * @second:	The other
 *
 * Return: true if they are
 */
static inline bool tuple_equal(const struct tuple *first, const struct tuple *second)
{
	uint64_t a[TUPLE_WORDS], b[TUPLE_WORDS], difference = 0;

	memcpy(a, first, sizeof(a));
	memcpy(b, second, sizeof(b));
	for (unsigned int i = 0; i < TUPLE_WORDS; i++)
		difference |= a[i] ^ b[i];
	return difference == 0;
}

/**
 * tuple_hash() - Hash a tuple
 * @key:	The secret
 * @tuple:	What to hash
 *
 * An IPv4 tuple is two words, not five: half of the time.
 *
 * Return: 32 bits of its hash
 */
static inline uint32_t tuple_hash(const struct hash_key *key, const struct tuple *tuple)
{
	uint64_t words[TUPLE_WORDS];

	if (tuple->family == TUPLE_IPV4) {
		memcpy(words, tuple->source.bytes, 4);
		memcpy((uint8_t *)words + 4, tuple->destination.bytes, 4);
		/* Ports, protocol, family and zero. */
		memcpy(words + 1, (const uint8_t *)tuple + offsetof(struct tuple, source_port), sizeof(words[1]));
		return (uint32_t)hash_words(key, words, 2);
	}
	memcpy(words, tuple, sizeof(*tuple));
	return (uint32_t)hash_words(key, words, TUPLE_WORDS);
}

/**
 * tuple_reversed() - The tuple of an answer
 * @tuple:	The tuple of what is answered
 *
 * Return: the same with source and destination exchanged
 */
static inline struct tuple tuple_reversed(const struct tuple *tuple)
{
	return (struct tuple){
		.source = tuple->destination,
		.destination = tuple->source,
		.source_port = tuple->destination_port,
		.destination_port = tuple->source_port,
		.protocol = tuple->protocol,
		.family = tuple->family,
	};
}

/**
 * address_equal() - Whether two addresses of one family are the same
 * @first:	One
 * @second:	The other
 *
 * Return: true if they are
 */
static inline bool address_equal(const struct address *first, const struct address *second)
{
	return memcmp(first, second, sizeof(*first)) == 0;
}

#endif
