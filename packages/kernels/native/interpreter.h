// Runs parts of programs on all threads of a pool.
#pragma once
#include "pass.h"

namespace airllm {

struct Call {
  const OpTable *table;
  const airllm_step *steps;
  uint32_t count;
  uint32_t expert_rows;  // rows that chose the expert, set by one thread for all
  int32_t status;
};

// Whether there are addresses of a weight and all that it is made of.
bool weight_given(const Program &program, uint32_t id, const uint64_t *weights);
// AIRLLM_OK, or why the call cannot be run.
int32_t check_call(const Program &program, const airllm_run &run);
// A Job: every thread of the pool calls it with the same Call.
void run_steps(void *call, Worker &worker);

}  // namespace airllm
