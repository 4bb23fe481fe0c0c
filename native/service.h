/* SPDX-License-Identifier: Apache-2.0 */
/* service.h - the forwarding table: frontends, pools, backends, and whose addresses are whose */
#ifndef SVCPLANE_SERVICE_H
#define SVCPLANE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "arena.h"
#include "hash.h"
#include "index.h"
#include "maglev.h"
#include "runs.h"
#include "tuple.h"

/* In service_frontend.sources_first: anybody may connect. */
#define SERVICE_ANYBODY UINT32_MAX

/* There is no such address in the table. */
#define SERVICE_NOWHERE UINT32_MAX

/* Interfaces that packets can come in on. Number 0 stands for none: the packet is this host's own. */
#define SERVICE_INTERFACES 4096

/* The greatest weight of a backend. */
#define SERVICE_WEIGHT_MOST 100

/**
 * enum service_client - Who opens a connection (dataplane.table.Client, in its order)
 * @SERVICE_POD:	A local pod, as the detect-local rule says
 * @SERVICE_NODE:	This host
 * @SERVICE_OUTSIDE:	Anybody else
 */
enum service_client {
	SERVICE_POD,
	SERVICE_NODE,
	SERVICE_OUTSIDE,
	SERVICE_CLIENTS,
};

/**
 * enum service_action - What is done for a client (dataplane.table.Verdict)
 * @SERVICE_FORWARD:	Send it to a backend of the pool
 * @SERVICE_REJECT:	Refuse at once
 * @SERVICE_DROP:	Say nothing
 */
enum service_action {
	SERVICE_FORWARD,
	SERVICE_REJECT,
	SERVICE_DROP,
	SERVICE_ACTIONS,
};

/**
 * enum service_pick - How a pool's backend is picked for a new connection; weights count with all of them
 * @SERVICE_RANDOM:		By chance, as kube-proxy does
 * @SERVICE_ROUND_ROBIN:	One after the other
 * @SERVICE_LEAST_CONNECTIONS:	One of those that have the fewest connections through this node
 * @SERVICE_MAGLEV:		By the hash of addresses, ports and protocol: the same on every node with the same key
 * @SERVICE_PICKS:		How many there are
 */
enum service_pick {
	SERVICE_RANDOM,
	SERVICE_ROUND_ROBIN,
	SERVICE_LEAST_CONNECTIONS,
	SERVICE_MAGLEV,
	SERVICE_PICKS,
};

/**
 * struct service_verdict - What is done for one kind of client
 * @pool:	Position among the pools; 0 unless forwarding
 * @action:	enum service_action
 * @masquerade:	1 if the source becomes this node's address
 * @zero:	Always 0
 */
struct service_verdict {
	uint32_t pool;
	uint8_t action;
	uint8_t masquerade;
	uint8_t zero[2];
};

/**
 * struct service_frontend - One address, protocol and port that is served
 * @address:		The address; unspecified for a NodePort
 * @port:		In network byte order
 * @protocol:		TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 * @family:		TUPLE_IPV4 or TUPLE_IPV6
 * @sources_first:	Position among the ranges of the first that may connect, or SERVICE_ANYBODY
 * @sources_count:	How many ranges, apart from each other
 * @serving_first:	Position among the endpoints of the first to which flows may go on
 * @serving_count:	How many endpoints
 * @verdicts:		By enum service_client
 * @ends_flows:		1 if flows to other endpoints are forgotten; else they end by themselves
 */
struct service_frontend {
	struct address address;
	uint16_t port;
	uint8_t protocol;
	uint8_t family;
	uint32_t sources_first;
	uint32_t sources_count;
	uint32_t serving_first;
	uint32_t serving_count;
	struct service_verdict verdicts[SERVICE_CLIENTS];
	uint32_t ends_flows;
};

_Static_assert(sizeof(struct service_frontend) == 64, "a frontend is one cache line");

