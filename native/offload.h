/* SPDX-License-Identifier: Apache-2.0 */
/* offload.h - checksums that a host leaves to its network card */
#ifndef SVCPLANE_OFFLOAD_H
#define SVCPLANE_OFFLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

bool offload_seems_unfinished(const struct packet *packet);
bool offload_finish(uint8_t *data, size_t length, enum packet_link link);

#endif
