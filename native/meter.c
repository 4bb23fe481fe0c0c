/* SPDX-License-Identifier: Apache-2.0 */
/* meter.c - connections, packets and bytes by where they lead, from what the kernel tells of its flows */
#include "meter.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/**
 * DOC: Theory of operation
 *
 * Linux counts the packets and bytes of every flow it tracks (nf_conntrack_acct), which costs it two additions a
 * packet. Nobody has to look at packets a second time; somebody has to add up flows. That is done here, from two
 * sources:
 *
 *	lists:	all flows there are, with their counts so far, whenever somebody wants to know
 *	ends:	each flow once, with its last counts, as soon as it is over; else short flows, which most are,
 *		would live and die between two lists
 *
 * Counts are absolute, and a flow is told of several times. So for each flow it is remembered how much of it is
 * counted already, and only what came since is added to its *way* (whom the client wrote to, and who answers). A
 * flow that is told of for the first time is a connection. Nothing is asked to be reset: others may read the same
 * counts.
 *
 * Three rules keep it right, whatever comes when:
 *
 *	1. Lists and ends are not read at the same time. A flow that ends while a list is made was told of as ended
 *	   before it left the list (nf_ct_delete() tells first), and that waits in the socket until the list is read.
 *	2. After a list, all ends that wait are read; then flows that neither list nor end told of are forgotten.
 *	   Their end was lost, for instance because we did not listen fast enough.
 *	3. The flows of the first list began before us. They are remembered with what they have counted so far, and
 *	   only what they carry from then on is ours. Nobody may tell of their ends, as Linux tells only of flows that
 *	   began while somebody listened (nf_conntrack_events = 2): what they carried last is then missed.
 *
 * A flow without room is not remembered, and counted whole when it ends. A way without room is counted elsewhere,
 * in one sum. Memory is given once; all work is a lookup or two for each message.
 */

#define DATAGRAM 32768 /* lists come in datagrams of at most that: NLMSG_GOODSIZE and what the kernel adds to it */
#define LONGEST 131072

/* The hash of a way or of a flow; the index needs 32 bits of it. */
static uint64_t hash_way(const struct meter *meter, const struct conntrack_way *way)
{
	uint64_t words[sizeof(*way) / sizeof(uint64_t)];

	_Static_assert(sizeof(*way) == sizeof(words), "hashed as words, without holes");
	memcpy(words, way, sizeof(words));
	return hash_words(&meter->key, words, sizeof(words) / sizeof(*words));
}

static uint64_t hash_flow(const struct meter *meter, const struct conntrack_flow *flow)
{
	uint64_t words[1 + sizeof(flow->client) / sizeof(uint64_t)];

	_Static_assert(sizeof(flow->client) == sizeof(words) - sizeof(*words), "hashed as words, without holes");
	words[0] = hash_way(meter, &flow->way);
	memcpy(words + 1, &flow->client, sizeof(flow->client));
	return hash_words(&meter->key, words, sizeof(words) / sizeof(*words));
}

static void carve(struct meter *meter, struct arena *arena)
{
	index_carve(&meter->flow_index, arena, meter->flow_limit);
	index_carve(&meter->way_index, arena, meter->way_limit);
	meter->flows = arena_take(arena, (size_t)meter->flow_limit + 1, sizeof(*meter->flows));
	meter->ways = arena_take(arena, (size_t)meter->way_limit + 1, sizeof(*meter->ways));
}

/**
 * meter_create() - Make a meter that knows nothing yet
 * @config:	How large, and its secret
 *
 * Return: the meter, or NULL: too large, or there is no memory
 */
struct meter *meter_create(const struct meter_config *config)
{
	if (!config->flows || !config->ways || config->flows > METER_MOST || config->ways > METER_MOST)
		return NULL;
	struct meter plan = {
		.key = config->key,
		.flow_limit = config->flows,
		.way_limit = config->ways,
		.fresh_flow = 1,
		.fresh_way = 1,
	};
	struct arena measured = {0}, arena;

	(void)arena_take(&measured, 1, sizeof(plan));
	carve(&plan, &measured);
	if (arena_create(&arena, measured.used) < 0)
		return NULL;
	struct meter *meter = arena_take(&arena, 1, sizeof(*meter));

	carve(&plan, &arena);
	plan.arena = arena;
	*meter = plan;
	return meter;
}

/**
 * meter_destroy() - Give the memory back
 * @meter:	The meter, or NULL
 */
void meter_destroy(struct meter *meter)
{
	if (!meter)
		return;
	struct arena arena = meter->arena;

	arena_destroy(&arena);
}

/* --- ways ----------------------------------------------------------------------------------------------------- */

