/* SPDX-License-Identifier: Apache-2.0 */
/* small_table.h - a small engine and a table for it, for tests and fuzzers */
#ifndef SMALL_TABLE_H
#define SMALL_TABLE_H

#include <arpa/inet.h>

#include "engine.h"

/* An engine with room for little, whose flows expire soon. */
static inline struct engine *small_engine(uint32_t flows)
{
	const struct engine_config config = {
		.limits = {4, 4, 4, 4, 4, 4, 4, 4, 1},
		.flows = flows,
		.affinities = 4,
		.timeouts = {{100, 200, 100, 500, 50}},
		.answers = {{50, 10, 10}, {6, 10, 1}},
		.held = 4,
	};

	return engine_create(&config);
}

/* One frontend for each protocol at 10.0.0.1 port 80, all masqueraded, with two backends each of which remembers. */
static inline enum image_error small_table_load(struct engine *engine, enum service_pick pick)
{
	static const uint8_t protocols[] = {TUPLE_TCP, TUPLE_UDP, TUPLE_SCTP};
	struct service_frontend frontends[3];
	const struct service_backend backends[2] = {
		{.address = {{10, 1, 0, 1}}, .port = htons(8080), .family = TUPLE_IPV4, .local = 1, .weight = 3},
		{.address = {{10, 1, 0, 2}}, .port = htons(80), .family = TUPLE_IPV4, .weight = 1},
	};
	const struct service_pool pool = {.count = 2, .owner = 1, .affinity = 1, .seconds = 1, .pick = pick};
	const struct service_address address = {{{10, 0, 0, 1}}, TUPLE_IPV4, SERVICE_CLUSTER_IP, 0};
	struct image image = {
		.counts = {.frontends = 3, .pools = 1, .backends = 2, .addresses = 1},
		.whole = 1,
		.frontends = frontends,
		.pools = &pool,
		.backends = backends,
		.addresses = &address,
	};
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};

	image.pod_interfaces = nowhere;
	image.families[0].egress = (struct address){{10, 0, 0, 254}};
	image.families[0].can_masquerade = 1;
	for (unsigned int i = 0; i < 3; i++) {
		frontends[i] = (struct service_frontend){
			.address = {{10, 0, 0, 1}},
			.port = htons(80),
			.protocol = protocols[i],
			.family = TUPLE_IPV4,
			.sources_first = SERVICE_ANYBODY,
			.ends_flows = protocols[i] == TUPLE_UDP,
		};
		for (unsigned int client = 0; client < SERVICE_CLIENTS; client++)
			frontends[i].verdicts[client].masquerade = 1;
	}
	return engine_load(engine, &image);
}

#endif
