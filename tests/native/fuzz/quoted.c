/* SPDX-License-Identifier: Apache-2.0 */
/* quoted.c - any bytes as the packet that an ICMP error quotes */
#include "fuzz.h"
#include "packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet;
	uint8_t *copy = fuzz_copy(data, size);

	packet_parse_quoted(&packet, copy, size);
	fuzz_check_view(&packet, copy, size);
	free(copy);
	return 0;
}
