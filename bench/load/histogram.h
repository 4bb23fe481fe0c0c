/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.h - durations, from a nanosecond to an hour, each known to one part in 64 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS 64 /* from one power of two to the next */
#define HISTOGRAM_SLOTS (37 * HISTOGRAM_STEPS)

/**
 * struct histogram - How often each duration was seen
 * @count:	How many durations there are
 * @largest:	The longest, exactly
 * @slots:	How many are of about the same length: see histogram_slot() in histogram.c
 */
struct histogram {
	uint64_t count;
	uint64_t largest;
	uint64_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);
double histogram_at(const struct histogram *histogram, double part);
void histogram_print(const struct histogram *histogram, const char *name);

#endif
