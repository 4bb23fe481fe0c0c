/* SPDX-License-Identifier: Apache-2.0 */
/* meter_test.c - the meter against simple sums, with flows that begin, end, and are told of or not */
#include "meter.h"

#include <stdio.h>
#include <string.h>

#define FLOWS 64
#define WAYS  8
#define STEPS 200000

/* What the kernel would know. */
static struct conntrack_flow kernel[FLOWS];
static bool alive[FLOWS];
static int failures;

static void expect(bool truth, const char *what, int step)
{
	if (truth)
		return;
	failures++;
	(void)fprintf(stderr, "step %d: %s\n", step, what);
}

static uint32_t next_random(uint32_t limit)
{
	static uint64_t state = 1;

	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % limit;
}

static void add(struct meter_traffic *sum, const struct meter_traffic *more)
{
	sum->connections += more->connections;
	for (unsigned int way = 0; way < CONNTRACK_DIRECTIONS; way++) {
		sum->packets[way] += more->packets[way];
		sum->bytes[way] += more->bytes[way];
	}
}

static struct meter_traffic taken(struct meter *meter)
{
	struct meter_way ways[WAYS];
	struct meter_traffic sum = meter_take_elsewhere(meter);
	uint32_t count;

	while ((count = meter_take(meter, ways, WAYS)) != 0)
		for (uint32_t i = 0; i < count; i++)
			add(&sum, &ways[i].traffic);
	return sum;
}

/* All flows, and what waits in the socket: nothing, as the ends are told at once here. */
static void list(struct meter *meter, bool learning)
{
	meter_begin_list(meter, learning);
	for (uint32_t i = 0; i < FLOWS; i++)
		if (alive[i])
			meter_see(meter, &kernel[i]);
	meter_end_list(meter);
}

static void begin(uint32_t i, uint32_t id)
{
	kernel[i] = (struct conntrack_flow){
		.way = {.destination = {10, 96, 0, (uint8_t)next_random(4)}, .protocol = 6, .family = 4},
		.client = {.source = {10, 244, 1, (uint8_t)i}, .id = id},
	};
	kernel[i].way.backend[0] = (uint8_t)(1 + next_random(4));
	alive[i] = true;
}

/* Nothing is counted twice and nothing is missed, as long as every end is told of. */
static void test_sums(uint32_t room_for_flows, uint32_t room_for_ways)
{
	const struct meter_config config = {.flows = room_for_flows, .ways = room_for_ways, .key = {3, 4}};
	struct meter *meter = meter_create(&config);
	struct meter_traffic sum = {0}, truth = {0};

	memset(alive, 0, sizeof(alive));
	for (int step = 0; step < STEPS; step++) {
		uint32_t i = next_random(FLOWS);

		if (!alive[i]) {
			begin(i, (uint32_t)step);
			truth.connections++;
		} else if (next_random(8) == 0) {
			kernel[i].ended = true;
			meter_see(meter, &kernel[i]);
			alive[i] = false;
		} else {
			unsigned int way = next_random(2);

			kernel[i].packets[way] += 1;
			kernel[i].bytes[way] += 100;
			truth.packets[way] += 1;
			truth.bytes[way] += 100;
		}
		if (next_random(100) == 0)
			list(meter, false);
		if (next_random(300) == 0) {
			struct meter_traffic now = taken(meter);

			add(&sum, &now);
			expect(sum.connections <= truth.connections, "more connections than there were", step);
			expect(sum.packets[0] <= truth.packets[0], "more packets than there were", step);
		}
		expect(meter->known <= room_for_flows, "more flows than there is room", step);
	}
	for (uint32_t i = 0; i < FLOWS; i++) {
		if (!alive[i])
			continue;
		kernel[i].ended = true;
		meter_see(meter, &kernel[i]);
	}
	struct meter_traffic rest = taken(meter);

	expect(sum.connections + rest.connections == truth.connections, "connections are missing", STEPS);
	for (unsigned int way = 0; way < CONNTRACK_DIRECTIONS; way++) {
		expect(sum.packets[way] + rest.packets[way] == truth.packets[way], "packets are missing", STEPS);
		expect(sum.bytes[way] + rest.bytes[way] == truth.bytes[way], "bytes are missing", STEPS);
	}
	expect(meter->known == 0, "flows are left", STEPS);
	meter_destroy(meter);
}

static void test_what_began_before_counts_from_now_on(void)
{
	const struct meter_config config = {.flows = FLOWS, .ways = WAYS, .key = {3, 4}};
	struct meter *meter = meter_create(&config);

	memset(alive, 0, sizeof(alive));
	begin(0, 1);
	kernel[0].packets[CONNTRACK_REQUEST] = 10;
	list(meter, true);
	kernel[0].packets[CONNTRACK_REQUEST] = 13;
	list(meter, false);
	struct meter_traffic sum = taken(meter);

	expect(sum.connections == 0, "an old connection is counted", 0);
	expect(sum.packets[CONNTRACK_REQUEST] == 3, "what came before is counted", 0);
	meter_destroy(meter);
}

static void test_a_flow_whose_end_was_lost_is_forgotten(void)
{
	const struct meter_config config = {.flows = FLOWS, .ways = WAYS, .key = {3, 4}};
	struct meter *meter = meter_create(&config);

	memset(alive, 0, sizeof(alive));
	begin(0, 1);
	list(meter, false);
	alive[0] = false;
	list(meter, false);
	expect(meter->known == 0, "it is still known", 0);
	(void)taken(meter);
	expect(meter->free_way != 0, "its way is still held", 0);
	meter_destroy(meter);
}

static void test_a_meter_that_is_too_large_is_not_made(void)
{
	const struct meter_config none = {.flows = 0, .ways = 1}, many = {.flows = 1, .ways = METER_MOST + 1};

	expect(!meter_create(&none), "for no flows", 0);
	expect(!meter_create(&many), "for too many ways", 0);
	meter_destroy(NULL);
}

int main(void)
{
	test_sums(FLOWS, 2 * WAYS * WAYS);
	test_sums(FLOWS, 3);
	test_sums(8, 3);
	test_what_began_before_counts_from_now_on();
	test_a_flow_whose_end_was_lost_is_forgotten();
	test_a_meter_that_is_too_large_is_not_made();
	return failures != 0;
}
