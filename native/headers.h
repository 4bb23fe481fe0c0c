/* SPDX-License-Identifier: Apache-2.0 */
/* headers.h - how long headers are, and what is where in them */
#ifndef SVCPLANE_HEADERS_H
#define SVCPLANE_HEADERS_H

#include <stdint.h>

#define ETHERNET_HEADER	 14
#define ETHERNET_TYPE	 12 /* where the type is */
#define ETHERNET_IPV4	 0x0800
#define ETHERNET_IPV6	 0x86dd
#define ETHERNET_VLAN	 0x8100 /* IEEE 802.1Q */
#define ETHERNET_VLAN_AD 0x88a8 /* IEEE 802.1ad */
#define VLAN_TAG	 4

#define IPV4_HEADER	     20
#define IPV4_TOTAL_LENGTH    2
#define IPV4_FRAGMENT	     6
#define IPV4_FRAGMENT_MASK   0x3fff /* more fragments, and the offset (RFC 791, 3.1) */
#define IPV4_OFFSET_MASK     0x1fff
#define IPV4_IDENTIFICATION  4
#define IPV4_PROTOCOL	     9
#define IPV4_CHECKSUM	     10
#define IPV4_SOURCE	     12
#define IPV4_DESTINATION     16

#define IPV6_HEADER	     40
#define IPV6_PAYLOAD_LENGTH  4
#define IPV6_NEXT_HEADER     6
#define IPV6_SOURCE	     8
#define IPV6_DESTINATION     24

/* Extension headers (RFC 8200, 4). */
#define IPV6_HOP_BY_HOP	     0
#define IPV6_ROUTING	     43
#define IPV6_FRAGMENT	     44
#define IPV6_DESTINATION_OPTIONS 60
#define IPV6_FRAGMENT_HEADER 8
#define IPV6_FRAGMENT_OFFSET 2
#define IPV6_FRAGMENT_MASK   0xfff9 /* the offset, and more fragments */
#define IPV6_OFFSET_MASK     0xfff8
#define IPV6_IDENTIFICATION  4

#define TCP_HEADER    20
#define TCP_OFFSET    12
#define TCP_FLAGS     13
#define TCP_CHECKSUM  16
#define UDP_HEADER    8
#define UDP_LENGTH    4
#define UDP_CHECKSUM  6
#define SCTP_HEADER   12
#define SCTP_CHUNK    4
#define ICMP_HEADER   8

/* A number of 16 bits as it lies in a packet. */
static inline uint16_t read16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

#endif
