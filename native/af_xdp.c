/* SPDX-License-Identifier: Apache-2.0 */
/* af_xdp.c - a port on interfaces themselves: packets in from one, out by another */
#define _GNU_SOURCE /* for epoll and sysconf; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "af_xdp.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "checksum.h"
#include "offload.h"

/**
 * DOC: Theory of operation
 *
 * An XDP program on each interface sends the packets that the engine wants to a socket (dataplane/userspace/xdp); all
 * others go to the kernel as if nothing was there. All sockets share one memory, so what came in by one interface goes
 * out by another from where it lies. A packet that was translated takes one of two ways:
 *
 *	out of an interface	A route says where to (forwarding.c). We do what a router does: one hop less to live,
 *				and the next hop's hardware address.
 *	to the kernel's path	Everything else: packets for this host, to neighbours whom the kernel has to find first,
 *				too long for the way out, at the end of their life, not ours after all. They go
 *				into a tun device, from which the kernel takes them as from any interface.
 *
 * So nothing has to be known here for packets to arrive, and what is known only makes them faster.
 *
 * Sockets and routes come and go by calls from other threads, which take the lock; the port's thread takes it for each
 * batch. Between receiving a batch and finishing it, a socket may go: then the answers for it go with it.
 *
 * Frames. There are as many as the configuration says, and each is either free, or in one of the rings of one socket
 * (@places says which), or of the batch at hand. Each socket gets its share to receive into. Too few frames mean
 * that the kernel has none to receive into, and drops, which is what an overloaded interface does.
 *
 * While packets come, the thread asks for more without waiting, and the kernel does not wake it; after @spins times
 * without any it sleeps. A queue that many packets come in by is served less often, see moderation.c.
 */

#define ETHERNET	  14
#define ETHERTYPE	  12
#define IPV4_TTL	  (ETHERNET + 8)
#define IPV4_CHECKSUM	  (ETHERNET + 10)
#define IPV4_DESTINATION  (ETHERNET + 16)
#define IPV6_HOP_LIMIT	  (ETHERNET + 7)
#define IPV6_DESTINATION  (ETHERNET + 24)
#define IPV4_LEAST	  (ETHERNET + 20)
#define IPV6_LEAST	  (ETHERNET + 40)

/* Frames that are moved between rings and the free ones at once. */
#define SOME 64

/* A frame that is free, or of the batch at hand. */
#define NOWHERE UINT16_MAX

struct xdp_socket {
	struct xsk xsk;
	struct af_xdp_socket_config config;
	struct moderated moderated;
	uint32_t generation;
	struct xsk_statistics missed;
};

struct af_xdp {
	struct port port;
	struct arena arena;
	struct af_xdp_config config;
	struct af_xdp_counters counters;
	pthread_mutex_t lock;
	int shared;
	uint8_t *memory;
	uint64_t *free;
	uint32_t free_count;
	uint16_t *places;
	struct xdp_socket *sockets;
	uint32_t socket_count;
	uint32_t open_count;
	uint32_t next;
	uint32_t idle;
	struct forwarding_table tables[2];
	unsigned int current;
};

static struct af_xdp *of_port(struct port *port)
{
	return (struct af_xdp *)port;
}

static bool is_open(const struct xdp_socket *socket)
{
	return socket->xsk.descriptors[XSK_OTHERS] >= 0;
}

static void put(struct af_xdp *xdp, uint64_t frame)
{
	xdp->places[frame / AF_XDP_FRAME] = NOWHERE;
	xdp->free[xdp->free_count++] = frame - frame % AF_XDP_FRAME;
}

/* Takes back what a socket has sent. */
static void reap(struct af_xdp *xdp, struct xdp_socket *socket)
{
	uint64_t frames[SOME];
	size_t count;

	do {
		count = xsk_reap(&socket->xsk, frames, SOME);
		for (size_t i = 0; i < count; i++)
			put(xdp, frames[i]);
	} while (count == SOME);
}

