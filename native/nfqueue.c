/* SPDX-License-Identifier: Apache-2.0 */
/* nfqueue.c - a port on one of the kernel's packet queues */
#define _GNU_SOURCE /* for recvmmsg() and MAP_ANONYMOUS; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "nfqueue.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "offload.h"

/**
 * DOC: Theory of operation
 *
 * A rule sends a packet to a queue; there it waits, in the kernel, for the verdict of whoever reads the queue's netlink
 * socket. What the kernel sends here is a copy with a number. Back goes the number and a verdict, and new bytes if
 * the packet was translated; then it goes on in the kernel behind the rule, is routed, and leaves.
 *
 * - Every packet is a datagram, so a batch is one recvmmsg(2). All verdicts of a batch lie behind one another in one
 *   sendmsg(2), payloads straight from where they were received (and were rewritten). Within that call the kernel
 *   sends the packets on, one after the other.
 * - NFQA_CFG_F_GSO: packets that the sender (or GRO) put together come whole, up to 64 KiB, at the price of one; and
 *   checksums may still be unfinished, which the engine is told. When bytes were replaced the kernel takes checksums
 *   for finished (nfqnl_mangle()), so they are finished here. It cuts a long packet up itself when it must.
 * - Not NFQA_CFG_F_FAIL_OPEN: when the queue is full, the kernel drops. A packet let through untranslated would reach
 *   somebody who knows nothing of its connection, and be answered with a reset: the connection would end, where a
 *   lost packet is sent again. For the same reason rules must not bypass a queue that nobody reads.
 * - NETLINK_NO_ENOBUFS: what does not fit into the socket's buffer is dropped too, and counted by the kernel
 *   (/proc/net/netfilter/nfnetlink_queue), instead of making the next read fail.
 * - The copy has room for the longest IPv4 packet but four bytes (NFQNL_MAX_COPY_RANGE). What was cut off cannot be
 *   sent back, so such a packet is lost.
 */

/* For the headers of the netlink message, and all attributes in front of the packet. */
#define HEADERS 512
#define LONGEST 0xffffu
#define ROOM (HEADERS + LONGEST + 1)
#define MEMORY ((size_t)PORT_BATCH * ROOM)

/* Bytes of packets that wait in the socket at the most; and those of verdicts that are sent at once. */
#define RECEIVE_BUFFER (16 * 1024 * 1024)
#define SEND_BUFFER (2 * 1024 * 1024)
#define SEND_AT_ONCE ((size_t)256 * 1024)

/* Netlink's own macros are signed. */
#define ATTRIBUTE_HEADER sizeof(struct nlattr)
#define ALIGNED(size) (((size) + 3u) & ~(size_t)3)

/* Interfaces whose names are remembered, and for how long: an index may get another name. */
#define KNOWN_INTERFACES 256
#define KNOWN_MILLISECONDS 1000

/**
 * struct verdict - The head of a verdict, as it is sent
 * @message:	Netlink's header
 * @family:	nfnetlink's, with the queue's number
 * @attribute:	NFQA_VERDICT_HDR
 * @verdict:	What shall be done with which packet
 * @payload:	NFQA_PAYLOAD; the packet follows
 */
struct verdict {
	struct nlmsghdr message;
	struct nfgenmsg family;
	struct nlattr attribute;
	struct nfqnl_msg_verdict_hdr verdict;
	struct nlattr payload;
};

_Static_assert(sizeof(struct verdict) == 36, "nothing lies between the parts of a verdict");

struct interface {
	uint32_t index;
	uint16_t number;
	uint64_t looked_up;
};

struct nfqueue {
	struct port port;
	struct nfqueue_config config;
	int names;
	uint64_t now;
	uint8_t *memory;
	struct interface known[KNOWN_INTERFACES];
	struct mmsghdr messages[PORT_BATCH];
	struct iovec buffers[PORT_BATCH];
	struct verdict verdicts[PORT_BATCH];
	struct iovec parts[3 * PORT_BATCH];
	size_t part_count;
	size_t part_bytes;
	uint8_t padding[4];
};

