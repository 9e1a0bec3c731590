#include "pool.h"
#include <stdlib.h>
#include <string.h>

namespace airllm {
namespace {

constexpr uint64_t kSpinNanoseconds = 20000;

uint32_t load(const uint32_t &word) { return __atomic_load_n(&word, __ATOMIC_SEQ_CST); }
void store(uint32_t &word, uint32_t value) { __atomic_store_n(&word, value, __ATOMIC_SEQ_CST); }

// Waits until `word` is no longer `old`: spins for a moment, then sleeps.
void await_change(Pool &pool, const uint32_t &word, uint32_t old) {
  const uint64_t until = nanoseconds() + kSpinNanoseconds;
  do {
    for (int i = 0; i < 32; i++) {
      if (load(word) != old) return;
      cpu_relax();
    }
  } while (nanoseconds() < until);
  monitor_lock(pool.monitor);
  // Announced before the word is read again; the writer changes the word before it looks for sleepers. So one of the
  // two always sees the other.
  __atomic_fetch_add(&pool.sleepers, 1u, __ATOMIC_SEQ_CST);
  while (load(word) == old) monitor_wait(pool.monitor);
  __atomic_fetch_sub(&pool.sleepers, 1u, __ATOMIC_SEQ_CST);
  monitor_unlock(pool.monitor);
}

void wake(Pool &pool) {
  if (load(pool.sleepers) == 0) return;
  monitor_lock(pool.monitor);
  monitor_notify_all(pool.monitor);
  monitor_unlock(pool.monitor);
}

uint8_t *aligned(void *memory) {
  return reinterpret_cast<uint8_t *>((reinterpret_cast<uintptr_t>(memory) + 63) & ~uintptr_t(63));
}

size_t rounded(size_t bytes) { return (bytes + 4095) & ~size_t(4095); }

// Makes the scratch areas at least this large.
bool reserve(Pool &pool, size_t scratch, size_t shared) {
  if (scratch <= pool.scratch_bytes && shared <= pool.shared_bytes) return true;
  scratch = rounded(scratch > pool.scratch_bytes ? scratch : pool.scratch_bytes);
  shared = rounded(shared > pool.shared_bytes ? shared : pool.shared_bytes);
  void *memory = malloc((scratch + shared) * pool.threads + 64);
  if (!memory) return false;
  free(pool.memory);
  pool.memory = memory;
  pool.scratch_bytes = scratch;
  pool.shared_bytes = shared;
  uint8_t *at = aligned(memory);
  for (uint32_t i = 0; i < pool.threads; i++, at += scratch) pool.workers[i].scratch = at;
  pool.shared = at;
  return true;
}

// Under the monitor, as the two below: the first request is done.
void finish(Pool &pool) {
  pool.first->done = true;
  pool.first = pool.first->next;
}

// Lets the threads begin with the first request, if there is one.
void start(Pool &pool) {
  for (; pool.first; finish(pool)) {
    pool.first->no_memory = !reserve(pool, pool.first->scratch, pool.first->shared);
    if (pool.first->no_memory) continue;
    for (Counter &counter : pool.counters) counter.next = 0;
    pool.finished = 0;
    __atomic_fetch_add(&pool.generation, 1u, __ATOMIC_SEQ_CST);
    return;
  }
}

ThreadResult AIRLLM_THREAD_CALL work(void *argument) {
  Worker &worker = *static_cast<Worker *>(argument);
  Pool &pool = *worker.pool;
  for (uint32_t seen = 0;; seen++) {
    await_change(pool, pool.generation, seen);
    if (pool.ending) return ThreadResult(0);
    pool.first->job(pool.first->argument, worker);
    if (__atomic_add_fetch(&pool.finished, 1u, __ATOMIC_SEQ_CST) == pool.threads) {
      monitor_lock(pool.monitor);
      finish(pool);
      start(pool);
      monitor_notify_all(pool.monitor);
      monitor_unlock(pool.monitor);
    }
  }
}

}  // namespace

bool pool_create(Pool &pool, uint32_t threads) {
  memset(&pool, 0, sizeof pool);
  pool.workers = static_cast<Worker *>(calloc(threads, sizeof(Worker)));
  pool.range_memory = calloc(1, sizeof(Counter) * 2 * kOpsAtOnce * threads + 64);
  if (!pool.workers || !pool.range_memory) {
    free(pool.workers);
    free(pool.range_memory);
    return false;
  }
  pool.ranges = reinterpret_cast<Counter *>(aligned(pool.range_memory));
  monitor_init(pool.monitor);
  for (uint32_t i = 0; i < threads; i++) {
    Worker &worker = pool.workers[i];
    worker.pool = &pool;
    worker.index = i;
    worker.tasks = &pool.counters[0].next;
    if (!thread_start(worker.thread, work, &worker)) {
      pool_destroy(pool);
      return false;
    }
    pool.threads = i + 1;
  }
  return true;
}

void pool_destroy(Pool &pool) {
  pool.ending = true;
  __atomic_fetch_add(&pool.generation, 1u, __ATOMIC_SEQ_CST);
  wake(pool);
  for (uint32_t i = 0; i < pool.threads; i++) thread_join(pool.workers[i].thread);
  monitor_destroy(pool.monitor);
  free(pool.memory);
  free(pool.range_memory);
  free(pool.workers);
}

void pool_submit(Pool &pool, Request &request) {
  request.next = nullptr;
  request.done = false;
  monitor_lock(pool.monitor);
  if (pool.first) {
    pool.last->next = &request;
    pool.last = &request;
  } else {
    pool.first = pool.last = &request;
    start(pool);
    monitor_notify_all(pool.monitor);
  }
  monitor_unlock(pool.monitor);
}

bool pool_wait(Pool &pool, Request &request) {
  monitor_lock(pool.monitor);
  while (!request.done) monitor_wait(pool.monitor);
  monitor_unlock(pool.monitor);
  return !request.no_memory;
}

void pool_barrier(Pool &pool) {
  const uint32_t phase = load(pool.phase);
  if (__atomic_add_fetch(&pool.arrived, 1u, __ATOMIC_SEQ_CST) < pool.threads) {
    await_change(pool, pool.phase, phase);
    return;
  }
  pool.arrived = 0;
  for (Counter &counter : pool.counters) counter.next = 0;
  store(pool.phase, phase + 1);
  wake(pool);
}

}  // namespace airllm
