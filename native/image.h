/* SPDX-License-Identifier: Apache-2.0 */
/* image.h - a forwarding table, or what changes in one, as flat arrays: the way it is handed over */
#ifndef SVCPLANE_IMAGE_H
#define SVCPLANE_IMAGE_H

#include <stdint.h>

#include "service.h"

/**
 * struct image_key - What a frontend is known by
 * @address:	The address; unspecified for a NodePort
 * @port:	In network byte order
 * @protocol:	TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 */
struct image_key {
	struct address address;
	uint16_t port;
	uint8_t protocol;
	uint8_t family;
};

/**
 * struct image_counts - How long the arrays of an image are
 * @frontends:	...
 * @gone:	...
 * @pools:	...
 * @backends:	...
 * @endpoints:	...
 * @ranges:	...
 * @addresses:	...
 */
struct image_counts {
	uint32_t frontends;
	uint32_t gone;
	uint32_t pools;
	uint32_t backends;
	uint32_t endpoints;
	uint32_t ranges;
	uint32_t addresses;
};

/**
 * struct image - A table, or what changes in one, as flat arrays: the way it is handed over
 * @counts:		How long each array is
 * @whole:		1 if this is the whole table; 0 if what is not mentioned stays
 * @frontends:		Those that come, or come in the place of those with the same address, protocol, port and family
 * @gone:		Those that go; those that are not there do not matter
 * @pools:		What @frontends forward to
 * @backends:		The backends of a pool side by side
 * @endpoints:		Those of a frontend side by side
 * @ranges:		Likewise
 * @addresses:		What these addresses are from now on; with no role, nothing
 * @families:		For IPv4, then for IPv6: always mentioned
 * @pod_interfaces:	SERVICE_INTERFACES bytes: 1 where what comes in is from a local pod; always mentioned
 * @positions:		For each of @frontends where it is in the table from now on: is written, unless NULL
 */
struct image {
	struct image_counts counts;
	uint32_t whole;
	const struct service_frontend *frontends;
	const struct image_key *gone;
	const struct service_pool *pools;
	const struct service_backend *backends;
	const struct service_endpoint *endpoints;
	const struct service_range *ranges;
	const struct service_address *addresses;
	struct service_family families[2];
	const uint8_t *pod_interfaces;
	uint32_t *positions;
};

/**
 * enum image_error - What is wrong with an image
 * @IMAGE_OK:			Nothing
 * @IMAGE_TOO_MANY:		More than the limits given when the engine was made; of what is not whole, perhaps only
 *				more than there is room for side by side
 * @IMAGE_BAD_FRONTEND:	A frontend refers to something that is not there, or says what does not exist
 * @IMAGE_BAD_POOL:		A pool is empty, is nobody's, or refers to backends that are not there
 * @IMAGE_BAD_BACKEND:	A backend of no family, or of no weight
 * @IMAGE_BAD_ADDRESS:	An address of no family
 * @IMAGE_BAD_FAMILY:		The ranges of a family are not there, or not of it
 *
 * An IPv4 address that is followed by anything but zeros is of no family, wherever it is.
 */
enum image_error {
	IMAGE_OK,
	IMAGE_TOO_MANY,
	IMAGE_BAD_FRONTEND,
	IMAGE_BAD_POOL,
	IMAGE_BAD_BACKEND,
	IMAGE_BAD_ADDRESS,
	IMAGE_BAD_FAMILY,
};

enum image_error image_check(const struct image *image);

#endif
