/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack.c - any bytes as what the kernel tells of its flows, and a meter that believes them */
#include "conntrack.h"
#include "fuzz.h"
#include "meter.h"

/* So few that there is no room for most. */
static const struct meter_config small = {.flows = 4, .ways = 2, .key = {1, 2}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct meter *meter = meter_create(&small);
	uint8_t *copy = fuzz_copy(data, size);
	struct meter_way ways[4];
	struct conntrack_flow flow;
	size_t used;

	fuzz_expect(meter != NULL);
	meter_begin_list(meter, size & 1);
	for (size_t at = 0; at < size; at += used) {
		if (conntrack_read(copy + at, size - at, &used, &flow) == CONNTRACK_FLOW)
			meter_see(meter, &flow);
		fuzz_expect(used > 0 && used <= size - at);
		fuzz_expect(meter->known <= small.flows);
	}
	meter_end_list(meter);
	fuzz_expect(meter_take(meter, ways, 4) <= small.ways);
	fuzz_expect(meter_take(meter, ways, 4) == 0);
	/* A list in which nothing is: nothing is left, and all room is free again. */
	meter_begin_list(meter, false);
	meter_end_list(meter);
	(void)meter_take(meter, ways, 4);
	fuzz_expect(meter->known == 0);
	for (uint32_t way = 1; way < meter->fresh_way; way++)
		fuzz_expect(!meter->ways[way].used);
	meter_destroy(meter);
	free(copy);
	return 0;
}
