// The few things we need from the system: threads, a mutex with one condition, a clock.
#pragma once
#include <stdint.h>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#include <time.h>
#endif

namespace airllm {

#if defined(_WIN32)

struct Monitor {
  SRWLOCK lock;
  CONDITION_VARIABLE changed;
};
static inline void monitor_init(Monitor &m) {
  InitializeSRWLock(&m.lock);
  InitializeConditionVariable(&m.changed);
}
static inline void monitor_destroy(Monitor &) {}
static inline void monitor_lock(Monitor &m) { AcquireSRWLockExclusive(&m.lock); }
static inline void monitor_unlock(Monitor &m) { ReleaseSRWLockExclusive(&m.lock); }
static inline void monitor_wait(Monitor &m) { SleepConditionVariableSRW(&m.changed, &m.lock, INFINITE, 0); }
static inline void monitor_notify_all(Monitor &m) { WakeAllConditionVariable(&m.changed); }

using Thread = HANDLE;
using ThreadResult = DWORD;
#define AIRLLM_THREAD_CALL WINAPI
static inline bool thread_start(Thread &thread, ThreadResult(WINAPI *body)(void *), void *argument) {
  thread = CreateThread(nullptr, 1 << 20, body, argument, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  return thread != nullptr;
}
static inline void thread_join(Thread thread) {
  WaitForSingleObject(thread, INFINITE);
  CloseHandle(thread);
}
static inline uint64_t nanoseconds() {
  LARGE_INTEGER now, frequency;
  QueryPerformanceCounter(&now);
  QueryPerformanceFrequency(&frequency);
  return uint64_t(now.QuadPart) * 1000 / uint64_t(frequency.QuadPart / 1000000 ? frequency.QuadPart / 1000000 : 1);
}

#else

struct Monitor {
  pthread_mutex_t lock;
  pthread_cond_t changed;
};
static inline void monitor_init(Monitor &m) {
  pthread_mutex_init(&m.lock, nullptr);
  pthread_cond_init(&m.changed, nullptr);
}
static inline void monitor_destroy(Monitor &m) {
  pthread_cond_destroy(&m.changed);
  pthread_mutex_destroy(&m.lock);
}
static inline void monitor_lock(Monitor &m) { pthread_mutex_lock(&m.lock); }
static inline void monitor_unlock(Monitor &m) { pthread_mutex_unlock(&m.lock); }
static inline void monitor_wait(Monitor &m) { pthread_cond_wait(&m.changed, &m.lock); }
static inline void monitor_notify_all(Monitor &m) { pthread_cond_broadcast(&m.changed); }

using Thread = pthread_t;
using ThreadResult = void *;
#define AIRLLM_THREAD_CALL
static inline bool thread_start(Thread &thread, ThreadResult (*body)(void *), void *argument) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes)) return false;
  pthread_attr_setstacksize(&attributes, 1 << 20);  // musl's default is 128 KiB
  // The host's signals are the host's threads' business.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int error = pthread_create(&thread, &attributes, body, argument);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  return error == 0;
}
static inline void thread_join(Thread thread) { pthread_join(thread, nullptr); }
static inline uint64_t nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return uint64_t(now.tv_sec) * 1000000000u + uint64_t(now.tv_nsec);
}

#endif

static inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace airllm
