/* SPDX-License-Identifier: Apache-2.0 */
/* update.h - changing a table of Services */
#ifndef SVCPLANE_UPDATE_H
#define SVCPLANE_UPDATE_H

#include "names.h"
#include "service.h"

/**
 * struct update_names - The numbers that backends have
 * @tallies:	Of every backend of a service port: where its traffic is counted
 * @members:	Of every backend with affinity
 */
struct update_names {
	struct names tallies;
	struct names members;
};

enum service_error update_apply(struct service_table *table, const struct service_image *image,
				struct update_names *names);
void update_clear(struct service_table *table, struct update_names *names);

#endif
