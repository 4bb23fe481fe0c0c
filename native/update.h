/* SPDX-License-Identifier: Apache-2.0 */
/* update.h - changing a table of Services */
#ifndef SVCPLANE_UPDATE_H
#define SVCPLANE_UPDATE_H

#include "image.h"
#include "pool.h"
#include "service.h"

enum image_error update_apply(struct service_table *table, const struct image *image, struct pool_names *names);
void update_copy(struct service_table *table, const struct service_table *from, struct pool_names *names);
void update_clear(struct service_table *table, struct pool_names *names);

#endif
