/* SPDX-License-Identifier: Apache-2.0 */
/* engine_test.c - packets with random damage through a small engine, to be run under the sanitizers */
#include "small_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES 32768 /* together more than a million packets */
#define BATCH	32
#define LONGEST 128
#define ROOM	(LONGEST + 48)
#define FLOWS	40

static int failures;

static void expect(bool truth, const char *what)
{
	if (truth)
		return;
	failures++;
	(void)fprintf(stderr, "not true: %s\n", what);
}

static uint32_t next_random(uint32_t limit)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % limit;
}

/* An ICMP error about a packet that this node has sent to a backend, perhaps. Its checksum is zero, so often wrong. */
static void quote(uint8_t *data, uint8_t *header)
{
	uint8_t quoted[28] = {
		[0] = 0x45, [3] = 40, [8] = 64, [9] = TUPLE_UDP, [12] = 10, [15] = 254, [16] = 10, [17] = 1,
		[19] = (uint8_t)(1 + next_random(2)), [21] = (uint8_t)next_random(8), [22] = 0x1f, [23] = 0x90,
	};

	header[19] = 254;
	header[20] = 3;
	data[20] = 3;
	memcpy(data + 28, quoted, sizeof(quoted));
}

/* A packet to or from the Service, mostly whole. */
static uint32_t make_packet(uint8_t *data)
{
	static const uint8_t protocols[] = {TUPLE_TCP, TUPLE_UDP, TUPLE_SCTP, TUPLE_ICMP};
	static const uint8_t flags[] = {
		PACKET_SYN, PACKET_ACK, PACKET_SYN | PACKET_ACK, PACKET_FIN | PACKET_ACK, PACKET_RST,
	};
	uint32_t length = 60 + next_random(LONGEST - 60);
	uint8_t header[40] = {
		[0] = 0x45, [3] = (uint8_t)length, [8] = 64, [9] = protocols[next_random(4)],
		[12] = 10, [15] = (uint8_t)next_random(8), [16] = 10, [19] = 1,
		[21] = (uint8_t)next_random(8), [23] = 80, [25] = (uint8_t)(length - 20), [32] = 0x50,
		[33] = flags[next_random(5)],
	};

	if (header[9] == TUPLE_SCTP)
		header[32] = 1; /* INIT */
	memset(data, 0, length);
	if (next_random(8) == 0) {
		header[5] = (uint8_t)next_random(4);
		header[6] = (uint8_t)(next_random(2) << 5); /* more fragments */
		header[7] = (uint8_t)next_random(2);
	}
	if (header[9] == TUPLE_ICMP)
		quote(data, header);
	memcpy(data, header, header[9] == TUPLE_ICMP ? 20 : sizeof(header));
	for (uint32_t damage = next_random(3); damage > 0; damage--)
		data[next_random(next_random(2) ? length : 40)] = (uint8_t)next_random(256);
	if (next_random(8) == 0)
		length = next_random(length + 1);
	return length;
}

static void run(struct engine *engine, uint64_t now)
{
	struct engine_packet packets[BATCH] = {0};
	uint32_t size = 0;
	uint32_t lengths[BATCH];
	uint8_t scratch[BATCH * ROOM] = {0};

	for (unsigned int i = 0; i < BATCH; i++) {
		lengths[i] = make_packet(scratch + size);
		packets[i].offset = size;
		packets[i].length = lengths[i];
		packets[i].interface = (uint16_t)next_random(UINT16_MAX + 1);
		packets[i].room = next_random(2) ? ROOM : lengths[i];
		packets[i].flags = next_random(4) ? 0 : ENGINE_UNFINISHED;
		size += packets[i].room;
	}
	/* Memory that ends where the last packet may end: the sanitizer sees one byte more. */
	uint8_t *memory = malloc(size);

	if (!memory)
		abort();
	memcpy(memory, scratch, size);
	/* A packet that says it is where nothing is. */
	packets[next_random(BATCH)].offset = UINT32_MAX - next_random(100);
	engine_run(engine, memory, size, packets, BATCH, next_random(16) ? PACKET_LINK_IP : PACKET_LINK_ETHERNET, now);
	while (next_random(8) && engine_release(engine, scratch, 1 + next_random(sizeof(scratch)), packets))
		expect(packets[0].length <= sizeof(scratch), "a piece fits");
	free(memory);
}

/* One argument: how many batches, if not BATCHES. */
int main(int count, char **arguments)
{
	uint64_t batches = count > 1 ? strtoull(arguments[1], NULL, 10) : BATCHES;
	struct engine *engine = small_engine(FLOWS);

	if (!engine)
		return EXIT_FAILURE;
	for (uint64_t i = 0; i < batches; i++) {
		if (i % 100 == 0) {
			expect(small_table_load(engine, i / 100 % SERVICE_PICKS) == IMAGE_OK, "the table is taken");
			engine_swap(engine);
			(void)engine_settle(engine, UINT32_MAX);
		}
		run(engine, i);
		expect(engine->flows.used <= FLOWS, "flows are bounded");
	}

	const struct engine_counters *counters = &engine->counters;
	uint64_t drops = 0;

	for (unsigned int i = DECISION_NOT_DROPPED + 1; i < DECISION_REASONS; i++)
		drops += counters->reasons[i];
	expect(counters->packets == batches * BATCH, "all packets are counted");
	expect(counters->outcomes[DECISION_FORWARD] + counters->outcomes[DECISION_REJECT] +
			       counters->outcomes[DECISION_PASS] + counters->outcomes[DECISION_HOLD] + drops ==
		       counters->packets,
	       "in is out and drops");
	expect(counters->outcomes[DECISION_FORWARD] > counters->packets / 20, "some packets are forwarded");
	expect(counters->answers > 0, "some senders are told");
	expect(engine->flows.counters.evicted > 0, "the flow table was full at times");
	expect(engine->flows.counters.expired > 0, "flows have expired");
	expect(engine->affinities.counters.refused > 0, "the affinity table was full at times");
	const struct held_counters *held = &engine->held.counters;

	expect(held->kept == counters->outcomes[DECISION_HOLD], "pieces that wait are counted");
	expect(held->kept == held->released + held->abandoned + engine->held.used, "no piece is lost");
	expect(held->released > 0 && held->abandoned > 0 && held->refused > 0, "pieces wait, and not too many");
	engine_destroy(engine);
	return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
