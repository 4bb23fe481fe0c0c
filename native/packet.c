/* SPDX-License-Identifier: Apache-2.0 */
/* packet.c - where the headers of a packet are, and what they say */
#include "packet.h"

#include <string.h>

#include "headers.h"

/**
 * DOC: Theory of operation
 *
 * A cursor walks over the headers. There is one function for each header: it asks the cursor for as many bytes as
 * it needs, and the cursor has them or not; nothing else touches the packet. Every length that a header claims is
 * held against what is really there, and every loop has a named bound, so a packet costs at most
 * PACKET_VLAN_TAGS + PACKET_EXTENSION_HEADERS steps whatever is in it.
 *
 * The packet that an ICMP error quotes is read by the same functions, but most of it is missing, so there lengths
 * are not held against anything, and the ports are all that is wanted of its transport header (RFC 792: its first
 * eight bytes are there).
 *
 * Nearly every packet is plain, and who has many to read asks plain_parse() first (plain.h).
 *
 * Checksums are not verified here: translating keeps a wrong checksum wrong, and the receiver will see it.
 */

/* What of a transport header is surely quoted in an ICMP error (RFC 792). */
#define QUOTED_TRANSPORT 8

/**
 * struct cursor - What is left of a packet
 * @at:		The next byte
 * @left:	How many there are
 * @quoted:	The packet is quoted in an ICMP error: what it says of its length is not true here
 */
struct cursor {
	uint8_t *at;
	size_t left;
	bool quoted;
};

/* Steps over a header of that many bytes. NULL if it is not all there. */
static uint8_t *cursor_take(struct cursor *cursor, size_t bytes)
{
	uint8_t *header = cursor->at;

	if (cursor->left < bytes)
		return NULL;
	cursor->at += bytes;
	cursor->left -= bytes;
	return header;
}

/* Ethernet and its VLAN tags. Returns the type of what follows, or 0 for nothing that we know. */
static uint16_t parse_ethernet(struct cursor *cursor)
{
	const uint8_t *header = cursor_take(cursor, ETHERNET_HEADER);

	if (!header)
		return 0;
	uint16_t type = read16(header + ETHERNET_TYPE);

	for (int tags = 0; type == ETHERNET_VLAN || type == ETHERNET_VLAN_AD; tags++) {
		const uint8_t *tag = cursor_take(cursor, VLAN_TAG);

		if (!tag || tags == PACKET_VLAN_TAGS)
			return 0;
		type = read16(tag + 2);
	}
	return type;
}

/* RFC 791, 3.1. */
static enum packet_kind parse_ipv4(struct packet *packet, struct cursor *cursor)
{
	const uint8_t *header = cursor_take(cursor, IPV4_HEADER);

	if (!header || header[0] >> 4 != TUPLE_IPV4)
		return PACKET_MALFORMED;
	size_t header_length = (size_t)(header[0] & 0xf) * 4;
	size_t total = read16(header + IPV4_TOTAL_LENGTH);

