/* SPDX-License-Identifier: Apache-2.0 */
/* icmp.c - errors about packets that were translated, and errors of our own */
#include "icmp.h"

#include <string.h>

#include "checksum.h"
#include "nat.h"

/**
 * DOC: Theory of operation
 *
 * An ICMP error quotes the packet that it is about, as that packet was where the error happened: after our
 * translation. Its sender knows it only as it was before. So the quoted packet is translated back, and the error
 * itself goes the way of an answer to it (RFC 5508, REQ-4 and REQ-5):
 *
 *	a router on the way to the backend	router -> node		[ node:50000 -> backend:8080 ]
 *	becomes, for the client			service -> client	[ client:40000 -> service:80 ]
 *
 * The error's destination is the flow's, as for any packet in that direction. Its source is replaced if the flow
 * replaces that of its own packets, by the same address, as Linux does; else the router keeps its name, and a
 * traceroute shows it.
 *
 * Errors neither keep a flow alive nor end it (RFC 5508, REQ-6; RFC 4787, REQ-12; RFC 5382, REQ-10). One whose
 * checksum is wrong is not looked into (RFC 5508, REQ-3): it may be about anything.
 */

#define ICMP_HEADER	8
#define ICMP_CHECKSUM	2
#define IPV4_HEADER	20
#define IPV6_HEADER	40

/* Types (RFC 792; RFC 4443, 2.1: below 128 are errors). */
#define ICMP_UNREACHABLE	3
#define ICMP_REDIRECT		5
#define ICMP_TIME_EXCEEDED	11
#define ICMP_PARAMETER_PROBLEM	12
#define ICMPV6_UNREACHABLE	1
#define ICMPV6_FIRST_QUERY	128

#define ICMP_PORT_UNREACHABLE	3 /* code of type 3 */
#define ICMPV6_PORT_UNREACHABLE 4 /* code of type 1 */

static bool is_icmp(const struct packet *packet)
{
	uint8_t protocol = packet->tuple.family == TUPLE_IPV4 ? TUPLE_ICMP : TUPLE_ICMPV6;

	return packet->kind == PACKET_PORTLESS && packet->tuple.protocol == protocol;
}

/**
 * icmp_is_error() - Whether a packet is an ICMP message about another packet
 * @packet:	What packet_parse() found
 *
 * Return: true if it is; such a packet must never be answered by another error (RFC 1122, 3.2.2)
 */
bool icmp_is_error(const struct packet *packet)
{
	if (!is_icmp(packet))
		return false;
	uint8_t type = packet->transport[0];

	if (packet->tuple.family == TUPLE_IPV6)
		return type < ICMPV6_FIRST_QUERY;
	return type == ICMP_UNREACHABLE || type == ICMP_REDIRECT || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER_PROBLEM;
}

/**
 * icmp_parse_error() - Read the packet that an ICMP error is about
 * @packet:	The error, complete
 * @quoted:	Is filled in
 *
 * Return: true if the quoted packet has ports, and was sent by whom the error is sent to
 */
bool icmp_parse_error(const struct packet *packet, struct packet *quoted)
{
	if (packet->is_piece)
		return false;
	packet_parse_quoted(quoted, packet->transport + ICMP_HEADER, packet->transport_length - ICMP_HEADER);
	return quoted->kind == PACKET_TRANSPORT && quoted->tuple.family == packet->tuple.family &&
	       address_equal(&quoted->tuple.source, &packet->tuple.destination);
}

