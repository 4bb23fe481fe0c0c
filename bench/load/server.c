/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - a backend: answers who it is, over TCP and UDP, and takes in streams */
#define _GNU_SOURCE /* for accept4; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"

/**
 * DOC: Theory of operation
 *
 * One thread, one epoll. What a descriptor is for stands beside it in the event: a listener hands on its kind to the
 * connections that it accepts. Every byte that arrives at an ASK connection is a request, and the answer is one byte:
 * the name of this backend. What arrives at a STREAM connection is thrown away by the kernel, uncopied (MSG_TRUNC).
 * A datagram goes back as it came, but for its first byte, which becomes the name.
 */

#define EVENTS 256
#define LARGEST (1 << 20) /* of what is thrown away at once */
#define BUFFER (8 << 20) /* bytes of what waits to be received */

enum kind { ASK_LISTENER, ASK, STREAM_LISTENER, STREAM, DATAGRAM };

static void watch(int poll, int descriptor, enum kind kind)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | (uint32_t)descriptor};

	if (epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event) != 0)
		load_fail("epoll_ctl");
}

static int listen_at(uint16_t port, int type)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)};
	int descriptor = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, buffer = BUFFER;

	if (descriptor < 0)
		load_fail("socket");
	if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		load_fail("SO_REUSEADDR");
	/* A backend that is kept waiting for its processor loses nothing because of that. */
	if (type == SOCK_DGRAM)
		(void)setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer));
	if (bind(descriptor, (struct sockaddr *)&here, sizeof(here)) != 0)
		load_fail("bind");
	if (type == SOCK_STREAM && listen(descriptor, 4096) != 0)
		load_fail("listen");
	return descriptor;
}

static void accept_all(int poll, int listener, enum kind kind)
{
	int on = 1, accepted = -1;

	while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		(void)setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		watch(poll, accepted, kind);
	}
	if (errno == EMFILE)
		warnx("more connections than descriptors");
}

/* Answer each byte with one of ours. Returns false when the connection is over. */
static bool answer(int connection, uint8_t name)
{
	uint8_t requests[256];
	ssize_t length = recv(connection, requests, sizeof(requests), 0);

	if (length <= 0)
		return length < 0 && errno == EAGAIN;
	memset(requests, name, (size_t)length);
	return send(connection, requests, (size_t)length, MSG_NOSIGNAL) == length;
}

static bool throw_away(int connection)
{
	ssize_t length = recv(connection, NULL, LARGEST, MSG_TRUNC);

	return length > 0 || (length < 0 && errno == EAGAIN);
}

static void answer_datagrams(int from, uint8_t name)
{
	struct sockaddr_in client;
	socklen_t size = sizeof(client);
	uint8_t request[64];
	ssize_t length;

	while ((length = recvfrom(from, request, sizeof(request), 0, (struct sockaddr *)&client, &size)) >= 0) {
		request[0] = name;
		(void)sendto(from, request, length > 0 ? (size_t)length : 1, 0, (struct sockaddr *)&client, size);
		size = sizeof(client);
	}
}

static void handle(int poll, uint64_t which, uint8_t name)
{
	int descriptor = (int)(uint32_t)which;
	bool alive = true;

	switch ((enum kind)(which >> 32)) {
	case ASK_LISTENER:
		accept_all(poll, descriptor, ASK);
		break;
	case STREAM_LISTENER:
		accept_all(poll, descriptor, STREAM);
		break;
	case DATAGRAM:
		answer_datagrams(descriptor, name);
		break;
	case ASK:
		alive = answer(descriptor, name);
		break;
	case STREAM:
		alive = throw_away(descriptor);
		break;
	}
	if (!alive)
		(void)close(descriptor);
}

int main(int count, char **words)
{
	uint64_t name = 0, ask = 8080, stream = 8081, datagram = 8082;
	struct rlimit descriptors = {.rlim_cur = 1 << 16, .rlim_max = 1 << 16};
	const struct load_option options[] = {
		{.name = "--name", .number = &name, .least = 0, .most = 255},
		{.name = "--ask-port", .number = &ask, .least = 1, .most = 65535},
		{.name = "--stream-port", .number = &stream, .least = 1, .most = 65535},
		{.name = "--datagram-port", .number = &datagram, .least = 1, .most = 65535},
		{0},
	};

	load_options(count, words, options);
	(void)setrlimit(RLIMIT_NOFILE, &descriptors);

	int poll = epoll_create1(EPOLL_CLOEXEC);

	if (poll < 0)
		load_fail("epoll_create1");
	watch(poll, listen_at((uint16_t)ask, SOCK_STREAM), ASK_LISTENER);
	watch(poll, listen_at((uint16_t)stream, SOCK_STREAM), STREAM_LISTENER);
	watch(poll, listen_at((uint16_t)datagram, SOCK_DGRAM), DATAGRAM);
	load_end_on_signals();
	printf("ready\n");
	(void)fflush(stdout);
	while (!load_ended()) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(poll, events, EVENTS, -1);

		for (int i = 0; i < ready; i++)
			handle(poll, events[i].data.u64, (uint8_t)name);
	}
	return 0;
}
