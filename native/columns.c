/* SPDX-License-Identifier: Apache-2.0 */
/* columns.c - the structures of an image, made of columns of values */
#include "columns.h"

#include <arpa/inet.h>
#include <string.h>

/**
 * DOC: Why columns
 *
 * Python makes a structure in about a microsecond, and a table of ten thousand Services has two hundred thousand of
 * them. A column it makes in one call: all ports as an array, all addresses as one text. Here the columns become
 * structures.
 *
 * Addresses come as text, each ended by a newline: 10.0.0.1 or fd00::1 as inet_pton(3) reads them.
 */

/**
 * struct text - What is left of a column of addresses
 * @at:		The next address
 * @end:	The end of the text
 */
struct text {
	const char *at;
	const char *end;
};

/* Reads one address. Returns its family, or 0 if there is none. */
static uint8_t next_address(struct text *text, struct address *address)
{
	char copy[INET6_ADDRSTRLEN];
	const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));
	size_t length = end ? (size_t)(end - text->at) : sizeof(copy);

	if (length >= sizeof(copy))
		return 0;
	memcpy(copy, text->at, length);
	copy[length] = '\0';
	text->at = end + 1;
	*address = (struct address){{0}};
	if (memchr(copy, ':', length))
		return inet_pton(AF_INET6, copy, address->bytes) == 1 ? TUPLE_IPV6 : 0;
	return inet_pton(AF_INET, copy, address->bytes) == 1 ? TUPLE_IPV4 : 0;
}

/**
 * columns_number() - Number what is the same alike
 * @things:	Words that are equal for the same
 * @count:	How many
 * @numbers:	By thing, are written: from 0 on, in the order in which they are first met
 * @firsts:	By number, are written: which thing was the first
 * @slots:	Room, all zero: a power of two of them, and at least twice @count
 * @slot_count:	How many
 *
 * Return: how many numbers there are
 */
uint32_t columns_number(const uint64_t *things, uint32_t count, uint32_t *numbers, uint32_t *firsts, uint32_t *slots,
			uint32_t slot_count)
{
	uint32_t distinct = 0;

	for (uint32_t i = 0; i < count; i++) {
		/* Addresses of objects differ in the middle: multiplied by 2^64 over the golden ratio, above (Knuth, 6.4). */
		uint32_t at = (uint32_t)(things[i] * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (slot_count - 1);

		while (slots[at] && things[firsts[slots[at] - 1]] != things[i])
			at = (at + 1) & (slot_count - 1);
		if (!slots[at]) {
			firsts[distinct] = i;
			slots[at] = ++distinct;
		}
		numbers[i] = slots[at] - 1;
	}
	return distinct;
}

/* Where the pool of a verdict is for a service port: one for each that forwards to it. The newest is the likeliest. */
static uint32_t place_pool(struct columns *columns, struct service_pool *pools, uint32_t service, uint32_t pool)
{
	uint32_t place = columns->newest[service];

	while (place && columns->places[place - 1].pool != pool)
		place = columns->places[place - 1].older;
	if (place)
		return place - 1;
	place = columns->pool_count++;
	columns->places[place] = (struct columns_place){.pool = pool, .older = columns->newest[service]};
	columns->newest[service] = place + 1;

	uint32_t backends = columns->pool_firsts[pool + 1] - columns->pool_firsts[pool];

	pools[place] = (struct service_pool){
		.first = columns->pool_firsts[pool],
		.count = backends,
		.owner = columns->owners[service],
		.affinity = columns->affinities[pool],
		.seconds = columns->seconds[pool],
		.pick = backends > 1 ? columns->picks[pool] : SERVICE_RANDOM,
	};
	return place;
}

/**
 * columns_frontends() - Make frontends, and the pools that they forward to
 * @columns:	What they are made of
 * @frontends:	As many as there are, are written
 * @pools:	Likewise: room for SERVICE_CLIENTS times as many
 *
 * Return: false if an address is none, or there are more of them
 */
bool columns_frontends(struct columns *columns, struct service_frontend *frontends, struct service_pool *pools)
{
	struct text text = {columns->addresses, columns->addresses + columns->length};

	for (uint32_t i = 0; i < columns->count; i++) {
		struct service_frontend *frontend = &frontends[i];
		const uint32_t serving = columns->servings[i];

		*frontend = (struct service_frontend){
			.port = htons(columns->ports[i]),
			.protocol = columns->protocols[i],
			.sources_first = columns->sources[2 * (size_t)i],
			.sources_count = columns->sources[2 * (size_t)i + 1],
			.serving_first = columns->serving_firsts[serving],
			.serving_count = columns->serving_firsts[serving + 1] - columns->serving_firsts[serving],
			.ends_flows = columns->serving_ends[serving],
		};
		frontend->family = next_address(&text, &frontend->address);
		if (!frontend->family)
			return false;
		for (unsigned int client = 0; client < SERVICE_CLIENTS; client++) {
			uint32_t number = columns->verdicts[(size_t)client * columns->count + i];
			struct service_verdict *verdict = &frontend->verdicts[client];

			verdict->action = columns->actions[number];
			verdict->masquerade = columns->masquerades[number];
			if (verdict->action == SERVICE_FORWARD)
				verdict->pool = place_pool(columns, pools, columns->services[i], columns->pools[number]);
		}
	}
	return text.at == text.end;
}

/**
 * columns_backends() - Make backends
 * @backends:	Are written
 * @count:	How many
 * @addresses:	As many addresses
 * @length:	Bytes of them
 * @ports:	As many ports, in the byte order of this machine
 * @local:	As many times whether it runs on this node
 * @weights:	As many weights
 *
 * Return: false if an address is none, or there are more of them
 */
bool columns_backends(struct service_backend *backends, size_t count, const char *addresses, size_t length,
		      const uint16_t *ports, const uint8_t *local, const uint8_t *weights)
{
	struct text text = {addresses, addresses + length};

	for (size_t i = 0; i < count; i++) {
		backends[i] = (struct service_backend){
			.port = htons(ports[i]), .local = local[i], .weight = weights[i]};
		backends[i].family = next_address(&text, &backends[i].address);
		if (!backends[i].family)
			return false;
	}
	return text.at == text.end;
}

/**
 * columns_endpoints() - Make endpoints
 * @endpoints:	Are written
 * @count:	How many
 * @addresses:	As many addresses
 * @length:	Bytes of them
 * @ports:	As many ports, in the byte order of this machine
 *
 * Return: false if an address is none, or there are more of them
 */
bool columns_endpoints(struct service_endpoint *endpoints, size_t count, const char *addresses, size_t length,
		       const uint16_t *ports)
{
	struct text text = {addresses, addresses + length};

	for (size_t i = 0; i < count; i++) {
		endpoints[i].port = htons(ports[i]);
		endpoints[i].zero = 0;
		if (!next_address(&text, &endpoints[i].address))
			return false;
	}
	return text.at == text.end;
}

/**
 * columns_addresses() - Make addresses with what they are to us
 * @into:	Are written
 * @count:	How many
 * @addresses:	As many addresses
 * @length:	Bytes of them
 * @roles:	As many times bits SERVICE_...
 *
 * Return: false if an address is none, or there are more of them
 */
bool columns_addresses(struct service_address *into, size_t count, const char *addresses, size_t length,
		       const uint8_t *roles)
{
	struct text text = {addresses, addresses + length};

	for (size_t i = 0; i < count; i++) {
		into[i] = (struct service_address){.roles = roles[i]};
		into[i].family = next_address(&text, &into[i].address);
		if (!into[i].family)
			return false;
	}
	return text.at == text.end;
}
