/* SPDX-License-Identifier: Apache-2.0 */
/* limit.h - how many answers of our own are sent, to everybody and to each */
#ifndef SVCPLANE_LIMIT_H
#define SVCPLANE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "hash.h"
#include "tuple.h"

/* Receivers that are told apart, a power of two. Two whose hashes meet share what is allowed to one. */
#define LIMIT_RECEIVERS 1024

/**
 * struct limit_rate - A number in a time
 * @burst:		The most at once; 0 for no limit
 * @milliseconds:	The time after which one more is allowed is this ...
 * @count:		... divided by this, at least 1
 */
struct limit_rate {
	uint32_t burst;
	uint32_t milliseconds;
	uint32_t count;
};

/**
 * struct limit_rates - What is allowed
 * @all:	To all receivers together
 * @each:	To one receiver
 */
struct limit_rates {
	struct limit_rate all;
	struct limit_rate each;
};

/**
 * struct limit_bucket - What is left of one allowance (a "token bucket")
 * @paid:	The time, in milliseconds times limit_rate.count, up to which it is used up
 */
struct limit_bucket {
	uint64_t paid;
};

/**
 * struct limit - The allowances of an engine
 * @rates:	What is allowed
 * @key:	Secret of the hashes
 * @all:	For all receivers together
 * @each:	By the receiver's hash
 */
struct limit {
	struct limit_rates rates;
	struct hash_key key;
	struct limit_bucket all;
	struct limit_bucket each[LIMIT_RECEIVERS];
};

bool limit_is_good(const struct limit_rates *rates);
bool limit_allows(struct limit *limit, const struct address *receiver, uint64_t now);

#endif
