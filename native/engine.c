/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - batches of packets through one table of Services, with no I/O */
#include "engine.h"

#include <string.h>

#include "icmp.h"

/**
 * DOC: Theory of operation
 *
 * An engine does what a node does for Services, to packets in memory. It reads nothing, sends nothing, and asks
 * nobody for the time: all that comes with the call. So the same code runs behind a packet socket, over a file, and
 * in a test, and a run can be repeated exactly.
 *
 * Many packets wait for memory together, and are decided about one after the other, in order: see batch.c.
 *
 * There are two tables of Services. Packets are looked up in the one in force; the other is changed meanwhile, perhaps
 * by another thread, and between two batches they change places:
 *
 *	engine_load()		on the table that is not in force
 *	engine_swap()		between two batches
 *	engine_settle()		between batches, until nothing is left
 *	engine_catch_up()	the same change on the table that was in force, before the next engine_load()
 *
 * So every change is made twice, and costs as much as it is large, however many Services there are. (In concurrent
 * programming this is known as "left-right": Ramalhete and Correia, 2015. Here nobody waits for readers: the swap itself
 * is the reader's.) Whoever builds in another thread must order the calls as seen from both. What a table put an end to is looked for in
 * steps, as long or as short as packets may be kept waiting; it is over before numbers of backends become free.
 *
 * All memory is asked for when the engine is made. Everything is bounded, and what happens at each bound is said
 * where the bound is: flows in flow.c, clients in affinity.c, tables in service.c.
 */

/* Takes the memory of everything, or, with an arena that only measures, finds out how much that is. */
static struct engine *engine_carve(struct engine *engine, struct arena *arena, const struct engine_config *config)
{
	struct engine *taken = arena_take(arena, 1, sizeof(*taken));

	if (taken)
		engine = taken;
	flow_carve(&engine->flows, arena, config->flows, config->limits.tallies + 1);
	names_carve(&engine->names.tallies, arena, config->limits.tallies);
	names_carve(&engine->names.members, arena, config->limits.members);
	affinity_carve(&engine->affinities, arena, config->affinities);
	fragment_carve(&engine->fragments, arena);
	held_carve(&engine->held, arena, config->held);
	/* Enough for the pools of two tables that have none in common. */
	names_carve(&engine->names.turns, arena, 2 * config->limits.pools);
	struct service_turn *turns = arena_take(arena, 2 * (size_t)config->limits.pools + 1, sizeof(*turns));
	for (unsigned int i = 0; i < 2; i++)
		service_carve(&engine->tables[i], arena, &config->limits, turns);
	return engine;
}

/**
 * engine_create() - Make an engine, whose table is empty
 * @config:	Limits, secrets and timeouts
 *
 * Return: an engine, or NULL if a limit is out of range or there is not enough memory
 */
struct engine *engine_create(const struct engine_config *config)
{
	struct arena arena = {0};
	struct engine measured;

	if (config->flows < 1 || config->flows > FLOW_MOST || config->affinities < 1 ||
	    !limit_is_good(&config->answers))
		return NULL;
	(void)engine_carve(&measured, &arena, config);
	if (arena_create(&arena, arena.used) != 0)
		return NULL;

	struct engine *engine = engine_carve(NULL, &arena, config);

	engine->arena = arena;
	engine->key = config->key;
	engine->batch.hash = hash_batch_best();
	engine->random.key = config->seed;
	engine->flows.timeouts = config->timeouts;
	engine->affinities.key = config->key;
	engine->fragments.key = config->key;
	engine->answers.key = config->key;
	engine->answers.rates = config->answers;
	engine->names.tallies.key = config->key;
	engine->names.tallies.tallies = engine->flows.tallies;
	engine->names.members.key = config->key;
	engine->names.turns.key = config->key;
	engine->tables[0].key = config->key;
	engine->tables[1].key = config->key;
	return engine;
}

/**
 * engine_destroy() - Give all memory back
 * @engine:	The engine, or NULL
 */
void engine_destroy(struct engine *engine)
{
	if (!engine)
		return;
	/* The arena holds the structure that describes it. */
	struct arena arena = engine->arena;

	arena_destroy(&arena);
}

/**
 * engine_memory() - How much memory an engine has
 * @engine:	The engine
 *
 * Return: bytes; the system gives them only as they are used
 */
size_t engine_memory(const struct engine *engine)
{
	return engine->arena.size;
}

/**
 * engine_without_maglev() - How many pools of the table in force pick at random for want of a Maglev table
 * @engine:	The engine, whose tables are not changed meanwhile
 *
 * Return: pools
 */
uint32_t engine_without_maglev(const struct engine *engine)
{
	return engine_table(engine)->without_maglev;
}

static struct service_table *other_table(struct engine *engine)
{
	return &engine->tables[!engine->current];
}

/**
 * engine_load() - Change the table that is not in force
 * @engine:	The engine
 * @image:	What is different from the table in force, or the whole table
 *
 * Packets may be sent through meanwhile, by another thread.
 *
 * Return: IMAGE_OK, or what is wrong with the image; then the next image that is loaded must be whole
 */
