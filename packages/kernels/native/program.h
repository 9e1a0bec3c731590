// A compiled graph, and the format it arrives in: 32-bit little-endian words.
//   header (Header), then per program: Value[], Weight[], Packed[], State[], rope widths[], Output[], Op[], and the
//   sub-programs of expert ops one after the other in the same format (nested once).
#pragma once
#include "airllm.h"
#include <stddef.h>

namespace airllm {

constexpr uint32_t kMagic = 0x6d6c7261;  // "arlm"
constexpr uint32_t kNone = AIRLLM_NONE;

enum class OpCode : uint32_t {
  Embed, RmsNorm, LayerNorm, Linear, Rope, Attention, Activation, Gated, Add, Mul, Scale, Softcap, Slice, Route, Expert,
  Combine,
  Count
};
// Bytes: codes of packed matrices and indexes of their tables; Int32: columns of packed matrices.
enum class DType : uint32_t { F32, F16, BF16, Bytes, Int32 };
// Whole: a component of a packed matrix that comes with any range of its rows.
enum class Layout : uint32_t { Rows, Vector, OutIn, InOut, Whole };
enum class Code : uint32_t { U4, Table4, U8, I8, E4M3 };
enum class KvDType : uint32_t { F32, BF16, I8 };  // how a state keeps keys and values: see ops/attention-formats.h
enum class Activation : uint32_t { Silu, Gelu, GeluTanh, GeluQuick, Relu, Relu2, Sigmoid, Tanh };

struct Header {
  uint32_t magic, values, weights, packed, states, ropes, outputs, ops, subs;
};
struct Value {
  uint32_t width;
  uint32_t column;  // in the workspace, where carry is kNone
  uint32_t carry;   // slot of the carry buffer this graph input is
};
struct Weight {
  DType dtype;
  Layout layout;
  uint32_t rows, columns;  // as stored, but of a packed matrix as it is meant; a vector has rows = 1
  uint32_t packed;         // of a packed matrix, whose codes this is: how it is stored
};
// One number per block, times one per `every` blocks; `every` is 0 where there are no such factors.
struct BlockNumbers {
  uint32_t numbers;  // weight; kNone: all blocks have the same, or none
  uint32_t supers, every;
};
// How a matrix is quantised: value = (number(code) - zero) * scale + offset, each step rounded to float32.
struct Packed {
  Code code;
  uint32_t high_first;                 // of 4-bit codes: the even column is the high half of a byte
  uint32_t block_rows, block_columns;  // weights that share a scale
  uint32_t flat;                       // blocks run over the flattened matrix
  BlockNumbers scale, zero, offset;
  float fixed_zero;                       // where zero.numbers is kNone
  uint32_t columns;                       // weight: stored column j is column columns[j] of the matrix; kNone
  uint32_t constants;                     // weight: floats; kNone
  uint32_t bias_at, table4_at, table8_at; // in them; kNone
};
struct State {
  uint32_t kv_heads, key_dim, value_dim;
  KvDType dtype;
};
struct Output {
  uint32_t value, carry;
};
// What the numbers mean for each op is said by the constants below.
struct Op {
  OpCode code;
  uint32_t a, b, c;  // input values
  uint32_t out, out2;
  uint32_t weight, bias;
  uint32_t n[4];
  float f[4];
};
// n[] per op
constexpr int kNormGroup = 0;
constexpr int kRopeTable = 0, kRopeHeadDim = 1, kRopeInterleaved = 2;
constexpr int kAttnState = 0, kAttnHeads = 1, kAttnWindow = 2;  // window 0: none
constexpr int kActKind = 0;
constexpr int kSliceFrom = 0, kSliceStep = 1;
constexpr int kRouteTopK = 0, kRouteSigmoid = 1, kRouteNormalise = 2;
constexpr int kExpertTopK = 0, kExpertCount = 1, kExpertSub = 2, kExpertRows = 3;  // rows: column of the row list
constexpr int kCombineTopK = 0;
// f[] per op
constexpr int kNormEps = 0, kNormOffset = 1;
constexpr int kAttnScale = 0, kAttnSoftcap = 1;  // softcap 0: none
constexpr int kGatedLimit = 0, kGatedShift = 1;  // limit 0: none
constexpr int kBy = 0;                           // embed, scale: factor; softcap: cap; route: scale

struct Program {
  const Header *header;
  const Value *values;
  const Weight *weights;
  const Packed *packed;
  const State *states;
  const uint32_t *ropes;
  const Output *outputs;
  const Op *ops;
  Program *subs;
  // Bytes a thread needs beside its stack, and bytes per thread that all share (see ops/attention.h).
  size_t thread_scratch, shared_scratch;
};

// Queries that share one pass over a key block, and keys per partial result: see ops/attention.h.
constexpr uint32_t kQueryTile = 96;
constexpr uint32_t kPartialKeys = 512;
constexpr uint32_t kBlockPositions = 32;
// A thread's memory for a panel of weights and packed activations: see ops/linear.h.
constexpr size_t kLinearScratch = 552 * 1024;
// All threads' memory for packed rows of activations: see ops/tile_linear.h.
constexpr size_t kTilePanelBytes = 4 * 1024 * 1024;
// Rows up to which a bf16 linear rounds its activations whole, and steps along K that they are filled up to.
constexpr uint32_t kFewRows = 6, kMostStep = 32;
// Of a packed matrix, per thread: weights decoded for a few outputs, numbers of the blocks that they lie in, a row of
// weights; see ops/packed_linear.h. Widest depth of the tiles.
constexpr uint32_t kMostDepth = 2048, kFewOuts = 8;
constexpr size_t kFewPanel = kFewOuts * (size_t(kMostDepth) * 2 + 64);
constexpr size_t kBlockNumbers = 3 * (kMostDepth + 64) * 4;
// Attention splits partials over threads where there are fewer than this many tasks per thread.
constexpr uint32_t kTasksPerThread = 3;
constexpr uint32_t kPartialsPerWave = 4;

}  // namespace airllm

struct airllm_program {
  airllm::Program main;
  void *memory;
};