/* What is remembered of a packet until its verdict: its number, and whether it is to be cut up later. */
#define COOKIE_GSO (UINT64_C(1) << 32)

/* --- settings ----------------------------------------------------------------------------------------------------- */

static uint8_t *put_attribute(uint8_t *at, uint16_t type, const void *value, size_t size)
{
	struct nlattr attribute = {.nla_len = (uint16_t)(ATTRIBUTE_HEADER + size), .nla_type = type};

	memcpy(at, &attribute, sizeof(attribute));
	memcpy(at + ATTRIBUTE_HEADER, value, size);
	return at + ALIGNED(ATTRIBUTE_HEADER + size);
}

/* Reads until the kernel has answered a message that asked for it. Packets do not come before the queue is set up. */
static int await_answer(int descriptor)
{
	union {
		struct nlmsghdr message;
		uint8_t bytes[4096];
	} answer;

	for (;;) {
		ssize_t length = recv(descriptor, &answer, sizeof(answer), 0);
		struct nlmsgerr error;

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		if ((size_t)length < NLMSG_HDRLEN + sizeof(error) || answer.message.nlmsg_type != NLMSG_ERROR)
			continue;
		memcpy(&error, answer.bytes + NLMSG_HDRLEN, sizeof(error));
		return error.error;
	}
}

static int configure(int descriptor, uint16_t queue, const uint8_t *attributes, size_t size)
{
	uint8_t request[256] = {0};
	struct nlmsghdr message = {
		.nlmsg_len = (uint32_t)(NLMSG_HDRLEN + sizeof(struct nfgenmsg) + size),
		.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_CONFIG,
		.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
	};
	struct nfgenmsg family = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(queue)};

	memcpy(request, &message, sizeof(message));
	memcpy(request + NLMSG_HDRLEN, &family, sizeof(family));
	memcpy(request + NLMSG_HDRLEN + sizeof(family), attributes, size);
	if (send(descriptor, request, message.nlmsg_len, 0) < 0)
		return -errno;
	return await_answer(descriptor);
}

static int bind_queue(int descriptor, const struct nfqueue_config *config)
{
	const struct nfqnl_msg_config_cmd command = {.command = NFQNL_CFG_CMD_BIND};
	const struct nfqnl_msg_config_params copy = {.copy_range = htonl(LONGEST), .copy_mode = NFQNL_COPY_PACKET};
	const uint32_t length = htonl(config->length), whole = htonl(NFQA_CFG_F_GSO);
	uint8_t attributes[128] = {0}, *end = put_attribute(attributes, NFQA_CFG_CMD, &command, sizeof(command));
	int error = configure(descriptor, config->queue, attributes, (size_t)(end - attributes));

	if (error != 0)
		return error;
	end = put_attribute(attributes, NFQA_CFG_PARAMS, &copy, sizeof(copy));
	end = put_attribute(end, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof(length));
	end = put_attribute(end, NFQA_CFG_FLAGS, &whole, sizeof(whole));
	end = put_attribute(end, NFQA_CFG_MASK, &whole, sizeof(whole));
	return configure(descriptor, config->queue, attributes, (size_t)(end - attributes));
}

static int open_socket(void)
{
	const int yes = 1, receive_buffer = RECEIVE_BUFFER, send_buffer = SEND_BUFFER;
	int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	struct sockaddr_nl own = {.nl_family = AF_NETLINK};

	if (descriptor < 0)
		return -errno;
	if (bind(descriptor, (struct sockaddr *)&own, sizeof(own)) < 0 ||
	    setsockopt(descriptor, SOL_NETLINK, NETLINK_NO_ENOBUFS, &yes, sizeof(yes)) < 0 ||
	    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer, sizeof(receive_buffer)) < 0 ||
	    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &send_buffer, sizeof(send_buffer)) < 0) {
		int error = errno;

		(void)close(descriptor);
		return -error;
	}
	return descriptor;
}

/* --- receiving ---------------------------------------------------------------------------------------------------- */