enum image_error engine_load(struct engine *engine, const struct image *image)
{
	enum image_error error = update_apply(other_table(engine), image, &engine->names);

	engine->loaded = error == IMAGE_OK;
	return error;
}

/**
 * engine_swap() - Put the table that was changed in force
 * @engine:	The engine; nothing happens if no table was changed since the last time
 *
 * What the table puts an end to no packet follows from now on: affinity to backends that no pool holds any more, flows to
 * backends that serve no more, where the table says so. engine_settle() gives their entries back. To be called between
 * two batches, by whoever sends packets through; it takes the same time whatever the table holds.
 */
void engine_swap(struct engine *engine)
{
	struct service_table *table = other_table(engine);

	if (!engine->loaded)
		return;
	engine->loaded = false;
	engine->current = !engine->current;
	if (table->ended.members)
		engine->settling.client = 1;
	if (table->ended.flows) {
		engine->epoch++;
		engine->settling.flow = 1;
	}
	table->ended = (struct service_ended){0};
}

/**
 * engine_catch_up() - Change the table that was in force before as the one in force was changed
 * @engine:	The engine
 * @image:	What was given to engine_load() before the last engine_swap()
 *
 * Packets may be sent through meanwhile, by another thread.
 *
 * Return: IMAGE_OK; or what went wrong, and then the next image that is loaded must be whole
 */
enum image_error engine_catch_up(struct engine *engine, const struct image *image)
{
	struct service_table *table = other_table(engine);
	enum image_error error = IMAGE_OK;

	if (image->whole)
		update_copy(table, engine_table(engine), &engine->names);
	else
		error = update_apply(table, image, &engine->names);
	table->ended = (struct service_ended){0};
	return error;
}

/* Whether the table in force lets a flow go on: dataplane.reference._goes_on() in C. */
static bool goes_on(const struct service_table *table, const struct flow *flow)
{
	const struct tuple *reply = &flow->tuples[TRACKING_REPLY];
	const struct service_frontend *frontend;

	if (!(flow->flags & FLOW_CAN_END))
		return true;
	frontend = service_find_original(table, &flow->tuples[TRACKING_ORIGINAL], flow->flags & FLOW_NODE_PORT);
	return frontend && service_serves(table, frontend, &reply->source, reply->source_port);
}

/**
 * engine_ask_flow() - Whether a flow outlives the tables that have come since it was last asked
 * @engine:	The engine
 * @flow:	One of its flows, which is forgotten if not
 *
 * Return: true if it does
 */
bool engine_ask_flow(struct engine *engine, struct flow *flow)
{
	if (goes_on(engine_table(engine), flow)) {
		flow->epoch = engine->epoch;
		return true;
	}
	engine->flows.counters.settled++;
	flow_remove(&engine->flows, flow);
	return false;
}

/**
 * engine_settle() - Forget the flows and clients that the table in force has put an end to
 * @engine:	The engine
 * @entries:	How many entries to look at in this call
 *
 * No packet follows them any more; but they take room, and whoever lists flows would see them. To be called until
 * nothing is left before engine_catch_up(): then the numbers of backends that are gone may be given to others.
 *
 * Return: true if nothing is left, false if another call is needed
 */
bool engine_settle(struct engine *engine, uint32_t entries)
{
	struct engine_settling *settling = &engine->settling;

	for (; entries > 0 && settling->flow && settling->flow < engine->flows.fresh; entries--) {
		struct flow *flow = &engine->flows.flows[settling->flow++];

		if (flow_in_use(flow))
			(void)engine_flow_goes_on(engine, flow);
	}
	for (; entries > 0 && settling->client && settling->client < engine->affinities.fresh; entries--)
		affinity_settle(&engine->affinities, settling->client++, engine_table(engine)->member_pools);
	if (settling->flow >= engine->flows.fresh)
		settling->flow = 0;
	if (settling->client >= engine->affinities.fresh)
		settling->client = 0;
	return settling->flow == 0 && settling->client == 0;
}

/* Tells the sender of a rejected packet. */
static void answer(struct engine *engine, const struct packet *packet, uint8_t *data, struct engine_packet *described)
{
	const struct service_family *family = &engine_table(engine)->families[packet->tuple.family == TUPLE_IPV6];
	const struct address *source = family->can_masquerade ? &family->egress : &packet->tuple.destination;

	if (!icmp_may_refuse(packet, data, described->room))
		return;
	if (!limit_allows(&engine->answers, &packet->tuple.source, engine->now)) {
		engine->counters.withheld++;
		return;
	}
	described->length = (uint32_t)icmp_refuse(packet, data, described->room, source);
	described->flags &= (uint16_t)~ENGINE_UNFINISHED;
	described->decision.marks |= DECISION_ANSWERED;
	engine->counters.answers++;
}

