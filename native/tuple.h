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
 * address_is_of() - Whether something is an address of a family
 * @address:	The address
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 *
 * Return: false for an IPv4 address with something after it: it would equal none, and its checksums would be wrong
 */
static inline bool address_is_of(const struct address *address, uint8_t family)
{
	static const uint8_t nothing[12] = {0};

	return family != TUPLE_IPV4 || memcmp(address->bytes + 4, nothing, sizeof(nothing)) == 0;
}

/* Two words side by side: the compiler has vectors for that. */
typedef uint64_t tuple_pair __attribute__((vector_size(2 * sizeof(uint64_t))));

static inline tuple_pair address_words(const struct address *address)
{
	tuple_pair words;

	memcpy(&words, address, sizeof(words));
	return words;
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
	const tuple_pair difference = address_words(first) ^ address_words(second);

	return (difference[0] | difference[1]) == 0;
}

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

/* One of the words of a tuple, to compare. */
static inline uint64_t tuple_word(const struct tuple *tuple, unsigned int number)
{
	uint64_t word;

	memcpy(&word, (const uint8_t *)tuple + number * sizeof(word), sizeof(word));
	return word;
}

/**
 * tuple_equal() - Whether two tuples are the same
 * @first:	One
 * @second:	The other
 *
 * Without a branch for each word: which one differs does not matter.
 *
 * Return: true if they are
 */
static inline bool tuple_equal(const struct tuple *first, const struct tuple *second)
{
	const tuple_pair difference = (address_words(&first->source) ^ address_words(&second->source)) |
				      (address_words(&first->destination) ^ address_words(&second->destination));

	return (difference[0] | difference[1] | (tuple_word(first, 4) ^ tuple_word(second, 4))) == 0;
}

static inline uint32_t address_ipv4(const struct address *address)
{
	uint32_t word;

	memcpy(&word, address->bytes, sizeof(word));
	return word;
}

/* Words of the bytes of a tuple that can differ: of IPv4 thirteen bytes, of IPv6 thirty-seven. */
#define TUPLE_HASHED_IPV4 2
#define TUPLE_HASHED_IPV6 5

/* Those in the last word. */
#define TUPLE_REST 5

/* Both ports, as they lie in a packet and in a tuple. */
static inline uint32_t tuple_ports(const struct tuple *tuple)
{
	uint32_t ports;

	memcpy(&ports, (const uint8_t *)tuple + offsetof(struct tuple, source_port), sizeof(ports));
	return ports;
}

static inline void tuple_set_ports(struct tuple *tuple, const uint8_t *transport)
{
	memcpy((uint8_t *)tuple + offsetof(struct tuple, source_port), transport, 2 * sizeof(uint16_t));
}

/*
 * Put together from members: of a tuple that was just made the ports are still on their way to memory, in two pieces, and the
 * processor has to wait when it reads them in one.
 */
static inline uint64_t tuple_rest(const struct tuple *tuple)
{
	return (uint64_t)tuple->source_port | (uint64_t)tuple->destination_port << 16 | (uint64_t)tuple->protocol << 32;
}

static inline uint64_t tuple_addresses_ipv4(const struct tuple *tuple)
{
	return (uint64_t)address_ipv4(&tuple->source) << 32 | address_ipv4(&tuple->destination);
}

/**
 * tuple_hash() - Hash a tuple
 * @key:	The secret
 * @tuple:	What to hash
 *
 * Return: 32 bits of its hash
 */
static inline uint32_t tuple_hash(const struct hash_key *key, const struct tuple *tuple)
{
	if (tuple->family == TUPLE_IPV4) {
		uint64_t addresses = tuple_addresses_ipv4(tuple);

		return (uint32_t)hash_with_rest(key, &addresses, 1, tuple_rest(tuple), TUPLE_REST);
	}
	uint64_t words[4] = {tuple_word(tuple, 0), tuple_word(tuple, 1), tuple_word(tuple, 2), tuple_word(tuple, 3)};

	return (uint32_t)hash_with_rest(key, words, 4, tuple_rest(tuple), TUPLE_REST);
}

/**
 * tuple_put() - Make a tuple one of a batch that is hashed together
 * @batch:	The batch, of tuples of one family: TUPLE_HASHED_IPV4 or TUPLE_HASHED_IPV6 words each
 * @at:		Its place
 * @tuple:	The tuple; its hash will be that of tuple_hash()
 */
static inline void tuple_put(struct hash_batch *batch, size_t at, const struct tuple *tuple)
{
	if (tuple->family == TUPLE_IPV4) {
		batch->words[0][at] = tuple_addresses_ipv4(tuple);
		batch->words[1][at] = hash_last(1, tuple_rest(tuple), TUPLE_REST);
		return;
	}
#pragma GCC unroll 4
	for (unsigned int i = 0; i < 4; i++)
		batch->words[i][at] = tuple_word(tuple, i);
	batch->words[4][at] = hash_last(4, tuple_rest(tuple), TUPLE_REST);
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

#endif
