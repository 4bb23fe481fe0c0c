/* SPDX-License-Identifier: Apache-2.0 */
/* refuse.c - the answer to any packet, in any room */
#include "fuzz.h"
#include "icmp.h"

#define MOST_ROOM 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct address node = {{192, 0, 2, 1}};
	struct packet packet;

	if (size < 2)
		return 0;
	size_t length = size - 2, room = length + data[0] % MOST_ROOM;
	enum packet_link link = data[1] % 2 ? PACKET_LINK_ETHERNET : PACKET_LINK_IP;
	uint8_t *copy = malloc(room ? room : 1);

	fuzz_expect(copy != NULL);
	memcpy(copy, data + 2, length);
	packet_parse(&packet, copy, length, link);
	if (packet.kind >= PACKET_FRAGMENT && icmp_may_refuse(&packet, copy, room)) {
		size_t answer = icmp_refuse(&packet, copy, room, &node);

		fuzz_expect(answer > 0 && answer <= room);
		packet_parse(&packet, copy, answer, link);
		fuzz_expect(packet.kind == PACKET_PORTLESS && icmp_is_error(&packet));
		fuzz_expect(icmp_checksum_is_right(&packet));
	}
	free(copy);
	return 0;
}
