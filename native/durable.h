/* SPDX-License-Identifier: Apache-2.0 */
/* durable.h - flows and clients in a file, which outlives the process that knew them */
#ifndef SVCPLANE_DURABLE_H
#define SVCPLANE_DURABLE_H

#include "engine.h"

/**
 * struct durable - Such a file, mapped into memory
 * @memory:	Where it begins
 * @size:	Its bytes
 * @flows:	The flows in it; entry 0 is never used
 * @flow_count:	How many entries, entry 0 included
 * @clients:	The clients that affinity remembers; entry 0 is never used
 * @client_count:	How many entries, entry 0 included
 */
struct durable {
	void *memory;
	size_t size;
	struct flow *flows;
	uint32_t flow_count;
	struct affinity_entry *clients;
	uint32_t client_count;
};

struct durable *durable_attach(struct engine *engine, int descriptor, int *error);
struct durable *durable_open(int descriptor, int *error);
void durable_close(struct durable *durable);
uint32_t durable_recover(const struct durable *durable, struct engine *engine, uint32_t gone);

#endif
