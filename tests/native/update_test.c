/* SPDX-License-Identifier: Apache-2.0 */
/* update_test.c - images that must be refused, and what tables put an end to */
#include "small_table.h"

#include <stdio.h>
#include <stdlib.h>

static int failures;

static void expect(bool truth, const char *what)
{
	if (truth)
		return;
	(void)fprintf(stderr, "failed: %s\n", what);
	failures++;
}

/* Loads a table whose only frontend rejects everybody, and says of its verdicts that they have this pool. */
static enum image_error load(struct engine *engine, uint32_t pool)
{
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};
	struct service_frontend frontend = {
		.address = {{10, 0, 0, 1}},
		.port = htons(80),
		.protocol = TUPLE_TCP,
		.family = TUPLE_IPV4,
		.sources_first = SERVICE_ANYBODY,
	};
	const struct image image = {
		.counts = {.frontends = 1},
		.whole = 1,
		.frontends = &frontend,
		.pod_interfaces = nowhere,
	};

	for (unsigned int client = 0; client < SERVICE_CLIENTS; client++)
		frontend.verdicts[client] = (struct service_verdict){.pool = pool, .action = SERVICE_REJECT};
	return engine_load(engine, &image);
}

/* An IPv4 address is followed by zeros, wherever it is in an image: what follows would be compared and summed up. */
static void refuse_long_addresses(struct engine *engine)
{
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};
	static const struct address right = {{10, 0, 0, 1}}, wrong = {{10, 0, 0, 1, [15] = 1}};

	for (unsigned int which = 0; which <= 8; which++) {
		struct service_backend backend = {.address = which == 0 ? wrong : right, .port = htons(80),
						  .family = TUPLE_IPV4, .weight = 1};
		const struct service_pool pool = {.count = 1, .owner = 1};
		const struct service_endpoint endpoint = {.address = which == 1 ? wrong : right};
		const struct service_range ranges[] = {
			{which == 2 ? wrong : right, right}, {right, which == 3 ? wrong : right},
			{which == 4 ? wrong : right, right}, {right, which == 5 ? wrong : right},
		};
		const struct service_address address = {which == 6 ? wrong : right, TUPLE_IPV4, SERVICE_HOST, 0};
		struct service_frontend frontend = {
			.address = which == 7 ? wrong : right, .port = htons(80), .protocol = TUPLE_TCP,
			.family = TUPLE_IPV4, .sources_count = 2, .serving_count = 1,
		};
		struct image image = {
			.counts = {1, 0, 1, 1, 1, 4, 1}, .whole = 1, .frontends = &frontend, .pools = &pool,
			.backends = &backend, .endpoints = &endpoint, .ranges = ranges, .addresses = &address,
			.pod_interfaces = nowhere,
		};

		image.families[0].cidrs_first = 2;
		image.families[0].cidrs_count = 2;
		image.families[0].egress = right;
		expect((engine_load(engine, &image) == IMAGE_OK) == (which == 8), "all addresses are of a family");
	}
}

/* Clients whose backend is gone are forgotten so many at once as one asks for, and meanwhile get another. */
static void settle_in_steps(void)
{
	struct engine *engine = small_engine(4);
	const struct service_backend *backend;
	struct image nothing = {.whole = 1};
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};

	if (!engine || small_table_load(engine, SERVICE_RANDOM) != IMAGE_OK)
		abort();
	engine_swap(engine);
	expect(small_table_load(engine, SERVICE_RANDOM) == IMAGE_OK, "the other table follows");
	backend = &engine_table(engine)->backends[0];
	for (uint8_t i = 1; i <= 4; i++) {
		struct affinity_entry *entry = affinity_add(&engine->affinities, 1, &(struct address){{i}}, 0);

		entry->member = backend->member;
	}
	nothing.pod_interfaces = nowhere;
	expect(engine_load(engine, &nothing) == IMAGE_OK, "an empty table is taken");
	engine_swap(engine);
	expect(engine->affinities.used == 4, "putting a table in force looks at no client");
	expect(!engine_settle(engine, 3) && engine->affinities.used == 1, "three entries were looked at");
	expect(engine_settle(engine, 3) && engine->affinities.used == 0, "the rest follows");
	expect(engine->affinities.counters.settled == 4, "all are counted");
	engine_destroy(engine);
}

int main(void)
{
	struct engine *engine = small_engine(4);

	if (!engine)
		return EXIT_FAILURE;
	expect(load(engine, 0) == IMAGE_OK, "a frontend without a pool is taken");
	/* What is fetched ahead of a packet does not ask whether the verdict forwards. */
	expect(load(engine, UINT32_MAX) == IMAGE_BAD_FRONTEND, "a pool that is nowhere is refused, used or not");
	refuse_long_addresses(engine);
	settle_in_steps();
	engine_destroy(engine);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
