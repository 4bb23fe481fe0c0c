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
#include "tuple.h"

/* In service_frontend.sources_first: anybody may connect. */
#define SERVICE_ANYBODY UINT32_MAX

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
 * @pool:	Position in service_image.pools; 0 unless forwarding
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
 * @sources_first:	Position in service_image.ranges of the first that may connect, or SERVICE_ANYBODY
 * @sources_count:	How many ranges, sorted and apart from each other
 * @serving_first:	Position in service_image.endpoints of the first to which flows may go on
 * @serving_count:	How many endpoints, sorted
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

/**
 * struct service_pool - The backends that one verdict chooses from
 * @first:	Position in service_image.backends
 * @count:	How many backends, at least one
 * @affinity:	Whose memory of clients it uses; 0 for none
 * @seconds:	How long that memory lasts after the client's last new connection
 * @pick:	enum service_pick
 */
struct service_pool {
	uint32_t first;
	uint32_t count;
	uint32_t affinity;
	uint32_t seconds;
	uint32_t pick;
};

/**
 * struct service_backend - One place that serves
 * @address:	Where
 * @port:	In network byte order
 * @family:	TUPLE_IPV4 or TUPLE_IPV6
 * @local:	1 if it runs on this node
 * @tally:	Where its traffic is counted
 * @member:	What the affinity of its pool calls it; 0 without affinity
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
 * @cidrs_first:	Position in service_image.ranges of the first that cluster IPs are given from
 * @cidrs_count:	How many ranges, sorted and apart from each other
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
 * @maglevs:	Pools with SERVICE_MAGLEV, each of which takes 128 kB and a millisecond to load
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
 * struct service_image - A table as flat arrays, the way it is handed over
 * @counts:		How long each array is; tallies and members are one more than the greatest that is used
 * @frontends:		Any order, no two with the same address, protocol, port and family
 * @pools:		Any order
 * @backends:		The backends of a pool side by side
 * @endpoints:		Sorted within each frontend's piece
 * @ranges:		Sorted within each piece
 * @addresses:		Any order, none twice
 * @families:		For IPv4, then for IPv6
 * @pod_interfaces:	SERVICE_INTERFACES bytes: 1 where what comes in is from a local pod
 */
struct service_image {
	struct service_limits counts;
	const struct service_frontend *frontends;
	const struct service_pool *pools;
	const struct service_backend *backends;
	const struct service_endpoint *endpoints;
	const struct service_range *ranges;
	const struct service_address *addresses;
	struct service_family families[2];
	const uint8_t *pod_interfaces;
};

/**
 * enum service_error - What is wrong with an image
 * @SERVICE_OK:			Nothing
 * @SERVICE_TOO_MANY:		More than the limits given when the engine was made
 * @SERVICE_BAD_FRONTEND:	A frontend refers to something that is not there, or says what does not exist
 * @SERVICE_BAD_POOL:		A pool is empty, refers to backends that are not there, or has too many for its way
 *				to pick
 * @SERVICE_BAD_BACKEND:	A backend's family, tally or member does not exist
 * @SERVICE_BAD_ADDRESS:	An address of no family
 * @SERVICE_BAD_FAMILY:		The ranges of a family are not there
 * @SERVICE_DOUBLE:		A frontend or an address is there twice
 */
enum service_error {
	SERVICE_OK,
	SERVICE_TOO_MANY,
	SERVICE_BAD_FRONTEND,
	SERVICE_BAD_POOL,
	SERVICE_BAD_BACKEND,
	SERVICE_BAD_ADDRESS,
	SERVICE_BAD_FAMILY,
	SERVICE_DOUBLE,
};

/**
 * struct service_draw - What a pool needs to pick, besides its backends
 * @total:	The sum of their weights: numbers below it are drawn
 * @step:	From one number to the next, with SERVICE_ROUND_ROBIN; no common divisor with @total
 * @turn:	The number drawn last, or SERVICE_NO_TURN; with SERVICE_MAGLEV: which of service_table.maglevs it has
 */
struct service_draw {
	uint32_t total;
	uint32_t step;
	uint32_t turn;
};

/* In service_draw.turn: nobody had one yet. */
#define SERVICE_NO_TURN UINT32_MAX

/**
 * struct service_table - A table that packets can be looked up in
 * @limits:		What there is room for
 * @counts:		What is there
 * @key:		Secret of the hashes
 * @frontends:		Copied from the image, as are the next six
 * @pools:		...
 * @backends:		...
 * @endpoints:		...
 * @ranges:		...
 * @addresses:		...
 * @pod_interfaces:	...
 * @families:		...
 * @member_held:	By member: 1 if a pool of this table holds it
 * @draws:		By pool
 * @shares:		By backend: the sum of the weights of its pool, up to and with its own
 * @maglevs:		Tables of MAGLEV_SLOTS, one after the other
 * @maglev_backends:	Where they are built
 * @frontend_index:	From address, protocol and port to @frontends; a reference is a position plus one
 * @address_index:	From address and family to @addresses, likewise
 */
struct service_table {
	struct service_limits limits;
	struct service_limits counts;
	struct hash_key key;
	struct service_frontend *frontends;
	struct service_pool *pools;
	struct service_backend *backends;
	struct service_endpoint *endpoints;
	struct service_range *ranges;
	struct service_address *addresses;
	uint8_t *pod_interfaces;
	struct service_family families[2];
	uint8_t *member_held;
	struct service_draw *draws;
	uint32_t *shares;
	uint16_t *maglevs;
	struct maglev_backend *maglev_backends;
	struct index frontend_index;
	struct index address_index;
};

void service_carve(struct service_table *table, struct arena *arena, const struct service_limits *limits);
enum service_error service_load(struct service_table *table, const struct service_image *image,
				const struct hash_key *key);

const struct service_frontend *service_find(const struct service_table *table, const struct address *address,
					    uint8_t family, uint8_t protocol, uint16_t port);
const struct service_frontend *service_find_for(const struct service_table *table, const struct tuple *tuple,
						uint8_t roles);
uint8_t service_roles(const struct service_table *table, const struct address *address, uint8_t family);
enum service_client service_classify(const struct service_table *table, const struct tuple *tuple,
				     uint16_t interface);
bool service_allows(const struct service_table *table, const struct service_frontend *frontend,
		    const struct address *source);
bool service_serves(const struct service_table *table, const struct service_frontend *frontend,
		    const struct address *address, uint16_t port);
bool service_is_given_out(const struct service_table *table, const struct address *address, uint8_t family);

#endif
