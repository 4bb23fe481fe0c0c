/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.h - the translation of a flow written into a packet: what every packet needs, so it is all inline */
#ifndef SVCPLANE_REWRITE_H
#define SVCPLANE_REWRITE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "checksum.h"
#include "flow.h"
#include "headers.h"
#include "packet.h"

static inline void rewrite_checksum(uint8_t *at, uint16_t delta)
{
	uint16_t checksum;

	memcpy(&checksum, at, sizeof(checksum));
	checksum = checksum_update(checksum, delta);
	memcpy(at, &checksum, sizeof(checksum));
}

static inline void rewrite_checksum_udp(uint8_t *at, uint16_t delta)
{
	uint16_t checksum;

	memcpy(&checksum, at, sizeof(checksum));
	checksum = checksum_update_udp(checksum, delta);
	memcpy(at, &checksum, sizeof(checksum));
}

static inline void rewrite_ports(uint8_t *transport, uint16_t source, uint16_t destination)
{
	memcpy(transport, &source, sizeof(source));
	memcpy(transport + sizeof(source), &destination, sizeof(destination));
}

/* The ports of what goes the other way, exchanged: halves of a word, whatever its byte order. */
static inline void rewrite_ports_reversed(uint8_t *transport, const struct tuple *back)
{
	uint32_t ports = tuple_ports(back);

	ports = ports << 16 | ports >> 16;
	memcpy(transport, &ports, sizeof(ports));
}

/* @delta is what that does to the checksum of an IPv4 header. */
static inline void rewrite_addresses(const struct packet *packet, const struct address *source,
				     const struct address *destination, uint16_t delta)
{
	uint8_t *header = packet->network;

	if (packet->tuple.family == TUPLE_IPV4) {
		uint32_t addresses[2] = {address_ipv4(source), address_ipv4(destination)};

		memcpy(header + IPV4_SOURCE, addresses, sizeof(addresses));
		rewrite_checksum(header + IPV4_CHECKSUM, delta);
	} else {
		memcpy(header + IPV6_SOURCE, source->bytes, 16);
		memcpy(header + IPV6_DESTINATION, destination->bytes, 16);
	}
}

/* What a flow's translation does to checksums in one direction: the way back takes away what the way there adds. */
static inline uint16_t rewrite_delta(uint16_t delta, unsigned int direction)
{
	return delta ^ (uint16_t)(0 - direction);
}

/**
 * rewrite_is_plain() - Whether rewrite_plain() can translate a packet
 * @packet:	A packet
 *
 * Return: true if it is TCP or UDP and its checksum is made
 */
static inline bool rewrite_is_plain(const struct packet *packet)
{
	return packet->tuple.protocol != TUPLE_SCTP && !packet->is_unfinished;
}

/**
 * rewrite_plain() - Translate a packet as nearly all are: see rewrite_is_plain(); nat_rewrite() translates any
 * @packet:	A packet of the flow
 * @flow:	The flow
 * @direction:	Which way the packet goes
 */
static inline void rewrite_plain(const struct packet *packet, const struct flow *flow, unsigned int direction)
{
	/* It leaves as what comes the other way, reversed. */
	const struct tuple *back = &flow->tuples[!direction];
	uint16_t delta = rewrite_delta(flow->transport_delta, direction);
	uint8_t *transport = packet->transport;

	if (packet->tuple.protocol == TUPLE_TCP)
		rewrite_checksum(transport + TCP_CHECKSUM, delta);
	else
		rewrite_checksum_udp(transport + UDP_CHECKSUM, delta);
	rewrite_ports_reversed(transport, back);
	rewrite_addresses(packet, &back->destination, &back->source, rewrite_delta(flow->address_delta, direction));
}

#endif
