/* SPDX-License-Identifier: Apache-2.0 */
/* durable.c - flows and clients in a file, which outlives the process that knew them */
#define _GNU_SOURCE /* for posix_fallocate() and pread(); NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore.h"

/**
 * DOC: Theory of operation
 *
 * Whoever translates packets must not forget how: without its flow, a connection is over. A process may be killed at
 * any moment, so nothing can be saved at its end. Instead the entries of flows and clients lie in a file from the
 * beginning, mapped and shared, and an engine works on them as on any memory. When the process dies the pages stay, as
 * they were after its last instruction. The file belongs in a tmpfs: it means nothing after the machine has restarted,
 * and no disk has to keep up with packets.
 *
 * The next process makes a file of its own, reads this one, and believes in none of it: each flow goes through
 * restore_flow(). An entry that was half written when the process was killed is refused there, or forgotten when it
 * expires. Everything that only finds entries (indexes, lists) is not in the file, and made anew. Deadlines are on
 * CLOCK_BOOTTIME, the same for all processes.
 *
 * All blocks are allocated at once: a full tmpfs is an error then, not a SIGBUS at some packet.
 */

#define MAGIC UINT64_C(0x31706c6376735f01)

/**
 * struct header - The beginning of the file
 * @magic:		MAGIC; whoever changes the layout changes it
 * @flow_size:		Bytes of a flow
 * @flow_count:		How many
 * @client_size:	Bytes of a client
 * @client_count:	How many
 */
struct header {
	uint64_t magic;
	uint32_t flow_size;
	uint32_t flow_count;
	uint32_t client_size;
	uint32_t client_count;
};

static size_t aligned(size_t size)
{
	return (size + ARENA_ALIGNMENT - 1) & ~(size_t)(ARENA_ALIGNMENT - 1);
}

static size_t size_of(const struct header *header)
{
	return aligned(sizeof(*header)) + aligned((size_t)header->flow_count * sizeof(struct flow)) +
	       aligned((size_t)header->client_count * sizeof(struct affinity_entry));
}

static struct durable *map(int descriptor, const struct header *header, int protection, int flags, int *error)
{
	struct durable *durable = calloc(1, sizeof(*durable));
	size_t size = size_of(header);
	uint8_t *memory;

	*error = -ENOMEM;
	if (!durable)
		return NULL;
	memory = mmap(NULL, size, protection, flags, descriptor, 0);
	if (memory == MAP_FAILED) {
		*error = -errno;
		free(durable);
		return NULL;
	}
	*error = 0;
	*durable = (struct durable){.memory = memory, .size = size};
	memory += aligned(sizeof(*header));
	durable->flows = (struct flow *)(void *)memory;
	durable->flow_count = header->flow_count;
	memory += aligned((size_t)header->flow_count * sizeof(struct flow));
	durable->clients = (struct affinity_entry *)(void *)memory;
	durable->client_count = header->client_count;
	return durable;
}

/**
 * durable_attach() - Have an engine keep its flows and clients in a file
 * @engine:	The engine; it knows none yet
 * @descriptor:	An empty file, open for reading and writing
 * @error:	Set to -errno if that fails
 *
 * Return: the file, to be closed after the engine is destroyed; or NULL
 */
struct durable *durable_attach(struct engine *engine, int descriptor, int *error)
{
	const struct header header = {
		.magic = MAGIC,
		.flow_size = sizeof(struct flow),
		.flow_count = engine->flows.capacity + 1,
		.client_size = sizeof(struct affinity_entry),
		.client_count = engine->affinities.capacity + 1,
	};
	struct durable *durable;

	*error = -posix_fallocate(descriptor, 0, (off_t)size_of(&header));
	if (*error != 0)
		return NULL;
	durable = map(descriptor, &header, PROT_READ | PROT_WRITE, MAP_SHARED, error);
	if (!durable)
		return NULL;
	memcpy(durable->memory, &header, sizeof(header));
	engine->flows.flows = durable->flows;
	engine->affinities.entries = durable->clients;
	return durable;
}

/**
 * durable_open() - Read what a process before this one knew
 * @descriptor:	Its file
 * @error:	Set to -errno if that fails: -EINVAL if it is none, or of another version
 *
 * Return: the file, or NULL
 */
struct durable *durable_open(int descriptor, int *error)
{
	struct header header;
	struct stat status;

	*error = -EINVAL;
	if (pread(descriptor, &header, sizeof(header), 0) != (ssize_t)sizeof(header) || header.magic != MAGIC ||
	    header.flow_size != sizeof(struct flow) || header.client_size != sizeof(struct affinity_entry))
		return NULL;
	if (fstat(descriptor, &status) != 0 || (uint64_t)status.st_size < size_of(&header))
		return NULL;
	return map(descriptor, &header, PROT_READ, MAP_PRIVATE, error);
}

/**
 * durable_close() - Let go of a file; what is in it stays
 * @durable:	The file, or NULL
 */
void durable_close(struct durable *durable)
{
	if (!durable)
		return;
	(void)munmap(durable->memory, durable->size);
	free(durable);
}

/* Where the traffic of a flow is counted: its backend's place in the table in force, or @gone. */
static uint32_t find_tally(const struct service_table *table, const struct flow *flow, uint32_t gone)
{
	const struct tuple *reply = &flow->tuples[TRACKING_REPLY];
	const struct service_frontend *frontend =
		service_find_original(table, &flow->tuples[TRACKING_ORIGINAL], flow->flags & FLOW_NODE_PORT);

	for (unsigned int client = 0; frontend && client < SERVICE_CLIENTS; client++) {
		const struct service_verdict *verdict = &frontend->verdicts[client];
		const struct service_pool *pool = &table->pools[verdict->pool];

		for (uint32_t i = 0; verdict->action == SERVICE_FORWARD && i < pool->count; i++) {
			const struct service_backend *backend = &table->backends[pool->first + i];

			if (backend->port == reply->source_port && address_equal(&backend->address, &reply->source))
				return backend->tally;
		}
	}
	return gone;
}

/**
 * durable_recover() - Know the flows again that are in a file
 * @durable:	The file
 * @engine:	Whose time is set, and whose table is in force
 * @gone:	Where the traffic of those is counted whose backend is in no pool any more
 *
 * Return: how many flows came back
 */
uint32_t durable_recover(const struct durable *durable, struct engine *engine, uint32_t gone)
{
	uint32_t recovered = 0;

	for (uint32_t number = 1; number < durable->flow_count; number++) {
		struct flow flow = durable->flows[number];

		if (!flow_in_use(&flow) || flow.deadline <= engine->now)
			continue;
		flow.tally = find_tally(engine_table(engine), &flow, gone);
		recovered += restore_flow(engine, &flow, flow.deadline - engine->now) == RESTORE_DONE;
	}
	return recovered;
}
