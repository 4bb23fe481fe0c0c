/* SPDX-License-Identifier: Apache-2.0 */
/* columns.h - the structures of an image, made of columns of values */
#ifndef SVCPLANE_COLUMNS_H
#define SVCPLANE_COLUMNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "service.h"

bool columns_frontends(struct service_frontend *frontends, size_t count, const char *addresses, size_t length);
bool columns_backends(struct service_backend *backends, size_t count, const char *addresses, size_t length,
		      const uint16_t *ports, const uint8_t *local, const uint8_t *weights);
bool columns_endpoints(struct service_endpoint *endpoints, size_t count, const char *addresses, size_t length,
		       const uint16_t *ports);
bool columns_addresses(struct service_address *into, size_t count, const char *addresses, size_t length,
		       const uint8_t *roles);

#endif
