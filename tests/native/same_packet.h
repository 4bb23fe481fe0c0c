/* SPDX-License-Identifier: Apache-2.0 */
/* same_packet.h - whether two readings of a packet say the same */
#ifndef SAME_PACKET_H
#define SAME_PACKET_H

#include <string.h>

#include "plain.h"

static inline bool same_packet(const struct packet *one, const struct packet *other)
{
	return one->kind == other->kind && one->network == other->network && one->transport == other->transport &&
	       one->network_length == other->network_length && one->transport_length == other->transport_length &&
	       memcmp(&one->tuple, &other->tuple, sizeof(one->tuple)) == 0 && one->signals == other->signals &&
	       one->opens == other->opens && one->is_piece == other->is_piece &&
	       (!one->is_piece || one->identification == other->identification) &&
	       one->is_unfinished == other->is_unfinished;
}

/* What plain_parse() finds, if it does, packet_parse() finds too; and it leaves nothing as it was in memory. */
static inline bool plain_is_right(uint8_t *data, size_t length, enum packet_link link, bool *is_plain)
{
	struct packet plain, any;

	memset(&plain, 0xff, sizeof(plain));
	*is_plain = plain_parse(&plain, data, length, link);
	packet_parse(&any, data, length, link);
	return !*is_plain || same_packet(&plain, &any);
}

#endif