/* Whether local pods are behind an interface, by its name. */
static bool is_of_pods(const struct nfqueue *queue, uint32_t index)
{
	const char *wanted = queue->config.pods;
	struct ifreq request = {.ifr_ifindex = (int)index};

	if (!wanted[0] || ioctl(queue->names, SIOCGIFNAME, &request) != 0)
		return false;
	return queue->config.prefix ? strncmp(request.ifr_name, wanted, strlen(wanted)) == 0
				    : strcmp(request.ifr_name, wanted) == 0;
}

static uint16_t number_of(struct nfqueue *queue, uint32_t index)
{
	struct interface *known = &queue->known[index % KNOWN_INTERFACES];

	if (index == 0)
		return PORT_HOST;
	if (!queue->config.pods[0])
		return PORT_OUTSIDE;
	if (known->index != index || queue->now - known->looked_up >= KNOWN_MILLISECONDS)
		*known = (struct interface){index, is_of_pods(queue, index) ? PORT_PODS : PORT_OUTSIDE, queue->now};
	return known->number;
}

/**
 * struct found - What a message says about a packet
 * @id:		Its number; in network byte order, as it goes back
 * @has_id:	Whether it has one
 * @index:	The interface that it came in on; 0 for none
 * @skb:	Bits NFQA_SKB_
 * @payload:	The packet
 * @length:	Its length
 * @is_cut:	There is more of it
 */
struct found {
	uint32_t id;
	bool has_id;
	uint32_t index;
	uint32_t skb;
	const uint8_t *payload;
	uint32_t length;
	bool is_cut;
};

static uint32_t read_number(const uint8_t *value)
{
	uint32_t number;

	memcpy(&number, value, sizeof(number));
	return ntohl(number);
}

static void take_attribute(struct found *found, uint16_t type, const uint8_t *value, size_t size)
{
	struct nfqnl_msg_packet_hdr header;

	switch (type & NLA_TYPE_MASK) {
	case NFQA_PACKET_HDR:
		if (size < sizeof(header))
			return;
		memcpy(&header, value, sizeof(header));
		found->id = header.packet_id;
		found->has_id = true;
		break;
	case NFQA_IFINDEX_INDEV:
		if (size >= sizeof(uint32_t))
			found->index = read_number(value);
		break;
	case NFQA_SKB_INFO:
		if (size >= sizeof(uint32_t))
			found->skb = read_number(value);
		break;
	case NFQA_CAP_LEN:
		found->is_cut = true;
		break;
	case NFQA_PAYLOAD:
		found->payload = value;
		found->length = (uint32_t)size;
		break;
	default:
		break;
	}
}

/* Reads one message. Returns false if it is not about a packet. */
static bool read_message(struct nfqueue *queue, const uint8_t *data, size_t length, struct found *found)
{
	const size_t headers = NLMSG_HDRLEN + sizeof(struct nfgenmsg);
	struct nlmsghdr message;

	if (length < headers)
		return false;
	memcpy(&message, data, sizeof(message));
	if (message.nlmsg_len < headers || message.nlmsg_len > length)
		return false;
	if (message.nlmsg_type == NLMSG_ERROR) {
		queue->port.counters.errors++;
		return false;
	}
	if (message.nlmsg_type != (NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_PACKET))
		return false;
	for (size_t at = headers; at + ATTRIBUTE_HEADER <= message.nlmsg_len;) {
		struct nlattr attribute;

		memcpy(&attribute, data + at, sizeof(attribute));
		if (attribute.nla_len < ATTRIBUTE_HEADER || attribute.nla_len > message.nlmsg_len - at)
			break;
		take_attribute(found, attribute.nla_type, data + at + ATTRIBUTE_HEADER,
			       (size_t)attribute.nla_len - ATTRIBUTE_HEADER);
		at += ALIGNED(attribute.nla_len);
	}
	return found->has_id;
}

static void give_verdict(struct nfqueue *queue, uint64_t cookie, uint32_t verdict, uint8_t *payload, uint32_t length);
static int flush(struct nfqueue *queue);

