/* SPDX-License-Identifier: Apache-2.0 */
/* plain.h - reading a packet as nearly all are, in one go */
#ifndef SVCPLANE_PLAIN_H
#define SVCPLANE_PLAIN_H

#include <string.h>

#include "headers.h"
#include "packet.h"

/**
 * DOC: Plain packets
 *
 * TCP or UDP, in one piece, without VLAN tags, IP options and extension headers. packet_parse() reads them too, but all
 * that it is prepared for costs such a packet more than the reading. plain_parse() says nothing that packet_parse() would
 * not say, and whatever is not as it expects it leaves to that, damaged packets among it. packet_test.c holds the two
 * against each other.
 */

/* The ports and flags of TCP and UDP. Returns false if that is not what follows, or not as it should be. */
static inline bool plain_transport(struct packet *packet, uint8_t protocol, uint8_t *at, size_t length)
{
	if (protocol == TUPLE_TCP) {
		if (length < TCP_HEADER || at[TCP_OFFSET] < (TCP_HEADER / 4) << 4 ||
		    (size_t)(at[TCP_OFFSET] >> 4) * 4 > length)
			return false;
		packet->signals = at[TCP_FLAGS] & PACKET_SIGNALS;
		packet->opens = packet->signals == PACKET_SYN;
	} else if (protocol == TUPLE_UDP) {
		if (length < UDP_HEADER || read16(at + UDP_LENGTH) < UDP_HEADER || read16(at + UDP_LENGTH) > length)
			return false;
		packet->signals = 0;
		packet->opens = true;
	} else {
		return false;
	}
	packet->kind = PACKET_TRANSPORT;
	packet->transport = at;
	packet->transport_length = (uint32_t)length;
	packet->is_piece = false;
	packet->is_unfinished = false;
	packet->identification = 0;
	tuple_set_ports(&packet->tuple, at);
	packet->tuple.protocol = protocol;
	packet->tuple.zero = 0;
	return true;
}

/* An IPv4 address in the first word, and zero after it. */
static inline void plain_address(struct address *address, const uint8_t *at)
{
	uint32_t words[4] = {0};

	memcpy(words, at, sizeof(*words));
	memcpy(address, words, sizeof(*address));
}

static inline bool plain_ipv4(struct packet *packet, uint8_t *header, size_t left)
{
	const uint8_t version_and_length = TUPLE_IPV4 << 4 | IPV4_HEADER / 4;

	if (left < IPV4_HEADER || header[0] != version_and_length || read16(header + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK)
		return false;
	size_t total = read16(header + IPV4_TOTAL_LENGTH);

	if (total < IPV4_HEADER || total > left ||
	    !plain_transport(packet, header[IPV4_PROTOCOL], header + IPV4_HEADER, total - IPV4_HEADER))
		return false;
	plain_address(&packet->tuple.source, header + IPV4_SOURCE);
	plain_address(&packet->tuple.destination, header + IPV4_DESTINATION);
	packet->tuple.family = TUPLE_IPV4;
	packet->network = header;
	packet->network_length = (uint32_t)total;
	return true;
}

static inline bool plain_ipv6(struct packet *packet, uint8_t *header, size_t left)
{
	if (left < IPV6_HEADER || header[0] >> 4 != TUPLE_IPV6)
		return false;
	size_t payload = read16(header + IPV6_PAYLOAD_LENGTH);

	if (payload > left - IPV6_HEADER ||
	    !plain_transport(packet, header[IPV6_NEXT_HEADER], header + IPV6_HEADER, payload))
		return false;
	memcpy(packet->tuple.source.bytes, header + IPV6_SOURCE, 16);
	memcpy(packet->tuple.destination.bytes, header + IPV6_DESTINATION, 16);
	packet->tuple.family = TUPLE_IPV6;
	packet->network = header;
	packet->network_length = (uint32_t)(IPV6_HEADER + payload);
	return true;
}

/**
 * plain_parse() - Find out what a packet is, if it is a plain one
 * @packet:	Is filled in
 * @data:	Its bytes, which must stay as long as @packet is used
 * @length:	How many bytes there are
 * @link:	What the first byte belongs to
 *
 * Return: false if only packet_parse() can tell; @packet is of no use then
 */
static inline bool plain_parse(struct packet *packet, uint8_t *data, size_t length, enum packet_link link)
{
	const size_t begin = link == PACKET_LINK_ETHERNET ? ETHERNET_HEADER : 0;

	if (length < begin + IPV4_HEADER)
		return false;
	uint16_t type = link == PACKET_LINK_ETHERNET	 ? read16(data + ETHERNET_TYPE)
			: data[0] >> 4 == TUPLE_IPV6 ? ETHERNET_IPV6
						     : ETHERNET_IPV4;

	if (type == ETHERNET_IPV4)
		return plain_ipv4(packet, data + begin, length - begin);
	return type == ETHERNET_IPV6 && plain_ipv6(packet, data + begin, length - begin);
}

#endif
