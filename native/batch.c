/* SPDX-License-Identifier: Apache-2.0 */
/* batch.c - packets on their way through an engine, a few at each step of it */
#include "batch.h"

#include "engine.h"
#include "known.h"
#include "pick.h"
#include "plain.h"

/**
 * DOC: Theory of operation
 *
 * A packet alone would wait for memory again and again: for its bucket of the index, then for its flow, then for where that
 * is counted; and if there is no flow, for a bucket of frontends, the frontend, its pool, a backend, and where that is
 * counted. Each of them tells where the next is, so they cannot be asked for together.
 *
 * Many packets can. They are divided into groups, and a group takes one step after the other, each of which reads what was
 * asked for by the step before, and asks for what the next one will read:
 *
 *	step		reads				asks for
 *	read		the packets			buckets of flows
 *	find		buckets of flows		flows; without one, buckets of frontends
 *	serve		flows; buckets of frontends	where they are counted; frontends
 *	offer		frontends			pools
 *	pick		pools				backends, by the chance that is drawn here
 *	reply		backends			where they are counted; buckets for what they will answer
 *	decide		everything
 *
 * A group of packets that are known takes its steps one after the other: after two of them all is there. Where many packets
 * open flows, the steps of different groups take turns: while one group is decided about, what those behind it have asked
 * for is on its way ("software pipelining": Chen, Ailamaki, Gibbons and Mowry, 2004, for joins in databases). Memory and
 * processor so work at the same time. Were each step taken by one group after another, there would only be asked during
 * most steps, faster than memory answers, and nothing be asked for while packets are decided about. (Known packets have
 * nothing of that: they leave as quickly as memory brings their flows and takes them back, and smaller groups cost them a
 * tenth.) Which of the two it is, the packets before these tell: batch.in_turns.
 *
 * All that comes before the last step is a guess of what that will need, and is asked again there: groups are decided
 * about one after the other and packets in order, because one packet may make the flow that the next belongs to.
 */

/* The steps, in order. A packet of a known flow has nothing to do from BATCH_OFFER to BATCH_REPLY. */
enum batch_step {
	BATCH_READ,
	BATCH_FIND,
	BATCH_SERVE,
	BATCH_OFFER,
	BATCH_PICK,
	BATCH_REPLY,
	BATCH_DECIDE,
	BATCH_STEPS,
};

_Static_assert((int)BATCH_STEPS <= BATCH_GROUPS, "each step has a group of its own");

/* What batch_run() was given. */
struct batch_input {
	uint8_t *memory;
	size_t size;
	struct engine_packet *packets;
	size_t count;
	enum packet_link link;
};

/* Words of what is hashed, by family. */
static const size_t tuple_words[2] = {TUPLE_HASHED_IPV4, TUPLE_HASHED_IPV6};
static const size_t service_words[2] = {SERVICE_HASHED_IPV4, SERVICE_HASHED_IPV6};

static unsigned int family_of(const struct packet *packet)
{
	return packet->tuple.family == TUPLE_IPV6;
}

/* Hashes the first messages of a family. Returns them, with their hashes. */
static const struct batch_hashing *hash_family(struct engine *engine, unsigned int family, const size_t words[2],
					       uint32_t count)
{
	struct batch_hashing *hashing = &engine->batch.hashing[family];

	if (count)
		engine->batch.hash(&engine->key, &hashing->messages, words[family], count, hashing->hashes);
	return hashing;
}

/* Where a packet of the batch begins; a packet that is not in the memory is one of no bytes. */
static uint8_t *locate(uint8_t *memory, size_t size, struct engine_packet *packet)
{
	if (packet->room < packet->length || (uint64_t)packet->offset + packet->room > size) {
		if ((uint64_t)packet->offset + packet->length > size)
			packet->offset = packet->length = 0;
		packet->room = packet->length;
	}
	return memory + packet->offset;
}

/* Finds out what packets are, and asks for the buckets of their flows. */
static void step_read(struct engine *engine, struct batch_group *group, const struct batch_input *input)
{
	uint32_t counts[2] = {0};
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < group->count; i++) {
		struct packet *packet = &group->packets[i];
		struct engine_packet *described = &group->described[i];
		uint8_t *data = locate(input->memory, input->size, described);

		bytes += described->length;
		if (!plain_parse(packet, data, described->length, input->link))
			packet_parse(packet, data, described->length, input->link);
		packet->is_unfinished = described->flags & ENGINE_UNFINISHED;
		if (packet->kind != PACKET_TRANSPORT)
			continue;
		unsigned int family = family_of(packet);
		struct batch_hashing *hashing = &engine->batch.hashing[family];

		hashing->of[counts[family]] = i;
		tuple_put(&hashing->messages, counts[family]++, &packet->tuple);
	}
	for (unsigned int family = 0; family < 2; family++) {
		const struct batch_hashing *hashing = hash_family(engine, family, tuple_words, counts[family]);

		for (uint32_t i = 0; i < counts[family]; i++) {
			group->hints[hashing->of[i]].hash = hashing->hashes[i];
			index_prefetch(&engine->flows.index, hashing->hashes[i]);
		}
	}
	engine->counters.bytes += bytes;
	engine->counters.packets += group->count;
}

