/* SPDX-License-Identifier: Apache-2.0 */
/* icmp.c - ICMP errors that may be about a flow of ours */
#include "fuzz.h"
#include "icmp.h"
#include "nat.h"

/* The quoted packet is made to fit the flow and the checksum to be right, so that translating is reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet, quoted;
	uint8_t *copy = fuzz_copy(data, size);

	packet_parse(&packet, copy, size, PACKET_LINK_IP);
	if (icmp_is_error(&packet) && icmp_parse_error(&packet, &quoted)) {
		struct flow flow = {.tuples = {quoted.tuple, tuple_reversed(&quoted.tuple)}};

		fuzz_check_view(&quoted, copy, size);
		flow.tuples[TRACKING_ORIGINAL].destination.bytes[3] ^= 1;
		flow.tuples[TRACKING_ORIGINAL].destination_port ^= 1;
		nat_prepare(&flow);
		icmp_translate(&packet, &quoted, &flow, TRACKING_REPLY);
		fuzz_expect(icmp_checksum_is_right(&packet));
	}
	free(copy);
	return 0;
}
