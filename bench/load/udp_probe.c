/* SPDX-License-Identifier: Apache-2.0 */
/* udp_probe.c - asks a Service who answers, until it is the one that is waited for */
#define _GNU_SOURCE /* for clocks; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

#define PATIENCE 5000 /* microseconds; an answer on the same machine takes a hundredth of that */

/* One question, as a flow of its own: the kernel would send a flow that it knows where it sent it before. */
static int who_answers(const struct sockaddr_in *there)
{
	struct timeval patience = {.tv_usec = PATIENCE};
	int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t answer = 0;
	int who = -1;

	if (descriptor < 0)
		load_fail("socket");
	if (setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
		load_fail("SO_RCVTIMEO");
	if (connect(descriptor, (const struct sockaddr *)there, sizeof(*there)) == 0 &&
	    send(descriptor, "?", 1, 0) == 1 && recv(descriptor, &answer, 1, 0) == 1)
		who = answer;
	else if (errno != EAGAIN)
		(void)usleep(PATIENCE); /* refused: there is nobody yet */
	(void)close(descriptor);
	return who;
}

/*
 * Each line of the standard input is a number: ask until the backend of that name answers, then say for how many
 * nanoseconds it was asked for; or "late", if that was longer than --timeout.
 */
int main(int count, char **words)
{
	const char *destination = NULL;
	uint64_t port = 80, timeout = 60000;
	const struct load_option options[] = {
		{.name = "--destination", .text = &destination},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{.name = "--timeout", .number = &timeout, .least = 1, .most = 3600000}, /* milliseconds */
		{0},
	};
	struct sockaddr_in there = {.sin_family = AF_INET};
	char line[16];

	load_options(count, words, options);
	there.sin_port = htons((uint16_t)port);
	there.sin_addr.s_addr = htonl(load_address(destination));
	load_end_on_signals();
	while (!load_ended() && fgets(line, sizeof(line), stdin)) {
		long wanted = strtol(line, NULL, 10);
		uint64_t began = load_now(), waited = 0;
		bool found = false;

		while (!load_ended() && !found && waited < timeout * 1000000) {
			found = who_answers(&there) == wanted;
			waited = load_now() - began;
		}
		if (found)
			printf("%llu\n", (unsigned long long)waited);
		else
			printf("late\n");
		(void)fflush(stdout);
	}
	return 0;
}
