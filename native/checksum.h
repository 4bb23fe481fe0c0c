/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.h - the Internet checksum, whole (RFC 1071) and by its changes (RFC 1624) */
#ifndef SVCPLANE_CHECKSUM_H
#define SVCPLANE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Values and their byte order
 *
 * A word, a checksum and a delta are 16 bits exactly as they lie in the packet: copy them in and out with
 * memcpy() and never swap them. RFC 1071 section 2(B) shows that the sum comes out right on every machine.
 */

uint64_t checksum_add(uint64_t sum, const void *data, size_t length);
uint16_t checksum_finish(uint64_t sum);
uint16_t checksum_finish_udp(uint64_t sum);

uint64_t checksum_change128(const uint8_t before[16], const uint8_t after[16]);

/* What every packet needs is inline: a call would cost as much as the work. */

/**
 * checksum_fold() - Bring all carries of a sum back in at its bottom
 * @sum:	Any sum
 *
 * Return: the same number in 16 bits; 0 only if @sum is 0
 */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)sum;
}

/**
 * checksum_delta16() - What the change of one word, such as a port, does to a sum
 * @before:	The word that the checksum covers now
 * @after:	The word that takes its place
 *
 * Return: ~@before + @after, the part of RFC 1624 equation 3 that does not depend on the packet
 */
static inline uint16_t checksum_delta16(uint16_t before, uint16_t after)
{
	uint32_t sum = (uint32_t)(uint16_t)~before + after;

	/* One carry at the most: what is left of the sum then has room for it. */
	return (uint16_t)(sum + (sum >> 16));
}

/**
 * checksum_change32() - What the change of two words, such as an IPv4 address, does to a sum
 * @before:	What the checksum covers now, as in the packet
 * @after:	What takes its place
 *
 * Return: a sum, which others may be added to; checksum_fold() makes a delta of it
 */
static inline uint64_t checksum_change32(uint32_t before, uint32_t after)
{
	return (uint64_t)~before + after;
}

/**
 * checksum_delta_join() - Make one delta of two, as of an address and a port
 * @first:	One delta
 * @second:	The other
 *
 * Return: the delta of both changes
 */
static inline uint16_t checksum_delta_join(uint16_t first, uint16_t second)
{
	uint32_t sum = (uint32_t)first + second;

	/* One carry at the most: what is left of the sum then has room for it. */
	return (uint16_t)(sum + (sum >> 16));
}

/**
 * checksum_update() - Follow a change (RFC 1624, equation 3)
 * @checksum:	The checksum before the change
 * @delta:	What changed
 *
 * A packet whose checksum was wrong keeps a wrong one: damage on the way is still seen at the end.
 *
 * Return: the checksum after the change
 */
static inline uint16_t checksum_update(uint16_t checksum, uint16_t delta)
{
	return (uint16_t)~checksum_delta_join((uint16_t)~checksum, delta);
}

/**
 * checksum_update_udp() - Follow a change in a UDP datagram
 * @checksum:	The checksum before the change; 0 if the sender did not make one
 * @delta:	What changed
 *
 * Return: the checksum after the change: still 0 if it was, and otherwise never 0
 */
static inline uint16_t checksum_update_udp(uint16_t checksum, uint16_t delta)
{
	if (checksum == 0)
		return 0;
	checksum = checksum_update(checksum, delta);
	return checksum ? checksum : 0xffff;
}

#endif
