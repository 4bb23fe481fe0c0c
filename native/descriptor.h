/* SPDX-License-Identifier: Apache-2.0 */
/* descriptor.h - a port on a file descriptor: one packet for each read(2) and write(2) */
#ifndef SVCPLANE_DESCRIPTOR_H
#define SVCPLANE_DESCRIPTOR_H

#include "port.h"

/* Bytes of the longest packet, a GSO packet or a jumbo frame among them. */
#define DESCRIPTOR_ROOM 65600

struct port *descriptor_create(int descriptor, enum packet_link link, uint16_t interface);

#endif
