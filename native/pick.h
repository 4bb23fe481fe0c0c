/* SPDX-License-Identifier: Apache-2.0 */
/* pick.h - which backend of a pool a new connection gets */
#ifndef SVCPLANE_PICK_H
#define SVCPLANE_PICK_H

#include <stdbool.h>
#include <stdint.h>

#include "affinity.h"
#include "flow.h"
#include "random.h"
#include "service.h"

const struct service_backend *pick_backend(const struct service_table *table, const struct service_pool *pool,
					   const struct flow_tally *tallies, uint32_t hash, uint32_t chance);
const struct service_backend *pick_prefetch(const struct service_table *table, const struct service_pool *pool,
					    const struct flow_tally *tallies, uint32_t hash, uint32_t chance);
const struct service_backend *pick_remembered(const struct service_table *table, const struct service_pool *pool,
					      const struct affinity_entry *entry, uint64_t now);
void pick_remember(const struct service_table *table, const struct service_pool *pool,
		   const struct service_backend *backend, struct affinity_table *affinities,
		   struct affinity_entry *entry, const struct address *client, uint64_t now);

#endif
