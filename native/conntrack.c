/* SPDX-License-Identifier: Apache-2.0 */
/* conntrack.c - what Linux tells of its connections: ctnetlink messages, read */
#include "conntrack.h"

#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel's own macros for these are signed numbers. */
#define ATTRIBUTE_KIND UINT16_C(0x3fff)
#define ATTRIBUTE_HEAD sizeof(struct nlattr)
#define ALIGNED(size) (((size_t)(size) + 3) & ~(size_t)3)

/* Attributes with higher numbers are newer than this file and not asked for. */
#define MOST_ATTRIBUTES 32

/* The bytes of one attribute; @data is NULL if it is not there. */
struct piece {
	const uint8_t *data;
	size_t size;
};

/* Find the attributes in @from by their numbers. What does not fit ends the search: the rest is not there. */
static void find(struct piece from, struct piece attributes[MOST_ATTRIBUTES])
{
	struct nlattr head;

	memset(attributes, 0, MOST_ATTRIBUTES * sizeof(*attributes));
	while (from.size >= sizeof(head)) {
		memcpy(&head, from.data, sizeof(head));
		if (head.nla_len < sizeof(head) || head.nla_len > from.size)
			return;
		unsigned int kind = head.nla_type & ATTRIBUTE_KIND;

		if (kind < MOST_ATTRIBUTES)
			attributes[kind] = (struct piece){from.data + ATTRIBUTE_HEAD, head.nla_len - ATTRIBUTE_HEAD};
		size_t whole = ALIGNED(head.nla_len);

		if (whole > from.size)
			return;
		from = (struct piece){from.data + whole, from.size - whole};
	}
}

/* Copy an attribute that must have just this size. */
static bool copy(void *to, struct piece from, size_t size)
{
	if (!from.data || from.size != size)
		return false;
	memcpy(to, from.data, size);
	return true;
}

static uint64_t number(struct piece from)
{
	uint64_t value = 0;

	if (!from.data || from.size > sizeof(value))
		return 0;
	for (size_t i = 0; i < from.size; i++)
		value = value << 8 | from.data[i];
	return value;
}

/* One end of a tuple: its source, or its destination. */
struct end {
	uint8_t address[16];
	uint16_t port;
};

static bool read_tuple(struct piece tuple, uint8_t family, uint8_t *protocol, struct end *source, struct end *destination)
{
	struct piece parts[MOST_ATTRIBUTES], addresses[MOST_ATTRIBUTES], ports[MOST_ATTRIBUTES];
	bool old = family == 4;
	size_t size = old ? 4 : 16;

	find(tuple, parts);
	find(parts[CTA_TUPLE_IP], addresses);
	find(parts[CTA_TUPLE_PROTO], ports);
	/* What has no ports is no business of Services. */
	return copy(source->address, addresses[old ? CTA_IP_V4_SRC : CTA_IP_V6_SRC], size) &&
	       copy(destination->address, addresses[old ? CTA_IP_V4_DST : CTA_IP_V6_DST], size) &&
	       copy(protocol, ports[CTA_PROTO_NUM], sizeof(*protocol)) &&
	       copy(&source->port, ports[CTA_PROTO_SRC_PORT], sizeof(source->port)) &&
	       copy(&destination->port, ports[CTA_PROTO_DST_PORT], sizeof(destination->port));
}

static bool read_flow(struct piece body, struct conntrack_flow *flow)
{
	struct piece attributes[MOST_ATTRIBUTES], counters[MOST_ATTRIBUTES];
	struct nfgenmsg general;
	struct end client = {0}, destination = {0}, backend = {0}, answered = {0};
	uint8_t protocol, reply_protocol;

	if (body.size < sizeof(general))
		return false;
	memcpy(&general, body.data, sizeof(general));
	if (general.nfgen_family != AF_INET && general.nfgen_family != AF_INET6)
		return false;
	uint8_t family = general.nfgen_family == AF_INET ? 4 : 6;

	find((struct piece){body.data + sizeof(general), body.size - sizeof(general)}, attributes);
	if (!read_tuple(attributes[CTA_TUPLE_ORIG], family, &protocol, &client, &destination) ||
	    !read_tuple(attributes[CTA_TUPLE_REPLY], family, &reply_protocol, &backend, &answered))
		return false;
	/* Whoever was written to answers: nobody translated this. */
	if (memcmp(destination.address, backend.address, sizeof(backend.address)) == 0 && destination.port == backend.port)
		return false;
	/* A flow that is just being ended is told of once more, as ended. */
	if (!flow->ended && number(attributes[CTA_STATUS]) & IPS_DYING)
		return false;

	flow->way = (struct conntrack_way){
		.destination_port = destination.port,
		.backend_port = backend.port,
		.protocol = protocol,
		.family = family,
	};
	memcpy(flow->way.destination, destination.address, sizeof(destination.address));
	memcpy(flow->way.backend, backend.address, sizeof(backend.address));
	flow->client = (struct conntrack_client){.port = client.port};
	memcpy(flow->client.source, client.address, sizeof(client.address));
	(void)copy(&flow->client.id, attributes[CTA_ID], sizeof(flow->client.id));
	(void)copy(&flow->client.zone, attributes[CTA_ZONE], sizeof(flow->client.zone));
	for (unsigned int i = 0; i < CONNTRACK_DIRECTIONS; i++) {
		find(attributes[i == CONNTRACK_REQUEST ? CTA_COUNTERS_ORIG : CTA_COUNTERS_REPLY], counters);
		flow->packets[i] = number(counters[CTA_COUNTERS_PACKETS]);
		flow->bytes[i] = number(counters[CTA_COUNTERS_BYTES]);
	}
	return true;
}

/**
 * conntrack_read() - Read the first message of a datagram
 * @datagram:	What a netlink socket received
 * @size:	Its bytes
 * @used:	Is set to how many of them the message takes; all of them if it cannot be told
 * @flow:	Is set to what the message tells, if it tells of a flow
 *
 * Return: what the message is
 */
enum conntrack_message conntrack_read(const uint8_t *datagram, size_t size, size_t *used, struct conntrack_flow *flow)
{
	struct nlmsghdr head;

	*used = size;
	if (size < sizeof(head))
		return CONNTRACK_OTHER;
	memcpy(&head, datagram, sizeof(head));
	if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > size)
		return CONNTRACK_OTHER;
	if (ALIGNED(head.nlmsg_len) < size)
		*used = ALIGNED(head.nlmsg_len);
	struct piece body = {datagram + sizeof(head), head.nlmsg_len - sizeof(head)};

	switch (head.nlmsg_type) {
	case NLMSG_DONE:
		return (head.nlmsg_flags & NLM_F_DUMP_INTR) ? CONNTRACK_ERROR : CONNTRACK_LISTED;
	case NLMSG_ERROR:
		return CONNTRACK_ERROR;
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_NEW:
		flow->ended = false;
		break;
	case NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE:
		flow->ended = true;
		break;
	default:
		return CONNTRACK_OTHER;
	}
	return read_flow(body, flow) ? CONNTRACK_FLOW : CONNTRACK_OTHER;
}