/* Gives a socket what it may have to receive into. */
static void refill(struct af_xdp *xdp, struct xdp_socket *socket)
{
	uint32_t share = xdp->config.frames / 2 / xdp->open_count;
	/* What waits to open connections keeps no others from being received. */
	uint32_t filled = socket->xsk.filled - (uint32_t)xsk_waiting(&socket->xsk, XSK_OPENS);
	uint64_t *frames;
	size_t count;

	if (share > XSK_RING)
		share = XSK_RING;
	/* Few at a time would have the kernel and us take the same cache line from one another. */
	if (filled + SOME > share && filled > share / 2)
		return;
	count = share > filled ? share - filled : 0;
	if (count > xdp->free_count)
		count = xdp->free_count;
	frames = xdp->free + xdp->free_count - count;
	count = xsk_fill(&socket->xsk, frames, count);
	for (size_t i = 0; i < count; i++)
		xdp->places[frames[i] / AF_XDP_FRAME] = (uint16_t)(socket - xdp->sockets);
	/* The ring takes the first of them, if not all. */
	if (count > 0) {
		size_t rest = (size_t)(xdp->free + xdp->free_count - frames) - count;

		memmove(frames, frames + count, rest * sizeof(*frames));
		xdp->free_count -= (uint32_t)count;
	}
}

/* Describes a packet to the engine, and makes its checksum if nobody has. */
static void describe(struct af_xdp *xdp, const struct xdp_socket *socket, const struct xsk_packet *from,
		     struct engine_packet *packet)
{
	uint32_t offset = (uint32_t)from->frame, used = offset % AF_XDP_FRAME;
	uint8_t *data = xdp->memory + offset;
	struct packet parsed;

	*packet = (struct engine_packet){
		.offset = offset,
		.length = from->length,
		.room = AF_XDP_FRAME - used,
		.interface = socket->config.kind,
	};
	packet_parse(&parsed, data, from->length, PACKET_LINK_ETHERNET);
	if (offload_seems_unfinished(&parsed) && offload_finish(data, from->length, PACKET_LINK_ETHERNET))
		xdp->counters.finished++;
}

/* Has a queue served as often as what comes in by it is worth. */
static void moderate(struct af_xdp *xdp, struct xdp_socket *socket, size_t packets)
{
	if (packets == 0 || socket->moderated.napi == 0)
		return;
	if (moderation_count(&socket->moderated, packets, moderation_now()) &&
	    moderation_tell(&xdp->config.moderation, &socket->moderated))
		xdp->counters.moderations++;
}

static void receive_from(struct af_xdp *xdp, uint32_t number, struct port_batch *batch)
{
	struct xdp_socket *socket = &xdp->sockets[number];
	struct xsk_packet packets[PORT_BATCH];
	size_t room = PORT_BATCH - batch->count, count;

	/* A quarter of the room is for what opens connections, if there is any; so neither kind starves. */
	count = xsk_take(&socket->xsk, XSK_OTHERS, packets, room - room / 4);
	count += xsk_take(&socket->xsk, XSK_OPENS, packets + count, room - count);
	count += xsk_take(&socket->xsk, XSK_OTHERS, packets + count, room - count);
	for (size_t i = 0; i < count; i++)
		__builtin_prefetch(xdp->memory + packets[i].frame);
	for (size_t i = 0; i < count; i++) {
		size_t at = batch->count++;

		xdp->places[packets[i].frame / AF_XDP_FRAME] = NOWHERE;
		describe(xdp, socket, &packets[i], &batch->packets[at]);
		batch->cookies[at] = (uint64_t)number << 32 | socket->generation;
		xdp->port.counters.bytes += packets[i].length;
	}
	moderate(xdp, socket, count);
}