/* Asks for the buckets of frontends that packets may be for which seem to be of no flow. */
static void find_openings(struct engine *engine, struct batch_group *group)
{
	const struct service_table *table = engine_table(engine);
	uint32_t counts[2] = {0};

	engine->batch.openings += group->openings;
	for (uint32_t i = 0; i < group->openings; i++) {
		const struct packet *packet = &group->packets[group->opening[i]];
		unsigned int family = family_of(packet);
		struct batch_hashing *hashing = &engine->batch.hashing[family];

		hashing->of[counts[family]] = group->opening[i];
		service_put(&hashing->messages, counts[family]++, &packet->tuple);
	}
	for (unsigned int family = 0; family < 2; family++) {
		const struct batch_hashing *hashing = hash_family(engine, family, service_words, counts[family]);

		for (uint32_t i = 0; i < counts[family]; i++) {
			group->hints[hashing->of[i]].service = hashing->hashes[i];
			index_prefetch(&table->frontend_index, hashing->hashes[i]);
		}
	}
}

/* Asks for the flows of packets; where there seems to be none, for the buckets of frontends. */
static void step_find(struct engine *engine, struct batch_group *group)
{
	uint32_t openings = 0;

	for (uint32_t i = 0; i < group->count; i++) {
		struct decision_hint *hint = &group->hints[i];

		hint->reference = INDEX_NONE;
		hint->backend = NULL;
		if (group->packets[i].kind != PACKET_TRANSPORT)
			continue;
		hint->reference = flow_prefetch(&engine->flows, hint->hash);
		if (hint->reference == INDEX_NONE)
			group->opening[openings++] = i;
	}
	group->openings = openings;
	if (openings)
		find_openings(engine, group);
}

/* Asks for where known flows are counted, and for the frontends of packets that may open one. */
static void step_serve(struct engine *engine, struct batch_group *group)
{
	const struct service_table *table = engine_table(engine);
	uint32_t openings = 0;

	/* Where there is no flow, that of entry 0, which is never used. */
	for (size_t i = 0; i < group->count; i++)
		flow_prefetch_tally(&engine->flows, group->hints[i].reference);
	for (uint32_t i = 0; i < group->openings; i++) {
		struct decision_hint *hint = &group->hints[group->opening[i]];

		hint->frontend = service_prefetch(table, hint->service);
		if (hint->frontend != INDEX_NONE)
			group->opening[openings++] = group->opening[i];
	}
	group->openings = openings;
}

static void step_offer(struct engine *engine, struct batch_group *group)
{
	for (uint32_t i = 0; i < group->openings; i++)
		service_prefetch_pool(engine_table(engine), group->hints[group->opening[i]].frontend);
}

/* Draws for packets that may open a flow, and asks for the backends that they will probably get. */
static void step_pick(struct engine *engine, struct batch_group *group)
{
	const struct service_table *table = engine_table(engine);
	struct batch_hashing *hashing = &engine->batch.hashing[0];

	if (!group->openings)
		return;
	for (uint32_t i = 0; i < group->openings; i++)
		random_put(&engine->random, &hashing->messages, i);
	engine->batch.hash(&engine->random.key, &hashing->messages, RANDOM_HASHED, group->openings, hashing->hashes);
	for (uint32_t i = 0; i < group->openings; i++) {
		struct decision_hint *hint = &group->hints[group->opening[i]];
		const struct service_pool *pool = service_likely_pool(table, hint->frontend);

		hint->chance = hashing->hashes[i];
		if (pool)
			hint->backend = pick_prefetch(table, pool, engine->flows.tallies, hint->hash, hint->chance);
	}
}

