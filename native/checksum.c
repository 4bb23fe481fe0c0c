/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.c - the Internet checksum, whole (RFC 1071) and by its changes (RFC 1624) */
#include "checksum.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * The Internet checksum is the complement of the sum of all 16-bit words, where a carry out of the top bit
 * comes in again at the bottom. That sum is arithmetic modulo 65535, in which 0x0000 and 0xffff are two ways
 * to write the same number, and nearly every mistake made with checksums is about these two.
 *
 * Who translates an address need not read the packet again. With HC the old checksum, m a word before and m'
 * the same word after, RFC 1624 (equation 3) gives the new one:
 *
 *	HC' = ~(~HC + ~m + m')
 *
 * The part ~m + m' is the same for every packet of a flow. It is called a delta here: it is computed once,
 * when the flow is made, from the addresses and ports that change, and each packet costs one addition.
 *
 * Where the zeros bite:
 *
 * - The shorter equation of RFC 1141 can give 0xffff where the checksum of the packet is 0x0000. Equation 3
 *   cannot, as long as one word covered by the checksum is not zero afterwards; the version in an IP header
 *   and the protocol in a pseudo-header are such words.
 * - UDP over IPv4 writes 0x0000 for "no checksum" (RFC 768). Such a packet must stay without one.
 * - UDP whose checksum comes out as 0x0000 sends 0xffff instead, and over IPv6 always has one (RFC 8200, 8.1).
 */

/**
 * checksum_add() - Add bytes to a sum
 * @sum:	Sum of what came before, 0 to begin with
 * @data:	The bytes; need not be aligned
 * @length:	How many; an odd last byte counts as if a zero byte followed, so only the last piece may be odd
 *
 * Sums of 64 bits need no carry until 2^32 words have been added.
 *
 * Return: the sum, to go on with or to finish
 */
uint64_t checksum_add(uint64_t sum, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint32_t words;
	uint16_t word;

	/* Two words at a time: their carries meet in the upper half of the sum, and checksum_fold() folds them. */
	while (length >= sizeof(words)) {
		memcpy(&words, bytes, sizeof(words));
		sum += words;
		bytes += sizeof(words);
		length -= sizeof(words);
	}
	while (length > 0) {
		size_t piece = length < sizeof(word) ? length : sizeof(word);

		word = 0;
		memcpy(&word, bytes, piece);
		sum += word;
		bytes += piece;
		length -= piece;
	}
	return sum;
}

/**
 * checksum_finish() - Make the checksum of a sum (RFC 1071, section 1)
 * @sum:	Sum over all that is covered, with zero in the checksum's own place
 *
 * Return: the checksum; 0 when taken over a packet together with its right checksum
 */
uint16_t checksum_finish(uint64_t sum)
{
	return (uint16_t)~checksum_fold(sum);
}

/**
 * checksum_finish_udp() - Make the checksum of a UDP datagram (RFC 768)
 * @sum:	As for checksum_finish()
 *
 * Return: the checksum, which is never 0: in UDP that says that there is none
 */
uint16_t checksum_finish_udp(uint64_t sum)
{
	uint16_t checksum = checksum_finish(sum);

	return checksum ? checksum : 0xffff;
}

/**
 * checksum_change128() - What the change of an IPv6 address does to a sum
 * @before:	The address that the checksum covers now
 * @after:	The address that takes its place
 *
 * Return: a sum, as of checksum_change32()
 */
uint64_t checksum_change128(const uint8_t before[16], const uint8_t after[16])
{
	uint64_t sum = 0;

	for (size_t at = 0; at < 16; at += sizeof(uint32_t)) {
		uint32_t old_words, new_words;

		memcpy(&old_words, before + at, sizeof(old_words));
		memcpy(&new_words, after + at, sizeof(new_words));
		sum += checksum_change32(old_words, new_words);
	}
	return sum;
}
