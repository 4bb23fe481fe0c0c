/* SPDX-License-Identifier: Apache-2.0 */
/* update_test.c - images that must be refused */
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
static enum service_error load(struct engine *engine, uint32_t pool)
{
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};
	struct service_frontend frontend = {
		.address = {{10, 0, 0, 1}},
		.port = htons(80),
		.protocol = TUPLE_TCP,
		.family = TUPLE_IPV4,
		.sources_first = SERVICE_ANYBODY,
	};
	const struct service_image image = {
		.counts = {.frontends = 1},
		.whole = 1,
		.frontends = &frontend,
		.pod_interfaces = nowhere,
	};

	for (unsigned int client = 0; client < SERVICE_CLIENTS; client++)
		frontend.verdicts[client] = (struct service_verdict){.pool = pool, .action = SERVICE_REJECT};
	return engine_load(engine, &image);
}

int main(void)
{
	struct engine *engine = small_engine(4);

	if (!engine)
		return EXIT_FAILURE;
	expect(load(engine, 0) == SERVICE_OK, "a frontend without a pool is taken");
	/* What is fetched ahead of a packet does not ask whether the verdict forwards. */
	expect(load(engine, UINT32_MAX) == SERVICE_BAD_FRONTEND, "a pool that is nowhere is refused, used or not");
	engine_destroy(engine);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
