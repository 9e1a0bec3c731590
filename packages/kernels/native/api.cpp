// The C border: checks, then hands over.
#include "airllm.h"
#include "cpu.h"
#include "interpreter.h"
#include <stdlib.h>

using namespace airllm;

struct airllm_context {
  Pool pool;
  OpTable table;
  size_t shared_scratch;  // bytes per thread that the table's linears share
  struct {
    Call call;
    Request request;
  } places[AIRLLM_PLACES];
};

extern "C" uint32_t airllm_abi_version(void) { return AIRLLM_ABI_VERSION; }

extern "C" const char *airllm_status_text(int32_t status) {
  switch (status) {
    case AIRLLM_OK: return "ok";
    case AIRLLM_BAD_PROGRAM: return "the serialised program is malformed";
    case AIRLLM_BAD_CALL: return "the part, the rows or the slice do not fit the program";
    case AIRLLM_NO_MEMORY: return "out of memory";
    case AIRLLM_NO_THREADS: return "the system gave no threads";
    case AIRLLM_UNKNOWN_ISA: return "this CPU or this library does not have that instruction set";
    case AIRLLM_MISSING_WEIGHT: return "a weight that the part uses was not given";
    case AIRLLM_MISSING_STATE: return "a position that a row stores to or sees has no block in its state";
    case AIRLLM_MISSING_CARRY: return "a carry buffer that the program names was not given";
    default: return "unknown status";
  }
}

extern "C" const char *airllm_isa(uint32_t index) { return isa_at(index).name; }

extern "C" uint32_t airllm_isa_has_bf16(const char *name) { return isa_named(name).linear_bf16 != nullptr; }

extern "C" int32_t airllm_context_create(const char *name, uint32_t threads, uint32_t compute,
                                         airllm_context **result) {
  if (!result || threads == 0 || threads > 1024 || compute > AIRLLM_BFLOAT16) return AIRLLM_BAD_CALL;
  const Isa isa = isa_named(name);
  if (!isa.table) return AIRLLM_UNKNOWN_ISA;
  void *memory = nullptr;
#if defined(_WIN32)
  memory = _aligned_malloc(sizeof(airllm_context), 64);
  if (!memory) return AIRLLM_NO_MEMORY;
#else
  if (posix_memalign(&memory, 64, sizeof(airllm_context))) return AIRLLM_NO_MEMORY;
#endif
  auto *context = static_cast<airllm_context *>(memory);
  context->table = *isa.table;
  context->shared_scratch = compute == AIRLLM_FLOAT32 ? 0 : (isa.shared_scratch + threads - 1) / threads;
  if (compute == AIRLLM_FLOAT32) {
    context->table.linear_bf16 = context->table.packed_linear_bf16 = nullptr;
  } else if (isa.linear_bf16) {
    context->table.linear_bf16 = isa.linear_bf16;
    context->table.packed_linear_bf16 = isa.packed_linear_bf16;
  }
  if (!pool_create(context->pool, threads)) {
#if defined(_WIN32)
    _aligned_free(memory);
#else
    free(memory);
#endif
    return AIRLLM_NO_THREADS;
  }
  *result = context;
  return AIRLLM_OK;
}

extern "C" void airllm_context_destroy(airllm_context *context) {
  if (!context) return;
  pool_destroy(context->pool);
#if defined(_WIN32)
  _aligned_free(context);
#else
  free(context);
#endif
}

extern "C" int32_t airllm_submit(airllm_context *context, const airllm_step *steps, uint32_t count, uint32_t place) {
  if (!context || !steps || count == 0 || place >= AIRLLM_PLACES) return AIRLLM_BAD_CALL;
  size_t scratch = 0, shared = context->shared_scratch;
  for (uint32_t i = 0; i < count; i++) {
    if (!steps[i].program || !steps[i].run) return AIRLLM_BAD_CALL;
    const Program &program = steps[i].program->main;
    const int32_t status = check_call(program, *steps[i].run);
    if (status != AIRLLM_OK) return status;
    if (program.thread_scratch > scratch) scratch = program.thread_scratch;
    if (program.shared_scratch > shared) shared = program.shared_scratch;
  }
  auto &[call, request] = context->places[place];
  call = {&context->table, steps, count, 0, AIRLLM_OK};
  request = {run_steps, &call, scratch, shared, nullptr, false, false};
  pool_submit(context->pool, request);
  return AIRLLM_OK;
}

extern "C" int32_t airllm_wait(airllm_context *context, uint32_t place) {
  if (!context || place >= AIRLLM_PLACES) return AIRLLM_BAD_CALL;
  auto &[call, request] = context->places[place];
  return pool_wait(context->pool, request) ? call.status : AIRLLM_NO_MEMORY;
}

extern "C" int32_t airllm_convert(const char *name, uint32_t from, uint32_t to, uint64_t count, const void *numbers,
                                  void *converted, float *largest) {
  if (!numbers || !converted || !largest || from > AIRLLM_BF16 || to > AIRLLM_F16) return AIRLLM_BAD_CALL;
  const Isa isa = isa_named(name);
  if (!isa.table) return AIRLLM_UNKNOWN_ISA;
  *largest = isa.table->convert(DType(from), DType(to), count, static_cast<const uint8_t *>(numbers),
                                static_cast<uint8_t *>(converted));
  return AIRLLM_OK;
}

extern "C" int32_t airllm_unpack(const char *name, const airllm_program *program, const uint64_t *weights,
                                 uint32_t weight, uint32_t first, uint32_t from, uint32_t rows, uint32_t to,
                                 void *numbers, float *largest) {
  if (!program || !weights || !numbers || !largest || to > AIRLLM_F16) return AIRLLM_BAD_CALL;
  const Isa isa = isa_named(name);
  if (!isa.table) return AIRLLM_UNKNOWN_ISA;
  const Program &p = program->main;
  if (weight >= p.header->weights || p.weights[weight].packed == kNone) return AIRLLM_BAD_CALL;
  const Weight &matrix = p.weights[weight];
  if (uint64_t(first) + from + rows > matrix.rows && matrix.layout != Layout::Rows) return AIRLLM_BAD_CALL;
  if (!weight_given(p, weight, weights)) return AIRLLM_MISSING_WEIGHT;
  auto *scratch = static_cast<uint8_t *>(malloc(kBlockNumbers + size_t(8) * matrix.columns));
  if (!scratch) return AIRLLM_NO_MEMORY;
  airllm_run run{};
  run.weights = weights;
  Pass pass{};
  pass.program = &p;
  pass.run = &run;
  *largest = isa.table->unpack(pass, weight, first, from, rows, DType(to), static_cast<uint8_t *>(numbers), scratch);
  free(scratch);
  return AIRLLM_OK;
}
