/* SPDX-License-Identifier: Apache-2.0 */
/* xsk.c - the AF_XDP sockets of one queue: rings that they share with the kernel */
#define _GNU_SOURCE /* NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "xsk.h"

#include <errno.h>
#include <linux/if_xdp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/**
 * DOC: Theory of operation
 *
 * Kernel and process share one piece of memory, cut into frames, and rings of 32-bit counters that only ever grow: an
 * entry is at its counter modulo the size of the ring. Each ring has one writer and one reader. A frame goes round:
 *
 *	free --> fill --> (kernel receives) --> receive --> ours, to look at
 *	free <-- complete <-- (kernel sends) <-- transmit <--'
 *
 * Many sockets use one memory, so a frame that came in on one interface is sent on another without being copied by
 * us. The first socket only brings the memory in; it is bound to an interface that is there as long as we are, because
 * others can be bound only while the first is.
 *
 * On each queue there are two sockets. The second has a ring to receive from and uses the others of the first; the XDP
 * program sends it packets that open connections. They fill this ring and no more, so a flood of them (RFC 4987) leaves
 * room and frames to all others. It is shorter than a socket's share of frames mostly is.
 *
 * The kernel copies: into a frame when it receives, and out of it when it sends. Interfaces that could do without
 * (XDP_ZEROCOPY) are not used so, because all that share one memory would have to be of this kind, and a veth is not.
 *
 * The counters are published with release and read with acquire semantics: who sees a counter sees the entries.
 */

/* linux/if_xdp.h of Linux 6.17; older kernels refuse it, and send 32 packets for each system call. */
#define BUDGET_OPTION 9

/* Calls until a full ring of packets is sent, 32 at a time, and as many again for those that were refused. */
#define KICKS 128

/* socket.h of older systems has them not. */
#ifndef SOL_XDP
#define SOL_XDP 283
#endif
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif

static uint32_t acquire(const uint32_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

static void release(uint32_t *counter, uint32_t value) /* NOLINT(readability-non-const-parameter): it is written */
{
	__atomic_store_n(counter, value, __ATOMIC_RELEASE);
}

static int map_ring(struct xsk_ring *ring, int descriptor, const struct xdp_ring_offset *offsets, uint32_t entries,
		    size_t entry, off_t page)
{
	size_t size = offsets->desc + entries * entry;
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, page);

	if (memory == MAP_FAILED)
		return -errno;
	*ring = (struct xsk_ring){
		.producer = (void *)(memory + offsets->producer),
		.consumer = (void *)(memory + offsets->consumer),
		.flags = (void *)(memory + offsets->flags),
		.entries = memory + offsets->desc,
		.mask = entries - 1,
		.memory = memory,
		.size = size,
	};
	return 0;
}

static void unmap_ring(struct xsk_ring *ring)
{
	if (ring->memory)
		(void)munmap(ring->memory, ring->size);
	*ring = (struct xsk_ring){0};
}

static int set_option(int descriptor, int option, const void *value, socklen_t size)
{
	return setsockopt(descriptor, SOL_XDP, option, value, size) == 0 ? 0 : -errno;
}

static int make_rings(int descriptor, const int *options, size_t count, int size)
{
	int result = 0;

	for (size_t i = 0; i < count && result == 0; i++)
		result = set_option(descriptor, options[i], &size, sizeof(size));
	return result;
}

static int bind_to(int descriptor, uint32_t interface, uint32_t queue, uint16_t flags, int memory)
{
	struct sockaddr_xdp address = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = flags,
		.sxdp_ifindex = interface,
		.sxdp_queue_id = queue,
		.sxdp_shared_umem_fd = (flags & XDP_SHARED_UMEM) ? (uint32_t)memory : 0,
	};

	return bind(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
}

/**
 * xsk_create_memory() - Share memory with the kernel
 * @memory:	The memory, aligned to pages
 * @size:	Its bytes
 * @frame:	Bytes of a frame: 2048 or 4096
 * @interface:	An interface that is up and will stay; nothing is received from it
 *
 * Return: a descriptor, for xsk_open(); or -errno
 */
int xsk_create_memory(void *memory, size_t size, uint32_t frame, uint32_t interface)
{
	static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING};
	struct xdp_umem_reg registration = {
		.addr = (uint64_t)(uintptr_t)memory,
		.len = size,
		.chunk_size = frame,
	};
	int descriptor = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	int result;

	if (descriptor < 0)
		return -errno;
	result = set_option(descriptor, XDP_UMEM_REG, &registration, sizeof(registration));
	if (result == 0)
		result = make_rings(descriptor, rings, sizeof(rings) / sizeof(*rings), 2);
	if (result == 0)
		result = bind_to(descriptor, interface, 0, XDP_COPY, 0);
	if (result == 0)
		return descriptor;
	(void)close(descriptor);
	return result;
}

