/* SPDX-License-Identifier: Apache-2.0 */
/* offload.c - checksums that a host leaves to its network card */
#include "offload.h"

#include <arpa/inet.h>
#include <string.h>

#include "checksum.h"
#include "crc32c.h"

/**
 * DOC: Theory of operation
 *
 * A host whose network card can make checksums does not make them itself. What it writes in the checksum's place is
 * the sum over the pseudo-header (addresses, protocol, length), not complemented; the card adds the rest of the
 * packet and writes the complement. Packets that never meet a card, because they go from one pod to another on the same
 * host, stay like that for good, and so does a segment of up to 65,535 bytes that the card is to cut into pieces. Linux
 * calls this CHECKSUM_PARTIAL (include/linux/skbuff.h), virtio "needs csum"; such packets come out of packet sockets,
 * queues and tunnels.
 *
 * Whoever received such a packet must say so (engine_packet.flags); the packet itself shows it nearly always, see
 * offload_seems_unfinished(). Translating then differs in two ways: the place holds a sum and not its complement, and
 * only addresses are in it, since the card will read the ports where they are (nat.c). The checksum of an IPv4 header is
 * always whole. SCTP has no pseudo-header: its place holds nothing of worth until the card has made the CRC.
 *
 * Whoever sends a packet on where nobody finishes it calls offload_finish(). A packet that is to be cut into segments is
 * left unfinished: each segment needs a checksum of its own.
 */

#define TCP_CHECKSUM	16
#define UDP_CHECKSUM	6
#define ICMPV6_CHECKSUM 2

/* Makes the checksum at a place that holds the sum over the pseudo-header, which thereby is added. */
static void finish(const struct packet *packet, size_t place)
{
	uint64_t sum = checksum_add(0, packet->transport, packet->transport_length);
	uint16_t checksum = packet->tuple.protocol == TUPLE_UDP ? checksum_finish_udp(sum) : checksum_finish(sum);

	memcpy(packet->transport + place, &checksum, sizeof(checksum));
}

/**
 * offload_seems_unfinished() - Whether a packet was sent without its checksum, as far as the packet shows
 * @packet:	What packet_parse() found
 *
 * For ports that are not told (AF_XDP). The answer is wrong if the checksum that was made happens to be the sum over the
 * pseudo-header, once in 65,535 packets: finishing such a packet writes the checksum that it has. A damaged packet is
 * taken for an unfinished one as rarely.
 *
 * Return: true if the checksum's place holds what a host writes there that leaves the rest to its card
 */
bool offload_seems_unfinished(const struct packet *packet)
{
	size_t place = packet->tuple.protocol == TUPLE_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
	uint64_t sum = htons(packet->tuple.protocol) + (uint64_t)htons((uint16_t)packet->transport_length);
	uint16_t written;

	if (packet->kind != PACKET_TRANSPORT || packet->is_piece)
		return false;
	if (packet->tuple.protocol == TUPLE_SCTP) {
		uint32_t crc;

		memcpy(&crc, packet->transport + CRC32C_SCTP, sizeof(crc));
		return crc == 0;
	}
	sum = checksum_add(sum, &packet->tuple.source, sizeof(packet->tuple.source));
	sum = checksum_add(sum, &packet->tuple.destination, sizeof(packet->tuple.destination));
	memcpy(&written, packet->transport + place, sizeof(written));
	return written == checksum_fold(sum);
}

/**
 * offload_finish() - Make the checksum that a packet was sent without
 * @data:	The packet
 * @length:	Its bytes
 * @link:	What the first byte belongs to
 *
 * To be called for packets whose checksum is unfinished, and for no others: it would be wrong afterwards.
 *
 * Return: false if there is nothing to finish: no transport that is known, or only a piece of it; nothing was written
 */
bool offload_finish(uint8_t *data, size_t length, enum packet_link link)
{
	struct packet packet;
	uint32_t crc;

	packet_parse(&packet, data, length, link);
	if (packet.is_piece || packet.kind < PACKET_PORTLESS)
		return false;
	switch (packet.tuple.protocol) {
	case TUPLE_TCP:
		finish(&packet, TCP_CHECKSUM);
		return true;
	case TUPLE_UDP:
		finish(&packet, UDP_CHECKSUM);
		return true;
	case TUPLE_ICMPV6:
		finish(&packet, ICMPV6_CHECKSUM);
		return true;
	case TUPLE_SCTP:
		crc = crc32c_sctp(packet.transport, packet.transport_length);
		memcpy(packet.transport + CRC32C_SCTP, &crc, sizeof(crc));
		return true;
	default:
		return false;
	}
}