/* Takes from all sockets, beginning with another each time, so that none starves. */
static int receive(struct port *port, struct port_batch *batch)
{
	struct af_xdp *xdp = of_port(port);

	batch->memory = xdp->memory;
	batch->size = (size_t)xdp->config.frames * AF_XDP_FRAME;
	batch->link = PACKET_LINK_ETHERNET;
	batch->count = 0;
	(void)pthread_mutex_lock(&xdp->lock);
	for (uint32_t i = 0; i < xdp->socket_count && batch->count < PORT_BATCH; i++) {
		uint32_t number = (xdp->next + i) % xdp->socket_count;
		struct xdp_socket *socket = &xdp->sockets[number];

		if (!is_open(socket))
			continue;
		if (socket->xsk.unsent)
			(void)xsk_kick(&socket->xsk);
		reap(xdp, socket);
		if (xdp->config.busy_poll > 0)
			xsk_poll(&socket->xsk);
		receive_from(xdp, number, batch);
		refill(xdp, socket);
	}
	xdp->next++;
	(void)pthread_mutex_unlock(&xdp->lock);
	xdp->idle = batch->count > 0 ? 0 : xdp->idle + 1;
	port->busy = xdp->idle < xdp->config.spins;
	port->counters.received += batch->count;
	port->counters.batches += batch->count > 0;
	return (int)batch->count;
}

/* Has the kernel send a packet on, as if it had come in by the tun device. */
static bool give_to_kernel(struct af_xdp *xdp, const uint8_t *data, uint32_t length)
{
	ssize_t written;

	if (length <= ETHERNET)
		return false;
	do {
		written = write(xdp->config.tun, data + ETHERNET, length - ETHERNET);
	} while (written < 0 && errno == EINTR);
	if (written == (ssize_t)(length - ETHERNET)) {
		xdp->counters.to_kernel++;
		return true;
	}
	xdp->counters.refused++;
	xdp->port.counters.errors++;
	return false;
}

/* The way out for a packet, or NULL if it is the kernel's. */
static const struct forwarding_route *way_out(struct af_xdp *xdp, const uint8_t *data, uint32_t length)
{
	static const uint8_t ipv4[2] = {0x08, 0x00}, ipv6[2] = {0x86, 0xdd};
	struct address destination = {{0}};
	const struct forwarding_route *route;
	uint8_t family, hops;

	if (length >= IPV4_LEAST && memcmp(data + ETHERTYPE, ipv4, sizeof(ipv4)) == 0) {
		family = TUPLE_IPV4;
		hops = data[IPV4_TTL];
		memcpy(&destination, data + IPV4_DESTINATION, 4);
	} else if (length >= IPV6_LEAST && memcmp(data + ETHERTYPE, ipv6, sizeof(ipv6)) == 0) {
		family = TUPLE_IPV6;
		hops = data[IPV6_HOP_LIMIT];
		memcpy(&destination, data + IPV6_DESTINATION, sizeof(destination));
	} else {
		return NULL;
	}
	route = forwarding_find(&xdp->tables[xdp->current], family, &destination);
	if (!route || route->exit == FORWARDING_KERNEL || hops <= 1 || !is_open(&xdp->sockets[route->exit]))
		return NULL;
	if (length - ETHERNET > route->mtu) {
		xdp->counters.too_long++;
		return NULL;
	}
	return route;
}

/* What a router does to a packet (RFC 1812, 5.2.1.2; RFC 8200, 3), and the next hop's address. */
static void address(uint8_t *data, const struct forwarding_route *route, const uint8_t *mac)
{
	memcpy(data, route->mac, 6);
	memcpy(data + 6, mac, 6);
	if (route->family == TUPLE_IPV4) {
		uint16_t before, after, checksum;

		memcpy(&before, data + IPV4_TTL, sizeof(before));
		data[IPV4_TTL]--;
		memcpy(&after, data + IPV4_TTL, sizeof(after));
		memcpy(&checksum, data + IPV4_CHECKSUM, sizeof(checksum));
		checksum = checksum_update(checksum, checksum_delta16(before, after));
		memcpy(data + IPV4_CHECKSUM, &checksum, sizeof(checksum));
	} else {
		data[IPV6_HOP_LIMIT]--;
	}
}

/* Puts a packet in the ring of an interface. Returns false, and keeps the frame, if that is full. */
static bool send_by(struct af_xdp *xdp, struct xdp_socket *socket, const struct engine_packet *packet)
{
	if (!xsk_send(&socket->xsk, packet->offset, packet->length)) {
		xdp->counters.unsent++;
		return false;
	}
	xdp->places[packet->offset / AF_XDP_FRAME] = (uint16_t)(socket - xdp->sockets);
	xdp->counters.sent++;
	return true;
}

