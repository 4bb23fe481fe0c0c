/* SPDX-License-Identifier: Apache-2.0 */
/* checksum.h - the Internet checksum, whole (RFC 1071) and by its changes (RFC 1624) */
#ifndef SVCPLANE_CHECKSUM_H
#define SVCPLANE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/**
 * DOC: Values and their byte order
 *
 * A word, a checksum and a delta are 16 bits exactly as they lie in the packet: copy them in and out with
 * memcpy() and never swap them. RFC 1071 section 2(B) shows that the sum comes out right on every machine.
 */

uint64_t checksum_add(uint64_t sum, const void *data, size_t length);
uint16_t checksum_fold(uint64_t sum);
uint16_t checksum_finish(uint64_t sum);
uint16_t checksum_finish_udp(uint64_t sum);

uint16_t checksum_delta16(uint16_t before, uint16_t after);
uint16_t checksum_delta32(uint32_t before, uint32_t after);
uint16_t checksum_delta128(const uint8_t before[16], const uint8_t after[16]);
uint16_t checksum_delta_join(uint16_t first, uint16_t second);

uint16_t checksum_update(uint16_t checksum, uint16_t delta);
uint16_t checksum_update_udp(uint16_t checksum, uint16_t delta);

#endif