static uint32_t find_way(const struct meter *meter, const struct conntrack_way *way, uint32_t hash)
{
	struct index_cursor cursor;
	uint32_t at = index_first(&meter->way_index, hash, &cursor);

	while (at != INDEX_NONE && memcmp(&meter->ways[at].way, way, sizeof(*way)) != 0)
		at = index_next(&meter->way_index, &cursor);
	return at;
}

/* The way's position; 0 if there is no room for it. */
static uint32_t get_way(struct meter *meter, const struct conntrack_way *way)
{
	uint32_t hash = (uint32_t)hash_way(meter, way);
	uint32_t at = find_way(meter, way, hash);

	if (at != INDEX_NONE)
		return at;
	if (meter->free_way) {
		at = meter->free_way;
		meter->free_way = meter->ways[at].next;
	} else if (meter->fresh_way <= meter->way_limit) {
		at = meter->fresh_way++;
	} else {
		return 0;
	}
	meter->ways[at] = (struct meter_way){.way = *way, .used = true};
	index_insert(&meter->way_index, hash, at);
	return at;
}

static void release_way(struct meter *meter, uint32_t at)
{
	struct meter_way *way = &meter->ways[at];

	(void)index_remove(&meter->way_index, (uint32_t)hash_way(meter, &way->way), at);
	*way = (struct meter_way){.next = meter->free_way};
	meter->free_way = at;
}

static struct meter_traffic *traffic_of(struct meter *meter, uint32_t way)
{
	return way ? &meter->ways[way].traffic : &meter->elsewhere;
}

/* --- flows ---------------------------------------------------------------------------------------------------- */

static uint32_t find_flow(const struct meter *meter, uint64_t identity)
{
	struct index_cursor cursor;
	uint32_t at = index_first(&meter->flow_index, (uint32_t)identity, &cursor);

	while (at != INDEX_NONE && meter->flows[at].identity != identity)
		at = index_next(&meter->flow_index, &cursor);
	return at;
}

/* Remember a flow of which nothing is counted yet. Its position, or 0 if there is no room. */
static uint32_t add_flow(struct meter *meter, uint64_t identity, uint32_t way)
{
	uint32_t at;

	if (meter->free_flow) {
		at = meter->free_flow;
		meter->free_flow = meter->flows[at].next;
	} else if (meter->fresh_flow <= meter->flow_limit) {
		at = meter->fresh_flow++;
	} else {
		return 0;
	}
	meter->flows[at] = (struct meter_flow){.identity = identity, .way = way, .used = true};
	index_insert(&meter->flow_index, (uint32_t)identity, at);
	meter->ways[way].flows += way != 0;
	meter->known++;
	return at;
}

static void forget_flow(struct meter *meter, uint32_t at)
{
	struct meter_flow *flow = &meter->flows[at];

	(void)index_remove(&meter->flow_index, (uint32_t)flow->identity, at);
	meter->ways[flow->way].flows -= flow->way != 0;
	*flow = (struct meter_flow){.next = meter->free_flow};
	meter->free_flow = at;
	meter->known--;
}

/* What came since: all of it if the count is smaller than it was, as the kernel then began anew. */
static uint64_t since(uint64_t before, uint64_t now)
{
	return now >= before ? now - before : now;
}

/**
 * meter_see() - Take note of what the kernel told of one flow
 * @meter:	The meter
 * @flow:	What it told
 */
void meter_see(struct meter *meter, const struct conntrack_flow *flow)
{
	static const struct meter_flow nothing;
	uint64_t identity = hash_flow(meter, flow);
	uint32_t at = find_flow(meter, identity);
	bool is_new = at == INDEX_NONE;
	uint32_t way = is_new ? get_way(meter, &flow->way) : meter->flows[at].way;

	if (is_new && !flow->ended) {
		at = add_flow(meter, identity, way);
		if (!at) {
			/* Counted whole when it ends. */
			meter->unknown++;
			return;
		}
	}
	const struct meter_flow *before = at == INDEX_NONE ? &nothing : &meter->flows[at];

	if (!meter->learning || !is_new) {
		struct meter_traffic *traffic = traffic_of(meter, way);

		traffic->connections += is_new;
		for (unsigned int i = 0; i < CONNTRACK_DIRECTIONS; i++) {
			traffic->packets[i] += since(before->packets[i], flow->packets[i]);
			traffic->bytes[i] += since(before->bytes[i], flow->bytes[i]);
		}
	}
	if (at == INDEX_NONE)
		return;
	if (flow->ended) {
		forget_flow(meter, at);
		return;
	}
	memcpy(meter->flows[at].packets, flow->packets, sizeof(flow->packets));
	memcpy(meter->flows[at].bytes, flow->bytes, sizeof(flow->bytes));
	meter->flows[at].listing = meter->listing;
}

