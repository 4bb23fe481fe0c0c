/* SPDX-License-Identifier: Apache-2.0 */
/* ethernet.c - any bytes as an Ethernet frame */
#include "fuzz.h"
#include "packet.h"
#include "same_packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet;
	bool is_plain;
	uint8_t *copy = fuzz_copy(data, size);

	packet_parse(&packet, copy, size, PACKET_LINK_ETHERNET);
	fuzz_check_view(&packet, copy, size);
	fuzz_expect(plain_is_right(copy, size, PACKET_LINK_ETHERNET, &is_plain));
	free(copy);
	return 0;
}