/* Keeps a copy of a piece that has to wait, or drops it. */
static void hold(struct engine *engine, const struct packet *packet, const uint8_t *data, enum packet_link link,
		 struct engine_packet *described)
{
	struct held_piece *piece = held_keep(&engine->held, data, described->length, engine->now);

	if (!piece) {
		described->decision.outcome = DECISION_DROP;
		described->decision.reason = DECISION_FRAGMENT;
		return;
	}
	piece->link = (uint8_t)link;
	piece->interface = described->interface;
	piece->hash = fragment_hash(&engine->fragments, packet);
}

/* The first piece has come, and its fate is known: decides about those that waited for it. */
static void decide_held(struct engine *engine, const struct packet *first)
{
	const struct decision_hint unknown = {0};
	uint32_t hash = fragment_hash(&engine->fragments, first);

	for (uint32_t i = 0; i < engine->held.capacity; i++) {
		struct held_piece *piece = &engine->held.pieces[i];
		struct packet packet;

		if (piece->state != HELD_WAITING || piece->hash != hash || piece->deadline <= engine->now)
			continue;
		packet_parse(&packet, piece->bytes, piece->length, (enum packet_link)piece->link);
		decision_make(engine, &packet, &unknown, piece->interface, &piece->decision);
		if (piece->decision.outcome == DECISION_HOLD)
			continue; /* the hash is alike by chance */
		if (piece->decision.outcome != DECISION_DROP) {
			piece->state = HELD_READY;
			continue;
		}
		engine->held.counters.abandoned++;
		held_free(&engine->held, piece);
	}
}

/**
 * engine_release() - Fetch a piece that waited for the first of its packet, and may go on now
 * @engine:	The engine
 * @memory:	Where it is written
 * @size:	Bytes that may be written; a piece that is longer is given up
 * @packet:	Is filled in: it begins at 0, and its decision is DECISION_FORWARD or DECISION_PASS
 *
 * To be called after each engine_run() until it gives nothing more, if engine_config.held is not 0; and pieces are to be
 * sent after the packets of that batch.
 *
 * Return: false if there is none
 */
bool engine_release(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packet)
{
	struct held_piece *piece;

	held_expire(&engine->held, engine->now);
	for (piece = held_next(&engine->held); piece && piece->length > size; piece = held_next(&engine->held)) {
		engine->held.counters.abandoned++;
		held_free(&engine->held, piece);
	}
	if (!piece)
		return false;
	memcpy(memory, piece->bytes, piece->length);
	*packet = (struct engine_packet){
		.length = piece->length,
		.room = piece->length,
		.interface = piece->interface,
		.decision = piece->decision,
	};
	engine->held.counters.released++;
	held_free(&engine->held, piece);
	return true;
}

/* What few packets need after they were decided about. */
static void follow_up(struct engine *engine, const struct packet *packet, uint8_t *data, enum packet_link link,
		      struct engine_packet *described)
{
	if (described->decision.outcome == DECISION_HOLD)
		hold(engine, packet, data, link, described);
	if (described->decision.outcome == DECISION_REJECT)
		answer(engine, packet, data, described);
	if (!packet->is_unfinished)
		described->flags &= (uint16_t)~ENGINE_UNFINISHED;
	if (engine->held.used > 0 && packet->is_piece && packet->kind >= PACKET_PORTLESS)
		decide_held(engine, packet);
}

/**
 * engine_decide() - Decide about a packet that is not simply one of a known flow, carry it out, and count it
 * @engine:	The engine
 * @memory:	Where the packets of the batch are
 * @described:	The packet as it was handed over; its decision is filled in
 * @packet:	What packet_parse() found
 * @hint:	Where its flow may be
 * @link:	What its first byte belongs to
 */
void engine_decide(struct engine *engine, uint8_t *memory, struct engine_packet *described, struct packet *packet,
		   const struct decision_hint *hint, enum packet_link link)
{
	const struct decision *decision = &described->decision;

	decision_make(engine, packet, hint, described->interface, &described->decision);
	if (decision->outcome == DECISION_REJECT || decision->outcome == DECISION_HOLD || described->flags ||
	    packet->is_piece)
		follow_up(engine, packet, memory + described->offset, link, described);
	engine->counters.outcomes[decision->outcome]++;
	engine->counters.reasons[decision->reason]++;
}

/**
 * engine_run() - Send packets through
 * @engine:	The engine
 * @memory:	Where their bytes are, and are rewritten
 * @size:	Bytes of @memory
 * @packets:	The packets, in order
 * @count:	How many packets; any number
 * @link:	What the first byte of each belongs to
 * @now:	Milliseconds on a clock that does not jump; earlier than last time counts as last time
 */
void engine_run(struct engine *engine, uint8_t *memory, size_t size, struct engine_packet *packets, size_t count,
		enum packet_link link, uint64_t now)
{
	if (now > engine->now)
		engine->now = now;
	flow_sweep(&engine->flows, engine->now);
	batch_run(engine, memory, size, packets, count, link);
}
