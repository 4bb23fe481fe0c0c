/* SPDX-License-Identifier: Apache-2.0 */
/* engine_driver.c - batch after batch of packets for an engine, each timed; and what no engine can be faster than */
#include "engine.h"

#include <string.h>
#include <time.h>

/* Batches follow one another here as they do in a worker's loop. Between two of them there is nothing but what a network
 * card would do: copying packets to where the engine rewrites them. (With Python in between, caches hold Python.) */

typedef void run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		 enum packet_link link, uint64_t now);

/**
 * struct driver - What a scenario is driven with
 * @run:	engine_run(), or what is measured in its place
 * @engine:	For @run
 * @packets:	All packets of the scenario, @stride bytes apart
 * @memory:	Where those of a batch are copied to, as far apart
 * @batch:	Packets of a batch
 * @stride:	...
 * @length:	Bytes of a packet
 * @outcome:	What every packet must meet: enum decision_outcome
 * @elsewhere:	Memory that is written between two batches, so that the caches hold other things; 0 bytes for none
 * @else_bytes:	How much
 */
struct driver {
	run *run;
	struct engine *engine;
	const uint8_t *packets;
	uint8_t *memory;
	uint32_t batch;
	uint32_t stride;
	uint32_t length;
	uint32_t outcome;
	uint8_t *elsewhere;
	uint64_t else_bytes;
};

/* As much as any scenario needs. */
#define BATCH_MOST 256

uint32_t driver_run(const struct driver *driver, const uint32_t *order, uint32_t batches, double *nanoseconds);
void driver_empty(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		  enum packet_link link, uint64_t now);
double driver_memory(uint8_t *memory, uint64_t size, uint32_t count);

static double clock_now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Sends so many batches through: @order has the number of each packet, one batch after the other. Into @nanoseconds goes,
 * for each batch, how long a packet took. Returns how many packets met something else than they should. */
uint32_t driver_run(const struct driver *driver, const uint32_t *order, uint32_t batches, double *nanoseconds)
{
	static struct engine_packet packets[BATCH_MOST];
	uint32_t wrong = 0;

	for (uint32_t i = 0; i < batches; i++, order += driver->batch) {
		for (uint64_t at = 0; at < driver->else_bytes; at += ARENA_ALIGNMENT)
			driver->elsewhere[at]++;
		for (uint32_t p = 0; p < driver->batch; p++) {
			const uint32_t offset = p * driver->stride;

			memcpy(driver->memory + offset, driver->packets + (size_t)order[p] * driver->stride,
			       driver->stride);
			packets[p] = (struct engine_packet){
				.offset = offset, .length = driver->length, .room = driver->length, .interface = 1};
		}
		double begin = clock_now();

		driver->run(driver->engine, driver->memory, (size_t)driver->batch * driver->stride, packets,
			    driver->batch, PACKET_LINK_ETHERNET, 1000);
		nanoseconds[i] = (clock_now() - begin) / driver->batch;
		for (uint32_t p = 0; p < driver->batch; p++)
			wrong += packets[p].decision.outcome != driver->outcome;
	}
	return wrong;
}

/* The empty pipeline, in the place of engine_run(): reads the headers of every packet and copies the first 64 bytes. */
void driver_empty(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		  enum packet_link link, uint64_t now)
{
	static uint8_t copy[64];
	struct packet packet;

	(void)engine, (void)size, (void)now;
	for (size_t i = 0; i < count; i++) {
		uint8_t *data = memory + packets[i].offset;

		packet_parse(&packet, data, packets[i].length, link);
		memcpy(copy, data, sizeof(copy));
		__asm__ volatile("" : : "r"(copy), "r"(&packet) : "memory");
	}
}

/* One cache line after the other, at random, each known only when the one before has come. Nanoseconds for each. */
double driver_memory(uint8_t *memory, uint64_t size, uint32_t count)
{
	uint64_t lines = size / 64, at = 1;
	double begin = clock_now();

	for (uint32_t i = 0; i < count; i++) {
		uint64_t word;

		memcpy(&word, memory + at % lines * 64, sizeof(word));
		at = (at + word) * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		at ^= at >> 31;
	}
	__asm__ volatile("" : : "r"(at));
	return (clock_now() - begin) / count;
}
