/* SPDX-License-Identifier: Apache-2.0 */
/* restore.c - any flows and clients as if they had been saved, and then packets */
#include "fuzz.h"
#include "restore.h"
#include "small_table.h"

#define PACKET 60

/* What is saved, and a packet that may belong to it. */
struct input {
	struct flow flow;
	struct affinity_entry client;
	uint64_t remaining;
	uint8_t packet[PACKET];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine *engine = small_engine(8);

	fuzz_expect(engine != NULL && small_table_load(engine, SERVICE_RANDOM) == IMAGE_OK);
	engine_swap(engine);
	for (; size >= sizeof(struct input); data += sizeof(struct input), size -= sizeof(struct input)) {
		struct engine_packet packet = {.length = PACKET};
		struct input input;
		/* One that has expired counts until a look for another runs into it and gives it back. */
		uint64_t before = engine->flows.used + engine->flows.counters.expired;

		memcpy(&input, data, sizeof(input));
		if (restore_flow(engine, &input.flow, input.remaining) == RESTORE_DONE)
			fuzz_expect(engine->flows.used + engine->flows.counters.expired == before + 1);
		(void)restore_client(engine, &input.client, input.remaining);
		engine_run(engine, input.packet, PACKET, &packet, 1, PACKET_LINK_IP, input.remaining % 1000);
		(void)engine_settle(engine, UINT32_MAX);
	}
	engine_destroy(engine);
	return 0;
}
