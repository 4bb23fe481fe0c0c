/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_stream.c - bulk data over TCP, from one or more connections */
#define _GNU_SOURCE /* for ioctl; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "load.h"

#define CHUNK 262144
#define MOST 64 /* connections */

/* What was written and has been acknowledged: what the kernel still holds has not arrived. */
static uint64_t acknowledged(int connection, uint64_t written)
{
	int held = 0;

	if (ioctl(connection, SIOCOUTQ, &held) != 0)
		load_fail("SIOCOUTQ");
	return written - (uint64_t)held;
}

int main(int count, char **words)
{
	static const char chunk[CHUNK];
	const char *destination = NULL;
	uint64_t port = 5001, streams = 1, milliseconds = 1000, written[MOST] = {0}, bytes = 0;
	struct pollfd connections[MOST];
	const struct load_option options[] = {
		{.name = "--destination", .text = &destination},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{.name = "--streams", .number = &streams, .least = 1, .most = MOST},
		{.name = "--milliseconds", .number = &milliseconds, .least = 1, .most = 3600000},
		{0},
	};

	load_options(count, words, options);
	load_end_on_signals();

	struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	there.sin_addr.s_addr = htonl(load_address(destination));
	for (uint64_t i = 0; i < streams; i++) {
		connections[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .events = POLLOUT};
		if (connections[i].fd < 0)
			load_fail("socket");
		if (connect(connections[i].fd, (struct sockaddr *)&there, sizeof(there)) != 0)
			load_fail("connect");
	}

	uint64_t begin = load_now(), end = begin + milliseconds * 1000000, processor = load_processor_time();

	while (load_now() < end && !load_ended()) {
		if (poll(connections, streams, 100) < 0 && errno != EINTR)
			load_fail("poll");
		for (uint64_t i = 0; i < streams; i++) {
			if (!connections[i].revents)
				continue;

			ssize_t sent = send(connections[i].fd, chunk, CHUNK, MSG_DONTWAIT | MSG_NOSIGNAL);

			if (sent > 0)
				written[i] += (uint64_t)sent;
			else if (errno != EAGAIN)
				load_fail("send");
		}
	}

	double seconds = (double)(load_now() - begin) / (double)NANOSECONDS;
	double busy = (double)(load_processor_time() - processor) / (double)NANOSECONDS;

	for (uint64_t i = 0; i < streams; i++)
		bytes += acknowledged(connections[i].fd, written[i]);
	printf("{\"bytes\": %llu, \"seconds\": %.6f, \"gigabits\": %.4f, \"busy\": %.4f, \"ceiling\": %.4f}\n",
	       (unsigned long long)bytes, seconds, (double)bytes * 8 / seconds / 1e9, busy / seconds,
	       busy > 0 ? (double)bytes * 8 / busy / 1e9 : 0);
	return 0;
}
