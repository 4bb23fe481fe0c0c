/* SPDX-License-Identifier: Apache-2.0 */
/* engine_instructions.c - has callgrind count what the engine executes for one batch, and nothing else */
#include "engine.h"

#include <valgrind/callgrind.h>

typedef void run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		 enum packet_link link, uint64_t now);

int instructions_are_counted(void);
void instructions_begin(run *engine_run, const char *name);
run instructions_run;

static run *counted;
static const char *scenario;

int instructions_are_counted(void)
{
	return RUNNING_ON_VALGRIND != 0;
}

/* From now on instructions_run() calls @engine_run, that of the Python module. What it executes is written to a file of its
 * own for each call, under @name, which must stay. */
void instructions_begin(run *engine_run, const char *name)
{
	counted = engine_run;
	scenario = name;
}

void instructions_run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		      enum packet_link link, uint64_t now)
{
	CALLGRIND_ZERO_STATS;
	counted(engine, memory, size, packets, count, link, now);
	CALLGRIND_DUMP_STATS_AT(scenario);
}
