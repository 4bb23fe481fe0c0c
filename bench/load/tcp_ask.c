/* SPDX-License-Identifier: Apache-2.0 */
/* tcp_ask.c - TCP connections that ask and are answered: short ones and long-lived ones */
#define _GNU_SOURCE /* for epoll_pwait2; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "histogram.h"
#include "load.h"

/**
 * DOC: Theory of operation
 *
 * So many connections at a time (--concurrency). Each connects, asks with one byte, waits for the answer, asks again
 * until it has asked --requests times (0: for ever), and is closed; in its place comes the next, to the next Service.
 * Two things are timed: connecting, which is the first packet's way to the backend and back, through all that must be
 * decided about a new flow; and asking, which is that of a packet of a flow that is known.
 *
 * --connections is for those who want to know whether all is well, however busy the machine: it ends after so many.
 *
 * With --rate, connections are due at moments counted from the start, and their time counts from when they were due,
 * not from when this program came to it: who is kept waiting must not be asked less often because of that (Tene's
 * "coordinated omission"). A connection that is due while all places are taken counts as late, and so does one that
 * is due before the end and was not come to.
 *
 * Connections are closed with a reset (SO_LINGER 0), so that a port is free again at once; else 28,000 of them would
 * all wait for two minutes' end, and the ports would be measured.
 */

#define EVENTS 256
#define MOST 4096 /* connections at a time */
#define ANSWERS 256
#define STRIDE 7919 /* a prime that divides no usual number of Services: they come in no order */

enum failure { REFUSED, RESET, UNREACHABLE, TIMED_OUT, FAILURES };

struct connection {
	uint64_t began; /* when it was due */
	uint64_t asked;
	uint64_t requests;
	int descriptor; /* -1: the place is free */
	bool connected;
};

struct client {
	struct connection connections[MOST];
	struct histogram connecting;
	struct histogram asking;
	uint64_t answers[ANSWERS]; /* requests that each backend has answered */
	uint64_t failures[FAILURES];
	uint64_t lost; /* failures of connections that were established */
	uint64_t opened;
	uint64_t finished;
	uint64_t late;
	uint64_t most; /* connections to open in all; 0: no end */
	uint64_t services;
	uint64_t requests;
	uint64_t timeout;
	uint32_t destination;
	uint16_t port;
	int poll;
};

static void close_connection(struct connection *connection)
{
	struct linger none = {.l_onoff = 1, .l_linger = 0};

	(void)setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	(void)close(connection->descriptor);
	connection->descriptor = -1;
}

static void fail_connection(struct client *client, struct connection *connection, int error)
{
	enum failure failure = error == ECONNREFUSED			? REFUSED
			       : error == ECONNRESET || error == EPIPE	? RESET
			       : error == ETIMEDOUT			? TIMED_OUT
									: UNREACHABLE;

	client->failures[failure]++;
	client->lost += connection->connected;
	close_connection(connection);
}

static void open_connection(struct client *client, struct connection *connection, uint64_t due)
{
	uint64_t number = client->opened++;
	uint32_t service = (uint32_t)(number * STRIDE % client->services);
	struct sockaddr_in there = {
		.sin_family = AF_INET,
		.sin_port = htons(client->port),
		.sin_addr.s_addr = htonl(client->destination + service),
	};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
	int on = 1;

	*connection = (struct connection){.began = due};
	connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (connection->descriptor < 0)
		load_fail("socket");
	(void)setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (epoll_ctl(client->poll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0)
		load_fail("epoll_ctl");
	if (connect(connection->descriptor, (struct sockaddr *)&there, sizeof(there)) != 0 && errno != EINPROGRESS)
		fail_connection(client, connection, errno);
}

static void ask(struct client *client, struct connection *connection, uint64_t now)
{
	connection->asked = now;
	if (send(connection->descriptor, "?", 1, MSG_NOSIGNAL) != 1)
		fail_connection(client, connection, errno);
}

static void be_answered(struct client *client, struct connection *connection, uint64_t now)
{
	uint8_t answer = 0;
	ssize_t length = recv(connection->descriptor, &answer, 1, 0);

	if (length < 0 && errno == EAGAIN)
		return;
	if (length <= 0) {
		fail_connection(client, connection, length < 0 ? errno : ECONNRESET);
		return;
	}
	histogram_add(&client->asking, now - connection->asked);
	client->answers[answer]++;
	connection->requests++;
	if (client->requests && connection->requests == client->requests) {
		client->finished++;
		close_connection(connection);
	} else {
		ask(client, connection, now);
	}
}

static void handle(struct client *client, const struct epoll_event *event)
{
	struct connection *connection = event->data.ptr;
	uint64_t now = load_now();

	if (connection->descriptor < 0)
		return;
	if (!connection->connected && event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
		int error = 0;
		socklen_t size = sizeof(error);

		(void)getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &error, &size);
		if (error) {
			fail_connection(client, connection, error);
			return;
		}
		connection->connected = true;
		histogram_add(&client->connecting, now - connection->began);
		ask(client, connection, now);
	} else if (event->events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
		be_answered(client, connection, now);
	}
}

/* Give up on those that have waited too long. */
static void expire(struct client *client, uint64_t concurrency, uint64_t now)
{
	for (uint64_t i = 0; i < concurrency; i++) {
		struct connection *connection = &client->connections[i];
		uint64_t since = connection->connected ? connection->asked : connection->began;

		if (connection->descriptor >= 0 && now > since && now - since > client->timeout)
			fail_connection(client, connection, ETIMEDOUT);
	}
}

