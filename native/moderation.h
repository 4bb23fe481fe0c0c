/* SPDX-License-Identifier: Apache-2.0 */
/* moderation.h - when a queue is served: at once, or after a while and then many packets together */
#ifndef SVCPLANE_MODERATION_H
#define SVCPLANE_MODERATION_H

#include <stdbool.h>
#include <stdint.h>

/* Packets a second of a queue from which on it waits, and below which it no longer does. */
#define MODERATION_FROM	 UINT64_C(100000)
#define MODERATION_BELOW UINT64_C(50000)

/* Nanoseconds over which packets are counted, and those that a packet may have to wait. */
#define MODERATION_WINDOW UINT64_C(2000000)
#define MODERATION_WAIT	  200000

/**
 * struct moderation - Whom to tell
 * @descriptor:	A generic netlink socket that does not block, or -1 if nothing is to be moderated
 * @family:	Number of the family "netdev"
 */
struct moderation {
	int descriptor;
	uint16_t family;
};

/**
 * struct moderated - One queue
 * @napi:	The kernel's number for it, or 0 if it is left as it is
 * @waits:	It is served after a while
 * @packets:	Packets since @since
 * @since:	Nanoseconds
 */
struct moderated {
	uint32_t napi;
	bool waits;
	uint64_t packets;
	uint64_t since;
};

uint64_t moderation_now(void);
bool moderation_count(struct moderated *queue, uint64_t packets, uint64_t now);
bool moderation_tell(const struct moderation *moderation, const struct moderated *queue);

#endif