/**
 * meter_begin_list() - From now on meter_see() is told of all flows that there are
 * @meter:	The meter
 * @learning:	They began before us: remember them, count what comes
 */
void meter_begin_list(struct meter *meter, bool learning)
{
	meter->listing++;
	meter->learning = learning;
	meter->unknown = 0;
}

/**
 * meter_end_list() - The list is complete, and the ends that waited have been seen
 * @meter:	The meter
 *
 * Forgets the flows of which neither of them told.
 */
void meter_end_list(struct meter *meter)
{
	for (uint32_t at = 1; at < meter->fresh_flow; at++)
		if (meter->flows[at].used && meter->flows[at].listing != meter->listing)
			forget_flow(meter, at);
	meter->learning = false;
}

static bool is_nothing(const struct meter_traffic *traffic)
{
	static const struct meter_traffic nothing;

	return memcmp(traffic, &nothing, sizeof(nothing)) == 0;
}

/**
 * meter_take() - Hand over what was counted, and begin at zero again
 * @meter:	The meter
 * @into:	Is set to the ways that something went
 * @room:	How many of them fit; what does not stays
 *
 * Return: how many were set
 */
uint32_t meter_take(struct meter *meter, struct meter_way *into, uint32_t room)
{
	uint32_t taken = 0;

	for (uint32_t at = 1; at < meter->fresh_way && taken < room; at++) {
		struct meter_way *way = &meter->ways[at];

		if (!way->used)
			continue;
		if (!is_nothing(&way->traffic)) {
			into[taken++] = *way;
			way->traffic = (struct meter_traffic){0};
		}
		if (!way->flows)
			release_way(meter, at);
	}
	return taken;
}

/**
 * meter_take_elsewhere() - The same for the ways for which there was no room
 * @meter:	The meter
 *
 * Return: what went there
 */
struct meter_traffic meter_take_elsewhere(struct meter *meter)
{
	struct meter_traffic taken = meter->elsewhere;

	meter->elsewhere = (struct meter_traffic){0};
	return taken;
}

/* --- the sockets ---------------------------------------------------------------------------------------------- */

/* Read every message of a datagram. Returns the last that is an end or an error, else CONNTRACK_OTHER. */
static enum conntrack_message see_all(struct meter *meter, const uint8_t *datagram, size_t size)
{
	enum conntrack_message last = CONNTRACK_OTHER;
	struct conntrack_flow flow;
	size_t used;

	for (; size; datagram += used, size -= used) {
		enum conntrack_message message = conntrack_read(datagram, size, &used, &flow);

		if (message == CONNTRACK_FLOW)
			meter_see(meter, &flow);
		else if (message != CONNTRACK_OTHER)
			last = message;
	}
	return last;
}

/**
 * meter_listen() - Read of ends of flows, as many as wait
 * @meter:	The meter
 * @socket:	A netlink socket that does not block, in the group NFNLGRP_CONNTRACK_DESTROY
 * @most:	How many datagrams to read at most
 *
 * Return: how many were read, or the negative of an errno
 */
int meter_listen(struct meter *meter, int socket, uint32_t most)
{
	uint8_t datagram[DATAGRAM];
	uint32_t read = 0;

	while (read < most) {
		ssize_t size = recv(socket, datagram, sizeof(datagram), 0);

		if (size >= 0) {
			(void)see_all(meter, datagram, (size_t)size);
			read++;
		} else if (errno == ENOBUFS) {
			meter->lost++;
		} else if (errno == EAGAIN) {
			break;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return (int)read;
}

/**
 * meter_list() - Have the kernel tell of all its flows
 * @meter:	The meter, between meter_begin_list() and meter_end_list()
 * @socket:	A netlink socket that does not block, for nothing but this
 * @request:	The whole message that asks for the list
 * @size:	Its bytes
 *
 * Netlink does the work inside the calls, so an answer that is not there is an error, not a reason to wait.
 *
 * Return: 0, or the negative of an errno: -EINTR if the list changed so that some may be missing
 */
int meter_list(struct meter *meter, int socket, const uint8_t *request, size_t size)
{
	uint8_t datagram[LONGEST];
	enum conntrack_message last = CONNTRACK_OTHER;

	if (send(socket, request, size, 0) < 0)
		return -errno;
	while (last == CONNTRACK_OTHER) {
		ssize_t got = recv(socket, datagram, sizeof(datagram), 0);

		if (got >= 0)
			last = see_all(meter, datagram, (size_t)got);
		else if (errno != EINTR)
			return -errno;
	}
	return last == CONNTRACK_LISTED ? 0 : -EINTR;
}
