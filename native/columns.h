/* SPDX-License-Identifier: Apache-2.0 */
/* columns.h - the structures of an image, made of columns of values */
#ifndef SVCPLANE_COLUMNS_H
#define SVCPLANE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service.h"

/**
 * struct columns_place - A pool of an image
 * @pool:	Which of the pools it is
 * @older:	Where another pool of the same service port is, plus one; 0 if there is none
 */
struct columns_place {
	uint32_t pool;
	uint32_t older;
};

/**
 * struct columns - Frontends, and what they refer to, value by value
 * @count:		How many frontends
 * @length:		Bytes of @addresses
 * @addresses:		By frontend: a text, see columns.c
 * @ports:		... in the byte order of this machine
 * @protocols:		...
 * @services:		... numbers below those of @owners
 * @sources:		... two each: the first of its ranges or SERVICE_ANYBODY, and how many
 * @servings:		... numbers below those of @serving_ends
 * @verdicts:		By client, and then by frontend: numbers below those of @actions
 * @owners:		By service: service_pool.owner
 * @serving_firsts:	By serving, and one more: where its endpoints begin; they lie one after the other
 * @serving_ends:	By serving: whether flows to other endpoints end
 * @actions:		By verdict: enum service_action
 * @masquerades:	...
 * @pools:		... numbers below those of @picks, where it forwards
 * @pool_firsts:	By pool, and one more: where its backends begin; they lie one after the other
 * @affinities:		...
 * @seconds:		...
 * @picks:		... enum service_pick
 * @places:		Room for SERVICE_CLIENTS times @count
 * @newest:		By service: where its last pool is, plus one; 0 at first
 * @pool_count:		Is written: how many pools were made
 *
 * The numbers come from the code beside this one, and are believed.
 */
struct columns {
	uint32_t count;
	size_t length;
	const char *addresses;
	const uint16_t *ports;
	const uint8_t *protocols;
	const uint32_t *services;
	const uint32_t *sources;
	const uint32_t *servings;
	const uint32_t *verdicts;
	const uint32_t *owners;
	const uint32_t *serving_firsts;
	const uint8_t *serving_ends;
	const uint8_t *actions;
	const uint8_t *masquerades;
	const uint32_t *pools;
	const uint32_t *pool_firsts;
	const uint32_t *affinities;
	const uint32_t *seconds;
	const uint8_t *picks;
	struct columns_place *places;
	uint32_t *newest;
	uint32_t pool_count;
};

uint32_t columns_number(const uint64_t *things, uint32_t count, uint32_t *numbers, uint32_t *firsts, uint32_t *slots,
			uint32_t slot_count);
bool columns_frontends(struct columns *columns, struct service_frontend *frontends, struct service_pool *pools);
bool columns_backends(struct service_backend *backends, size_t count, const char *addresses, size_t length,
		      const uint16_t *ports, const uint8_t *local, const uint8_t *weights);
bool columns_endpoints(struct service_endpoint *endpoints, size_t count, const char *addresses, size_t length,
		       const uint16_t *ports);
bool columns_addresses(struct service_address *into, size_t count, const char *addresses, size_t length,
		       const uint8_t *roles);

#endif
