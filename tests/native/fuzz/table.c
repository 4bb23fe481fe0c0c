/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - any images, one after the other: each is refused, or can be used */
#include "fuzz.h"
#include "small_table.h"

#define COUNT 3
#define FRAME 60

/* The input's bytes as images, each with a packet after it; zero where there are no more. */
struct input {
	struct image_counts counts;
	uint32_t whole;
	struct service_family families[2];
	struct service_frontend frontends[COUNT];
	struct image_key gone[COUNT];
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

static void load(struct engine *engine, const struct input *input)
{
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};
	uint32_t positions[COUNT];
	struct image image = {
		/* How long the arrays are is the caller's word; what is in them is not. */
		.counts = {
			.frontends = bounded(input->counts.frontends),
			.gone = bounded(input->counts.gone),
			.pools = bounded(input->counts.pools),
			.backends = bounded(input->counts.backends),
			.endpoints = bounded(input->counts.endpoints),
			.ranges = bounded(input->counts.ranges),
			.addresses = bounded(input->counts.addresses),
		},
		.whole = input->whole & 1,
		.frontends = input->frontends,
		.gone = input->gone,
		.pools = input->pools,
		.backends = input->backends,
		.endpoints = input->endpoints,
		.ranges = input->ranges,
		.addresses = input->addresses,
		.pod_interfaces = nowhere,
		.positions = positions,
	};

	memcpy(image.families, input->families, sizeof(image.families));
	if (engine_load(engine, &image) != IMAGE_OK) {
		/* What was half changed is empty, and so must be what comes to stand beside it. */
		image = (struct image){.whole = 1, .pod_interfaces = nowhere};
		fuzz_expect(engine_load(engine, &image) == IMAGE_OK);
	}
	engine_swap(engine);
	fuzz_expect(engine_catch_up(engine, &image) == IMAGE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t nowhere[SERVICE_INTERFACES] = {0};
	const struct image nothing = {.whole = 1, .pod_interfaces = nowhere};
	struct engine *engine = small_engine(4);

	fuzz_expect(engine != NULL);
	for (size_t at = 0; at < size; at += sizeof(struct input)) {
		static struct input input;
		struct engine_packet packet = {.length = FRAME};

		memset(&input, 0, sizeof(input));
		memcpy(&input, data + at, size - at < sizeof(input) ? size - at : sizeof(input));
		/* One weight of two is out of range. */
		for (unsigned int i = 0; i < COUNT; i++)
			input.backends[i].weight = input.backends[i].weight % (2 * SERVICE_WEIGHT_MOST) + 1;
		load(engine, &input);
		engine_run(engine, input.packet, FRAME, &packet, 1, PACKET_LINK_IP, 1);
		(void)engine_settle(engine, UINT32_MAX);
	}
	/* Whatever was taken is given back. */
	fuzz_expect(engine_load(engine, &nothing) == IMAGE_OK);
	engine_swap(engine);
	fuzz_expect(engine_catch_up(engine, &nothing) == IMAGE_OK);
	fuzz_expect(engine->names.tallies.held == 0 && engine->names.members.held == 0 && engine->names.turns.held == 0);
	engine_destroy(engine);
	return 0;
}