static void account(struct port *port, uint64_t *counter, bool done)
{
	(*(done ? counter : &port->counters.lost))++;
}

/* A packet that was translated. Returns whether its frame is on its way. */
static bool forward(struct af_xdp *xdp, const struct engine_packet *packet)
{
	uint8_t *data = xdp->memory + packet->offset;
	const struct forwarding_route *route = way_out(xdp, data, packet->length);
	struct port *port = &xdp->port;
	bool sent;

	if (!route) {
		account(port, &port->counters.forwarded, give_to_kernel(xdp, data, packet->length));
		return false;
	}
	address(data, route, xdp->sockets[route->exit].config.mac);
	sent = send_by(xdp, &xdp->sockets[route->exit], packet);
	account(port, &port->counters.forwarded, sent);
	return sent;
}

/* A packet that is its own answer now. Returns whether its frame is on its way. */
static bool answer(struct af_xdp *xdp, const struct engine_packet *packet, uint64_t cookie)
{
	struct xdp_socket *socket = &xdp->sockets[cookie >> 32];
	bool sent = is_open(socket) && socket->generation == (uint32_t)cookie && send_by(xdp, socket, packet);

	account(&xdp->port, &xdp->port.counters.answered, sent);
	return sent;
}

/* Carries out one decision. Returns whether the frame is on its way. */
static bool carry_out(struct af_xdp *xdp, const struct engine_packet *packet, uint64_t cookie)
{
	struct port_counters *counters = &xdp->port.counters;

	if (packet->decision.outcome == DECISION_FORWARD)
		return forward(xdp, packet);
	if (packet->decision.outcome == DECISION_REJECT && packet->decision.marks & DECISION_ANSWERED)
		return answer(xdp, packet, cookie);
	if (packet->decision.outcome == DECISION_PASS)
		account(&xdp->port, &counters->passed,
			give_to_kernel(xdp, xdp->memory + packet->offset, packet->length));
	else
		counters->dropped++;
	return false;
}

static int finish(struct port *port, struct port_batch *batch)
{
	struct af_xdp *xdp = of_port(port);

	(void)pthread_mutex_lock(&xdp->lock);
	for (size_t i = 0; i < batch->count; i++) {
		if (!carry_out(xdp, &batch->packets[i], batch->cookies[i]))
			put(xdp, batch->packets[i].offset);
	}
	for (uint32_t i = 0; i < xdp->socket_count; i++) {
		struct xdp_socket *socket = &xdp->sockets[i];

		if (!is_open(socket) || !socket->xsk.unsent)
			continue;
		xdp->counters.kicks++;
		if (xsk_kick(&socket->xsk) != 0)
			port->counters.errors++;
	}
	(void)pthread_mutex_unlock(&xdp->lock);
	return 0;
}

static void destroy(struct port *port)
{
	struct af_xdp *xdp = of_port(port);
	/* The arena holds the structure that describes it. */
	struct arena arena = xdp->arena;

	for (uint32_t i = 0; i < xdp->socket_count; i++)
		xsk_close(&xdp->sockets[i].xsk);
	if (xdp->shared >= 0)
		(void)close(xdp->shared);
	if (xdp->port.descriptor >= 0)
		(void)close(xdp->port.descriptor);
	(void)close(xdp->config.tun);
	(void)pthread_mutex_destroy(&xdp->lock);
	arena_destroy(&arena);
}

/* Takes all memory, or, with an arena that only measures, finds out how much that is. */
static struct af_xdp *carve(struct af_xdp *measured, struct arena *arena, const struct af_xdp_config *config)
{
	struct af_xdp *xdp = arena_take(arena, 1, sizeof(*xdp));

