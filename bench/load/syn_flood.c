/* SPDX-License-Identifier: Apache-2.0 */
/* syn_flood.c - beginnings of TCP connections from everywhere, none of which goes on */
#define _GNU_SOURCE /* for sendmmsg; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "frame.h"
#include "load.h"

/**
 * DOC: Theory of operation
 *
 * As an attacker does it (RFC 4987): each SYN has a source of its own, an address of 198.18.0.0/15 (RFC 2544, 26: set
 * apart for measuring) and a port, both from a generator that repeats itself with the same --seed. Nobody is there who
 * could answer the backend with a reset, so what is known of the beginning stays until it is too old. Destinations
 * come one after the other. How frames are sent and when they are due: see udp_send.c.
 */

#define BATCH 64
#define SOURCES 0xc6120000U /* 198.18.0.0 */
#define SOURCE_BITS 17	    /* of /15 */

struct tcp {
	uint16_t source;
	uint16_t destination;
	uint32_t sequence;
	uint32_t acknowledged;
	uint8_t length; /* in words, in the upper half */
	uint8_t flags;
	uint16_t window;
	uint16_t checksum;
	uint16_t urgent;
} __attribute__((packed));

struct frame {
	struct ethernet ethernet;
	struct ipv4 ip;
	struct tcp tcp;
} __attribute__((packed));

struct flood {
	struct frame frames[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	uint64_t chance;
	uint64_t services;
	uint64_t next;
	uint32_t destination;
	uint16_t port;
};

static void prepare(struct flood *flood, const struct ethernet *ethernet)
{
	const struct frame frame = {
		.ethernet = *ethernet,
		.ip =
			{
				.version_and_length = 0x45,
				.length = htons(sizeof(struct ipv4) + sizeof(struct tcp)),
				.fragment = htons(0x4000), /* don't */
				.lifetime = 64,
				.protocol = IPPROTO_TCP,
			},
		.tcp = {
			.destination = htons(flood->port),
			.length = sizeof(struct tcp) / 4 << 4,
			.flags = 0x02, /* SYN */
			.window = htons(65535),
		},
	};

	for (int i = 0; i < BATCH; i++) {
		flood->frames[i] = frame;
		flood->parts[i] = (struct iovec){&flood->frames[i], sizeof(frame)};
		flood->messages[i].msg_hdr = (struct msghdr){.msg_iov = &flood->parts[i], .msg_iovlen = 1};
	}
}

/* Marsaglia's xorshift64: no number comes twice before all have come. */
static uint64_t draw(struct flood *flood)
{
	flood->chance ^= flood->chance << 13;
	flood->chance ^= flood->chance >> 7;
	flood->chance ^= flood->chance << 17;
	return flood->chance;
}

static void address(struct flood *flood, struct frame *frame)
{
	uint64_t number = draw(flood);

	frame->ip.source = htonl(SOURCES | (uint32_t)(number & ((1U << SOURCE_BITS) - 1)));
	frame->ip.destination = htonl(flood->destination + (uint32_t)(flood->next++ % flood->services));
	frame->ip.checksum = 0;
	frame->ip.checksum = frame_finish(frame_sum(&frame->ip, sizeof(frame->ip)));
	frame->tcp.source = htons((uint16_t)(1024 | number >> SOURCE_BITS));
	frame->tcp.sequence = (uint32_t)(number >> 32);
	frame->tcp.checksum = 0;
	frame->tcp.checksum = frame_finish(frame_sum(&frame->ip.source, 2 * sizeof(frame->ip.source)) + IPPROTO_TCP +
					   sizeof(frame->tcp) + frame_sum(&frame->tcp, sizeof(frame->tcp)));
}

int main(int count, char **words)
{
	static struct flood flood = {.services = 1, .chance = 1};
	const char *interface = NULL, *gateway = NULL, *destination = NULL;
	uint64_t port = 80, rate = 10000, milliseconds = 1000, offered = 0, taken = 0;
	const struct load_option options[] = {
		{.name = "--interface", .text = &interface},
		{.name = "--gateway", .text = &gateway},
		{.name = "--destination", .text = &destination}, /* the first of --services in a row */
		{.name = "--services", .number = &flood.services, .least = 1, .most = 1000000},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{.name = "--rate", .number = &rate, .least = 1, .most = 100000000},
		{.name = "--seed", .number = &flood.chance, .least = 1, .most = UINT64_MAX},
		{.name = "--milliseconds", .number = &milliseconds, .least = 1, .most = 3600000},
		{0},
	};
	struct ethernet ethernet = {.type = htons(ETHERTYPE_IP)};

	load_options(count, words, options);
	load_end_on_signals();

	int to = frame_open(interface, ethernet.source);

	if (!ether_aton_r(gateway, (struct ether_addr *)ethernet.destination))
		load_refuse("--gateway", gateway, "a hardware address");
	flood.destination = load_address(destination);
	flood.port = (uint16_t)port;
	prepare(&flood, &ethernet);

	uint64_t begin = load_now(), end = begin + milliseconds * 1000000, now = begin;

	while (now < end && !load_ended()) {
		uint64_t due = (now - begin) / 1000 * rate / 1000000;

		if (due <= offered) {
			load_sleep_until(begin + (offered + 1) * NANOSECONDS / rate);
		} else {
			unsigned int burst = due - offered < BATCH ? (unsigned int)(due - offered) : BATCH;

			for (unsigned int i = 0; i < burst; i++)
				address(&flood, &flood.frames[i]);
			taken += frame_send(to, flood.messages, burst);
			offered += burst;
		}
		now = load_now();
	}
	printf("{\"offered\": %llu, \"taken\": %llu, \"seconds\": %.6f}\n", (unsigned long long)offered,
	       (unsigned long long)taken, (double)(load_now() - begin) / (double)NANOSECONDS);
	return 0;
}
