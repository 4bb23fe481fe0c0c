/* SPDX-License-Identifier: Apache-2.0 */
/* udp_send.c - UDP packets, as many as it can or at a given rate */
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
 * The sender must not be what limits a measurement. So no packet of it passes the network stack of its own machine:
 * whole frames go to the driver (PACKET_QDISC_BYPASS), 64 with one system call. That also makes flows free: a flow is
 * a source port and a destination, and each frame may belong to another one.
 *
 * Frames are copied by the kernel. A ring that is shared with it (PACKET_TX_RING) would save this, but a virtual
 * cable takes ownership of a packet before it has arrived, so the kernel would call a frame free that is still on
 * its way, and what is written to it next would change the packet that travels.
 *
 * Checksums are complete, as from the wire. All that differs between two frames is 16 bits of the source port and 32
 * bits of the destination, so the sum of the rest is taken once.
 *
 * With --rate, frames are due at moments that are counted from the start, not from the frame before: who is late
 * catches up, and the rate is right on the average. It sleeps between bursts, so what is left of its processor is
 * not its own doing.
 */

#define BATCH 64
#define HEADERS (sizeof(struct ethernet) + sizeof(struct ipv4) + sizeof(struct udp))
#define MOST_PAYLOAD 1472
#define FIRST_PORT 10000 /* of the flows' source ports */
#define MOST_FLOWS 50000

struct udp {
	uint16_t source;
	uint16_t destination;
	uint16_t length;
	uint16_t checksum;
} __attribute__((packed));

struct frame {
	struct ethernet ethernet;
	struct ipv4 ip;
	struct udp udp;
	uint8_t payload[MOST_PAYLOAD];
} __attribute__((packed));

/* All frames of a burst, and what they have in common. */
struct sender {
	struct frame frames[BATCH];
	struct iovec parts[BATCH];
	struct mmsghdr messages[BATCH];
	uint64_t ip_sum;
	uint64_t udp_sum;
	uint64_t flows;
	uint64_t services;
	uint64_t next; /* number of the next frame, from 0 */
	uint32_t destination;
};

/* Fill in what all frames have in common. */
static void prepare(struct sender *sender, const struct ethernet *ethernet, uint32_t source, uint16_t port,
		    size_t payload)
{
	uint16_t udp_length = (uint16_t)(sizeof(struct udp) + payload);
	struct frame frame = {
		.ethernet = *ethernet,
		.ip =
			{
				.version_and_length = 0x45,
				.length = htons((uint16_t)(sizeof(struct ipv4) + udp_length)),
				.fragment = htons(0x4000), /* don't */
				.lifetime = 64,
				.protocol = IPPROTO_UDP,
				.source = htonl(source),
			},
		.udp = {.destination = htons(port), .length = htons(udp_length)},
	};

	memset(frame.payload, 'x', payload);
	sender->ip_sum = frame_sum(&frame.ip, sizeof(frame.ip));
	sender->udp_sum = frame_sum(&frame.ip.source, sizeof(frame.ip.source)) + IPPROTO_UDP + udp_length +
			  frame_sum(&frame.udp, udp_length);
	for (int i = 0; i < BATCH; i++) {
		sender->frames[i] = frame;
		sender->parts[i] = (struct iovec){&sender->frames[i], HEADERS + payload};
		sender->messages[i].msg_hdr = (struct msghdr){.msg_iov = &sender->parts[i], .msg_iovlen = 1};
	}
}

/* Make a frame the next one: flow by flow, and each flow stays with one destination. */
static void address(struct sender *sender, struct frame *frame)
{
	uint64_t flow = sender->next++ % sender->flows;
	uint32_t destination = sender->destination + (uint32_t)(flow % sender->services);
	uint16_t port = (uint16_t)(FIRST_PORT + flow / sender->services);
	uint64_t changed = (destination >> 16) + (destination & 0xffff);
	uint16_t checksum = frame_finish(sender->udp_sum + changed + port);

	frame->ip.destination = htonl(destination);
	frame->ip.checksum = frame_finish(sender->ip_sum + changed);
	frame->udp.source = htons(port);
	frame->udp.checksum = checksum ? checksum : 0xffff; /* RFC 768: 0 would say that there is none */
}

int main(int count, char **words)
{
	static struct sender sender = {.flows = 1, .services = 1};
	const char *interface = NULL, *gateway = NULL, *source = NULL, *destination = NULL;
	uint64_t port = 80, payload = 18, rate = 0, milliseconds = 1000;
	const struct load_option options[] = {
		{.name = "--interface", .text = &interface},
		{.name = "--gateway", .text = &gateway}, /* hardware address of the next hop */
		{.name = "--source", .text = &source},
		{.name = "--destination", .text = &destination}, /* the first of --services in a row */
		{.name = "--services", .number = &sender.services, .least = 1, .most = 1000000},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{.name = "--flows", .number = &sender.flows, .least = 1, .most = UINT32_MAX},
		{.name = "--payload", .number = &payload, .least = 1, .most = MOST_PAYLOAD},
		{.name = "--rate", .number = &rate, .least = 0, .most = 100000000}, /* per second; 0: all it can */
		{.name = "--milliseconds", .number = &milliseconds, .least = 1, .most = 3600000},
		{0},
	};
	struct ethernet ethernet = {.type = htons(ETHERTYPE_IP)};

	load_options(count, words, options);
	load_end_on_signals();
	if (sender.flows > sender.services * MOST_FLOWS)
		load_refuse("--flows", NULL, "at most 50,000 for each destination");

	int to = frame_open(interface, ethernet.source);

	if (!ether_aton_r(gateway, (struct ether_addr *)ethernet.destination))
		load_refuse("--gateway", gateway, "a hardware address");
	sender.destination = load_address(destination);
	prepare(&sender, &ethernet, load_address(source), (uint16_t)port, payload);

	uint64_t begin = load_now(), end = begin + milliseconds * 1000000, now = begin;
	uint64_t processor = load_processor_time(), offered = 0, taken = 0;

	while (now < end && !load_ended()) {
		unsigned int burst = BATCH;

		if (rate) {
			uint64_t due = (now - begin) / 1000 * rate / 1000000;

			if (due <= offered) {
				load_sleep_until(begin + (offered + 1) * NANOSECONDS / rate);
				now = load_now();
				continue;
			}
			if (due - offered < BATCH)
				burst = (unsigned int)(due - offered);
		}
		for (unsigned int i = 0; i < burst; i++)
			address(&sender, &sender.frames[i]);
		taken += frame_send(to, sender.messages, burst);
		offered += burst;
		now = load_now();
	}

	double seconds = (double)(load_now() - begin) / (double)NANOSECONDS;
	double busy = (double)(load_processor_time() - processor) / (double)NANOSECONDS;

	/* The ceiling: what it could have offered with a processor to itself and nothing to wait for. */
	printf("{\"offered\": %llu, \"taken\": %llu, \"seconds\": %.6f, \"busy\": %.4f, \"ceiling\": %.0f}\n",
	       (unsigned long long)offered, (unsigned long long)taken, seconds, busy / seconds,
	       busy > 0 ? (double)offered / busy : 0);
	return 0;
}
