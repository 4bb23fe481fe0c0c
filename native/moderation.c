/* SPDX-License-Identifier: Apache-2.0 */
/* moderation.c - when a queue is served: at once, or after a while and then many packets together */
#define _GNU_SOURCE /* for clock_gettime; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "moderation.h"

#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <time.h>

/**
 * DOC: Theory of operation
 *
 * A network card that gets many packets waits a little before it interrupts, so that one interrupt serves many of them.
 * A virtual cable has no card: each packet that is put in at one end has the other end served at once, by the
 * sender's processor, and that costs more than the packet. The kernel can make any queue wait: after it was served it
 * is looked at again by a timer, and what comes meanwhile raises no interrupt (napi_defer_hard_irqs and
 * gro_flush_timeout; for one queue by "napi-set" of generic netlink, Linux 6.13).
 *
 * This is good only for queues that are busy, as the packet that comes first waits longest. So packets are counted:
 * from MODERATION_FROM a second a queue waits, and below MODERATION_BELOW it no longer does. At the former a wait
 * collects twenty packets. Whoever asks and waits for the answer before he asks again does not come near the latter.
 * A queue at which nothing comes goes back to interrupts by itself, so that the first packet after a pause never waits.
 *
 * The message is sent without asking for an answer: it is done when send() returns, and if it was refused, the queue is
 * as fast as it was before.
 */

/* linux/netdev.h, which older systems lack. */
#define NAPI_SET	  14
#define ID		  2
#define DEFER_HARD_IRQS	  5
#define GRO_FLUSH_TIMEOUT 6
#define VERSION		  1

#define NANOSECONDS UINT64_C(1000000000)

struct word {
	struct nlattr header;
	uint32_t value;
};

struct message {
	struct nlmsghdr header;
	struct genlmsghdr generic;
	struct word napi;
	struct word polls;
	struct word nanoseconds;
};

static struct word word(uint16_t kind, uint32_t value)
{
	return (struct word){{sizeof(struct word), kind}, value};
}

/**
 * moderation_now() - The time, for moderation_count()
 *
 * Return: nanoseconds since some moment
 */
uint64_t moderation_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NANOSECONDS + (uint64_t)now.tv_nsec;
}

/**
 * moderation_count() - Packets have come
 * @queue:	Where
 * @packets:	How many since the last call
 * @now:	What moderation_now() says
 *
 * Return: whether @queue->waits is another than before, and the kernel has to be told
 */
bool moderation_count(struct moderated *queue, uint64_t packets, uint64_t now)
{
	uint64_t elapsed = now - queue->since, least = queue->waits ? MODERATION_BELOW : MODERATION_FROM;
	bool waits;

	queue->packets += packets;
	if (elapsed < MODERATION_WINDOW)
		return false;
	waits = queue->packets >= least * (elapsed / 1000) / 1000000;
	queue->packets = 0;
	queue->since = now;
	if (waits == queue->waits)
		return false;
	queue->waits = waits;
	return true;
}

/**
 * moderation_tell() - Have the kernel serve a queue as it should be
 * @moderation:	Whom to tell
 * @queue:	The queue
 *
 * Return: whether it could be sent
 */
bool moderation_tell(const struct moderation *moderation, const struct moderated *queue)
{
	struct message message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = moderation->family,
			   .nlmsg_flags = NLM_F_REQUEST},
		.generic = {.cmd = NAPI_SET, .version = VERSION},
		.napi = word(ID, queue->napi),
		/* One look that finds nothing ends it. */
		.polls = word(DEFER_HARD_IRQS, queue->waits),
		.nanoseconds = word(GRO_FLUSH_TIMEOUT, queue->waits ? MODERATION_WAIT : 0),
	};

	return send(moderation->descriptor, &message, sizeof(message), MSG_DONTWAIT) == (ssize_t)sizeof(message);
}
