/* SPDX-License-Identifier: Apache-2.0 */
/* load.h - what all load generators share: time, processor time, and how they read options and end */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define NANOSECONDS UINT64_C(1000000000)

/**
 * struct load_option - One option of a program, always followed by a value
 * @name:	As in "--name"
 * @text:	Where the value is put, for an option that is text
 * @number:	Where the value is put, for an option that is a number
 * @least:	The smallest number that will do
 * @most:	The largest
 */
struct load_option {
	const char *name;
	const char **text;
	uint64_t *number;
	uint64_t least;
	uint64_t most;
};

void load_options(int count, char **words, const struct load_option *options);
uint64_t load_now(void);
uint64_t load_processor_time(void);
void load_sleep_until(uint64_t when);
void load_end_on_signals(void);
bool load_ended(void);
uint32_t load_address(const char *text);

_Noreturn void load_fail(const char *what);
_Noreturn void load_refuse(const char *option, const char *value, const char *expected);

#endif
