/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - answers to anybody at any time, at any rates: never more than those allow */
#include "fuzz.h"
#include "limit.h"

#define RECEIVERS 4

/* What is to be sent, and when: @passed milliseconds after the one before. */
struct step {
	uint16_t passed;
	uint8_t receiver;
};

/* How many answers a rate allows from one answer to another that is so much later, both counted. */
static uint64_t most(const struct limit_rate *rate, uint64_t passed)
{
	return rate->burst ? rate->burst + passed * rate->count / rate->milliseconds : UINT64_MAX;
}

/* The beginning says the rates, kept small enough for limits to be met; what follows are steps. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct limit *limit = calloc(1, sizeof(*limit));
	uint64_t now = 0, begun[RECEIVERS] = {0}, sent[RECEIVERS] = {0}, all = 0, first = 0;

	fuzz_expect(limit != NULL);
	for (uint32_t *words = (uint32_t *)&limit->rates; size >= 2 && words < (uint32_t *)(&limit->rates + 1); words++) {
		*words = data[0];
		data++;
		size--;
	}
	if (!limit_is_good(&limit->rates))
		size = 0;
	for (; size >= sizeof(struct step); data += sizeof(struct step), size -= sizeof(struct step)) {
		struct step step;

		memcpy(&step, data, sizeof(step));
		step.receiver %= RECEIVERS;
		now += step.passed;
		if (!limit_allows(limit, &(struct address){{step.receiver}}, now))
			continue;
		if (all++ == 0)
			first = now;
		if (sent[step.receiver]++ == 0)
			begun[step.receiver] = now;
		fuzz_expect(all <= most(&limit->rates.all, now - first));
		fuzz_expect(sent[step.receiver] <= most(&limit->rates.each, now - begun[step.receiver]));
	}
	free(limit);
	return 0;
}
