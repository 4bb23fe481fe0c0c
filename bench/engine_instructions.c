/* SPDX-License-Identifier: Apache-2.0 */
/* engine_instructions.c - has callgrind count what the engine executes for one batch, and nothing else */
#include "engine.h"

#include <valgrind/callgrind.h>

typedef void run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		 enum packet_link link, uint64_t now);

int instructions_are_counted(void);
void instructions_of_run(run *engine_run, struct engine *engine, uint8_t *memory, size_t size,
			 struct engine_packet *packets, size_t count, uint32_t link, uint64_t now, const char *name);

int instructions_are_counted(void)
{
	return RUNNING_ON_VALGRIND != 0;
}

/* @engine_run is that of the Python module. What it executes is written to a file of its own, under @name. */
void instructions_of_run(run *engine_run, struct engine *engine, uint8_t *memory, size_t size,
			 struct engine_packet *packets, size_t count, uint32_t link, uint64_t now, const char *name)
{
	CALLGRIND_ZERO_STATS;
	engine_run(engine, memory, size, packets, count, (enum packet_link)link, now);
	CALLGRIND_DUMP_STATS_AT(name);
}