	if (cursor->quoted)
		total = cursor->left + IPV4_HEADER;
	if (header_length < IPV4_HEADER || total < header_length || total > cursor->left + IPV4_HEADER)
		return PACKET_MALFORMED;
	/* What the link padded is not part of the packet. */
	cursor->left = total - IPV4_HEADER;
	(void)cursor_take(cursor, header_length - IPV4_HEADER);
	packet->network_length = (uint32_t)total;
	packet->tuple.family = TUPLE_IPV4;
	packet->tuple.protocol = header[IPV4_PROTOCOL];
	memcpy(packet->tuple.source.bytes, header + IPV4_SOURCE, 4);
	memcpy(packet->tuple.destination.bytes, header + IPV4_DESTINATION, 4);
	packet->is_piece = read16(header + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK;
	memcpy(&packet->identification, header + IPV4_IDENTIFICATION, sizeof(uint16_t));
	return read16(header + IPV4_FRAGMENT) & IPV4_OFFSET_MASK ? PACKET_FRAGMENT : PACKET_TRANSPORT;
}

static bool is_extension(uint8_t next)
{
	return next == IPV6_HOP_BY_HOP || next == IPV6_ROUTING || next == IPV6_FRAGMENT ||
	       next == IPV6_DESTINATION_OPTIONS;
}

/* Walks the extension headers; sets the protocol of what comes after them. RFC 8200, 4. */
static enum packet_kind parse_extensions(struct packet *packet, struct cursor *cursor, uint8_t next)
{
	for (int count = 0; is_extension(next); count++) {
		const uint8_t *header = cursor_take(cursor, IPV6_FRAGMENT_HEADER);
		uint8_t this_one = next;

		if (!header)
			return PACKET_MALFORMED;
		if (count == PACKET_EXTENSION_HEADERS)
			return PACKET_TOO_DEEP;
		next = header[0];
		if (this_one != IPV6_FRAGMENT) {
			if (!cursor_take(cursor, (size_t)header[1] * 8))
				return PACKET_MALFORMED;
			continue;
		}
		/* Offset 0 and nothing to follow is an "atomic fragment", complete (RFC 6946). */
		packet->is_piece = read16(header + IPV6_FRAGMENT_OFFSET) & IPV6_FRAGMENT_MASK;
		memcpy(&packet->identification, header + IPV6_IDENTIFICATION, sizeof(packet->identification));
		if (read16(header + IPV6_FRAGMENT_OFFSET) & IPV6_OFFSET_MASK) {
			/* What follows is from the middle of the packet that the pieces make. */
			packet->tuple.protocol = next;
			return PACKET_FRAGMENT;
		}
	}
	packet->tuple.protocol = next;
	return PACKET_TRANSPORT;
}

/* RFC 8200, 3. */
static enum packet_kind parse_ipv6(struct packet *packet, struct cursor *cursor)
{
	const uint8_t *header = cursor_take(cursor, IPV6_HEADER);

	if (!header || header[0] >> 4 != TUPLE_IPV6)
		return PACKET_MALFORMED;
	size_t payload = cursor->quoted ? cursor->left : read16(header + IPV6_PAYLOAD_LENGTH);

	if (payload > cursor->left)
		return PACKET_MALFORMED;
	cursor->left = payload;
	packet->network_length = (uint32_t)(IPV6_HEADER + payload);
	packet->tuple.family = TUPLE_IPV6;
	memcpy(packet->tuple.source.bytes, header + IPV6_SOURCE, 16);
	memcpy(packet->tuple.destination.bytes, header + IPV6_DESTINATION, 16);
	return parse_extensions(packet, cursor, header[IPV6_NEXT_HEADER]);
}

/* RFC 9293, 3.1. */
static enum packet_kind parse_tcp(struct packet *packet, struct cursor *cursor)
{
	const uint8_t *header = cursor_take(cursor, TCP_HEADER);

	if (!header)
		return PACKET_MALFORMED;
	size_t header_length = (size_t)(header[TCP_OFFSET] >> 4) * 4;

	if (header_length < TCP_HEADER || header_length > packet->transport_length)
		return PACKET_MALFORMED;
	packet->signals = header[TCP_FLAGS] & PACKET_SIGNALS;
	packet->opens = packet->signals == PACKET_SYN;
	return PACKET_TRANSPORT;
}

/* RFC 768. */
static enum packet_kind parse_udp(struct packet *packet, struct cursor *cursor)
{
	const uint8_t *header = cursor_take(cursor, UDP_HEADER);

	if (!header || read16(header + UDP_LENGTH) < UDP_HEADER)
		return PACKET_MALFORMED;
	/* In a first piece the length is that of the whole. */
	if (!packet->is_piece && read16(header + UDP_LENGTH) > packet->transport_length)
		return PACKET_MALFORMED;
	packet->opens = true;
	return PACKET_TRANSPORT;
}

/* What the first chunk of an SCTP packet would be in TCP (RFC 9260, 3.2). */
static uint8_t sctp_signals(uint8_t chunk)
{
	switch (chunk) {
	case 1: /* INIT */
		return PACKET_SYN;
	case 2: /* INIT ACK */
		return PACKET_SYN | PACKET_ACK;
	case 6: /* ABORT */
		return PACKET_RST;
	case 7:	 /* SHUTDOWN */
	case 8:	 /* SHUTDOWN ACK */
	case 14: /* SHUTDOWN COMPLETE */
		return PACKET_FIN | PACKET_ACK;
	default:
		return PACKET_ACK;
	}
}

/* RFC 9260, 3. */
static enum packet_kind parse_sctp(struct packet *packet, struct cursor *cursor)
{
	const uint8_t *header = cursor_take(cursor, SCTP_HEADER);
	const uint8_t *chunk = header ? cursor_take(cursor, SCTP_CHUNK) : NULL;

