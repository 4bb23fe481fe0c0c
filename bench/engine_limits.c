/* SPDX-License-Identifier: Apache-2.0 */
/* engine_limits.c - what no engine can be faster than, on this machine: to be measured in the same run */
#include "packet.h"

#include <string.h>
#include <time.h>

double limits_parse(uint8_t *memory, uint32_t stride, uint32_t count, uint32_t rounds);
double limits_memory(uint8_t *memory, uint64_t size, uint32_t count);

static double now(void)
{
	struct timespec time;

	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* The empty pipeline: read the headers of every packet and copy the first 64 bytes. Nanoseconds for each packet. */
double limits_parse(uint8_t *memory, uint32_t stride, uint32_t count, uint32_t rounds)
{
	static uint8_t copy[64];
	struct packet packet;
	double begin = now();

	for (uint32_t round = 0; round < rounds; round++) {
		for (uint32_t i = 0; i < count; i++) {
			packet_parse(&packet, memory + (size_t)i * stride, stride, PACKET_LINK_ETHERNET);
			memcpy(copy, packet.network, sizeof(copy) - 14);
			__asm__ volatile("" : : "r"(copy), "r"(&packet) : "memory");
		}
	}
	return (now() - begin) / ((double)count * rounds);
}

/* One cache line after the other, at random, each known only when the one before has come. Nanoseconds for each. */
double limits_memory(uint8_t *memory, uint64_t size, uint32_t count)
{
	uint64_t lines = size / 64, at = 1;
	double begin = now();

	for (uint32_t i = 0; i < count; i++) {
		uint64_t word;

		memcpy(&word, memory + at % lines * 64, sizeof(word));
		at = (at + word) * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		at ^= at >> 31;
	}
	__asm__ volatile("" : : "r"(at));
	return (now() - begin) / count;
}