static int receive(struct port *port, struct port_batch *batch)
{
	struct nfqueue *queue = (struct nfqueue *)port;
	int received;

	batch->memory = queue->memory;
	batch->size = MEMORY;
	batch->link = PACKET_LINK_IP;
	batch->count = 0;
	do {
		received = recvmmsg(port->descriptor, queue->messages, PORT_BATCH, MSG_DONTWAIT, NULL);
	} while (received < 0 && errno == EINTR);
	if (received < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (int i = 0; i < received; i++) {
		uint8_t *data = queue->memory + (size_t)i * ROOM;
		struct found found = {0};
		uint64_t cookie;

		if (!read_message(queue, data, queue->messages[i].msg_len, &found))
			continue;
		cookie = found.id | ((found.skb & NFQA_SKB_GSO) ? COOKIE_GSO : 0);
		port->counters.received++;
		port->counters.bytes += found.length;
		if (!found.payload || found.is_cut) {
			port->counters.lost++;
			give_verdict(queue, cookie, NF_DROP, NULL, 0);
			continue;
		}
		batch->packets[batch->count] = (struct engine_packet){
			.offset = (uint32_t)(found.payload - queue->memory),
			.length = found.length,
			.room = (uint32_t)(data + ROOM - found.payload),
			.interface = number_of(queue, found.index),
			.flags = (found.skb & NFQA_SKB_CSUMNOTREADY) ? ENGINE_UNFINISHED : 0,
		};
		batch->cookies[batch->count++] = cookie;
	}
	port->counters.batches += batch->count > 0;
	/* Most batches are whole, so that nothing waits to be sent here. */
	received = flush(queue);
	return received < 0 ? received : (int)batch->count;
}

/* --- verdicts ----------------------------------------------------------------------------------------------------- */

/* Sends the verdicts that have been given. Returns 0 or -errno; without their verdict, packets would wait for ever. */
static int flush(struct nfqueue *queue)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	struct msghdr message = {
		.msg_name = &kernel,
		.msg_namelen = sizeof(kernel),
		.msg_iov = queue->parts,
		.msg_iovlen = queue->part_count,
	};
	ssize_t sent = 0;

	if (queue->part_count == 0)
		return 0;
	for (unsigned int attempt = 0; attempt < 8; attempt++) {
		sent = sendmsg(queue->port.descriptor, &message, 0);
		if (sent >= 0 || (errno != EINTR && errno != ENOBUFS && errno != ENOMEM))
			break;
		queue->port.counters.errors++;
	}
	queue->part_count = queue->part_bytes = 0;
	return sent < 0 ? -errno : 0;
}

static void add_part(struct nfqueue *queue, void *data, size_t size)
{
	if (size == 0)
		return;
	queue->parts[queue->part_count++] = (struct iovec){data, size};
	queue->part_bytes += size;
}

/* Notes a verdict to be sent with the next flush(); @payload, if any, must stay until then. */
static void give_verdict(struct nfqueue *queue, uint64_t cookie, uint32_t verdict, uint8_t *payload, uint32_t length)
{
	struct verdict *head = &queue->verdicts[queue->part_count / 3];
	size_t size = payload ? sizeof(*head) + length : sizeof(*head) - sizeof(head->payload);

	*head = (struct verdict){
		.message = {
			.nlmsg_len = (uint32_t)size,
			.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | NFQNL_MSG_VERDICT,
			.nlmsg_flags = NLM_F_REQUEST,
		},
		.family = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0, .res_id = htons(queue->config.queue)},
		.attribute = {.nla_len = (uint16_t)(ATTRIBUTE_HEADER + sizeof(head->verdict)), .nla_type = NFQA_VERDICT_HDR},
		.verdict = {.verdict = htonl(verdict), .id = (uint32_t)cookie},
		.payload = {.nla_len = (uint16_t)(ATTRIBUTE_HEADER + length), .nla_type = NFQA_PAYLOAD},
	};
	add_part(queue, head, payload ? sizeof(*head) : size);
	if (payload) {
		add_part(queue, payload, length);
		add_part(queue, queue->padding, ALIGNED(size) - size);
	}
	/* Three parts for each, whatever it needs: so the number of a verdict follows from theirs. */
	while (queue->part_count % 3 != 0)
		queue->parts[queue->part_count++] = (struct iovec){queue->padding, 0};
}

