/* SPDX-License-Identifier: Apache-2.0 */
/* icmp.h - errors about packets that were translated, and errors of our own */
#ifndef SVCPLANE_ICMP_H
#define SVCPLANE_ICMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow.h"
#include "packet.h"

/* Most bytes of an answer: RFC 1812 (4.3.2.3) for IPv4, RFC 4443 (2.4 c) for IPv6. */
#define ICMP_ANSWER_IPV4 576
#define ICMP_ANSWER_IPV6 1280

bool icmp_is_error(const struct packet *packet);
bool icmp_parse_error(const struct packet *packet, struct packet *quoted);
bool icmp_checksum_is_right(const struct packet *packet);
void icmp_translate(struct packet *packet, struct packet *quoted, const struct flow *flow, unsigned int direction);
bool icmp_may_refuse(const struct packet *packet, const uint8_t *data, size_t room);
size_t icmp_refuse(const struct packet *packet, uint8_t *data, size_t room, const struct address *source);

#endif
