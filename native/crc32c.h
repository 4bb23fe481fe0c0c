/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - the checksum of SCTP (RFC 9260, appendix A) */
#ifndef SVCPLANE_CRC32C_H
#define SVCPLANE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* What a sum begins with. */
#define CRC32C_BEGIN UINT32_MAX

/* Where an SCTP packet has it (RFC 9260, 3.1). */
#define CRC32C_SCTP 8

uint32_t crc32c_add(uint32_t crc, const void *data, size_t length);
uint32_t crc32c_add_portable(uint32_t crc, const void *data, size_t length);
uint32_t crc32c_finish(uint32_t crc);
uint32_t crc32c_sctp(const uint8_t *packet, size_t length);

#endif