/* Open what is due: as many as places are free, or as the rate says. Returns when it must look again. */
static uint64_t open_due(struct client *client, uint64_t concurrency, uint64_t rate, uint64_t begin, uint64_t now)
{
	uint64_t place = 0;

	for (;;) {
		uint64_t due = rate ? begin + (client->opened + client->late) * NANOSECONDS / rate : now;

		if (client->most && client->opened == client->most)
			return now + NANOSECONDS / 100;
		if (due > now)
			return due;
		while (place < concurrency && client->connections[place].descriptor >= 0)
			place++;
		if (place == concurrency) {
			client->late += rate != 0;
			if (!rate)
				return now + NANOSECONDS / 100;
		} else {
			open_connection(client, &client->connections[place++], due);
		}
	}
}

/* What was due before the end, and was not come to, is late too: then it was this program that was kept waiting. */
static void count_missed(struct client *client, uint64_t rate, uint64_t begin, uint64_t end)
{
	while (begin + (client->opened + client->late) * NANOSECONDS / rate < end)
		client->late++;
}

/* All that were to be opened have come to their end. */
static bool all_done(const struct client *client, uint64_t concurrency)
{
	if (!client->most || client->opened < client->most)
		return false;
	for (uint64_t i = 0; i < concurrency; i++) {
		if (client->connections[i].descriptor >= 0)
			return false;
	}
	return true;
}

/* For how long the oldest request that is not answered has waited, in nanoseconds. */
static uint64_t longest_waiting(const struct client *client, uint64_t concurrency, uint64_t now)
{
	uint64_t longest = 0;

	for (uint64_t i = 0; i < concurrency; i++) {
		const struct connection *connection = &client->connections[i];

		if (connection->descriptor >= 0 && connection->connected && now - connection->asked > longest)
			longest = now - connection->asked;
	}
	return longest;
}

static void print_figures(const struct client *client, double seconds, double busy, uint64_t waiting)
{
	const char *between = "";

	printf("{\"finished\": %llu, \"opened\": %llu, \"late\": %llu, \"refused\": %llu, \"reset\": %llu, "
	       "\"unreachable\": %llu, \"timed_out\": %llu, \"lost\": %llu, \"seconds\": %.6f, \"busy\": %.4f, \"ceiling\": %.0f, "
	       "\"waiting_us\": %.3f, ",
	       (unsigned long long)client->finished, (unsigned long long)client->opened,
	       (unsigned long long)client->late, (unsigned long long)client->failures[REFUSED],
	       (unsigned long long)client->failures[RESET], (unsigned long long)client->failures[UNREACHABLE],
	       (unsigned long long)client->failures[TIMED_OUT], (unsigned long long)client->lost, seconds, busy / seconds,
	       busy > 0 ? (double)client->asking.count / busy : 0, (double)waiting / 1000);
	histogram_print(&client->connecting, "connecting");
	printf(", ");
	histogram_print(&client->asking, "asking");
	printf(", \"answers\": {");
	for (int name = 0; name < ANSWERS; name++) {
		if (client->answers[name]) {
			printf("%s\"%d\": %llu", between, name, (unsigned long long)client->answers[name]);
			between = ", ";
		}
	}
	printf("}}\n");
}

int main(int count, char **words)
{
	static struct client client = {.services = 1, .requests = 1};
	const char *destination = NULL;
	uint64_t port = 80, concurrency = 1, rate = 0, milliseconds = 1000, timeout = 3000;
	const struct load_option options[] = {
		{.name = "--destination", .text = &destination}, /* the first of --services in a row */
		{.name = "--services", .number = &client.services, .least = 1, .most = 1000000},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{.name = "--concurrency", .number = &concurrency, .least = 1, .most = MOST},
		{.name = "--connections", .number = &client.most, .least = 1, .most = UINT64_MAX},
		{.name = "--requests", .number = &client.requests, .least = 0, .most = UINT64_MAX},
		{.name = "--rate", .number = &rate, .least = 0, .most = 10000000}, /* connections per second */
		{.name = "--milliseconds", .number = &milliseconds, .least = 1, .most = 3600000},
		{.name = "--timeout", .number = &timeout, .least = 1, .most = 600000}, /* milliseconds */
		{0},
	};

	load_options(count, words, options);
	load_end_on_signals();
	client.destination = load_address(destination);
	client.port = (uint16_t)port;
	client.timeout = timeout * 1000000;
	client.poll = epoll_create1(EPOLL_CLOEXEC);
	if (client.poll < 0)
		load_fail("epoll_create1");
	for (uint64_t i = 0; i < concurrency; i++)
		client.connections[i].descriptor = -1;

	uint64_t begin = load_now(), end = begin + milliseconds * 1000000, now = begin, checked = begin;
	uint64_t processor = load_processor_time();

	while (now < end && !load_ended() && !all_done(&client, concurrency)) {
		struct epoll_event events[EVENTS];
		uint64_t next = open_due(&client, concurrency, rate, begin, now);
		uint64_t wait = next > now ? next - now : 0;

		if (wait > NANOSECONDS / 100)
			wait = NANOSECONDS / 100;

		struct timespec patience = {.tv_nsec = (long)wait};
		int ready = epoll_pwait2(client.poll, events, EVENTS, &patience, NULL);

		for (int i = 0; i < ready; i++)
			handle(&client, &events[i]);
		now = load_now();
		if (now - checked > NANOSECONDS / 100) {
			expire(&client, concurrency, now);
			checked = now;
		}
	}
	if (rate && !client.most)
		count_missed(&client, rate, begin, now < end ? now : end);
	print_figures(&client, (double)(load_now() - begin) / (double)NANOSECONDS,
		      (double)(load_processor_time() - processor) / (double)NANOSECONDS,
		      longest_waiting(&client, concurrency, load_now()));
	return 0;
}