/* Asks for where these backends are counted, and for the buckets of their answers. */
static void step_reply(struct engine *engine, struct batch_group *group)
{
	uint32_t counts[2] = {0};

	for (uint32_t i = 0; i < group->openings; i++) {
		const struct packet *packet = &group->packets[group->opening[i]];
		const struct service_backend *backend = group->hints[group->opening[i]].backend;
		unsigned int family = family_of(packet);
		struct batch_hashing *hashing = &engine->batch.hashing[family];

		if (!backend)
			continue;
		struct tuple reply = tuple_reversed(&packet->tuple);

		__builtin_prefetch(&engine->flows.tallies[backend->tally], 1);
		reply.source = backend->address;
		reply.source_port = backend->port;
		hashing->of[counts[family]] = group->opening[i];
		tuple_put(&hashing->messages, counts[family]++, &reply);
	}
	for (unsigned int family = 0; family < 2; family++) {
		const struct batch_hashing *hashing = hash_family(engine, family, tuple_words, counts[family]);

		for (uint32_t i = 0; i < counts[family]; i++) {
			group->hints[hashing->of[i]].reply = hashing->hashes[i];
			index_prefetch(&engine->flows.index, hashing->hashes[i]);
		}
	}
}

/* Decides about packets, in order, and carries it out. */
static void step_decide(struct engine *engine, struct batch_group *group, const struct batch_input *input)
{
	struct engine_counters *counters = &engine->counters;
	size_t known = 0;

	for (size_t i = 0; i < group->count; i++) {
		struct packet *packet = &group->packets[i];
		struct engine_packet *described = &group->described[i];

		if (packet->kind == PACKET_TRANSPORT &&
		    known_decide(engine, packet, &group->hints[i], &described->decision))
			known++;
		else
			engine_decide(engine, input->memory, described, packet, &group->hints[i], input->link);
	}
	counters->outcomes[DECISION_FORWARD] += known;
	counters->reasons[DECISION_NOT_DROPPED] += known;
}

/* Begins a group of up to @most packets, of which @first is the first. */
static void begin_group(struct batch_group *group, const struct batch_input *input, size_t first, size_t most)
{
	const size_t left = input->count - first;

	group->described = input->packets + first;
	group->count = (uint32_t)(left < most ? left : most);
}

static void take_step(struct engine *engine, struct batch_group *group, enum batch_step step,
		      const struct batch_input *input)
{
	switch (step) {
	case BATCH_READ:
		step_read(engine, group, input);
		break;
	case BATCH_FIND:
		step_find(engine, group);
		break;
	case BATCH_SERVE:
		step_serve(engine, group);
		break;
	case BATCH_OFFER:
		step_offer(engine, group);
		break;
	case BATCH_PICK:
		step_pick(engine, group);
		break;
	case BATCH_REPLY:
		step_reply(engine, group);
		break;
	case BATCH_DECIDE:
		step_decide(engine, group, input);
		break;
	case BATCH_STEPS:
		break;
	}
}

/* All steps of one group, then those of the next. */
static void run_one_by_one(struct engine *engine, const struct batch_input *input)
{
	struct batch_group *group = &engine->batch.groups[0];

	for (size_t first = 0; first < input->count; first += BATCH_GROUP) {
		begin_group(group, input, first, BATCH_GROUP);
		for (size_t step = 0; step < BATCH_STEPS; step++)
			take_step(engine, group, (enum batch_step)step, input);
	}
}

/* One step of each group that is on its way, the last steps first; then a group more is on its way. */
static void run_in_turns(struct engine *engine, const struct batch_input *input)
{
	const size_t groups = (input->count + BATCH_GROUP_IN_TURNS - 1) / BATCH_GROUP_IN_TURNS;

	for (size_t turn = 0; turn < groups + BATCH_STEPS - 1; turn++) {
		for (size_t step = BATCH_STEPS; step-- > 0;) {
			const size_t number = turn - step;
			struct batch_group *group = &engine->batch.groups[number % BATCH_GROUPS];

			if (step > turn || number >= groups) /* has not begun, or is through */
				continue;
			if (step == BATCH_READ)
				begin_group(group, input, number * BATCH_GROUP_IN_TURNS, BATCH_GROUP_IN_TURNS);
			take_step(engine, group, (enum batch_step)step, input);
		}
	}
}

/**
 * batch_run() - Send packets through
 * @engine:	The engine, whose time is set
 * @memory:	Where their bytes are, and are rewritten
 * @size:	Bytes of @memory
 * @packets:	The packets, in order
 * @count:	How many packets; any number
 * @link:	What the first byte of each belongs to
 */
void batch_run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
	       enum packet_link link)
{
	struct batch_input input = {.size = size, .packets = packets, .count = count, .link = link};
	struct batch *batch = &engine->batch;

	if (count == 0)
		return;
	input.memory = memory;
	batch->openings = 0;
	if (batch->in_turns)
		run_in_turns(engine, &input);
	else
		run_one_by_one(engine, &input);
	batch->in_turns = batch->openings >= (count + BATCH_OPENING_SHARE - 1) / BATCH_OPENING_SHARE;
}
