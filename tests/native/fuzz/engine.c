/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - packets of any bytes through an engine, one batch after the other */
#include "fuzz.h"
#include "small_table.h"

#define MOST_PACKETS 64

/* Each packet is preceded by its length and by the time that has passed; after an odd time its checksum is unfinished. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct engine *engine = small_engine(8);
	struct engine_packet packets[MOST_PACKETS] = {0};
	uint8_t *copy = fuzz_copy(data, size);
	uint8_t released[UINT8_MAX];
	struct engine_packet piece;
	uint64_t now = 0, drops = 0;
	size_t count = 0;

	fuzz_expect(engine != NULL && small_table_load(engine, SERVICE_RANDOM) == IMAGE_OK);
	engine_swap(engine);
	for (size_t at = 0; at + 2 <= size && count < MOST_PACKETS; count++) {
		packets[count].offset = (uint32_t)at + 2;
		packets[count].length = data[at];
		packets[count].room = data[at];
		packets[count].flags = data[at + 1] % 2 ? ENGINE_UNFINISHED : 0;
		now += data[at + 1];
		at += 2 + (size_t)data[at];
	}
	engine_run(engine, copy, size, packets, count / 2, PACKET_LINK_IP, 0);
	while (engine_release(engine, released, sizeof(released), &piece))
		fuzz_expect(piece.decision.outcome == DECISION_FORWARD || piece.decision.outcome == DECISION_PASS);
	engine_run(engine, copy, size, packets + count / 2, count - count / 2, PACKET_LINK_IP, now);
	while (engine_release(engine, released, sizeof(released), &piece))
		fuzz_expect(piece.length <= sizeof(released));

	const struct engine_counters *counters = &engine->counters;

	for (unsigned int i = DECISION_NOT_DROPPED + 1; i < DECISION_REASONS; i++)
		drops += counters->reasons[i];
	fuzz_expect(counters->packets == count && counters->outcomes[DECISION_DROP] == drops);
	fuzz_expect(counters->outcomes[DECISION_FORWARD] + counters->outcomes[DECISION_REJECT] +
			    counters->outcomes[DECISION_PASS] + counters->outcomes[DECISION_HOLD] + drops ==
		    count);

	const struct held_counters *held = &engine->held.counters;

	fuzz_expect(held->kept == counters->outcomes[DECISION_HOLD]);
	fuzz_expect(held->kept == held->released + held->abandoned + engine->held.used);
	engine_destroy(engine);
	free(copy);
	return 0;
}
