/* SPDX-License-Identifier: Apache-2.0 */
/* nat.c - writing the translation into a packet, and choosing what it is */
#include "nat.h"

#include <arpa/inet.h>
#include <string.h>

#include "checksum.h"
#include "crc32c.h"
#include "rewrite.h"

/**
 * nat_choose_port() - Make the tuple of answers one that no other flow has
 * @flows:	The flows that are known
 * @flow:	The new one, with the hash of its second tuple; the destination port of that is set, and the hash with it
 * @key:	Secret of the flows' hashes
 * @random:	Where chance comes from
 * @now:	Milliseconds
 *
 * The client's own port is kept if that is possible (RFC 4787, REQ-3: no two flows share one). Else ports are
 * tried at random, so that nobody can foretell them (RFC 6056). A port below 1024 is kept or replaced by any.
 *
 * Return: false if no free port was found
 */
bool nat_choose_port(struct flow_table *flows, struct flow *flow, const struct hash_key *key, struct random *random,
		     uint64_t now)
{
	struct tuple *reply = &flow->tuples[TRACKING_REPLY];
	unsigned int direction;

	for (unsigned int attempt = 0; attempt < NAT_PORT_ATTEMPTS; attempt++) {
		if (!flow_find(flows, reply, flow->hash[TRACKING_REPLY], now, &direction))
			return true;
		reply->destination_port =
			htons((uint16_t)(NAT_PORT_FIRST + random_below(random, UINT16_MAX + 1 - NAT_PORT_FIRST)));
		flow->hash[TRACKING_REPLY] = tuple_hash(key, reply);
	}
	return false;
}

/* What other addresses do to a sum. */
static uint64_t addresses_change(const struct tuple *before, const struct address *source,
				 const struct address *destination)
{
	if (before->family == TUPLE_IPV4)
		return checksum_change32(address_ipv4(&before->source), address_ipv4(source)) +
		       checksum_change32(address_ipv4(&before->destination), address_ipv4(destination));
	return checksum_change128(before->source.bytes, source->bytes) +
	       checksum_change128(before->destination.bytes, destination->bytes);
}

/**
 * nat_prepare() - Compute the checksum deltas of a flow
 * @flow:	Its tuples are set; its deltas will be
 */
void nat_prepare(struct flow *flow)
{
	const struct tuple *before = &flow->tuples[TRACKING_ORIGINAL];
	const struct tuple after = tuple_reversed(&flow->tuples[TRACKING_REPLY]);
	uint64_t change = addresses_change(before, &after.source, &after.destination);

	flow->address_delta = checksum_fold(change);
	flow->transport_delta = checksum_fold(change + checksum_delta16(before->source_port, after.source_port) +
					      checksum_delta16(before->destination_port, after.destination_port));
}

/* What is there is the sum over the pseudo-header: the addresses are in it, the ports are not (offload.c). */
static void update_unfinished(const struct packet *packet, uint16_t delta)
{
	uint16_t sum;

	if (packet->tuple.protocol == TUPLE_SCTP)
		return;
	uint8_t *at = packet->transport + (packet->tuple.protocol == TUPLE_TCP ? TCP_CHECKSUM : UDP_CHECKSUM);

	memcpy(&sum, at, sizeof(sum));
	sum = checksum_delta_join(sum, delta);
	memcpy(at, &sum, sizeof(sum));
}

/* Makes the CRC of an SCTP packet anew, which covers its ports but no addresses. */
static void write_crc(const struct packet *packet)
{
	uint32_t crc = crc32c_sctp(packet->transport, packet->transport_length);

	memcpy(packet->transport + CRC32C_SCTP, &crc, sizeof(crc));
}

/**
 * nat_can_rewrite() - Whether a packet can be translated without hiding that it was damaged
 * @packet:	A packet of the flow
 * @flow:	The flow
 * @direction:	Which way the packet goes
 *
 * A checksum that is followed by its changes stays as wrong as it was. The CRC of SCTP cannot be followed: where ports
 * change it is made anew, over the whole packet, and would be right whatever happened to that on its way here.
 *
 * Return: false if it is SCTP whose ports change, and was damaged or comes in pieces
 */
bool nat_can_rewrite(const struct packet *packet, const struct flow *flow, unsigned int direction)
{
	const struct tuple *before = &flow->tuples[direction], *after = &flow->tuples[!direction];
	uint32_t crc;

	if (before->protocol != TUPLE_SCTP || (before->source_port == after->destination_port &&
					       before->destination_port == after->source_port))
		return true;
	memcpy(&crc, packet->transport + CRC32C_SCTP, sizeof(crc));
	return !packet->is_piece &&
	       (packet->is_unfinished || crc == crc32c_sctp(packet->transport, packet->transport_length));
}

/**
 * nat_rewrite() - Translate a packet
 * @packet:	A packet of the flow; nat_can_rewrite() it
 * @flow:	The flow
 * @direction:	Which way the packet goes
 *
 * Nothing but addresses, ports and checksums is written.
 */
void nat_rewrite(struct packet *packet, const struct flow *flow, unsigned int direction)
{
	const struct tuple *back = &flow->tuples[!direction];
	uint16_t delta = rewrite_delta(flow->address_delta, direction);

	if (rewrite_is_plain(packet)) {
		rewrite_plain(packet, flow, direction);
		return;
	}
	bool ports_change = back->destination_port != packet->tuple.source_port ||
			    back->source_port != packet->tuple.destination_port;

	rewrite_ports(packet->transport, back->destination_port, back->source_port);
	if (packet->is_unfinished)
		update_unfinished(packet, delta);
	else if (ports_change) /* and so it is SCTP */
		write_crc(packet);
	rewrite_addresses(packet, &back->destination, &back->source, delta);
}

/**
 * nat_rewrite_quoted() - Translate back the packet that an ICMP error quotes
 * @quoted:	The packet, or as much of it as is there
 * @flow:	Its flow
 * @direction:	Which way the error goes
 *
 * What was translated in the other direction becomes again what it was, so the same words change as in a packet that
 * goes with the error, and the same deltas hold. A checksum that is not quoted is not missed; that of SCTP would
 * need the whole packet, and is left.
 */
void nat_rewrite_quoted(struct packet *quoted, const struct flow *flow, unsigned int direction)
{
	const struct tuple *after = &flow->tuples[!direction];
	uint16_t transport_delta = rewrite_delta(flow->transport_delta, direction);

	rewrite_ports(quoted->transport, after->source_port, after->destination_port);
	if (after->protocol == TUPLE_TCP && quoted->transport_length >= TCP_CHECKSUM + sizeof(uint16_t))
		rewrite_checksum(quoted->transport + TCP_CHECKSUM, transport_delta);
	else if (after->protocol == TUPLE_UDP)
		rewrite_checksum_udp(quoted->transport + UDP_CHECKSUM, transport_delta);
	rewrite_addresses(quoted, &after->source, &after->destination, rewrite_delta(flow->address_delta, direction));
}

/**
 * nat_rewrite_addresses() - Give a packet other addresses
 * @packet:	The packet
 * @source:	Its new source
 * @destination:	Its new destination
 *
 * For what has no ports: ICMP errors (whose checksum is the caller's business) and later pieces of a packet.
 */
void nat_rewrite_addresses(struct packet *packet, const struct address *source, const struct address *destination)
{
	rewrite_addresses(packet, source, destination,
			checksum_fold(addresses_change(&packet->tuple, source, destination)));
}