/* What the checksum covers besides the message: nothing in IPv4, a pseudo-header in IPv6 (RFC 8200, 8.1). */
static uint64_t pseudo_header(uint8_t family, const uint8_t *network, uint32_t length)
{
	uint8_t rest[8] = {
		(uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length,
		0, 0, 0, TUPLE_ICMPV6,
	};

	if (family == TUPLE_IPV4)
		return 0;
	return checksum_add(checksum_add(0, network + 8, 2 * sizeof(struct address)), rest, sizeof(rest));
}

/**
 * icmp_checksum_is_right() - Whether an ICMP message arrived as it was sent
 * @packet:	The message
 *
 * Return: true if its checksum is right
 */
bool icmp_checksum_is_right(const struct packet *packet)
{
	uint64_t sum = pseudo_header(packet->tuple.family, packet->network, packet->transport_length);

	return checksum_finish(checksum_add(sum, packet->transport, packet->transport_length)) == 0;
}

static void write_checksum(uint8_t family, const uint8_t *network, uint8_t *message, uint32_t length)
{
	uint16_t checksum = 0;

	memcpy(message + ICMP_CHECKSUM, &checksum, sizeof(checksum));
	checksum = checksum_finish(checksum_add(pseudo_header(family, network, length), message, length));
	memcpy(message + ICMP_CHECKSUM, &checksum, sizeof(checksum));
}

/**
 * icmp_translate() - Translate an error and the packet that it quotes
 * @packet:	The error
 * @quoted:	What it quotes, as icmp_parse_error() found it
 * @flow:	The flow of the quoted packet
 * @direction:	The direction in which the error goes: against that of the quoted packet
 */
void icmp_translate(struct packet *packet, struct packet *quoted, const struct flow *flow, unsigned int direction)
{
	const struct tuple *before = &flow->tuples[direction];
	const struct tuple after = tuple_reversed(&flow->tuples[!direction]);
	const struct address *source = &packet->tuple.source;

	nat_rewrite_quoted(quoted, flow, direction);
	if (!address_equal(&before->source, &after.source))
		source = &after.source;
	nat_rewrite_addresses(packet, source, &after.destination);
	write_checksum(packet->tuple.family, packet->network, packet->transport, packet->transport_length);
	packet->is_unfinished = false;
}

static void write_ipv4(uint8_t *header, const struct packet *packet, size_t total, const struct address *source)
{
	uint16_t checksum;

	/* Precedence "internetwork control" (RFC 1812, 4.3.2.5), never fragmented, so no identification (RFC 6864). */
	memcpy(header, (const uint8_t[IPV4_HEADER]){0x45, 0xc0, 0, 0, 0, 0, 0x40, 0, 64, TUPLE_ICMP}, IPV4_HEADER);
	header[2] = (uint8_t)(total >> 8);
	header[3] = (uint8_t)total;
	memcpy(header + 12, source, 4);
	memcpy(header + 16, &packet->tuple.source, 4);
	checksum = checksum_finish(checksum_add(0, header, IPV4_HEADER));
	memcpy(header + 10, &checksum, sizeof(checksum));
}

static void write_ipv6(uint8_t *header, const struct packet *packet, size_t total, const struct address *source)
{
	memcpy(header, (const uint8_t[8]){0x60, 0, 0, 0, 0, 0, TUPLE_ICMPV6, 64}, 8);
	header[4] = (uint8_t)((total - IPV6_HEADER) >> 8);
	header[5] = (uint8_t)(total - IPV6_HEADER);
	memcpy(header + 8, source, sizeof(*source));
	memcpy(header + 24, &packet->tuple.source, sizeof(packet->tuple.source));
}

static bool is_group(const struct address *address, uint8_t family)
{
	return family == TUPLE_IPV6 ? address->bytes[0] == 0xff : address->bytes[0] >= 224;
}

/* Whether the link brought it to several receivers, all of whom might answer (a group address of IEEE 802). */
static bool was_sent_to_many(const struct packet *packet, const uint8_t *data)
{
	return packet->network != data && (data[0] & 1);
}

/* Bytes of the answer without its link header: as much as there is room for. 0 if that is too little to be of use. */
static size_t answer_length(const struct packet *packet, size_t room)
{
	bool ipv6 = packet->tuple.family == TUPLE_IPV6;
	size_t most = ipv6 ? ICMP_ANSWER_IPV6 : ICMP_ANSWER_IPV4;
	size_t headers = (ipv6 ? IPV6_HEADER : IPV4_HEADER) + ICMP_HEADER;
	/* At least the IP header, its extensions, and what every transport header begins with (RFC 792). */
	size_t least = headers + (size_t)(packet->transport - packet->network) + ICMP_HEADER;
	size_t total = headers + packet->network_length;

	if (least > total)
		least = total;
	if (most > room)
		most = room;
	if (total > most)
		total = most;
	return total < least ? 0 : total;
}

/**
 * icmp_may_refuse() - Whether a packet may be answered by an error at all
 * @packet:	What packet_parse() found in @data
 * @data:	Where the packet begins, link header and all
 * @room:	How many bytes may be written there
 *
 * RFC 1122, 3.2.2, and RFC 4443, 2.4 e: not if it is such an error itself, a later piece, sent to many, or by nobody.
 *
 * Return: true if an answer would reach one single sender, would not be one of many, and fits
 */
bool icmp_may_refuse(const struct packet *packet, const uint8_t *data, size_t room)
{
	static const struct address unspecified = {{0}};
	const struct tuple *tuple = &packet->tuple;

	return !icmp_is_error(packet) && packet->kind != PACKET_FRAGMENT && !was_sent_to_many(packet, data) &&
	       !is_group(&tuple->source, tuple->family) && !is_group(&tuple->destination, tuple->family) &&
	       !address_equal(&tuple->source, &unspecified) &&
	       answer_length(packet, room - (size_t)(packet->network - data)) > 0;
}

/**
 * icmp_refuse() - Write "port unreachable" in the place of a packet
 * @packet:	What packet_parse() found in @data; icmp_may_refuse() it
 * @data:	Where the packet begins, link header and all
 * @room:	How many bytes may be written there
 * @source:	Who says so: an address of this node
 *
 * It quotes as much of the packet as there is room for, up to what the RFCs allow. A link header is turned around.
 *
 * Return: bytes of the answer
 */
size_t icmp_refuse(const struct packet *packet, uint8_t *data, size_t room, const struct address *source)
{
	bool ipv6 = packet->tuple.family == TUPLE_IPV6;
	size_t link = (size_t)(packet->network - data);
	size_t headers = (ipv6 ? IPV6_HEADER : IPV4_HEADER) + ICMP_HEADER;
	size_t total = answer_length(packet, room - link);
	uint8_t *network = data + link, *message = network + headers - ICMP_HEADER;

	memmove(network + headers, network, total - headers);
	memset(message, 0, ICMP_HEADER);
	message[0] = ipv6 ? ICMPV6_UNREACHABLE : ICMP_UNREACHABLE;
	message[1] = ipv6 ? ICMPV6_PORT_UNREACHABLE : ICMP_PORT_UNREACHABLE;
	if (ipv6)
		write_ipv6(network, packet, total, source);
	else
		write_ipv4(network, packet, total, source);
	write_checksum(packet->tuple.family, network, message, (uint32_t)(total - headers + ICMP_HEADER));
	if (link > 0) {
		uint8_t destination[6];

		memcpy(destination, data, sizeof(destination));
		memcpy(data, data + sizeof(destination), sizeof(destination));
		memcpy(data + sizeof(destination), destination, sizeof(destination));
	}
	return link + total;
}
