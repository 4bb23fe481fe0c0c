/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - how many answers of our own are sent, to everybody and to each */
#include "limit.h"

#include <string.h>

/**
 * DOC: Theory of operation
 *
 * Whoever can make us answer can make us answer somebody else, by lying about who he is. So answers are limited (RFC
 * 1812, 4.3.2.8; RFC 4443, 2.4 f): all together, and those to one receiver. Linux does the same by icmp_msgs_per_sec,
 * icmp_msgs_burst and icmp_ratelimit (net/ipv4/icmp.c).
 *
 * A bucket with tokens is kept as one number: the time up to which what was allowed is used up. Each answer moves it on by
 * the time that one token takes to come back; it may not get further ahead of the present than a burst takes. The past
 * saves up nothing: a bucket that was left alone is full. To stay exact without fractions, that number counts milliseconds
 * times limit_rate.count.
 *
 * Receivers have buckets by their hash. Two that share one get less than they might, never more; a table that finds room
 * for each by itself could be filled by lies.
 */

static bool is_good_rate(const struct limit_rate *rate)
{
	return rate->burst == 0 || (rate->count > 0 && rate->milliseconds > 0);
}

/**
 * limit_is_good() - Whether rates mean anything
 * @rates:	The rates
 *
 * Return: true if they do
 */
bool limit_is_good(const struct limit_rates *rates)
{
	return is_good_rate(&rates->all) && is_good_rate(&rates->each);
}

/* The time up to which the bucket is used up, if it paid for one more; 0 if that is too much. */
static uint64_t pay(const struct limit_bucket *bucket, const struct limit_rate *rate, uint64_t now)
{
	uint64_t present = now * rate->count + 1; /* never 0 */
	uint64_t paid = (bucket->paid > present ? bucket->paid : present) + rate->milliseconds;

	return paid - present <= (uint64_t)rate->burst * rate->milliseconds ? paid : 0;
}

/**
 * limit_allows() - Whether one more answer may be sent; if so, it counts as sent
 * @limit:	The allowances
 * @receiver:	Who would get it
 * @now:	Milliseconds
 *
 * Return: true if it may
 */
bool limit_allows(struct limit *limit, const struct address *receiver, uint64_t now)
{
	uint64_t words[2];

	memcpy(words, receiver, sizeof(words));
	struct limit_bucket *each = &limit->each[hash_words(&limit->key, words, 2) % LIMIT_RECEIVERS];
	uint64_t paid_each = limit->rates.each.burst ? pay(each, &limit->rates.each, now) : 1;
	uint64_t paid_all = limit->rates.all.burst ? pay(&limit->all, &limit->rates.all, now) : 1;

	if (!paid_each || !paid_all)
		return false;
	each->paid = paid_each;
	limit->all.paid = paid_all;
	return true;
}