	if (!chunk)
		return PACKET_MALFORMED;
	packet->signals = sctp_signals(chunk[0]);
	packet->opens = packet->signals == PACKET_SYN;
	return PACKET_TRANSPORT;
}

/* Any protocol with ports, of which only the beginning is there. */
static enum packet_kind parse_quoted(struct cursor *cursor)
{
	return cursor_take(cursor, QUOTED_TRANSPORT) ? PACKET_TRANSPORT : PACKET_MALFORMED;
}

static enum packet_kind parse_transport(struct packet *packet, struct cursor *cursor)
{
	enum packet_kind kind;

	switch (packet->tuple.protocol) {
	case TUPLE_TCP:
		kind = cursor->quoted ? parse_quoted(cursor) : parse_tcp(packet, cursor);
		break;
	case TUPLE_UDP:
		kind = cursor->quoted ? parse_quoted(cursor) : parse_udp(packet, cursor);
		break;
	case TUPLE_SCTP:
		kind = cursor->quoted ? parse_quoted(cursor) : parse_sctp(packet, cursor);
		break;
	case TUPLE_ICMP:
	case TUPLE_ICMPV6:
		return !cursor->quoted && cursor->left < ICMP_HEADER ? PACKET_MALFORMED : PACKET_PORTLESS;
	default:
		return PACKET_PORTLESS;
	}
	if (kind == PACKET_TRANSPORT)
		tuple_set_ports(&packet->tuple, packet->transport);
	return kind;
}

static void parse_network(struct packet *packet, struct cursor *cursor, uint16_t type)
{
	packet->network = cursor->at;
	if (type == ETHERNET_IPV4)
		packet->kind = parse_ipv4(packet, cursor);
	else if (type == ETHERNET_IPV6)
		packet->kind = parse_ipv6(packet, cursor);
	packet->transport = cursor->at;
	packet->transport_length = (uint32_t)cursor->left;
	if (packet->kind == PACKET_TRANSPORT)
		packet->kind = parse_transport(packet, cursor);
}

/**
 * packet_parse() - Find out what a packet is
 * @packet:	Is filled in
 * @data:	Its bytes, which must stay as long as @packet is used
 * @length:	How many bytes there are
 * @link:	What the first byte belongs to
 */
/* NOLINTNEXTLINE(readability-non-const-parameter): the view that is kept is written through later */
void packet_parse(struct packet *packet, uint8_t *data, size_t length, enum packet_link link)
{
	struct cursor cursor = {.at = data, .left = length};
	uint16_t type = 0;

	*packet = (struct packet){.kind = PACKET_FOREIGN};
	if (link == PACKET_LINK_ETHERNET)
		type = parse_ethernet(&cursor);
	else /* any other version is a malformed IPv4 header */
		type = length > 0 && data[0] >> 4 == TUPLE_IPV6 ? ETHERNET_IPV6 : ETHERNET_IPV4;

	parse_network(packet, &cursor, type);
}

/**
 * packet_parse_quoted() - Find out what the packet is that an ICMP error quotes
 * @packet:	Is filled in; its lengths are those of the part that is there
 * @data:	Where the quoted IP header begins
 * @length:	How many bytes are quoted
 */
/* NOLINTNEXTLINE(readability-non-const-parameter): the view that is kept is written through later */
void packet_parse_quoted(struct packet *packet, uint8_t *data, size_t length)
{
	struct cursor cursor = {.at = data, .left = length, .quoted = true};

	*packet = (struct packet){.kind = PACKET_FOREIGN};
	parse_network(packet, &cursor, length > 0 && data[0] >> 4 == TUPLE_IPV6 ? ETHERNET_IPV6 : ETHERNET_IPV4);
}
