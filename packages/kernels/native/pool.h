// Own threads that run one function together: each takes tasks by number, and all meet at barriers. Between runs they
// spin for a moment and then sleep, so that a process that waits for its disk burns no CPU.
#pragma once
#include "threads.h"
#include <stddef.h>

namespace airllm {

struct Pool;

// So many ops can run without a barrier between them.
constexpr uint32_t kOpsAtOnce = 4;

// One of the pool's threads.
struct Worker {
  Pool *pool;
  uint32_t index;
  uint8_t *scratch;  // 64-byte aligned, its own
  uint32_t *tasks;   // where it takes task numbers from: one of the pool's counters, or one of its own
  uint32_t op;       // which of the ops that run without a barrier between them
  uint32_t ranges_begun[kOpsAtOnce];
  Thread thread;
};

// A task counter on its own cache line.
struct alignas(64) Counter {
  uint32_t next;
};

using Job = void (*)(void *argument, Worker &worker);

// A job handed to the pool. It lives until it has been waited for.
struct Request {
  Job job;
  void *argument;
  size_t scratch, shared;  // bytes it needs per thread, see Pool
  Request *next;
  bool done, no_memory;
};

struct Pool {
  uint32_t threads;
  Worker *workers;
  uint8_t *shared;  // 64-byte aligned, all threads'
  size_t scratch_bytes, shared_bytes;
  void *memory, *range_memory;

  Monitor monitor;
  Request *first, *last;  // the one being run and those to come, under the monitor
  // Written under the monitor or atomically; each on its own cache line, since all threads poll them.
  alignas(64) uint32_t generation;
  alignas(64) uint32_t arrived;
  alignas(64) uint32_t phase;
  Counter counters[kOpsAtOnce];
  Counter *ranges;  // [2][kOpsAtOnce][threads]: see begin_ranges
  alignas(64) uint32_t sleepers;
  uint32_t finished;
  bool ending;
};

bool pool_create(Pool &pool, uint32_t threads);
void pool_destroy(Pool &pool);
// Runs the request's job on every thread, after those handed over before it: without a pause, so that a caller that
// hands over one job while another runs keeps the threads busy.
void pool_submit(Pool &pool, Request &request);
// Sleeps until all threads have returned from the job; false if there was no memory for it and it was not run.
bool pool_wait(Pool &pool, Request &request);
// Waits for the other threads, then starts the pool's task numbers anew.
void pool_barrier(Pool &pool);

// The next task that no thread has taken since the last barrier.
static inline uint32_t next_task(Worker &worker) { return __atomic_fetch_add(worker.tasks, 1u, __ATOMIC_RELAXED); }

// Ops that give each thread a range of tasks of its own, so that it walks through memory in one go and takes from others
// only at the end. `begin_ranges` is called by every thread at the op's start; the counters it uses were set to 0 by the
// op before in the same place, between the barriers around that, and so it does for the op after it.
static inline Counter &range_counter(Worker &worker, uint32_t turn, uint32_t whose) {
  return worker.pool->ranges[((turn & 1) * kOpsAtOnce + worker.op) * worker.pool->threads + whose];
}
static inline void begin_ranges(Worker &worker) {
  const uint32_t turn = ++worker.ranges_begun[worker.op];
  __atomic_store_n(&range_counter(worker, turn + 1, worker.index).next, 0u, __ATOMIC_RELAXED);
}
// The next task of a thread's range that nobody has taken.
static inline uint32_t next_in_range(Worker &worker, uint32_t whose) {
  Counter &counter = range_counter(worker, worker.ranges_begun[worker.op], whose);
  return __atomic_fetch_add(&counter.next, 1u, __ATOMIC_RELAXED);
}

}  // namespace airllm