/**
 * struct service_pool - The backends that one verdict chooses from
 * @first:	Position among the backends
 * @count:	How many backends, at least one
 * @owner:	The service port: a number of the caller's, not 0. What goes through a backend is counted for each apart
 * @affinity:	Whose memory of clients it uses: a number of the caller's, or 0 for none
 * @seconds:	How long that memory lasts after the client's last new connection
 * @pick:	enum service_pick
 * @total:	The sum of its backends' weights: numbers below it are drawn; set by the table
 * @slot:	With SERVICE_ROUND_ROBIN: which of service_table.turns it has; with SERVICE_MAGLEV: which of
 *		service_table.maglevs, or SERVICE_NO_SLOT if there is none for it; set by the table
 */
struct service_pool {
	uint32_t first;
	uint32_t count;
	uint32_t owner;
	uint32_t affinity;
	uint32_t seconds;
	uint32_t pick;
	uint32_t total;
	uint32_t slot;
};

_Static_assert(sizeof(struct service_pool) == 32, "a pool lies in one cache line");

/**
 * struct service_backend - One place that serves
 * @address:	Where
 * @port:	In network byte order
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 * @local:	1 if it runs on this node
 * @tally:	Where its traffic is counted; set by the table
 * @member:	What the affinity of its pool calls it, 0 without affinity; set by the table
 * @weight:	How often it is picked, relative to the others in its pool; 1 to SERVICE_WEIGHT_MOST
 */
struct service_backend {
	struct address address;
	uint16_t port;
	uint8_t family;
	uint8_t local;
	uint32_t tally;
	uint32_t member;
	uint32_t weight;
};

_Static_assert(sizeof(struct service_backend) == 32, "a backend lies in one cache line");

/**
 * struct service_endpoint - An address and a port
 * @address:	The address
 * @port:	In network byte order
 * @zero:	Always 0
 */
struct service_endpoint {
	struct address address;
	uint16_t port;
	uint16_t zero;
};

/**
 * struct service_range - Addresses of one family from the lowest to the highest
 * @low:	The lowest
 * @high:	The highest
 */
struct service_range {
	struct address low;
	struct address high;
};

/* What an address can be to us: bits of service_address.roles. */
#define SERVICE_CLUSTER_IP	   0x1 /* belongs to a Service whole */
#define SERVICE_ANSWERS_NODE_PORTS 0x2
#define SERVICE_HOST		   0x4 /* an address of this host */

/**
 * struct service_address - An address and what it is to us
 * @address:	The address
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 * @roles:	Bits SERVICE_...
 * @zero:	Always 0
 */
struct service_address {
	struct address address;
	uint8_t family;
	uint8_t roles;
	uint16_t zero;
};

/**
 * struct service_family - What there is once for each family
 * @cidrs_first:	Position among the ranges of the first that cluster IPs are given from
 * @cidrs_count:	How many ranges, apart from each other
 * @pods_first:		Position of the range of the local pods' addresses
 * @pods_count:		1, or 0 if pods are not told by their addresses
 * @egress:		What masqueraded flows get as their source
 * @can_masquerade:	1 if @egress is set
 */
struct service_family {
	uint32_t cidrs_first;
	uint32_t cidrs_count;
	uint32_t pods_first;
	uint32_t pods_count;
	struct address egress;
	uint32_t can_masquerade;
};

/**
 * struct service_limits - The most that a table can hold
 * @frontends:	Frontends
 * @pools:	Pools
 * @backends:	Backends of all pools together, a backend in two pools counted twice
 * @endpoints:	Endpoints to which flows may go on
 * @ranges:	Ranges of addresses
 * @addresses:	Addresses that are something to us
 * @tallies:	Places to count traffic in
 * @members:	Backends of pools with affinity, a backend in two pools of one Service counted once
 * @maglevs:	Tables for pools with SERVICE_MAGLEV, each of which takes 128 kB and a millisecond to load; pools that
 *		get none pick at random
 *
 * A frontend that changes is there twice for a moment, with all that it refers to.
 */
