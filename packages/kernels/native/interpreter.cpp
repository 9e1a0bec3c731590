#include "interpreter.h"
#include <string.h>

namespace airllm {

bool weight_given(const Program &program, uint32_t id, const uint64_t *weights) {
  if (id == kNone) return true;
  const uint32_t packed = program.weights[id].packed;
  if (packed == kNone) return weights[id];
  const Packed &q = program.packed[packed];
  const uint32_t parts[] = {id,           q.scale.numbers,  q.scale.supers, q.zero.numbers, q.offset.numbers,
                            q.offset.supers, q.columns, q.constants};
  for (const uint32_t part : parts)
    if (part != kNone && !weights[part]) return false;
  return true;
}

namespace {

bool whole(const airllm_part &part) { return part.slice_from == kNone; }

// Whether running the part completes the program: it ends there, and its last slice is the last of the matrix.
bool completes(const Program &program, const airllm_part &part) {
  if (part.to != program.header->ops) return false;
  return whole(part) || part.slice_to == program.weights[program.ops[part.from].weight].rows;
}

bool starts(const airllm_part &part) { return part.from == 0 && (whole(part) || part.slice_from == 0); }

int32_t check_part(const Program &program, const airllm_part &part, const uint64_t *weights) {
  if (part.from >= part.to || part.to > program.header->ops) return AIRLLM_BAD_CALL;
  for (uint32_t i = part.from; i < part.to; i++) {
    const Op &op = program.ops[i];
    if (op.code == OpCode::Expert) continue;
    if (!weight_given(program, op.weight, weights) || !weight_given(program, op.bias, weights)) return AIRLLM_MISSING_WEIGHT;
  }
  if (whole(part)) return AIRLLM_OK;
  const Op &op = program.ops[part.from];
  if (part.to != part.from + 1 || op.code != OpCode::Linear) return AIRLLM_BAD_CALL;
  return part.slice_from < part.slice_to && part.slice_to <= program.weights[op.weight].rows ? AIRLLM_OK
                                                                                            : AIRLLM_BAD_CALL;
}

int32_t check_rows(const airllm_run &run) {
  for (uint32_t r = 0; r < run.rows; r++)
    if (uint32_t(run.sequence[r]) >= run.sequences || run.position[r] < 0) return AIRLLM_BAD_CALL;
  return AIRLLM_OK;
}

// A barrier costs about as much as this many elements of a simple op: smaller ones are left to one thread.
constexpr uint64_t kSmallElements = 16384;

bool small(const Pass &pass, const Op &op) {
  if (op.code == OpCode::Linear || op.code == OpCode::Attention) return false;
  return uint64_t(pass.rows) * pass.width(op.code == OpCode::Route ? op.a : op.out) <= kSmallElements;
}

bool overlap(const Pass &pass, uint32_t a, uint32_t b) {
  const Value &x = pass.program->values[a], &y = pass.program->values[b];
  return x.column < y.column + y.width && y.column < x.column + x.width;
}

// How many linears from `at` have the same input (q, k, v; gate, up) and so need no barrier between them.
uint32_t independent_linears(const Pass &pass, uint32_t at) {
  const Op *ops = pass.program->ops + at;
  uint32_t n = 1;
  for (; n < kOpsAtOnce && at + n < pass.part.to; n++) {
    if (ops[0].code != OpCode::Linear || ops[n].code != OpCode::Linear || ops[n].a != ops[0].a) break;
    // A result that nobody reads may share its place with the next.
    bool apart = true;
    for (uint32_t i = 0; i < n; i++) apart = apart && !overlap(pass, ops[i].out, ops[n].out);
    if (!apart) break;
  }
  return n;
}

OpFunction kernel_of(const OpTable &table, const Pass &pass, const Op &op) {
  if (pass.packed(op.weight)) {
    if (op.code == OpCode::Embed) return table.packed_embed;
    return table.packed_linear_bf16 ? table.packed_linear_bf16 : table.packed_linear;
  }
  const bool bf16 = op.code == OpCode::Linear && table.linear_bf16 && pass.dtype(op.weight) == DType::BF16;
  return bf16 ? table.linear_bf16 : table.run[uint32_t(op.code)];
}

void run_alone(const OpTable &table, const Pass &pass, uint32_t from, uint32_t to, Worker &worker) {
  uint32_t *const shared = worker.tasks;
  for (uint32_t i = from; i < to; i++) {
    uint32_t own = 0;
    worker.tasks = &own;
    const Op &op = pass.program->ops[i];
    kernel_of(table, pass, op)(pass, op, worker);
  }
  worker.tasks = shared;
}

void run_ops(const OpTable &table, const Pass &pass, Worker &worker) {
  const Op *ops = pass.program->ops;
  for (uint32_t i = pass.part.from, next; i < pass.part.to; i = next) {
    next = i;
    while (next < pass.part.to && small(pass, ops[next])) next++;
    if (next > i) {
      if (worker.index == 0) run_alone(table, pass, i, next, worker);
    } else {
      next = i + independent_linears(pass, i);
      for (uint32_t k = i; k < next; k++) {
        worker.op = k - i;
        worker.tasks = &worker.pool->counters[worker.op].next;
        kernel_of(table, pass, ops[k])(pass, ops[k], worker);
      }
      worker.op = 0;
      worker.tasks = &worker.pool->counters[0].next;
    }
    pool_barrier(*worker.pool);
  }
}

// `row · topK + slot` of every row that chose the expert, ascending.
uint32_t list_rows(const Pass &pass, const Op &op, uint32_t expert, int32_t *list) {
  const int32_t *ids = reinterpret_cast<const int32_t *>(pass.value(op.b));
  const uint32_t places = pass.rows * op.n[kExpertTopK];
  uint32_t count = 0;
  for (uint32_t place = 0; place < places && count < pass.max_rows; place++)
    if (ids[place] == int32_t(expert)) list[count++] = int32_t(place);
  return count;
}

void run_expert(Call &call, const Pass &pass, const Op &op, Worker &worker) {
  const airllm_run &run = *pass.run;
  const Program &sub = pass.program->subs[op.n[kExpertSub]];
  const airllm_part &part = run.expert_part;
  int32_t *list = reinterpret_cast<int32_t *>(pass.workspace + size_t(4) * pass.max_rows * op.n[kExpertRows]);
  if (worker.index == 0) call.expert_rows = list_rows(pass, op, run.expert, list);
  pool_barrier(*worker.pool);
  const uint32_t rows = call.expert_rows, top_k = op.n[kExpertTopK];
  if (rows == 0) return;
  const Pass inner{&sub, &run, pass.workspace, rows, pass.max_rows, part, nullptr, pass.status};
  const Output io = sub.outputs[0];
  if (starts(part)) {
    const size_t width = pass.width(op.a);
    for (uint32_t n; (n = next_task(worker)) < rows;)
      memcpy(inner.value(io.carry) + n * width, pass.value(op.a) + uint32_t(list[n]) / top_k * width, width * 4);
    pool_barrier(*worker.pool);
  }
  run_ops(*call.table, inner, worker);
  if (completes(sub, part)) {
    const size_t width = inner.width(io.value);
    for (uint32_t n; (n = next_task(worker)) < rows;)
      memcpy(pass.value(op.out) + size_t(list[n]) * width, inner.value(io.value) + n * width, width * 4);
    pool_barrier(*worker.pool);
  }
}

void carry_out(const Pass &pass, Worker &worker) {
  const Header &header = *pass.program->header;
  const uint32_t tasks = header.outputs * pass.rows;
  for (uint32_t t; (t = next_task(worker)) < tasks;) {
    const Output &output = pass.program->outputs[t / pass.rows];
    const size_t width = pass.width(output.value), row = t % pass.rows;
    float *to = reinterpret_cast<float *>(pass.carry[output.carry]);
    const float *from = pass.value(output.value);
    if (to != from) memcpy(to + row * width, from + row * width, width * 4);
  }
}

// Returns whether there is something that the threads have not yet met after.
bool run_step(Call &call, const airllm_step &step, Worker &worker) {
  const Program &program = step.program->main;
  const airllm_run &run = *step.run;
  const Pass pass{&program,  &run,         static_cast<uint8_t *>(run.workspace), run.rows, run.max_rows, run.part,
                  run.carry, &call.status};
  const Op &first = program.ops[run.part.from];
  const bool expert = first.code == OpCode::Expert, carries = completes(program, run.part);
  if (expert) run_expert(call, pass, first, worker);
  else run_ops(*call.table, pass, worker);
  if (carries) carry_out(pass, worker);
  return expert || carries;
}

}  // namespace

int32_t check_call(const Program &program, const airllm_run &run) {
  if (run.rows == 0 || run.rows > run.max_rows || run.part.to > program.header->ops) return AIRLLM_BAD_CALL;
  bool rows_matter = false;
  for (uint32_t i = run.part.from; i < run.part.to; i++) {
    const Op &op = program.ops[i];
    rows_matter |= op.code == OpCode::Attention;
    if (op.code != OpCode::Expert) continue;
    if (run.part.to != run.part.from + 1 || run.expert >= op.n[kExpertCount]) return AIRLLM_BAD_CALL;
    return check_part(program.subs[op.n[kExpertSub]], run.expert_part, run.weights);
  }
  for (uint32_t i = 0; i < program.header->values; i++)
    if (program.values[i].carry != kNone && !run.carry[program.values[i].carry]) return AIRLLM_MISSING_CARRY;
  const int32_t status = check_part(program, run.part, run.weights);
  return status == AIRLLM_OK && rows_matter ? check_rows(run) : status;
}

void run_steps(void *argument, Worker &worker) {
  Call &call = *static_cast<Call *>(argument);
  for (uint32_t i = 0; i < call.count; i++) {
    const bool apart = run_step(call, call.steps[i], worker);
    if (apart && i + 1 < call.count) pool_barrier(*worker.pool);
  }
}

}  // namespace airllm
