/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - any image of a table: it is refused, or can be used */
#include "fuzz.h"
#include "small_table.h"

#define COUNT 3
#define FRAME 60

/* The input's bytes as arrays of structures, one after the other; zero where it has no more. */
struct input {
	struct service_limits counts;
	struct service_family families[2];
	struct service_frontend frontends[COUNT];
	struct service_pool pools[COUNT];
	struct service_backend backends[COUNT];
	struct service_endpoint endpoints[COUNT];
	struct service_range ranges[COUNT];
	struct service_address addresses[COUNT];
	uint8_t packet[FRAME];
};

static uint32_t bounded(uint32_t count)
{
	return count % (COUNT + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};
	static struct input input;
	struct engine *engine = small_engine(4);
	struct service_image image = {.pod_interfaces = nowhere};

	fuzz_expect(engine != NULL);
	memset(&input, 0, sizeof(input));
	memcpy(&input, data, size < sizeof(input) ? size : sizeof(input));
	image.counts = input.counts;
	/* How long the arrays are is the caller's word; what is in them is not. */
	image.counts.frontends = bounded(input.counts.frontends);
	image.counts.pools = bounded(input.counts.pools);
	image.counts.backends = bounded(input.counts.backends);
	image.counts.endpoints = bounded(input.counts.endpoints);
	image.counts.ranges = bounded(input.counts.ranges);
	image.counts.addresses = bounded(input.counts.addresses);
	/* One weight of two is out of range. */
	for (unsigned int i = 0; i < COUNT; i++)
		input.backends[i].weight = input.backends[i].weight % (2 * SERVICE_WEIGHT_MOST) + 1;
	image.frontends = input.frontends;
	image.pools = input.pools;
	image.backends = input.backends;
	image.endpoints = input.endpoints;
	image.ranges = input.ranges;
	image.addresses = input.addresses;
	memcpy(image.families, input.families, sizeof(image.families));
	if (engine_load(engine, &image) == SERVICE_OK) {
		struct engine_packet packet = {.length = FRAME};

		engine_swap(engine);
		engine_settle(engine);
		engine_run(engine, input.packet, FRAME, &packet, 1, PACKET_LINK_IP, 1);
	}
	engine_destroy(engine);
	return 0;
}
