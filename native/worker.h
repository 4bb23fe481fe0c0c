/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - threads that carry packets between ports and one engine, and what others ask of them */
#ifndef SVCPLANE_WORKER_H
#define SVCPLANE_WORKER_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine.h"
#include "port.h"

/**
 * DOC: Theory of operation
 *
 * A worker is one engine and up to WORKER_THREADS threads, each with a port or several:
 *
 *	receive a batch  →  lock, engine_run(), tasks, unlock  →  finish the batch
 *
 * A thread with several ports serves them in turns, a batch of each. So none waits longer than a batch of each of the
 * others takes, however many packets those have waiting; and while the others are empty, one has all of the thread.
 *
 * Receiving and finishing are system calls that cost microseconds for each packet; the engine takes tens of
 * nanoseconds. So the ports work side by side, and the engine is used by one of them at a time, under a lock that is
 * taken once for a batch. With engines of their own the threads would need no lock, but then both directions of a
 * flow would have to reach the same thread, all connections of a client with affinity too, and the kernel's spreading
 * of packets over queues knows of neither. With one thread nobody else takes the lock.
 *
 * Nobody else touches a running engine. Who wants something of it (a table put in force, counters, flows) posts a
 * task: a function that a worker's thread calls between two batches, again and again until it says that it is done.
 * A task does little each time (WORKER_STEP entries, say), so that packets wait for it no longer than for another
 * batch. The asker waits; the threads never do, and never run any Python. What takes long, building a table, is done
 * before, by the asker, on the half of the engine that is not in force.
 */

/* Threads of one worker at the most, and ports of one thread. */
#define WORKER_THREADS 16
#define WORKER_PORTS 4

/* Entries that a task looks at in one step. */
#define WORKER_STEP 4096

/**
 * typedef worker_task - Something done between two batches
 * @engine:	The engine, not in use by anybody else
 * @argument:	The asker's
 *
 * Return: true if it is done, false to be called again after the next batch
 */
typedef bool (*worker_task)(struct engine *engine, void *argument);

/**
 * struct worker_thread - A thread and its ports
 * @worker:	Whose it is
 * @ports:	The ports, in the order of their turns
 * @count:	How many, at least 1
 * @batch:	What is on its way
 * @thread:	The thread
 * @wake:	An eventfd: something was posted, or it shall end
 * @started:	Whether there is a thread to wait for
 * @error:	Why it ended by itself: -errno, or 0
 */
struct worker_thread {
	struct worker *worker;
	struct port *ports[WORKER_PORTS];
	unsigned int count;
	struct port_batch batch;
	pthread_t thread;
	int wake;
	bool started;
	_Atomic int error;
};

/**
 * struct worker - One engine, its threads and their ports
 * @engine:	The engine
 * @threads:	The threads
 * @count:	How many
 * @stopping:	The threads shall end
 * @alive:	Threads that have not ended
 * @engine_lock:	Held while the engine is used
 * @asking:	Held by the one who has posted a task
 * @posted:	The task, or NULL
 * @argument:	Its argument
 * @done:	Is posted when it is done
 */
struct worker {
	struct engine *engine;
	struct worker_thread threads[WORKER_THREADS];
	unsigned int count;
	_Atomic bool stopping;
	_Atomic unsigned int alive;
	pthread_mutex_t engine_lock;
	pthread_mutex_t asking;
	_Atomic(worker_task) posted;
	void *argument;
	sem_t done;
};

/* A worker for an engine; NULL if there is no memory. Neither engine nor ports are the worker's to destroy. */
struct worker *worker_create(struct engine *engine);
/* One more thread, for these ports, before worker_start(). Returns 0, or -errno: -ENOSPC if there are too many. */
int worker_add(struct worker *worker, struct port **ports, unsigned int count);
/* Starts the threads, with all signals blocked. Returns 0 or -errno; then none runs. */
int worker_start(struct worker *worker);
/* Has a task done between two batches, or at once if no thread runs, and waits for it. */
void worker_ask(struct worker *worker, worker_task task, void *argument);
/* Ends the threads, each after its batch is finished, and waits for them. The worker may be started again. */
void worker_stop(struct worker *worker);
/* Stops it and gives its memory back. */
void worker_destroy(struct worker *worker);
/* Why a thread ended by itself: -errno of the first, or 0 if none has. */
int worker_error(struct worker *worker);
/* The milliseconds of the engine's clock: CLOCK_BOOTTIME, which goes on over restarts of the process. */
uint64_t worker_now(void);

#endif