struct service_limits {
	uint32_t frontends;
	uint32_t pools;
	uint32_t backends;
	uint32_t endpoints;
	uint32_t ranges;
	uint32_t addresses;
	uint32_t tallies;
	uint32_t members;
	uint32_t maglevs;
};

/**
 * struct service_ended - What the updates of a table have put an end to
 * @flows:	Flows, perhaps: a frontend is gone, or an endpoint serves it no more
 * @members:	Memories of clients, perhaps: no pool holds a backend any more
 */
struct service_ended {
	bool flows;
	bool members;
};

/* In service_pool.slot: it has none. */
#define SERVICE_NO_SLOT UINT32_MAX

/**
 * struct service_turn - Whose turn it was last, with SERVICE_ROUND_ROBIN
 * @total:	service_pool.total of the pool that it was used for last
 * @step:	From one number to the next; no common divisor with @total
 * @number:	The number drawn last
 * @tally:	service_backend.tally of the backend that had this number; 0 before the first
 *
 * Who has it is told by the backend, which keeps its tally, and not by the number, whose meaning changes with the pool.
 */
struct service_turn {
	uint32_t total;
	uint32_t step;
	uint32_t number;
	uint32_t tally;
};

/**
 * struct service_table - A table that packets can be looked up in
 * @limits:		What there is room for
 * @key:		Secret of the hashes
 * @ended:		What was put an end to since somebody has asked
 * @frontends:		An entry of no family is not in use
 * @pools:		An entry of no backends is not in use
 * @backends:		Those of a pool side by side
 * @endpoints:		Those of a frontend side by side, sorted
 * @ranges:		Those of a frontend, and those of a family, likewise
 * @addresses:		In any order
 * @pod_interfaces:	By interface: whether what comes in is from a local pod
 * @families:		For IPv4, then for IPv6
 * @pool_users:		By pool: how many verdicts forward to it
 * @member_pools:	By member: how many pools hold it
 * @shares:		By backend: the sum of the weights of its pool, up to and with its own; unless all are 1
 * @turns:		By service_pool.slot. All else is only written while nobody looks up packets here; turns are
 *			written by whoever does, and both tables of an engine have the same
 * @maglevs:		Tables of MAGLEV_SLOTS, one after the other
 * @maglev_backends:	Where they are built
 * @without_maglev:	Pools with SERVICE_MAGLEV that have none
 * @placed:		While an update is made: by pool of the image, where it is in the table
 * @frontend_runs:	Which places of @frontends are taken; those that follow, of the others
 * @pool_runs:		...
 * @backend_runs:	...
 * @endpoint_runs:	...
 * @range_runs:		...
 * @address_runs:	...
 * @maglev_runs:	...
 * @frontend_index:	From address, protocol and port to @frontends; a reference is a position plus one
 * @address_index:	From address and family to @addresses, likewise
 */
struct service_table {
	struct service_limits limits;
	struct hash_key key;
	struct service_ended ended;
	struct service_frontend *frontends;
	struct service_pool *pools;
	struct service_backend *backends;
	struct service_endpoint *endpoints;
	struct service_range *ranges;
	struct service_address *addresses;
	uint8_t *pod_interfaces;
	struct service_family families[2];
	uint32_t *pool_users;
	uint32_t *member_pools;
	uint32_t *shares;
	struct service_turn *turns;
	uint16_t *maglevs;
	struct maglev_backend *maglev_backends;
	uint32_t without_maglev;
	uint32_t *placed;
	struct runs frontend_runs;
	struct runs pool_runs;
	struct runs backend_runs;
	struct runs endpoint_runs;
	struct runs range_runs;
	struct runs address_runs;
	struct runs maglev_runs;
	struct index frontend_index;
	struct index address_index;
};

void service_carve(struct service_table *table, struct arena *arena, const struct service_limits *limits,
		   struct service_turn *turns);
