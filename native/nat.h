/* SPDX-License-Identifier: Apache-2.0 */
/* nat.h - writing the translation into a packet, and choosing what it is */
#ifndef SVCPLANE_NAT_H
#define SVCPLANE_NAT_H

#include <stdbool.h>
#include <stdint.h>

#include "flow.h"
#include "packet.h"
#include "random.h"

/* Source ports that are tried at random before a flow is refused; Linux tries 128 too (NF_NAT_MAX_ATTEMPTS). */
#define NAT_PORT_ATTEMPTS 128

/* Source ports below are not given out, and kept only by clients below themselves. */
#define NAT_PORT_FIRST 1024

bool nat_choose_port(struct flow_table *flows, struct flow *flow, const struct hash_key *key, struct random *random,
		     uint64_t now);
void nat_prepare(struct flow *flow);
bool nat_can_rewrite(const struct packet *packet, const struct flow *flow, unsigned int direction);
void nat_rewrite(struct packet *packet, const struct flow *flow, unsigned int direction);
void nat_rewrite_quoted(struct packet *quoted, const struct flow *flow, unsigned int direction);
void nat_rewrite_addresses(struct packet *packet, const struct address *source, const struct address *destination);

#endif
