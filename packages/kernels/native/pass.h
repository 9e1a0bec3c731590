// What an op sees while a part runs.
#pragma once
#include "pool.h"
#include "program.h"

namespace airllm {

// A program being run on the rows of a pass, or an expert's sub-program on the rows that chose it.
struct Pass {
  const Program *program;
  const airllm_run *run;
  uint8_t *workspace;
  uint32_t rows, max_rows;
  airllm_part part;
  const uint64_t *carry;  // nullptr in a sub-program
  int32_t *status;        // set by any thread that finds something missing

  float *value(uint32_t id) const {
    const Value &v = program->values[id];
    if (v.carry != kNone) return reinterpret_cast<float *>(carry[v.carry]);
    return reinterpret_cast<float *>(workspace + size_t(4) * max_rows * v.column);
  }
  uint32_t width(uint32_t id) const { return program->values[id].width; }
  const uint8_t *weight(uint32_t id) const {
    return id == kNone ? nullptr : reinterpret_cast<const uint8_t *>(run->weights[id]);
  }
  bool packed(uint32_t id) const { return id != kNone && program->weights[id].packed != kNone; }
  DType dtype(uint32_t id) const { return id == kNone ? DType::F32 : program->weights[id].dtype; }
  void fail(int32_t code) const { __atomic_store_n(status, code, __ATOMIC_RELAXED); }
};

// Runs one op on all threads of the pool: each takes its share. The caller puts a barrier after it.
using OpFunction = void (*)(const Pass &pass, const Op &op, Worker &worker);

// One table per instruction set.
struct OpTable {
  OpFunction run[uint32_t(OpCode::Count)];
  OpFunction linear_bf16;  // for bf16 matrices, of activations rounded to bf16; nullptr: they are computed as all others
  OpFunction packed_linear;
  OpFunction packed_linear_bf16;  // of activations and weights rounded to bf16; nullptr: packed_linear
  OpFunction packed_embed;
  // Not ops: see ops/convert.h.
  float (*convert)(DType from, DType to, uint64_t count, const uint8_t *numbers, uint8_t *out);
  float (*unpack)(const Pass &pass, uint32_t weight, uint32_t first, uint32_t from, uint32_t rows, DType to,
                  uint8_t *out, uint8_t *scratch);
};

extern const OpTable ops_scalar;
void linear_amx_emulated(const Pass &pass, const Op &op, Worker &worker);
bool amx_emulated_agrees();
#if defined(__x86_64__)
extern const OpTable ops_avx2, ops_avx512;
void linear_avx512bf16(const Pass &pass, const Op &op, Worker &worker);
void packed_linear_avx512bf16(const Pass &pass, const Op &op, Worker &worker);
#if defined(AIRLLM_AMX)
void linear_amxbf16(const Pass &pass, const Op &op, Worker &worker);
bool amx_agrees();
#endif
#elif defined(__aarch64__)
extern const OpTable ops_neon;
#endif

}  // namespace airllm
