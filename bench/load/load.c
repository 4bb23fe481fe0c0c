/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - time, processor time, options, and the end */
#define _GNU_SOURCE /* for clocks and err; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "load.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static volatile sig_atomic_t ended;

static uint64_t read_clock(clockid_t which)
{
	struct timespec time;

	if (clock_gettime(which, &time) != 0)
		load_fail("clock_gettime");
	return (uint64_t)time.tv_sec * NANOSECONDS + (uint64_t)time.tv_nsec;
}

/**
 * load_now() - Read the clock
 *
 * Return: nanoseconds since some moment; the same for all programs of this machine
 */
uint64_t load_now(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/**
 * load_processor_time() - How busy this program was
 *
 * Packets that the kernel handles while it is interrupted may be charged to it, too: pin it to a processor that
 * receives none.
 *
 * Return: nanoseconds of processor time since it was started
 */
uint64_t load_processor_time(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/**
 * load_sleep_until() - Wait; a signal ends it early
 * @when:	What load_now() shall say
 */
void load_sleep_until(uint64_t when)
{
	struct timespec time = {.tv_sec = (time_t)(when / NANOSECONDS), .tv_nsec = (long)(when % NANOSECONDS)};

	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

static void note_end(int signal)
{
	(void)signal;
	ended = 1;
}

/**
 * load_end_on_signals() - From now on SIGINT and SIGTERM ask for an orderly end, with its figures
 */
void load_end_on_signals(void)
{
	struct sigaction action = {.sa_handler = note_end};

	if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
		load_fail("sigaction");
}

/**
 * load_ended() - Whether somebody has asked for the end
 *
 * Return: true after SIGINT or SIGTERM
 */
bool load_ended(void)
{
	return ended != 0;
}

/**
 * load_fail() - End with one line about the system call that failed
 * @what:	Its name, and what it was about
 */
void load_fail(const char *what)
{
	err(1, "%s", what);
}

/**
 * load_refuse() - End with exit code 2 and one line about what was given and what is expected
 * @option:	Name of the option
 * @value:	What was given, or NULL
 * @expected:	What would do
 */
void load_refuse(const char *option, const char *value, const char *expected)
{
	errx(2, "%s %s: expected %s", option, value ? value : "", expected);
}

static uint64_t parse_number(const struct load_option *option, const char *value)
{
	char *end = NULL;

	errno = 0;
	uint64_t number = strtoull(value, &end, 10);

	if (errno != 0 || end == value || *end != '\0' || *value == '-' || number < option->least ||
	    number > option->most) {
		char expected[64];

		(void)snprintf(expected, sizeof(expected), "a number from %llu to %llu",
			       (unsigned long long)option->least, (unsigned long long)option->most);
		load_refuse(option->name, value, expected);
	}
	return number;
}

/**
 * load_options() - Read the command line, or end with exit code 2 and what was expected
 * @count:	How many words
 * @words:	The command line
 * @options:	What is known; the last has no name
 */
void load_options(int count, char **words, const struct load_option *options)
{
	for (int i = 1; i < count; i += 2) {
		const struct load_option *option = options;

		while (option->name && strcmp(option->name, words[i]) != 0)
			option++;
		if (!option->name)
			load_refuse(words[0], words[i], "an option that it has");
		if (i + 1 >= count)
			load_refuse(words[i], NULL, "a value");
		if (option->text)
			*option->text = words[i + 1];
		else
			*option->number = parse_number(option, words[i + 1]);
	}
	for (; options->name; options++) {
		if (options->text && !*options->text)
			load_refuse(options->name, NULL, "to be given");
	}
}

/**
 * load_address() - An IPv4 address from the command line, or the end
 * @text:	As in "10.96.0.10"
 *
 * Return: in the machine's byte order, so that addresses can be counted through
 */
uint32_t load_address(const char *text)
{
	struct in_addr address;

	if (inet_pton(AF_INET, text, &address) != 1)
		load_refuse("address", text, "an IPv4 address");
	return ntohl(address.s_addr);
}
