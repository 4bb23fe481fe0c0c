/* SPDX-License-Identifier: Apache-2.0 */
/* udp_flows.c - flows of which each packet is accounted for: answered, by whom, after how long, or lost */
#define _GNU_SOURCE /* for ppoll; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"
#include "load.h"

/**
 * DOC: Theory of operation
 *
 * Each flow is a socket of its own, connected to one Service. Requests are due at a steady rate, flow by flow, whatever
 * became of those before: who is slow is asked as often as who is fast. A request carries its number, and the answer
 * carries it back behind the name of the backend, so that each request is known to be answered or not, and when it was
 * sent. Those that are not answered when --patience has passed after the last one was sent are lost.
 *
 * The backend that answers first is the flow's; a request that another one answers was misdelivered. Flows of the
 * backend --leaving are told of apart, for that one may go away, and its flows with it.
 */

#define MOST_FLOWS 1024
#define ANSWERED 1 /* in struct request: a time that no request was sent at */

struct request {
	uint64_t sent;
	uint64_t waited; /* 0: not answered */
};

struct message {
	uint8_t name;
	uint8_t padding[7];
	uint64_t number;
};

struct flow {
	uint8_t backend; /* 0: not known yet */
	bool leaving;
	uint64_t misdelivered;
};

struct client {
	struct flow flows[MOST_FLOWS];
	struct pollfd sockets[MOST_FLOWS];
	struct histogram waited;
	struct request *requests;
	uint64_t count; /* flows */
	uint64_t leaving;
	uint64_t sent;
	uint64_t most; /* requests there is room for */
	uint64_t refused; /* by an ICMP error, or on this machine */
	uint64_t repeated; /* answered more than once */
};

static void open_flows(struct client *client, uint32_t destination, uint64_t services, uint16_t port)
{
	for (uint64_t i = 0; i < client->count; i++) {
		struct sockaddr_in there = {
			.sin_family = AF_INET,
			.sin_port = htons(port),
			.sin_addr.s_addr = htonl(destination + (uint32_t)(i % services)),
		};
		int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		if (descriptor < 0)
			load_fail("socket");
		if (connect(descriptor, (struct sockaddr *)&there, sizeof(there)) != 0)
			load_fail("connect");
		client->sockets[i] = (struct pollfd){.fd = descriptor, .events = POLLIN};
	}
}

static void send_next(struct client *client, uint64_t now)
{
	struct message message = {.name = '?', .number = client->sent};

	client->requests[client->sent].sent = now;
	if (send(client->sockets[client->sent % client->count].fd, &message, sizeof(message), 0) < 0)
		client->refused++;
	client->sent++;
}

static void take_answer(struct client *client, uint64_t which, const struct message *message, uint64_t now)
{
	struct flow *flow = &client->flows[which];
	struct request *request = &client->requests[message->number];

	if (request->waited) {
		client->repeated++;
		return;
	}
	request->waited = now > request->sent ? now - request->sent : ANSWERED;
	histogram_add(&client->waited, request->waited);
	if (!flow->backend) {
		flow->backend = message->name;
		flow->leaving = message->name == client->leaving;
	}
	flow->misdelivered += flow->backend != message->name;
}

static void take_answers(struct client *client)
{
	for (uint64_t i = 0; i < client->count; i++) {
		struct message message;
		ssize_t length;

		if (!client->sockets[i].revents)
			continue;
		while ((length = recv(client->sockets[i].fd, &message, sizeof(message), 0)) >= 0 || errno != EAGAIN) {
			if (length < 0)
				client->refused++;
			else if (length == sizeof(message) && message.number < client->sent &&
				 message.number % client->count == i)
				take_answer(client, i, &message, load_now());
		}
	}
}

/* Waits for answers, but no longer than until then. */
static void wait_until(struct client *client, uint64_t when)
{
	uint64_t now = load_now(), wait = when > now ? when - now : 0;
	struct timespec patience = {.tv_sec = (time_t)(wait / NANOSECONDS), .tv_nsec = (long)(wait % NANOSECONDS)};

	if (ppoll(client->sockets, client->count, &patience, NULL) > 0)
		take_answers(client);
}

static void print_figures(const struct client *client, uint64_t begin, double seconds)
{
	uint64_t lost = 0, lost_leaving = 0, last = 0, misdelivered = 0, left = 0, leaving = 0;

	for (uint64_t i = 0; i < client->sent; i++) {
		if (client->requests[i].waited)
			continue;
		lost += !client->flows[i % client->count].leaving;
		lost_leaving += client->flows[i % client->count].leaving;
		last = client->requests[i].sent - begin;
	}
	for (uint64_t i = 0; i < client->count; i++) {
		leaving += client->flows[i].leaving;
		left += client->flows[i].leaving ? client->flows[i].misdelivered : 0;
		misdelivered += client->flows[i].leaving ? 0 : client->flows[i].misdelivered;
	}
	printf("{\"sent\": %llu, \"lost\": %llu, \"misdelivered\": %llu, \"last_lost\": %.6f, \"refused\": %llu, "
	       "\"repeated\": %llu, \"leaving\": {\"flows\": %llu, \"lost\": %llu, \"moved\": %llu}, "
	       "\"seconds\": %.6f, ",
	       (unsigned long long)client->sent, (unsigned long long)lost, (unsigned long long)misdelivered,
	       (double)last / (double)NANOSECONDS, (unsigned long long)client->refused,
	       (unsigned long long)client->repeated, (unsigned long long)leaving, (unsigned long long)lost_leaving,
	       (unsigned long long)left, seconds);
	histogram_print(&client->waited, "waited");
	printf("}\n");
}

int main(int count, char **words)
{
	static struct client client = {.count = 64};
	const char *destination = NULL;
	uint64_t port = 80, services = 1, rate = 1000, milliseconds = 1000, patience = 1000;
	const struct load_option options[] = {
		{.name = "--destination", .text = &destination}, /* the first of --services in a row */
		{.name = "--services", .number = &services, .least = 1, .most = 1000000},
		{.name = "--port", .number = &port, .least = 1, .most = 65535},
		{.name = "--flows", .number = &client.count, .least = 1, .most = MOST_FLOWS},
		{.name = "--rate", .number = &rate, .least = 1, .most = 100000}, /* requests per second, of all flows */
		{.name = "--leaving", .number = &client.leaving, .least = 0, .most = 255}, /* 0: nobody */
		{.name = "--milliseconds", .number = &milliseconds, .least = 1, .most = 3600000},
		{.name = "--patience", .number = &patience, .least = 1, .most = 60000}, /* milliseconds */
		{0},
	};

	load_options(count, words, options);
	load_end_on_signals();
	client.most = rate * milliseconds / 1000 + 1;
	client.requests = calloc(client.most, sizeof(*client.requests));
	if (!client.requests)
		load_fail("calloc");
	open_flows(&client, load_address(destination), services, (uint16_t)port);

	uint64_t begin = load_now(), end = begin + milliseconds * 1000000, now = begin;

	while (now < end && !load_ended()) {
		uint64_t due = begin + client.sent * NANOSECONDS / rate;

		if (due <= now && client.sent < client.most)
			send_next(&client, now);
		else
			wait_until(&client, due < end ? due : end);
		now = load_now();
	}

	double seconds = (double)(now - begin) / (double)NANOSECONDS;

	end = now + patience * 1000000;
	while (client.waited.count < client.sent && load_now() < end)
		wait_until(&client, end);
	print_figures(&client, begin, seconds);
	free(client.requests);
	return 0;
}
