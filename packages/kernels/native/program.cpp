// Reads and checks a serialised program. Every index is checked here once, so the interpreter need not.
#include "program.h"
#include <stdlib.h>
#include <string.h>

namespace airllm {
namespace {

struct Reader {
  const uint32_t *at;
  size_t left;
  bool ok = true;

  template <class T> const T *take(size_t count) {
    const size_t words = count * (sizeof(T) / 4);
    if (!ok || count > left || words > left) {
      ok = false;
      return nullptr;
    }
    const T *result = reinterpret_cast<const T *>(at);
    at += words;
    left -= words;
    return result;
  }
};

bool value_ok(const Program &p, uint32_t id) { return id < p.header->values; }
bool optional_ok(uint32_t id, uint32_t count) { return id == kNone || id < count; }
uint32_t width(const Program &p, uint32_t id) { return p.values[id].width; }

bool matrix_ok(const Program &p, const Op &op) {
  const Weight &w = p.weights[op.weight];
  const bool out_in = w.layout == Layout::OutIn;
  if (!out_in && w.layout != Layout::InOut) return false;
  return (out_in ? w.columns : w.rows) == width(p, op.a) && (out_in ? w.rows : w.columns) == width(p, op.out);
}

// Blocks that the matrix `w` is made of.
uint64_t blocks_of(const Weight &w, const Packed &q) {
  const uint64_t columns = q.block_columns, rows = q.block_rows;
  if (q.flat) return (uint64_t(w.rows) * w.columns + columns - 1) / columns;
  return (w.rows + rows - 1) / rows * ((w.columns + columns - 1) / columns);
}

// A component with `count` elements in all; with its rows where the matrix's rows have elements of their own.
bool component_ok(const Program &p, const Weight &w, uint32_t id, DType first, DType last, uint64_t count, bool by_row) {
  if (id >= p.header->weights) return false;
  const Weight &part = p.weights[id];
  if (part.dtype < first || part.dtype > last || part.packed != kNone) return false;
  if (part.layout == w.layout && by_row) return part.rows == w.rows && uint64_t(part.rows) * part.columns == count;
  return part.layout == Layout::Whole && uint64_t(part.rows) * part.columns == count;
}

bool numbers_ok(const Program &p, const Weight &w, const Packed &q, const BlockNumbers &n) {
  if (n.numbers == kNone) return n.supers == kNone && n.every == 0;
  const uint64_t blocks = blocks_of(w, q);
  const bool by_row = q.block_rows == 1 && (!q.flat || w.columns % q.block_columns == 0);
  const uint64_t per_row = blocks / w.rows;
  if (!component_ok(p, w, n.numbers, DType::F32, DType::Bytes, blocks, by_row)) return false;
  if (n.every == 0) return n.supers == kNone;
  const uint64_t supers = (blocks + n.every - 1) / n.every;
  return component_ok(p, w, n.supers, DType::F32, DType::BF16, supers, by_row && per_row % n.every == 0);
}

bool packed_ok(const Program &p, const Weight &w) {
  if (w.packed >= p.header->packed || w.dtype != DType::Bytes || !w.rows || !w.columns) return false;
  if (w.layout != Layout::OutIn && w.layout != Layout::Rows) return false;
  const Packed &q = p.packed[w.packed];
  if (q.code > Code::E4M3 || q.high_first > 1 || !q.block_rows || !q.block_columns || q.flat > 1) return false;
  if (q.code <= Code::Table4 ? w.columns % 2 != 0 : q.high_first != 0) return false;
  if (q.flat && q.block_rows != 1) return false;
  if (q.scale.numbers == kNone || q.zero.every) return false;
  if (!numbers_ok(p, w, q, q.scale) || !numbers_ok(p, w, q, q.zero) || !numbers_ok(p, w, q, q.offset)) return false;
  if (q.columns != kNone && !component_ok(p, w, q.columns, DType::Int32, DType::Int32, w.columns, false)) return false;
  const auto bytes = [&](const BlockNumbers &n) {
    return n.numbers != kNone && p.weights[n.numbers].dtype == DType::Bytes;
  };
  if ((q.code == Code::Table4) != (q.table4_at != kNone)) return false;
  if ((bytes(q.scale) || bytes(q.offset)) != (q.table8_at != kNone)) return false;
  const bool none = q.bias_at == kNone && q.table4_at == kNone && q.table8_at == kNone;
  if (none || q.constants == kNone) return none && q.constants == kNone;
  if (q.constants >= p.header->weights) return false;
  const Weight &constants = p.weights[q.constants];
  const uint64_t count = uint64_t(constants.rows) * constants.columns;
  const auto within = [&](uint32_t at, uint32_t length) { return at == kNone || uint64_t(at) + length <= count; };
  return constants.dtype == DType::F32 && constants.layout == Layout::Whole && within(q.bias_at, 1) &&
         within(q.table4_at, 16) && within(q.table8_at, 256);
}

bool weight_ok(const Program &p, const Weight &w) {
  if (w.dtype > DType::Int32 || w.layout > Layout::Whole) return false;
  return w.packed == kNone || packed_ok(p, w);
}

// What an op reads as it is: no component of a packed matrix.
bool readable(const Program &p, uint32_t id) {
  return id == kNone || p.weights[id].packed != kNone || p.weights[id].dtype <= DType::BF16;
}

bool vector_ok(const Program &p, uint32_t weight, uint32_t length) {
  return weight == kNone || (p.weights[weight].layout == Layout::Vector && p.weights[weight].columns == length);
}

bool attention_ok(const Program &p, const Op &op) {
  if (op.n[kAttnState] >= p.header->states) return false;
  const State &s = p.states[op.n[kAttnState]];
  const uint32_t heads = op.n[kAttnHeads];
  if (!s.kv_heads || !s.key_dim || !s.value_dim || s.dtype > KvDType::I8) return false;
  if (!heads || heads % s.kv_heads || !vector_ok(p, op.weight, heads)) return false;
  return width(p, op.a) == heads * s.key_dim && width(p, op.b) == s.kv_heads * s.key_dim &&
         width(p, op.c) == s.kv_heads * s.value_dim && width(p, op.out) == heads * s.value_dim;
}

bool expert_ok(const Program &p, const Op &op) {
  const uint32_t sub = op.n[kExpertSub], top_k = op.n[kExpertTopK];
  if (sub >= p.header->subs || width(p, op.b) != top_k) return false;
  const Program &s = p.subs[sub];
  return s.header->outputs == 1 && width(s, s.outputs[0].value) * top_k == width(p, op.out) &&
         width(s, s.outputs[0].carry) == width(p, op.a);
}

bool op_ok(const Program &p, const Op &op) {
  const Header &h = *p.header;
  if (!value_ok(p, op.out) || !optional_ok(op.weight, h.weights) || !optional_ok(op.bias, h.weights)) return false;
  if (!readable(p, op.weight) || !readable(p, op.bias)) return false;
  if (op.code != OpCode::Embed && !value_ok(p, op.a)) return false;
  const uint32_t out = width(p, op.out), a = op.code == OpCode::Embed ? out : width(p, op.a);
  switch (op.code) {
    case OpCode::Embed:
      return op.weight != kNone && p.weights[op.weight].layout == Layout::Rows && p.weights[op.weight].columns == out;
    case OpCode::RmsNorm:
    case OpCode::LayerNorm: {
      const uint32_t group = op.n[kNormGroup];
      return a == out && group && a % group == 0 && vector_ok(p, op.weight, group) && vector_ok(p, op.bias, group);
    }
    case OpCode::Linear:
      return op.weight != kNone && matrix_ok(p, op) && vector_ok(p, op.bias, out);
    case OpCode::Rope: {
      const uint32_t head = op.n[kRopeHeadDim];
      return a == out && head && a % head == 0 && op.n[kRopeTable] < h.ropes && p.ropes[op.n[kRopeTable]] <= head;
    }
    case OpCode::Attention:
      return value_ok(p, op.b) && value_ok(p, op.c) && attention_ok(p, op);
    case OpCode::Activation:
      return a == out && op.n[kActKind] <= uint32_t(Activation::Tanh);
    case OpCode::Gated:
      return a == out && value_ok(p, op.b) && width(p, op.b) == out && op.n[kActKind] <= uint32_t(Activation::Tanh);
    case OpCode::Add:
    case OpCode::Mul:
      return a == out && value_ok(p, op.b) && width(p, op.b) == out;
    case OpCode::Scale:
    case OpCode::Softcap:
      return a == out;
    case OpCode::Slice:
      return op.n[kSliceStep] && out && op.n[kSliceFrom] + uint64_t(out - 1) * op.n[kSliceStep] < a;
    case OpCode::Route:
      return value_ok(p, op.out2) && op.n[kRouteTopK] == out && width(p, op.out2) == out && out <= a;
    case OpCode::Expert:
      return value_ok(p, op.b) && expert_ok(p, op);
    case OpCode::Combine:
      return value_ok(p, op.b) && width(p, op.b) == op.n[kCombineTopK] && uint64_t(out) * op.n[kCombineTopK] == a;
    default:
      return false;
  }
}

size_t max_of(size_t a, size_t b) { return a > b ? a : b; }

size_t linear_scratch(const Program &p, const Op &op) {
  const size_t k = p.values[op.a].width, rounded = kFewRows * (k + kMostStep) * 2;
  const size_t dense = max_of(kLinearScratch, rounded);
  const uint32_t packed = p.weights[op.weight].packed;
  if (packed == kNone) return dense;
  const size_t gathered = p.packed[packed].columns == kNone ? 0 : kFewRows * max_of(k, kMostDepth) * 4;
  return dense + 128 + kFewPanel + kBlockNumbers + kMostDepth * 4 + gathered;
}

// Upper bounds over all instruction sets, in bytes; the layouts are those of ops/linear.h, attention.h and route.h.
void measure(Program &p) {
  p.thread_scratch = 0;
  p.shared_scratch = 0;
  for (uint32_t i = 0; i < p.header->ops; i++) {
    const Op &op = p.ops[i];
    if (op.code == OpCode::Attention) {
      const State &s = p.states[op.n[kAttnState]];
      const size_t query = kPartialKeys + size_t(s.key_dim) + s.value_dim + 4;
      p.thread_scratch = max_of(p.thread_scratch, kQueryTile * query * 4);
      const size_t tile = kQueryTile * (kPartialsPerWave * (size_t(s.value_dim) + 2) + 2);
      p.shared_scratch = max_of(p.shared_scratch, kTasksPerThread * tile * 4);
    } else if (op.code == OpCode::Linear) {
      p.thread_scratch = max_of(p.thread_scratch, linear_scratch(p, op));
    } else if (op.code == OpCode::Embed && p.weights[op.weight].packed != kNone) {
      p.thread_scratch = max_of(p.thread_scratch, kBlockNumbers);
    } else if (op.code == OpCode::Route) {
      p.thread_scratch = max_of(p.thread_scratch, (size_t(p.values[op.a].width) + 64) * 4);
    }
  }
  for (uint32_t i = 0; i < p.header->subs; i++) p.thread_scratch = max_of(p.thread_scratch, p.subs[i].thread_scratch);
}

// `sub`: outputs name {y, x} by value ids, there is no carry.
bool parse(Reader &r, Program &p, Program *subs) {
  const bool sub = subs == nullptr;
  p.header = r.take<Header>(1);
  if (!r.ok || p.header->magic != kMagic) return false;
  const Header &h = *p.header;
  p.values = r.take<Value>(h.values);
  p.weights = r.take<Weight>(h.weights);
  p.packed = r.take<Packed>(h.packed);
  p.states = r.take<State>(h.states);
  p.ropes = r.take<uint32_t>(h.ropes);
  p.outputs = r.take<Output>(h.outputs);
  p.ops = r.take<Op>(h.ops);
  p.subs = subs;
  if (!r.ok || (sub && h.subs)) return false;
  for (uint32_t i = 0; i < h.subs; i++)
    if (!parse(r, subs[i], nullptr)) return false;
  for (uint32_t i = 0; i < h.weights; i++)
    if (!weight_ok(p, p.weights[i])) return false;
  for (uint32_t i = 0; i < h.outputs; i++)
    if (!value_ok(p, p.outputs[i].value) || (sub && !value_ok(p, p.outputs[i].carry))) return false;
  for (uint32_t i = 0; i < h.ops; i++) {
    if (!op_ok(p, p.ops[i])) return false;
    const OpCode code = p.ops[i].code;
    // An expert sees a gathered choice of rows, so nothing in it may look at a row's place in the pass.
    if (sub && (code == OpCode::Embed || code == OpCode::Rope || code == OpCode::Attention)) return false;
  }
  measure(p);
  return true;
}

}  // namespace
}  // namespace airllm

