/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - threads that carry packets between ports and one engine, and what others ask of them */
#define _GNU_SOURCE /* for eventfd and MAP_ANONYMOUS; NOLINT(bugprone-reserved-identifier,cert-dcl*) */
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* How long a thread without packets sleeps before it looks for flows that have expired. */
#define IDLE_MILLISECONDS 1000

uint64_t worker_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One step of what was asked. The engine is locked. */
static void step(struct worker *worker)
{
	worker_task task = atomic_load(&worker->posted);

	if (!task || !task(worker->engine, worker->argument))
		return;
	atomic_store(&worker->posted, NULL);
	(void)sem_post(&worker->done);
}

/* Does whatever is asked, when there is nobody else to do it. */
static void step_to_the_end(struct worker *worker)
{
	(void)pthread_mutex_lock(&worker->engine_lock);
	while (atomic_load(&worker->posted))
		step(worker);
	(void)pthread_mutex_unlock(&worker->engine_lock);
}

static void run_engine(struct worker *worker, struct port_batch *batch)
{
	(void)pthread_mutex_lock(&worker->engine_lock);
	engine_run(worker->engine, batch->memory, batch->size, batch->packets, batch->count, batch->link, worker_now());
	step(worker);
	(void)pthread_mutex_unlock(&worker->engine_lock);
}

/* Waits until there may be packets, or something was posted. */
static void wait_for_packets(struct worker_thread *thread)
{
	struct pollfd watched[1 + WORKER_PORTS] = {{.fd = thread->wake, .events = POLLIN}};
	bool busy = atomic_load(&thread->worker->posted);
	uint64_t woken;

	for (unsigned int i = 0; i < thread->count; i++) {
		watched[1 + i] = (struct pollfd){.fd = thread->ports[i]->descriptor, .events = POLLIN};
		busy |= thread->ports[i]->busy;
	}
	/* The next round looks for packets, for what was posted and for the end: without a system call. */
	if (!busy && poll(watched, 1 + thread->count, IDLE_MILLISECONDS) > 0 && watched[0].revents)
		(void)!read(thread->wake, &woken, sizeof(woken));
}

/* Carries a batch of each port. Returns how many packets that were, or -errno. */
static int take_turns(struct worker_thread *thread)
{
	struct port_batch *batch = &thread->batch;
	int carried = 0;

	for (unsigned int i = 0; i < thread->count; i++) {
		int result = port_receive(thread->ports[i], batch);

		if (result > 0) {
			batch->count = (size_t)result;
			carried += result;
			run_engine(thread->worker, batch);
			result = port_finish(thread->ports[i], batch);
		}
		if (result < 0)
			return result;
	}
	return carried;
}

static void *carry(void *argument)
{
	struct worker_thread *thread = argument;
	struct worker *worker = thread->worker;
	int result = 0;

	while (result >= 0 && !atomic_load(&worker->stopping)) {
		result = take_turns(thread);
		if (result != 0)
			continue;
		/* The engine learns what time it is, and does what was posted, without packets too. */
		thread->batch.count = 0;
		run_engine(worker, &thread->batch);
		wait_for_packets(thread);
	}
	if (result < 0)
		atomic_store(&thread->error, result);
	if (atomic_fetch_sub(&worker->alive, 1) == 1)
		step_to_the_end(worker);
	return NULL;
}

struct worker *worker_create(struct engine *engine)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->engine = engine;
	if (pthread_mutex_init(&worker->engine_lock, NULL) != 0)
		goto no_lock;
	if (pthread_mutex_init(&worker->asking, NULL) != 0)
		goto no_asking;
	if (sem_init(&worker->done, 0, 0) != 0)
		goto no_semaphore;
	return worker;

no_semaphore:
	(void)pthread_mutex_destroy(&worker->asking);
no_asking:
	(void)pthread_mutex_destroy(&worker->engine_lock);
no_lock:
	free(worker);
	return NULL;
}

int worker_add(struct worker *worker, struct port **ports, unsigned int count)
{
	struct worker_thread *thread = &worker->threads[worker->count];

	if (worker->count == WORKER_THREADS || count > WORKER_PORTS)
		return -ENOSPC;
	thread->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (thread->wake < 0)
		return -errno;
	thread->worker = worker;
	for (unsigned int i = 0; i < count; i++)
		thread->ports[i] = ports[i];
	thread->count = count;
	worker->count++;
	return 0;
}

static void wake_all(struct worker *worker)
{
	const uint64_t one = 1;

	for (unsigned int i = 0; i < worker->count; i++)
		(void)!write(worker->threads[i].wake, &one, sizeof(one));
}

int worker_start(struct worker *worker)
{
	sigset_t all, before;
	int error = 0;

	atomic_store(&worker->stopping, false);
	/* Signals are for the threads that can do something about them. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	for (unsigned int i = 0; i < worker->count && error == 0; i++) {
		struct worker_thread *thread = &worker->threads[i];

		atomic_store(&thread->error, 0);
		atomic_fetch_add(&worker->alive, 1);
		error = pthread_create(&thread->thread, NULL, carry, thread);
		thread->started = error == 0;
		if (error != 0)
			atomic_fetch_sub(&worker->alive, 1);
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		worker_stop(worker);
	return -error;
}

void worker_ask(struct worker *worker, worker_task task, void *argument)
{
	(void)pthread_mutex_lock(&worker->asking);
	worker->argument = argument;
	atomic_store(&worker->posted, task);
	wake_all(worker);
	/* The last thread looks for a task after it has signed off: either it finds this one, or it is seen here. */
	if (atomic_load(&worker->alive) == 0)
		step_to_the_end(worker);
	while (sem_wait(&worker->done) != 0 && errno == EINTR)
		;
	(void)pthread_mutex_unlock(&worker->asking);
}

void worker_stop(struct worker *worker)
{
	atomic_store(&worker->stopping, true);
	wake_all(worker);
	for (unsigned int i = 0; i < worker->count; i++) {
		struct worker_thread *thread = &worker->threads[i];

		if (thread->started)
			(void)pthread_join(thread->thread, NULL);
		thread->started = false;
	}
}

void worker_destroy(struct worker *worker)
{
	if (!worker)
		return;
	worker_stop(worker);
	for (unsigned int i = 0; i < worker->count; i++)
		(void)close(worker->threads[i].wake);
	(void)sem_destroy(&worker->done);
	(void)pthread_mutex_destroy(&worker->asking);
	(void)pthread_mutex_destroy(&worker->engine_lock);
	free(worker);
}

int worker_error(struct worker *worker)
{
	for (unsigned int i = 0; i < worker->count; i++) {
		int error = atomic_load(&worker->threads[i].error);

		if (error != 0)
			return error;
	}
	return 0;
}