	if (!xdp)
		xdp = measured;
	xdp->free = arena_take(arena, config->frames, sizeof(*xdp->free));
	xdp->places = arena_take(arena, config->frames, sizeof(*xdp->places));
	xdp->sockets = arena_take(arena, AF_XDP_SOCKETS, sizeof(*xdp->sockets));
	forwarding_carve(&xdp->tables[0], arena, config->routes);
	forwarding_carve(&xdp->tables[1], arena, config->routes);
	/* Shared with the kernel by pages: up to the next page, and the frames. */
	xdp->memory = arena_take(arena, config->frames + 2, AF_XDP_FRAME);
	return xdp;
}

static int open_shared(struct af_xdp *xdp)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	xdp->memory += -(uintptr_t)xdp->memory & (page - 1);
	xdp->port.descriptor = epoll_create1(EPOLL_CLOEXEC);
	if (xdp->port.descriptor < 0)
		return -errno;
	xdp->shared = xsk_create_memory(xdp->memory, (size_t)xdp->config.frames * AF_XDP_FRAME, AF_XDP_FRAME,
					xdp->config.tun_interface);
	return xdp->shared < 0 ? xdp->shared : 0;
}

/**
 * af_xdp_create() - A port, without any socket yet
 * @config:	Its limits and its way to the kernel
 * @error:	Is set to -errno if that fails; then @config's tun device is still the caller's
 *
 * Return: the port, or NULL
 */
struct port *af_xdp_create(const struct af_xdp_config *config, int *error)
{
	static const struct port_class class = {"AF_XDP", receive, finish, destroy};
	struct arena arena = {0};
	struct af_xdp measured, *xdp;

	*error = -EINVAL;
	if (config->frames < SOME || config->frames % 2 || config->frames > UINT32_MAX / AF_XDP_FRAME)
		return NULL;
	(void)carve(&measured, &arena, config);
	*error = arena_create(&arena, arena.used);
	if (*error != 0)
		return NULL;
	xdp = carve(&measured, &arena, config);
	xdp->arena = arena;
	xdp->config = *config;
	xdp->port.class = &class;
	xdp->shared = xdp->port.descriptor = -1;
	(void)pthread_mutex_init(&xdp->lock, NULL);
	*error = open_shared(xdp);
	if (*error != 0) {
		xdp->config.tun = -1;
		destroy(&xdp->port);
		return NULL;
	}
	for (uint32_t frame = config->frames; frame > 0; frame--)
		put(xdp, (uint64_t)(frame - 1) * AF_XDP_FRAME);
	return &xdp->port;
}

/* A number that no socket has. */
static int vacancy(const struct af_xdp *xdp)
{
	for (uint32_t i = 0; i < xdp->socket_count; i++) {
		if (!is_open(&xdp->sockets[i]))
			return (int)i;
	}
	return xdp->socket_count < AF_XDP_SOCKETS ? (int)xdp->socket_count : -ENOSPC;
}

static int add(struct af_xdp *xdp, int number, const struct af_xdp_socket_config *config)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct xdp_socket *socket = &xdp->sockets[number];
	uint32_t generation = socket->generation + 1;
	struct xsk opened;
	int result = xsk_open(&opened, xdp->shared, config->interface, config->queue);

	if (result != 0)
		return result;
	if (xdp->config.busy_poll > 0)
		result = xsk_busy_poll(&opened, xdp->config.busy_poll);
	for (enum xsk_kind kind = 0; kind < XSK_KINDS && result == 0; kind++) {
		if (epoll_ctl(xdp->port.descriptor, EPOLL_CTL_ADD, opened.descriptors[kind], &event) != 0)
			result = -errno;
	}
	if (result != 0) {
		xsk_close(&opened);
		return result;
	}
	*socket = (struct xdp_socket){.xsk = opened, .config = *config, .generation = generation};
	if ((uint32_t)number == xdp->socket_count)
		xdp->socket_count++;
	xdp->open_count++;
	refill(xdp, socket);
	return number;
}

/**
 * af_xdp_add() - A socket on one queue of an interface
 * @port:	The port
 * @config:	Which
 *
 * Nothing comes in until the interface's program knows the socket.
 *
 * Return: its number, which routes use as their exit; or -errno. -EBUSY may pass
 */