/* The rings of the socket that does everything. */
static int map_rings(struct xsk *xsk)
{
	struct xdp_mmap_offsets offsets;
	socklen_t size = sizeof(offsets);
	int fd = xsk->descriptors[XSK_OTHERS], result;

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0)
		return -errno;
	result = map_ring(&xsk->fill, fd, &offsets.fr, XSK_RING, sizeof(uint64_t),
			  (off_t)XDP_UMEM_PGOFF_FILL_RING);
	if (result == 0)
		result = map_ring(&xsk->complete, fd, &offsets.cr, XSK_RING, sizeof(uint64_t),
				  (off_t)XDP_UMEM_PGOFF_COMPLETION_RING);
	if (result == 0)
		result = map_ring(&xsk->receive[XSK_OTHERS], fd, &offsets.rx, XSK_RING, sizeof(struct xdp_desc),
				  XDP_PGOFF_RX_RING);
	if (result == 0)
		result = map_ring(&xsk->transmit, fd, &offsets.tx, XSK_RING, sizeof(struct xdp_desc),
				  XDP_PGOFF_TX_RING);
	return result;
}

/* The socket that only receives what opens connections. */
static int open_second(struct xsk *xsk, uint32_t interface, uint32_t queue)
{
	static const int ring = XDP_RX_RING;
	struct xdp_mmap_offsets offsets;
	socklen_t size = sizeof(offsets);
	int fd = xsk->descriptors[XSK_OPENS] = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), result;

	if (fd < 0)
		return -errno;
	result = make_rings(fd, &ring, 1, XSK_OPENING);
	if (result != 0)
		return result;
	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0)
		return -errno;
	result = map_ring(&xsk->receive[XSK_OPENS], fd, &offsets.rx, XSK_OPENING, sizeof(struct xdp_desc),
			  XDP_PGOFF_RX_RING);
	/* Bound to the first one's queue, it uses the frames that are filled in there. */
	return result != 0 ? result : bind_to(fd, interface, queue, XDP_SHARED_UMEM, xsk->descriptors[XSK_OTHERS]);
}

/**
 * xsk_open() - Sockets on one queue of an interface
 * @xsk:	Is filled in
 * @memory:	What xsk_create_memory() gave
 * @interface:	Number of the interface
 * @queue:	Number of its queue
 *
 * Return: 0 or -errno; -EBUSY may pass, as the kernel gives a queue back some time after its last socket was closed
 */
int xsk_open(struct xsk *xsk, int memory, uint32_t interface, uint32_t queue)
{
	static const int rings[] = {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING};
	/* The kernel counts a packet with all that it needs to keep it, which is close to a kilobyte at least. */
	int room = XSK_RING * 4096, budget = XSK_RING, result;

	*xsk = (struct xsk){.descriptors = {socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0), -1}};
	if (xsk->descriptors[XSK_OTHERS] < 0)
		return -errno;
	result = make_rings(xsk->descriptors[XSK_OTHERS], rings, sizeof(rings) / sizeof(*rings), XSK_RING);
	if (result == 0)
		result = map_rings(xsk);
	if (result == 0)
		result = bind_to(xsk->descriptors[XSK_OTHERS], interface, queue, XDP_SHARED_UMEM, memory);
	if (result == 0)
		result = open_second(xsk, interface, queue);
	if (result == 0) {
		/* Both only make it faster. */
		(void)setsockopt(xsk->descriptors[XSK_OTHERS], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
		(void)set_option(xsk->descriptors[XSK_OTHERS], BUDGET_OPTION, &budget, sizeof(budget));
		return 0;
	}
	xsk_close(xsk);
	return result;
}

/**
 * xsk_close() - Give sockets back, and with them the frames that are in their rings
 * @xsk:	The sockets; closed already is fine
 */
void xsk_close(struct xsk *xsk)
{
	unmap_ring(&xsk->fill);
	unmap_ring(&xsk->transmit);
	unmap_ring(&xsk->complete);
	/* The one first that uses the other's rings. */
	for (int kind = XSK_KINDS - 1; kind >= 0; kind--) {
		unmap_ring(&xsk->receive[kind]);
		if (xsk->descriptors[kind] >= 0)
			(void)close(xsk->descriptors[kind]);
		xsk->descriptors[kind] = -1;
	}
}

/**
 * xsk_busy_poll() - Have the driver's queue worked on by whoever polls the socket, not by interrupts
 * @xsk:	The sockets
 * @microseconds: How long one system call may go on asking
 *
 * Return: 0 or -errno
 */
int xsk_busy_poll(const struct xsk *xsk, int microseconds)
{
	int yes = 1, budget = 64, descriptor = xsk->descriptors[XSK_OTHERS];

	if (setsockopt(descriptor, SOL_SOCKET, SO_PREFER_BUSY_POLL, &yes, sizeof(yes)) != 0 ||
	    setsockopt(descriptor, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof(microseconds)) != 0 ||
	    setsockopt(descriptor, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)) != 0)
		return -errno;
	return 0;
}

/**
 * xsk_poll() - Have the driver receive now, in this thread, if xsk_busy_poll() was asked for and nothing waits
 * @xsk:	The sockets
 *
 * The driver's work is done here then, and not on the processor where it was interrupted: with a veth, that is the
 * sender's.
 */