uint32_t service_hash(const struct hash_key *key, const struct service_frontend *frontend);
uint32_t service_hash_address(const struct hash_key *key, const struct address *address, uint8_t family);
uint32_t service_hash_for(const struct service_table *table, const struct tuple *tuple);
uint32_t service_find_address(const struct service_table *table, const struct address *address, uint8_t family);
const struct service_frontend *service_find(const struct service_table *table, const struct address *address,
					    uint8_t family, uint8_t protocol, uint16_t port);
const struct service_frontend *service_find_for(const struct service_table *table, const struct tuple *tuple,
						uint32_t hash, uint8_t *roles);
const struct service_frontend *service_find_original(const struct service_table *table, const struct tuple *original,
						     bool is_node_port);
uint8_t service_roles(const struct service_table *table, const struct address *address, uint8_t family);
enum service_client service_classify(const struct service_table *table, const struct tuple *tuple,
				     uint16_t interface);
bool service_allows(const struct service_table *table, const struct service_frontend *frontend,
		    const struct address *source);
bool service_serves(const struct service_table *table, const struct service_frontend *frontend,
		    const struct address *address, uint16_t port);
bool service_is_given_out(const struct service_table *table, const struct address *address, uint8_t family);

/**
 * service_prefetch() - Have the frontend that a packet may be for brought into the cache
 * @table:	The table
 * @hash:	service_hash_for() the packet; its bucket should be in the cache already
 *
 * Return: a reference to that frontend for service_prefetch_pool(), or INDEX_NONE
 */
static inline uint32_t service_prefetch(const struct service_table *table, uint32_t hash)
{
	struct index_cursor cursor;
	uint32_t reference = index_first(&table->frontend_index, hash, &cursor);

	if (reference != INDEX_NONE)
		__builtin_prefetch(&table->frontends[reference - 1]);
	return reference;
}

/**
 * service_prefetch_pool() - The same for the pool that it may forward to
 * @table:	The table
 * @reference:	What service_prefetch() gave, not INDEX_NONE
 *
 * The verdicts of a frontend nearly always forward to the same pool, or nearly the same: that of pods stands for all.
 */
static inline void service_prefetch_pool(const struct service_table *table, uint32_t reference)
{
	const struct service_verdict *verdict = &table->frontends[reference - 1].verdicts[SERVICE_POD];

	__builtin_prefetch(&table->pools[verdict->pool]);
}

/**
 * service_likely_pool() - The pool that a frontend forwards to, nearly always
 * @table:	The table
 * @reference:	What service_prefetch() gave, not INDEX_NONE
 *
 * Return: the pool of pods, or NULL if they are not forwarded
 */
static inline const struct service_pool *service_likely_pool(const struct service_table *table, uint32_t reference)
{
	const struct service_verdict *verdict = &table->frontends[reference - 1].verdicts[SERVICE_POD];

	return verdict->action == SERVICE_FORWARD ? &table->pools[verdict->pool] : NULL;
}

/* Words of what a frontend is found by, in a batch that is hashed together. */
#define SERVICE_HASHED_IPV4 1
#define SERVICE_HASHED_IPV6 3

/**
 * service_put() - Make the destination of a packet one of a batch that is hashed together
 * @batch:	The batch, of packets of one family: SERVICE_HASHED_IPV4 or SERVICE_HASHED_IPV6 words each
 * @at:		Its place; its hash will be that of service_hash_for()
 * @tuple:	The packet's
 */
static inline void service_put(struct hash_batch *batch, size_t at, const struct tuple *tuple)
{
	const uint64_t rest = (uint64_t)tuple->protocol << 16 | tuple->destination_port;
	const size_t bytes = sizeof(tuple->protocol) + sizeof(tuple->destination_port);

	if (tuple->family == TUPLE_IPV4) {
		batch->words[0][at] = hash_last(0, rest << 32 | address_ipv4(&tuple->destination), 4 + bytes);
		return;
	}
	batch->words[0][at] = tuple_word(tuple, 2);
	batch->words[1][at] = tuple_word(tuple, 3);
	batch->words[2][at] = hash_last(2, rest, bytes);
}

#endif
