/* SPDX-License-Identifier: Apache-2.0 */
/* packet_test.c - a plain packet is read as packet_parse() reads it, and whole packets without options are plain */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "same_packet.h"

#define HEADER	 14
#define TYPE	 12
#define LONGEST	 128
#define PACKETS	 200000

static uint32_t next_random(uint32_t limit)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % limit;
}

static void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* A whole packet of one of the protocols and families, right in all that is read of it. Returns its length. */
static size_t make_packet(uint8_t *data)
{
	static const uint8_t protocols[] = {TUPLE_TCP, TUPLE_UDP, TUPLE_SCTP, TUPLE_ICMP};
	uint8_t protocol = protocols[next_random(sizeof(protocols))];
	bool is_ipv6 = next_random(2);
	size_t network = is_ipv6 ? 40 : 20, payload = 20 + next_random(20);
	uint8_t *header = data + HEADER, *transport = header + network;

	for (size_t i = 0; i < LONGEST; i++)
		data[i] = (uint8_t)next_random(256);
	put16(data + TYPE, is_ipv6 ? 0x86dd : 0x0800);
	header[0] = is_ipv6 ? 0x60 : 0x45;
	if (is_ipv6) {
		put16(header + 4, payload);
		header[6] = protocol;
	} else {
		put16(header + 2, network + payload);
		put16(header + 6, 0x4000);
		header[9] = protocol;
	}
	if (protocol == TUPLE_TCP)
		transport[12] = 0x50;
	if (protocol == TUPLE_UDP)
		put16(transport + 4, payload);
	return HEADER + network + payload + next_random(3);
}

/* Whether what make_packet() has made is of TCP or UDP. */
static bool is_of_ports(const uint8_t *data)
{
	uint8_t protocol = data[HEADER + (data[TYPE] == 0x86 ? 6 : 9)];

	return protocol == TUPLE_TCP || protocol == TUPLE_UDP;
}

/* Changes a few bytes that say how to go on, and sometimes the length. */
static void damage(uint8_t *data, size_t *length)
{
	for (uint32_t changes = next_random(4); changes > 0; changes--)
		data[HEADER + next_random(56)] = (uint8_t)(next_random(2) ? next_random(256) : next_random(8));
	if (next_random(4) == 0)
		*length = HEADER + next_random((uint32_t)(*length - HEADER));
}

/* The packet alone in memory of its own, so that a sanitizer sees what is read beyond it. */
static bool is_right(const uint8_t *made, size_t length, bool *is_plain)
{
	uint8_t *data = malloc(length);
	bool right = false;

	if (data) {
		memcpy(data, made, length);
		right = plain_is_right(data, length, PACKET_LINK_ETHERNET, is_plain);
	}
	free(data);
	return right;
}

int main(int argc, char **argv)
{
	unsigned long packets = argc > 1 ? strtoul(argv[1], NULL, 10) : PACKETS;

	for (unsigned long i = 0; i < packets; i++) {
		bool as_made, damaged;
		uint8_t made[LONGEST];
		size_t length = make_packet(made);
		bool of_ports = is_of_ports(made);

		if (!is_right(made, length, &as_made) || as_made != of_ports) {
			(void)fprintf(stderr, "packet %lu, as it was made, is read wrongly\n", i);
			return EXIT_FAILURE;
		}
		damage(made, &length);
		if (!is_right(made, length, &damaged)) {
			(void)fprintf(stderr, "packet %lu, damaged, is read wrongly\n", i);
			return EXIT_FAILURE;
		}
	}
	return EXIT_SUCCESS;
}
