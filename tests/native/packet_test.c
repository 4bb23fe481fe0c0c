/* SPDX-License-Identifier: Apache-2.0 */
/* packet_test.c - a packet is the same packet behind a VLAN tag, whichever of the two ways it is read */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plain.h"

#define HEADER	 14
#define TAG	 4
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

/* Changes a few bytes that say how to go on, and sometimes the length. */
static void damage(uint8_t *data, size_t *length)
{
	for (uint32_t changes = next_random(4); changes > 0; changes--)
		data[HEADER + next_random(56)] = (uint8_t)(next_random(2) ? next_random(256) : next_random(8));
	if (next_random(4) == 0)
		*length = HEADER + next_random((uint32_t)(*length - HEADER));
}

/* A packet, and where it was read. */
struct reading {
	struct packet packet;
	uint8_t *data;
};

static struct reading read_packet(uint8_t *data, size_t length)
{
	struct reading reading = {.data = data};

	memset(&reading.packet, 0xff, sizeof(reading.packet)); /* nothing may be left as it was */
	if (!plain_parse(&reading.packet, data, length, PACKET_LINK_ETHERNET))
		packet_parse(&reading.packet, data, length, PACKET_LINK_ETHERNET);
	return reading;
}

static bool same(const struct reading *plain, const struct reading *tagged)
{
	const struct packet *one = &plain->packet, *other = &tagged->packet;

	return one->kind == other->kind && one->network - plain->data + TAG == other->network - tagged->data &&
	       one->transport - plain->data + TAG == other->transport - tagged->data &&
	       one->network_length == other->network_length && one->transport_length == other->transport_length &&
	       memcmp(&one->tuple, &other->tuple, sizeof(one->tuple)) == 0 && one->signals == other->signals &&
	       one->opens == other->opens && one->is_piece == other->is_piece &&
	       (!one->is_piece || one->identification == other->identification) && !one->is_unfinished &&
	       !other->is_unfinished;
}

/* Whether a packet is the same behind a tag. Each lies in memory of its own: a sanitizer sees what is read beyond it. */
static bool holds(const uint8_t *made, size_t length, enum packet_kind *kind)
{
	uint8_t *bare = malloc(length), *behind_tag = malloc(length + TAG);
	bool result = false;

	if (bare && behind_tag) {
		memcpy(bare, made, length);
		memcpy(behind_tag, made, TYPE);
		put16(behind_tag + TYPE, 0x8100);
		put16(behind_tag + TYPE + 2, 7);
		memcpy(behind_tag + TYPE + TAG, made + TYPE, length - TYPE);

		struct reading plain = read_packet(bare, length), tagged = read_packet(behind_tag, length + TAG);

		*kind = plain.packet.kind;
		result = same(&plain, &tagged);
	}
	free(bare);
	free(behind_tag);
	return result;
}

int main(int argc, char **argv)
{
	unsigned long packets = argc > 1 ? strtoul(argv[1], NULL, 10) : PACKETS;
	unsigned long transports = 0;

	for (unsigned long i = 0; i < packets; i++) {
		enum packet_kind kind = PACKET_FOREIGN;
		uint8_t made[LONGEST];
		size_t length = make_packet(made);

		damage(made, &length);
		if (!holds(made, length, &kind)) {
			(void)fprintf(stderr, "packet %lu of kind %u is read otherwise behind a tag\n", i,
				      (unsigned int)kind);
			return EXIT_FAILURE;
		}
		transports += kind == PACKET_TRANSPORT;
	}
	if (transports < packets / 10) {
		(void)fprintf(stderr, "only %lu of %lu packets are of a transport\n", transports, packets);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