void xsk_poll(const struct xsk *xsk)
{
	if (xsk_waiting(xsk, XSK_OTHERS) == 0 && xsk_waiting(xsk, XSK_OPENS) == 0)
		(void)recvfrom(xsk->descriptors[XSK_OTHERS], NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

/**
 * xsk_waiting() - How many packets have come
 * @xsk:	The sockets
 * @kind:	Of which kind
 *
 * Return: how many xsk_take() would give; more may come at any time
 */
size_t xsk_waiting(const struct xsk *xsk, enum xsk_kind kind)
{
	return acquire(xsk->receive[kind].producer) - xsk->receive[kind].mine;
}

/**
 * xsk_take() - Packets that have come
 * @xsk:	The sockets
 * @kind:	Of which kind
 * @packets:	Is filled; their frames are the caller's now
 * @most:	How many at the most
 *
 * Return: how many
 */
size_t xsk_take(struct xsk *xsk, enum xsk_kind kind, struct xsk_packet *packets, size_t most)
{
	struct xsk_ring *ring = &xsk->receive[kind];
	const struct xdp_desc *entries = ring->entries;
	size_t count = xsk_waiting(xsk, kind);

	if (count > most)
		count = most;
	for (size_t i = 0; i < count; i++) {
		const struct xdp_desc *entry = &entries[ring->mine++ & ring->mask];

		packets[i] = (struct xsk_packet){.frame = entry->addr, .length = entry->len};
	}
	if (count > 0)
		release(ring->consumer, ring->mine);
	xsk->filled -= (uint32_t)count;
	return count;
}

/**
 * xsk_fill() - Give the kernel frames to receive into
 * @xsk:	The sockets
 * @frames:	The frames
 * @count:	How many
 *
 * Return: how many it took; the first of them
 */
size_t xsk_fill(struct xsk *xsk, const uint64_t *frames, size_t count)
{
	struct xsk_ring *ring = &xsk->fill;
	uint64_t *entries = ring->entries;
	size_t room = XSK_RING - (ring->mine - acquire(ring->consumer));

	if (count > room)
		count = room;
	for (size_t i = 0; i < count; i++)
		entries[ring->mine++ & ring->mask] = frames[i];
	if (count > 0)
		release(ring->producer, ring->mine);
	xsk->filled += (uint32_t)count;
	return count;
}

/**
 * xsk_send() - Have a packet sent, after the next xsk_kick()
 * @xsk:	The sockets
 * @frame:	Where it begins
 * @length:	Its bytes
 *
 * Return: false if there is no room; then the frame is still the caller's
 */
bool xsk_send(struct xsk *xsk, uint64_t frame, uint32_t length)
{
	struct xsk_ring *ring = &xsk->transmit;
	struct xdp_desc *entries = ring->entries;

	/* What is on its way has to find room in the other ring when it comes back. */
	if (xsk->sending == XSK_RING)
		return false;
	entries[ring->mine++ & ring->mask] = (struct xdp_desc){.addr = frame, .len = length};
	xsk->sending++;
	xsk->unsent = true;
	return true;
}

/**
 * xsk_kick() - Have the kernel send what is to be sent
 * @xsk:	The sockets
 *
 * Return: 0 or -errno; what could not be sent now is tried again the next time
 */
int xsk_kick(struct xsk *xsk)
{
	struct xsk_ring *ring = &xsk->transmit;

	release(ring->producer, ring->mine);
	for (unsigned int i = 0; i < KICKS && acquire(ring->consumer) != ring->mine; i++) {
		if (sendto(xsk->descriptors[XSK_OTHERS], NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0)
			continue;
		if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS && errno != EINTR)
			return -errno;
	}
	xsk->unsent = acquire(ring->consumer) != ring->mine;
	return 0;
}

/**
 * xsk_reap() - Frames whose packets were sent
 * @xsk:	The sockets
 * @frames:	Is filled; they are the caller's now
 * @most:	How many at the most
 *
 * Return: how many
 */
size_t xsk_reap(struct xsk *xsk, uint64_t *frames, size_t most)
{
	struct xsk_ring *ring = &xsk->complete;
	const uint64_t *entries = ring->entries;
	size_t count = acquire(ring->producer) - ring->mine;

	if (count > most)
		count = most;
	for (size_t i = 0; i < count; i++)
		frames[i] = entries[ring->mine++ & ring->mask];
	if (count > 0)
		release(ring->consumer, ring->mine);
	xsk->sending -= (uint32_t)count;
	return count;
}

/**
 * xsk_statistics() - What the kernel did not deliver
 * @xsk:	The sockets
 * @statistics:	Is filled in
 */
void xsk_statistics(const struct xsk *xsk, struct xsk_statistics *statistics)
{
	*statistics = (struct xsk_statistics){0};
	for (enum xsk_kind kind = 0; kind < XSK_KINDS; kind++) {
		struct xdp_statistics counted = {0};
		socklen_t size = sizeof(counted);

		(void)getsockopt(xsk->descriptors[kind], SOL_XDP, XDP_STATISTICS, &counted, &size);
		/* A socket that copies counts a packet as dropped when it finds no frame, and that ring as empty besides. */
		statistics->dropped += counted.rx_dropped;
		statistics->full[kind] = counted.rx_ring_full;
	}
}