extern "C" int32_t airllm_program_create(const void *bytes, uint64_t length, airllm_program **result) {
  using namespace airllm;
  if (!bytes || !result || length < sizeof(Header) || length % 4) return AIRLLM_BAD_PROGRAM;
  Header header;
  memcpy(&header, bytes, sizeof header);
  if (header.subs > length / sizeof(Header)) return AIRLLM_BAD_PROGRAM;
  const size_t head = (sizeof(airllm_program) + 63) & ~size_t(63);
  const size_t subs = (header.subs + 1) * sizeof(Program);
  auto *memory = static_cast<uint8_t *>(malloc(head + subs + length));
  if (!memory) return AIRLLM_NO_MEMORY;
  memset(memory, 0, head + subs);
  memcpy(memory + head + subs, bytes, length);
  auto *program = reinterpret_cast<airllm_program *>(memory);
  program->memory = memory;
  Reader reader{reinterpret_cast<const uint32_t *>(memory + head + subs), size_t(length / 4)};
  if (!parse(reader, program->main, reinterpret_cast<Program *>(memory + head)) || reader.left) {
    free(memory);
    return AIRLLM_BAD_PROGRAM;
  }
  *result = program;
  return AIRLLM_OK;
}

extern "C" void airllm_program_destroy(airllm_program *program) {
  if (program) free(program->memory);
}
