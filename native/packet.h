/* SPDX-License-Identifier: Apache-2.0 */
/* packet.h - where the headers of a packet are, and what they say */
#ifndef SVCPLANE_PACKET_H
#define SVCPLANE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tuple.h"

/* Tags of 802.1Q and 802.1ad that may follow one another. */
#define PACKET_VLAN_TAGS 2

/* IPv6 extension headers that may follow one another; RFC 8200 section 4.1 lists six that make sense at once. */
#define PACKET_EXTENSION_HEADERS 6

/* What a packet says about its connection: the TCP flags (RFC 9293, 3.1), into which SCTP is translated. */
#define PACKET_FIN 0x01
#define PACKET_SYN 0x02
#define PACKET_RST 0x04
#define PACKET_ACK 0x10
#define PACKET_SIGNALS (PACKET_FIN | PACKET_SYN | PACKET_RST | PACKET_ACK)

/**
 * enum packet_link - What the first byte of a packet belongs to
 * @PACKET_LINK_IP:		An IPv4 or IPv6 header
 * @PACKET_LINK_ETHERNET:	An Ethernet header
 */
enum packet_link {
	PACKET_LINK_IP,
	PACKET_LINK_ETHERNET,
};

/**
 * enum packet_kind - What a packet is, as far as an engine cares
 * @PACKET_FOREIGN:	Neither IPv4 nor IPv6
 * @PACKET_MALFORMED:	Its headers contradict its length or one another: no host would take it
 * @PACKET_TOO_DEEP:	More extension headers than PACKET_EXTENSION_HEADERS
 * @PACKET_FRAGMENT:	A piece of a packet, and not the first: there are no ports in it
 * @PACKET_PORTLESS:	Of a protocol without ports (ICMP and all others), complete or the first piece
 * @PACKET_TRANSPORT:	TCP, UDP or SCTP, complete or the first piece
 */
enum packet_kind {
	PACKET_FOREIGN,
	PACKET_MALFORMED,
	PACKET_TOO_DEEP,
	PACKET_FRAGMENT,
	PACKET_PORTLESS,
	PACKET_TRANSPORT,
};

/**
 * struct packet - A view of a packet in somebody else's memory
 * @network:		Its IP header
 * @transport:		What follows the IP header and its extensions
 * @network_length:	Bytes from @network to the end of the IP packet; padding of the link is not in it
 * @transport_length:	Bytes from @transport to the end of the IP packet
 * @tuple:		Addresses, ports and protocol; ports are 0 unless @kind is PACKET_TRANSPORT
 * @kind:		What it is; the members above are set as far as that goes
 * @signals:		Bits PACKET_FIN and so on, for TCP and SCTP; 0 for UDP
 * @opens:		May begin a flow: TCP SYN, SCTP INIT, any UDP
 * @is_piece:		It is a fragment, the first or another
 * @is_unfinished:	The checksum of its transport is left to a network card (offload.h). Not read from the packet,
 *			which does not say: false until the caller sets it
 * @identification:	What all fragments of a packet have in common, as it is on the wire; only if @is_piece
 */
struct packet {
	uint8_t *network;
	uint8_t *transport;
	uint32_t network_length;
	uint32_t transport_length;
	struct tuple tuple;
	enum packet_kind kind;
	uint8_t signals;
	bool opens;
	bool is_piece;
	bool is_unfinished;
	uint32_t identification;
};

void packet_parse(struct packet *packet, uint8_t *data, size_t length, enum packet_link link);
void packet_parse_quoted(struct packet *packet, uint8_t *data, size_t length);

#endif
