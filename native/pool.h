/* SPDX-License-Identifier: Apache-2.0 */
/* pool.h - the pools of a forwarding table, while it is changed */
#ifndef SVCPLANE_POOL_H
#define SVCPLANE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "names.h"
#include "service.h"

/**
 * struct pool_names - The numbers that stay from one table to the next
 * @tallies:	Of every backend of a service port: where its traffic is counted
 * @members:	Of every backend with affinity
 * @turns:	Of every pool that gives turns: the frontend and the kind of client that it was first for
 */
struct pool_names {
	struct names tallies;
	struct names members;
	struct names turns;
};

void pool_prefetch(const struct service_pool *pool, const struct service_backend *backends,
		   const struct pool_names *names);
uint32_t pool_put(struct service_table *table, const struct service_pool *wanted,
		  const struct service_backend *backends, struct pool_names *names);
void pool_give_turn(struct service_pool *pool, const struct service_pool *before,
		    const struct service_frontend *frontend, enum service_client client, struct pool_names *names);
void pool_let_go(struct service_table *table, uint32_t position, struct pool_names *names);
void pool_give_maglevs(struct service_table *table);
void pool_hold_all(const struct service_table *table, struct pool_names *names);

#endif
