/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.c - the checksum of SCTP (RFC 9260, appendix A) */
#include "crc32c.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * A cyclic redundancy check is a remainder: the data is read as one long polynomial over the field of two
 * elements, and divided by a fixed one, here 0x1edc6f41 (Castagnoli's). Bits go in least significant first, so the
 * polynomial is written backwards, 0x82f63b78. Unlike the Internet checksum it notices words that changed places,
 * and it covers no addresses: a translation that keeps the ports need not touch it, one that does not has to read
 * the whole packet.
 *
 * Processors of the x86 family since 2008 have an instruction for just this polynomial. Elsewhere a table of
 * sixteen remainders does four bits at a time; it is small enough to be written down and checked by eye.
 */

/**
 * crc32c_add_portable() - Add bytes, on any processor
 * @crc:	CRC32C_BEGIN, or the sum of what came before
 * @data:	The bytes
 * @length:	How many
 *
 * Return: the sum, to go on with or to finish
 */
uint32_t crc32c_add_portable(uint32_t crc, const void *data, size_t length)
{
	/* The remainder of each number of four bits. */
	static const uint32_t remainders[16] = {
		0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
		0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
	};
	const uint8_t *bytes = data;

	for (size_t i = 0; i < length; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ remainders[crc & 0xf];
		crc = crc >> 4 ^ remainders[crc & 0xf];
	}
	return crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t crc32c_add_sse42(uint32_t crc, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t sum = crc, word;

	for (; length >= sizeof(word); length -= sizeof(word), bytes += sizeof(word)) {
		memcpy(&word, bytes, sizeof(word));
		sum = __builtin_ia32_crc32di(sum, word);
	}
	crc = (uint32_t)sum;
	for (; length > 0; length--, bytes++)
		crc = __builtin_ia32_crc32qi(crc, *bytes);
	return crc;
}
#endif

/**
 * crc32c_add() - Add bytes, as fast as this processor can
 * @crc:	CRC32C_BEGIN, or the sum of what came before
 * @data:	The bytes
 * @length:	How many
 *
 * Return: the sum, to go on with or to finish
 */
uint32_t crc32c_add(uint32_t crc, const void *data, size_t length)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_add_sse42(crc, data, length);
#endif
	return crc32c_add_portable(crc, data, length);
}

/**
 * crc32c_finish() - Make the checksum of a sum
 * @crc:	Sum over the whole packet, with zero in the checksum's own place
 *
 * Return: the four bytes as they lie in the packet, on a machine of either byte order
 */
uint32_t crc32c_finish(uint32_t crc)
{
	uint8_t bytes[4];
	uint32_t checksum;

	crc = ~crc;
	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(crc >> 8 * i);
	memcpy(&checksum, bytes, sizeof(checksum));
	return checksum;
}

/**
 * crc32c_sctp() - The checksum of an SCTP packet
 * @packet:	Its common header and its chunks
 * @length:	Bytes of them, 12 at least
 *
 * The checksum's own place counts as zero (RFC 9260, 6.8).
 *
 * Return: what should be at CRC32C_SCTP, as it lies in the packet
 */
uint32_t crc32c_sctp(const uint8_t *packet, size_t length)
{
	static const uint8_t zero[sizeof(uint32_t)] = {0};
	uint32_t crc = CRC32C_BEGIN;

	crc = crc32c_add(crc, packet, CRC32C_SCTP);
	crc = crc32c_add(crc, zero, sizeof(zero));
	crc = crc32c_add(crc, packet + CRC32C_SCTP + sizeof(zero), length - CRC32C_SCTP - sizeof(zero));
	return crc32c_finish(crc);
}
