/* SPDX-License-Identifier: Apache-2.0 */
/* udp_sink.c - counts the UDP packets that arrive, and looks at some of them */
#define _GNU_SOURCE /* for sockets' memory figures; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

/**
 * DOC: Theory of operation
 *
 * To read every packet costs more than to deliver it, and then the sink would be what is measured. So the kernel counts:
 * a filter on the socket takes one packet of 1,024 at random and drops the others, which the socket counts
 * (SK_MEMINFO_DROPS). What the filter sees has passed everything that a packet to an application passes: address,
 * port and checksum are right, else the kernel would have dropped it before, and counted elsewhere.
 *
 * Those that are taken are looked at: their payload must be what the sender writes.
 */

#define SAMPLE 1024 /* one packet of so many is looked at */
#define MOST_PAYLOAD 2048

static void count_in_kernel(int on)
{
	/* return random % SAMPLE == 0 ? everything : nothing */
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SAMPLE - 1),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog filter = {.len = sizeof(program) / sizeof(program[0]), .filter = program};

	if (setsockopt(on, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) != 0)
		load_fail("SO_ATTACH_FILTER");
}

static uint32_t counted_in_kernel(int on)
{
	uint32_t figures[SK_MEMINFO_VARS];
	socklen_t length = sizeof(figures);

	if (getsockopt(on, SOL_SOCKET, SO_MEMINFO, figures, &length) != 0)
		load_fail("SO_MEMINFO");
	return figures[SK_MEMINFO_DROPS];
}

static int is_as_sent(const uint8_t *payload, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (payload[i] != 'x')
			return 0;
	}
	return length > 0;
}

int main(int count, char **words)
{
	const char *address = "0.0.0.0";
	uint64_t port = 8080, looked_at = 0, damaged = 0;
	const struct load_option options[] = {
		{.name = "--address", .text = &address},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{0},
	};

	load_options(count, words, options);

	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	here.sin_addr.s_addr = htonl(load_address(address));
	if (from < 0)
		load_fail("socket");
	count_in_kernel(from);
	if (bind(from, (struct sockaddr *)&here, sizeof(here)) != 0)
		load_fail("bind");
	load_end_on_signals();
	printf("ready\n");
	(void)fflush(stdout);

	/* A line on the standard input asks for the figures so far; its end, or a signal, for the last ones. */
	struct pollfd both[] = {{.fd = from, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	bool more = true;

	while (more) {
		uint8_t payload[MOST_PAYLOAD];
		char line[16];
		ssize_t length = 0;

		if (poll(both, 2, -1) < 0 && errno != EINTR)
			load_fail("poll");
		more = !load_ended();
		while ((length = recv(from, payload, sizeof(payload), MSG_DONTWAIT)) >= 0) {
			looked_at++;
			damaged += !is_as_sent(payload, (size_t)length);
		}
		if (more && !both[1].revents)
			continue;
		if (more && read(STDIN_FILENO, line, sizeof(line)) <= 0)
			more = false;
		printf("{\"delivered\": %llu, \"looked_at\": %llu, \"damaged\": %llu}\n",
		       (unsigned long long)counted_in_kernel(from) + looked_at, (unsigned long long)looked_at,
		       (unsigned long long)damaged);
		(void)fflush(stdout);
	}
	return 0;
}
