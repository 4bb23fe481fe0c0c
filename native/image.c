/* SPDX-License-Identifier: Apache-2.0 */
/* image.c - whether a table that is handed over can be used */
#include "image.h"

/**
 * DOC: Theory of operation
 *
 * An image holds a whole table, or only what is different: frontends that go, frontends that come or are other than
 * before, addresses that mean something else. Its arrays refer to each other by position. Each frontend brings along the
 * pools that it forwards to, so an image never refers to what is in the table. Pieces may overlap: two pools of the same
 * backends need them only once.
 *
 * Nothing in an image is believed. All of it is checked before anything is written to a table, and afterwards only room
 * can be wanting.
 */

static bool is_family(uint8_t family)
{
	return family == TUPLE_IPV4 || family == TUPLE_IPV6;
}

static bool is_protocol(uint8_t protocol)
{
	return protocol == TUPLE_TCP || protocol == TUPLE_UDP || protocol == TUPLE_SCTP;
}

/* Whether a piece of an array lies inside it. */
static bool is_within(uint32_t first, uint32_t count, uint32_t length)
{
	return first <= length && count <= length - first;
}

/* Ranges do not say their family: who refers to them does. */
static bool are_ranges_of(uint8_t family, uint32_t first, uint32_t count, const struct image *image)
{
	if (!is_within(first, count, image->counts.ranges))
		return false;
	for (uint32_t i = first; i < first + count; i++) {
		if (!address_is_of(&image->ranges[i].low, family) || !address_is_of(&image->ranges[i].high, family))
			return false;
	}
	return true;
}

static bool is_good_frontend(const struct service_frontend *frontend, const struct image *image)
{
	const struct image_counts *counts = &image->counts;

	if (!is_family(frontend->family) || !is_protocol(frontend->protocol) ||
	    !address_is_of(&frontend->address, frontend->family))
		return false;
	if (frontend->sources_first != SERVICE_ANYBODY &&
	    !are_ranges_of(frontend->family, frontend->sources_first, frontend->sources_count, image))
		return false;
	if (!is_within(frontend->serving_first, frontend->serving_count, counts->endpoints))
		return false;
	for (uint32_t i = 0; i < frontend->serving_count; i++) {
		if (!address_is_of(&image->endpoints[frontend->serving_first + i].address, frontend->family))
			return false;
	}
	for (unsigned int i = 0; i < SERVICE_CLIENTS; i++) {
		const struct service_verdict *verdict = &frontend->verdicts[i];

		if (verdict->action >= SERVICE_ACTIONS)
			return false;
		/* Fetching ahead looks at the pool whatever the action is. */
		if (verdict->action != SERVICE_FORWARD && verdict->pool != 0)
			return false;
		if (verdict->action != SERVICE_FORWARD)
			continue;
		/* Pools were checked before: they have a first backend, and the others are of its family. */
		if (verdict->pool >= counts->pools ||
		    image->backends[image->pools[verdict->pool].first].family != frontend->family)
			return false;
	}
	return true;
}

static bool is_good_pool(const struct service_pool *pool, const struct image *image)
{
	if (pool->count == 0 || pool->count > UINT32_MAX / SERVICE_WEIGHT_MOST || pool->owner == 0 ||
	    !is_within(pool->first, pool->count, image->counts.backends))
		return false;
	if (pool->pick >= SERVICE_PICKS)
		return false;
	for (uint32_t i = 1; i < pool->count; i++) {
		if (image->backends[pool->first + i].family != image->backends[pool->first].family)
			return false;
	}
	return true;
}

/**
 * image_check() - Whether a table can be changed as an image says
 * @image:	The image; only the lengths of its arrays are taken on trust
 *
 * Return: IMAGE_OK, or what is wrong
 */
enum image_error image_check(const struct image *image)
{
	const struct image_counts *counts = &image->counts;

	for (uint32_t i = 0; i < counts->backends; i++) {
		const struct service_backend *backend = &image->backends[i];

		if (!is_family(backend->family) || !address_is_of(&backend->address, backend->family) ||
		    backend->weight < 1 || backend->weight > SERVICE_WEIGHT_MOST)
			return IMAGE_BAD_BACKEND;
	}
	for (uint32_t i = 0; i < counts->pools; i++) {
		if (!is_good_pool(&image->pools[i], image))
			return IMAGE_BAD_POOL;
	}
	for (uint32_t i = 0; i < counts->frontends; i++) {
		if (!is_good_frontend(&image->frontends[i], image))
			return IMAGE_BAD_FRONTEND;
	}
	for (uint32_t i = 0; i < counts->addresses; i++) {
		const struct service_address *address = &image->addresses[i];

		if (!is_family(address->family) || !address_is_of(&address->address, address->family))
			return IMAGE_BAD_ADDRESS;
	}
	for (unsigned int i = 0; i < 2; i++) {
		const struct service_family *family = &image->families[i];
		uint8_t version = i == 0 ? TUPLE_IPV4 : TUPLE_IPV6;

		if (!are_ranges_of(version, family->cidrs_first, family->cidrs_count, image) ||
		    !are_ranges_of(version, family->pods_first, family->pods_count, image) ||
		    family->pods_count > 1 || !address_is_of(&family->egress, version))
			return IMAGE_BAD_FAMILY;
	}
	return IMAGE_OK;
}
