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
 * columns_frontends() - Give frontends their addresses
 * @frontends:	All else is set, the ports in the byte order of this machine
 * @count:	How many
 * @addresses:	As many addresses
 * @length:	Bytes of them
 *
 * Return: false if an address is none, or there are more of them
 */
bool columns_frontends(struct service_frontend *frontends, size_t count, const char *addresses, size_t length)
{
	struct text text = {addresses, addresses + length};

	for (size_t i = 0; i < count; i++) {
		frontends[i].family = next_address(&text, &frontends[i].address);
		frontends[i].port = htons(frontends[i].port);
		if (!frontends[i].family)
			return false;
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