int af_xdp_add(struct port *port, const struct af_xdp_socket_config *config)
{
	struct af_xdp *xdp = of_port(port);
	int number;

	(void)pthread_mutex_lock(&xdp->lock);
	number = vacancy(xdp);
	if (number >= 0)
		number = add(xdp, number, config);
	(void)pthread_mutex_unlock(&xdp->lock);
	return number;
}

/**
 * af_xdp_descriptor() - The descriptor of a socket, for the program's map
 * @port:	The port
 * @number:	The socket
 * @opens:	That to which packets go that open connections
 *
 * Return: a descriptor that stays the port's
 */
int af_xdp_descriptor(struct port *port, int number, bool opens)
{
	return of_port(port)->sockets[number].xsk.descriptors[opens ? XSK_OPENS : XSK_OTHERS];
}

/**
 * af_xdp_moderate() - Let a queue wait while it is busy
 * @port:	The port, whose configuration says whom to tell
 * @number:	The socket
 * @napi:	The kernel's number for the queue
 *
 * The queue must have settings of its own that end with the program: they are not put back.
 */
void af_xdp_moderate(struct port *port, int number, uint32_t napi)
{
	struct af_xdp *xdp = of_port(port);

	(void)pthread_mutex_lock(&xdp->lock);
	xdp->sockets[number].moderated = (struct moderated){.napi = napi};
	(void)pthread_mutex_unlock(&xdp->lock);
}

/* Packets that the kernel could not deliver to a socket, as far as they were not counted yet. */
static void count_missed(struct af_xdp *xdp, struct xdp_socket *socket)
{
	struct xsk_statistics now, before = socket->missed;
	uint64_t others, crowded;

	xsk_statistics(&socket->xsk, &now);
	others = now.dropped - before.dropped + now.full[XSK_OTHERS] - before.full[XSK_OTHERS];
	crowded = now.full[XSK_OPENS] - before.full[XSK_OPENS];
	xdp->port.counters.missed += others + crowded;
	xdp->counters.crowded += crowded;
	socket->missed = now;
}

/**
 * af_xdp_remove() - Give a socket back
 * @port:	The port
 * @number:	The socket; nothing refers to it any more but routes, which are the kernel's from now on
 */
void af_xdp_remove(struct port *port, int number)
{
	struct af_xdp *xdp = of_port(port);
	struct xdp_socket *socket = &xdp->sockets[number];

	(void)pthread_mutex_lock(&xdp->lock);
	count_missed(xdp, socket);
	xsk_close(&socket->xsk);
	xdp->open_count--;
	for (uint32_t frame = 0; frame < xdp->config.frames; frame++) {
		if (xdp->places[frame] == (uint16_t)number)
			put(xdp, (uint64_t)frame * AF_XDP_FRAME);
	}
	(void)pthread_mutex_unlock(&xdp->lock);
}

/**
 * af_xdp_route() - Replace all routes
 * @port:	The port
 * @routes:	The routes
 * @count:	How many
 *
 * Return: false if there are too many, or one is none; then everything goes by the kernel's path
 */
bool af_xdp_route(struct port *port, const struct forwarding_route *routes, uint32_t count)
{
	struct af_xdp *xdp = of_port(port);
	/* Only callers of this function, one at a time, look at the other table. */
	bool loaded = forwarding_load(&xdp->tables[!xdp->current], routes, count);

	(void)pthread_mutex_lock(&xdp->lock);
	xdp->current = !xdp->current;
	(void)pthread_mutex_unlock(&xdp->lock);
	return loaded;
}

/**
 * af_xdp_count() - What became of packets
 * @port:	The port, whose own count of missed packets is brought up to date
 * @counters:	Is filled in
 */
void af_xdp_count(struct port *port, struct af_xdp_counters *counters)
{
	struct af_xdp *xdp = of_port(port);

	(void)pthread_mutex_lock(&xdp->lock);
	for (uint32_t i = 0; i < xdp->socket_count; i++) {
		if (is_open(&xdp->sockets[i]))
			count_missed(xdp, &xdp->sockets[i]);
	}
	*counters = xdp->counters;
	(void)pthread_mutex_unlock(&xdp->lock);
}
