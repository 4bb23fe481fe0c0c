/* SPDX-License-Identifier: Apache-2.0 */
/* restore.h - flows and clients that an engine before this one knew */
#ifndef SVCPLANE_RESTORE_H
#define SVCPLANE_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

/**
 * enum restore_result - What became of one that was to be restored
 * @RESTORE_DONE:	It is known now
 * @RESTORE_BAD:	It cannot be: it contradicts itself or the table in force
 * @RESTORE_KNOWN:	One of its tuples, or the client, is known already
 * @RESTORE_FULL:	There is no room
 */
enum restore_result {
	RESTORE_DONE,
	RESTORE_BAD,
	RESTORE_KNOWN,
	RESTORE_FULL,
};

enum restore_result restore_flow(struct engine *engine, const struct flow *saved, uint64_t remaining);
enum restore_result restore_client(struct engine *engine, const struct affinity_entry *saved, uint64_t remaining);

#endif
