/* SPDX-License-Identifier: Apache-2.0 */
/* frame.c - frames that are written whole to the driver */
#define _GNU_SOURCE /* for sendmmsg; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "frame.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <string.h>

#include "load.h"

/**
 * frame_sum() - Sum up what a checksum is made of
 * @data:	Begins at an even offset of what is summed up
 * @length:	Bytes of it
 *
 * Return: to be added to other such sums, and to 16-bit numbers
 */
uint64_t frame_sum(const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint64_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum += (uint64_t)bytes[i] << (i % 2 ? 0 : 8);
	return sum;
}

/**
 * frame_finish() - Make a checksum of a sum (RFC 1071)
 * @sum:	Of everything
 *
 * Return: the checksum, in network byte order
 */
uint16_t frame_finish(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/**
 * frame_open() - Be able to give frames to an interface's driver, past its queues
 * @name:	The interface
 * @own_address:	Is set to its hardware address
 *
 * Return: a socket that receives nothing
 */
int frame_open(const char *name, uint8_t own_address[6])
{
	int to = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: receives nothing */
	int bypass = 1;
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
	socklen_t length = sizeof(at);

	if (to < 0)
		load_fail("socket(AF_PACKET)");
	if (at.sll_ifindex == 0)
		load_fail(name);
	if (setsockopt(to, SOL_PACKET, PACKET_QDISC_BYPASS, &bypass, sizeof(bypass)) != 0)
		load_fail("PACKET_QDISC_BYPASS");
	if (bind(to, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    getsockname(to, (struct sockaddr *)&at, &length) != 0)
		load_fail("bind(AF_PACKET)");
	memcpy(own_address, at.sll_addr, 6);
	return to;
}

/**
 * frame_send() - Give frames to the driver
 * @to:		From frame_open()
 * @messages:	One for each frame
 * @count:	How many
 *
 * Return: how many it took; the others are lost
 */
uint64_t frame_send(int to, struct mmsghdr *messages, unsigned int count)
{
	unsigned int done = 0;
	uint64_t taken = 0;

	while (done < count) {
		int sent = sendmmsg(to, messages + done, count - done, 0);

		if (sent > 0) {
			taken += (unsigned int)sent;
			done += (unsigned int)sent;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			done++; /* the other end of the cable had no room for this one */
		} else if (errno != EINTR) {
			load_fail("sendmmsg");
		}
	}
	return taken;
}
