/* SPDX-License-Identifier: Apache-2.0 */
/* nfqueue.h - a port on one of the kernel's packet queues */
#ifndef SVCPLANE_NFQUEUE_H
#define SVCPLANE_NFQUEUE_H

#include <stdbool.h>

#include "port.h"

/* An interface's name and the zero behind it: IFNAMSIZ. */
#define NFQUEUE_NAME 16

/**
 * struct nfqueue_config - What such a port is made with
 * @queue:	The queue's number
 * @length:	Packets that may wait in it; more are dropped
 * @pods:	Name of the interface that local pods are behind; empty if they are not told by it
 * @prefix:	@pods is only the beginning of the name
 */
struct nfqueue_config {
	uint16_t queue;
	uint32_t length;
	char pods[NFQUEUE_NAME];
	bool prefix;
};

struct port *nfqueue_create(const struct nfqueue_config *config, int *error);

#endif
