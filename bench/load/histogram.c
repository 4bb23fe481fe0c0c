/* SPDX-License-Identifier: Apache-2.0 */
/* histogram.c - durations, from a nanosecond to an hour, each known to one part in 64 */
#include "histogram.h"

#include <stdio.h>

/**
 * DOC: Theory of operation
 *
 * As in HdrHistogram (Tene): the slots are as wide as a 64th of the power of two that they lie above, so a duration of
 * 10 us is known to 0.2 us and one of 10 ms to 0.2 ms, in 19 kB of memory and with no sorting. Durations below 64 ns
 * have slots of their own; those of more than an hour are put into the last.
 */

static unsigned int histogram_slot(uint64_t nanoseconds)
{
	if (nanoseconds < HISTOGRAM_STEPS)
		return (unsigned int)nanoseconds;

	unsigned int power = 63 - (unsigned int)__builtin_clzll(nanoseconds); /* at least 6 */
	unsigned int step = (unsigned int)(nanoseconds >> (power - 6)) - HISTOGRAM_STEPS;
	unsigned int slot = (power - 5) * HISTOGRAM_STEPS + step;

	return slot < HISTOGRAM_SLOTS ? slot : HISTOGRAM_SLOTS - 1;
}

/* The middle of a slot, in nanoseconds. */
static double histogram_value(unsigned int slot)
{
	unsigned int power = slot / HISTOGRAM_STEPS, step = slot % HISTOGRAM_STEPS;

	if (power == 0)
		return step;
	return ((double)(HISTOGRAM_STEPS + step) + 0.5) * (double)(UINT64_C(1) << (power - 1));
}

/**
 * histogram_add() - Add a duration
 * @histogram:	Where to
 * @nanoseconds:	How long it was
 */
void histogram_add(struct histogram *histogram, uint64_t nanoseconds)
{
	histogram->count++;
	histogram->slots[histogram_slot(nanoseconds)]++;
	if (nanoseconds > histogram->largest)
		histogram->largest = nanoseconds;
}

/**
 * histogram_at() - A quantile
 * @histogram:	The durations
 * @part:	0.5 for the median, 0.99 for the 99th percentile
 *
 * Return: nanoseconds, right to one part in 64; 0 if there are no durations
 */
double histogram_at(const struct histogram *histogram, double part)
{
	double wanted = part * (double)histogram->count;
	uint64_t seen = 0;

	for (unsigned int slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
		seen += histogram->slots[slot];
		if (histogram->slots[slot] && (double)seen >= wanted)
			return histogram_value(slot);
	}
	return 0;
}

/**
 * histogram_print() - Print a histogram as a member of a JSON object
 * @histogram:	The durations
 * @name:	The member's name
 *
 * The value has quantiles in microseconds, and all slots that are not empty, so that histograms of several runs can be
 * added up.
 */
void histogram_print(const struct histogram *histogram, const char *name)
{
	const char *between = "";

	printf("\"%s\": {\"count\": %llu, \"p50_us\": %.3f, \"p95_us\": %.3f, \"p99_us\": %.3f, \"max_us\": %.3f, \"slots\": [",
	       name, (unsigned long long)histogram->count, histogram_at(histogram, 0.5) / 1000,
	       histogram_at(histogram, 0.95) / 1000, histogram_at(histogram, 0.99) / 1000,
	       (double)histogram->largest / 1000);
	for (unsigned int slot = 0; slot < HISTOGRAM_SLOTS; slot++) {
		if (histogram->slots[slot]) {
			printf("%s[%.0f, %llu]", between, histogram_value(slot),
			       (unsigned long long)histogram->slots[slot]);
			between = ", ";
		}
	}
	printf("]}");
}
