/* SPDX-License-Identifier: Apache-2.0 */
/* frame.h - frames that are written whole to the driver */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct ethernet {
	uint8_t destination[6];
	uint8_t source[6];
	uint16_t type;
} __attribute__((packed));

struct ipv4 {
	uint8_t version_and_length;
	uint8_t service_class;
	uint16_t length;
	uint16_t identification;
	uint16_t fragment;
	uint8_t lifetime;
	uint8_t protocol;
	uint16_t checksum;
	uint32_t source;
	uint32_t destination;
} __attribute__((packed));

uint64_t frame_sum(const void *data, size_t length);
uint16_t frame_finish(uint64_t sum);
int frame_open(const char *name, uint8_t own_address[6]);
uint64_t frame_send(int to, struct mmsghdr *messages, unsigned int count);

#endif