/* The verdict for one packet whose decision has been made. */
static void carry_out(struct nfqueue *queue, struct port_batch *batch, size_t number)
{
	struct engine_packet *packet = &batch->packets[number];
	struct port_counters *counters = &queue->port.counters;
	uint8_t *data = batch->memory + packet->offset;
	uint64_t cookie = batch->cookies[number];
	bool answered = packet->decision.outcome == DECISION_REJECT && packet->decision.marks & DECISION_ANSWERED;

	if (packet->decision.outcome == DECISION_PASS) {
		counters->passed++;
		give_verdict(queue, cookie, NF_ACCEPT, NULL, 0);
	} else if (packet->decision.outcome != DECISION_FORWARD && !answered) {
		counters->dropped++;
		give_verdict(queue, cookie, NF_DROP, NULL, 0);
	} else if (packet->length > LONGEST - ATTRIBUTE_HEADER || (answered && cookie & COOKIE_GSO) ||
		   (packet->flags & ENGINE_UNFINISHED && !offload_finish(data, packet->length, PACKET_LINK_IP))) {
		/* An answer in the place of a packet that is to be cut up would be cut up too. */
		counters->lost++;
		give_verdict(queue, cookie, NF_DROP, NULL, 0);
	} else {
		answered ? counters->answered++ : counters->forwarded++;
		give_verdict(queue, cookie, NF_ACCEPT, data, packet->length);
	}
}

static int finish(struct port *port, struct port_batch *batch)
{
	struct nfqueue *queue = (struct nfqueue *)port;
	int error = 0;

	for (size_t i = 0; i < batch->count && error == 0; i++) {
		carry_out(queue, batch, i);
		if (queue->part_bytes >= SEND_AT_ONCE)
			error = flush(queue);
	}
	return error != 0 ? error : flush(queue);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void destroy(struct port *port)
{
	struct nfqueue *queue = (struct nfqueue *)port;

	if (queue->memory)
		(void)munmap(queue->memory, MEMORY);
	if (queue->names >= 0)
		(void)close(queue->names);
	if (port->descriptor >= 0)
		(void)close(port->descriptor);
	free(queue);
}

/**
 * nfqueue_create() - Be the one who reads a queue
 * @config:	Which queue, and what is to be known
 * @error:	Set to -errno if that fails: -EPERM without CAP_NET_ADMIN, or if somebody else reads it
 *
 * Return: the port, in the network namespace of the calling thread, or NULL
 */
struct port *nfqueue_create(const struct nfqueue_config *config, int *error)
{
	static const struct port_class class = {"nfqueue", receive, finish, destroy};
	struct nfqueue *queue = calloc(1, sizeof(*queue));
	void *memory;

	*error = -ENOMEM;
	if (!queue)
		return NULL;
	queue->port = (struct port){.class = &class, .descriptor = -1};
	queue->config = *config;
	queue->config.pods[NFQUEUE_NAME - 1] = '\0';
	queue->names = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED || queue->names < 0)
		goto failed;
	queue->memory = memory;
	for (size_t i = 0; i < PORT_BATCH; i++) {
		queue->buffers[i] = (struct iovec){queue->memory + i * ROOM, ROOM};
		queue->messages[i].msg_hdr = (struct msghdr){.msg_iov = &queue->buffers[i], .msg_iovlen = 1};
	}
	queue->port.descriptor = *error = open_socket();
	if (*error < 0)
		goto failed;
	*error = bind_queue(queue->port.descriptor, config);
	if (*error == 0)
		return &queue->port;
failed:
	destroy(&queue->port);
	return NULL;
}
