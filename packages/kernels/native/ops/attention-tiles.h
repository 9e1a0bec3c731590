// The two micro-kernels of attention, each with a tile of sums in registers.
//   scores: lanes are positions; sum of query (q, position) adds q[d] · key[d] for d ascending, in one accumulator.
//   values: lanes are columns; sum of query (q, column) adds weight[position] · value for positions ascending.
// So an element does not depend on the tile it is computed in.
#pragma once
#include "attention-formats.h"

namespace airllm {
namespace {

// Queries × vectors of the largest tiles. Registers: sums, the vectors that are multiplied, one query's element.
#if defined(__AVX512F__)
constexpr uint32_t kScoreQueries = 12, kScoreVectors = 2;  // of 32 registers
constexpr uint32_t kValueQueries = 6, kValueVectors = 4;
#elif defined(__aarch64__)
constexpr uint32_t kScoreQueries = 6, kScoreVectors = 4;  // of 32
constexpr uint32_t kValueQueries = 6, kValueVectors = 4;
#else
constexpr uint32_t kScoreQueries = 6, kScoreVectors = 2;  // of 16
constexpr uint32_t kValueQueries = 6, kValueVectors = 2;
#endif
static_assert(kBlockPositions % (kScoreVectors * kLanes) == 0);

// Calls `body(first, integral constant R)` until all queries are done, with the largest tiles that fit.
template <uint32_t R, class Body> static inline void for_queries(uint32_t queries, Body body, uint32_t at = 0) {
  for (; at + R <= queries; at += R) body(at, Rows<R>());
  if constexpr (R > 1) {
    if (at < queries) for_queries<(R == 12 ? 8 : R == 6 ? 4 : R / 2)>(queries, body, at);
  }
}

// Few queries wait for memory, where each head's keys or values of a block are a short run: what lies at the same place
// of the next run is asked for, line by line.
template <uint32_t R> static inline void ask_for(const uint8_t *at, ptrdiff_t ahead, uint32_t bytes) {
  if constexpr (R <= 4)
    for (uint32_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + ahead + i, 0, 3);
}

// Queries by column, [dim][of `q_stride`], against a block's keys [dim][32] of one head: `count` rows of 32 scores. `next`
// is what will be read after them.
template <class F>
AIRLLM_KERNEL void score_block(const float *queries, size_t q_stride, uint32_t count, uint32_t dim, const uint8_t *keys,
                               const uint8_t *next, const float *scales, float *scores, size_t stride) {
  constexpr uint32_t V = kScoreVectors;
  for_queries<kScoreQueries>(count, [&](uint32_t query, auto tile) {
    constexpr uint32_t R = tile.count;
    for (uint32_t p = 0; p < kBlockPositions; p += V * kLanes) {
      const float *q = queries + query;
      const uint8_t *k = keys + p * F::bytes;
      vf sums[R][V];
      for (uint32_t r = 0; r < R; r++)
        for (uint32_t v = 0; v < V; v++) sums[r][v] = v_zero();
      for (uint32_t d = 0; d < dim; d++, k += kBlockPositions * F::bytes, q += q_stride) {
        ask_for<R>(k, next - keys, V * kLanes * F::bytes);
        vf ks[V];
        for (uint32_t v = 0; v < V; v++) ks[v] = w_load(F(), k + v * kLanes * F::bytes);
        for (uint32_t r = 0; r < R; r++) {
          const vf qs = v_set(q[r]);
          for (uint32_t v = 0; v < V; v++) sums[r][v] = v_fma(qs, ks[v], sums[r][v]);
        }
      }
      for (uint32_t r = 0; r < R; r++)
        for (uint32_t v = 0; v < V; v++) {
          const uint32_t at = p + v * kLanes;
          v_store(scores + (query + r) * stride + at, scales ? sums[r][v] * v_load(scales + at) : sums[r][v]);
        }
    }
  });
}

// R queries times V vectors of columns, the last one with `n` lanes; adds to y, or starts at 0.
template <class F, uint32_t R, uint32_t V>
static inline void value_tile(const float *weights, size_t stride, const uint8_t *values, size_t row, uint32_t count,
                              ptrdiff_t ahead, float *y, size_t y_stride, uint32_t n, bool fresh) {
  vf sums[R][V];
  for (uint32_t r = 0; r < R; r++)
    for (uint32_t v = 0; v < V; v++)
      sums[r][v] = fresh ? v_zero() : load_some(y + r * y_stride + v * kLanes, v + 1 < V ? kLanes : n);
  for (uint32_t i = 0; i < count; i++, values += row) {
    ask_for<R>(values, ahead, V * kLanes * F::bytes);
    vf vs[V];
    for (uint32_t v = 0; v < V; v++) {
      const uint8_t *at = values + v * kLanes * F::bytes;
      vs[v] = v + 1 < V ? w_load(F(), at) : w_load_some(F(), at, n);
    }
    for (uint32_t r = 0; r < R; r++) {
      const vf ws = v_set(weights[r * stride + i]);
      for (uint32_t v = 0; v < V; v++) sums[r][v] = v_fma(ws, vs[v], sums[r][v]);
    }
  }
  for (uint32_t r = 0; r < R; r++)
    for (uint32_t v = 0; v < V; v++) store_some(y + r * y_stride + v * kLanes, sums[r][v], v + 1 < V ? kLanes : n);
}

// Weights of `count` positions times their values [count][dim]: y [queries][dim] grows by it, or starts there. What will
// be read after them lies `ahead` bytes further.
template <class F>
AIRLLM_KERNEL void add_values(const float *weights, size_t stride, uint32_t queries, const uint8_t *values,
                              ptrdiff_t ahead, uint32_t count, uint32_t dim, float *y, bool fresh) {
  const size_t row = size_t(dim) * F::bytes;
  for_queries<kValueQueries>(queries, [&](uint32_t query, auto tile) {
    constexpr uint32_t R = tile.count, V = kValueVectors;
    const float *w = weights + query * stride;
    float *to = y + size_t(query) * dim;
    uint32_t c = 0;
    for (; c + V * kLanes <= dim; c += V * kLanes)
      value_tile<F, R, V>(w, stride, values + c * F::bytes, row, count, ahead, to + c, dim, kLanes, fresh);
    for (; c < dim; c += kLanes)
      value_tile<F, R, 1>(w, stride, values + c * F::bytes, row, count, ahead, to + c, dim, least(kLanes, dim - c),
                          fresh);
  });
}

}  // namespace
}  // namespace airllm
