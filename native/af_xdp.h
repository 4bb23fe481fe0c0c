/* SPDX-License-Identifier: Apache-2.0 */
/* af_xdp.h - a port on interfaces themselves: packets in from one, out by another */
#ifndef SVCPLANE_AF_XDP_H
#define SVCPLANE_AF_XDP_H

#include <stdint.h>

#include "forwarding.h"
#include "moderation.h"
#include "port.h"
#include "xsk.h"

/* Sockets of one port at the most: queues of all its interfaces together. */
#define AF_XDP_SOCKETS 512

/* Bytes of a frame, and of the longest packet in one: the kernel keeps room before it (XDP_PACKET_HEADROOM). */
#define AF_XDP_FRAME   2048
#define AF_XDP_LONGEST (AF_XDP_FRAME - 256)

/**
 * struct af_xdp_config - What a port is made with, and keeps
 * @frames:	Frames for all sockets together; AF_XDP_FRAME bytes each, which can not be swapped out
 * @routes:	The most routes
 * @tun:	A tun device (IFF_TUN, IFF_NO_PI, does not block) that leads to the kernel's own path; the port closes it
 * @tun_interface: Its number
 * @busy_poll:	Microseconds to poll a driver for (SO_BUSY_POLL), 0 to wait for interrupts
 * @spins:	Rounds without any packet, before the thread sleeps
 * @moderation:	Whom to tell when queues shall wait; its descriptor stays the caller's, and open longer than the port
 */
struct af_xdp_config {
	uint32_t frames;
	uint32_t routes;
	int tun;
	uint32_t tun_interface;
	int busy_poll;
	uint32_t spins;
	struct moderation moderation;
};

/**
 * struct af_xdp_socket_config - One queue of an interface
 * @interface:	Number of the interface
 * @queue:	Number of the queue
 * @kind:	PORT_OUTSIDE or PORT_PODS
 * @mac:	Hardware address of the interface
 */
struct af_xdp_socket_config {
	uint32_t interface;
	uint32_t queue;
	uint16_t kind;
	uint8_t mac[6];
};

/**
 * struct af_xdp_counters - What became of packets besides what every port counts
 * @sent:	Sent by an interface
 * @to_kernel:	Given to the kernel's path, translated or not
 * @finished:	Came without their checksum, and got it here
 * @unsent:	Lost because an interface did not take them in time
 * @refused:	Lost because the kernel's path did not take them
 * @kicks:	System calls to send
 * @too_long:	Packets given to the kernel because the way out takes only shorter ones
 * @crowded:	Packets that would have opened connections, and found their ring full; port_counters.missed has them too
 * @moderations: Times that a queue was told to wait, or no longer to
 */
struct af_xdp_counters {
	uint64_t sent;
	uint64_t to_kernel;
	uint64_t finished;
	uint64_t unsent;
	uint64_t refused;
	uint64_t kicks;
	uint64_t too_long;
	uint64_t crowded;
	uint64_t moderations;
};

struct port *af_xdp_create(const struct af_xdp_config *config, int *error);
int af_xdp_add(struct port *port, const struct af_xdp_socket_config *config);
int af_xdp_descriptor(struct port *port, int number, bool opens);
void af_xdp_moderate(struct port *port, int number, uint32_t napi);
void af_xdp_remove(struct port *port, int number);
bool af_xdp_route(struct port *port, const struct forwarding_route *routes, uint32_t count);
void af_xdp_count(struct port *port, struct af_xdp_counters *counters);

#endif
