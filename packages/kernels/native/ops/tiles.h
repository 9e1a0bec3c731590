// The two micro-kernels all matrix work is made of. Both keep a tile of accumulators in registers.
//
// Order of summation, the same in every tile shape, so that an element does not depend on its neighbours:
//   dot:  K is cut into blocks of Dot::depth. In a block, element (row, out) has ONE vector accumulator; step s adds
//         x[s·L … s·L+L) · w[out, the same], L = Dot::step, the last step with zeros past K; then its lanes are summed by
//         v_reduce4. The blocks' sums are added in ascending order.
//   axpy: element (row, out) is one lane; it adds x[row, k] · w[k, out] for k ascending. A tile may stop anywhere along
//         K, since an accumulator kept in memory is exact.
// Products are added by fused multiply-adds, unless Dot says otherwise.
#pragma once

namespace airllm {
namespace {

// Each shape once: inlined into every caller they would take the compiler a minute.
#define AIRLLM_KERNEL static __attribute__((noinline))

// The plain way: both as floats, fused multiply-adds.
template <class X, class W> struct Dot {
  using XS = typename X::Stored;
  using Operand = vf;
  static constexpr uint32_t step = kLanes;
  static constexpr uint32_t depth = 1024;  // a multiple of every step
  static inline vf load_x(const XS *p) { return w_load(X(), reinterpret_cast<const uint8_t *>(p)); }
  static inline vf load_x_n(const XS *p, uint32_t n) { return w_load_n(X(), reinterpret_cast<const uint8_t *>(p), n); }
  static inline vf load_w(const uint8_t *p) { return w_load(W(), p); }
  static inline vf load_w_n(const uint8_t *p, uint32_t n) { return w_load_n(W(), p, n); }
  static inline vf add(vf sum, vf x, vf w) { return v_fma(x, w, sum); }
  // One step of activations into format X, zeros past the first n.
  static inline void pack(const float *x, float *packed) { v_store(packed, v_load(x)); }
  static inline void pack_n(const float *x, uint32_t n, float *packed) { v_store(packed, v_load_n(x, n)); }
  static inline void pack(const float *x, uint16_t *packed) {
    for (uint32_t i = 0; i < kLanes; i++) packed[i] = to_bf16(x[i]);
  }
  static inline void pack_n(const float *x, uint32_t n, uint16_t *packed) {
    for (uint32_t i = 0; i < kLanes; i++) packed[i] = i < n ? to_bf16(x[i]) : 0;
  }
};

// Where a tile finds its operands; strides in elements of their array, wr and ahead in bytes.
template <class X> struct DotSource {
  const typename X::Stored *x;
  size_t xr, xs;  // to the next row, to the next step
  const uint8_t *w;
  size_t wr;         // to the next output of the tile
  size_t ahead = 0;  // how far ahead weights are asked for, where they are read for the first time
};

template <class X, class W, uint32_t R, uint32_t O, bool kFetch>
static inline void dot_steps(vf (&acc)[R][O], const DotSource<X> &from, uint32_t k) {
  using D = Dot<X, W>;
  const typename X::Stored *x = from.x;
  const uint8_t *w = from.w;
  const uint32_t tail = k % D::step;
  for (uint32_t s = k / D::step; s > 0; s--, x += from.xs, w += D::step * W::bytes) {
    if constexpr (kFetch)
      for (uint32_t o = 0; o < O; o++) __builtin_prefetch(w + o * from.wr + from.ahead, 0, 3);
    typename D::Operand xs[R];
    for (uint32_t r = 0; r < R; r++) xs[r] = D::load_x(x + r * from.xr);
    for (uint32_t o = 0; o < O; o++) {
      const auto ws = D::load_w(w + o * from.wr);
      for (uint32_t r = 0; r < R; r++) acc[r][o] = D::add(acc[r][o], xs[r], ws);
    }
  }
  if (tail == 0) return;
  typename D::Operand xs[R];
  for (uint32_t r = 0; r < R; r++) xs[r] = D::load_x_n(x + r * from.xr, tail);
  for (uint32_t o = 0; o < O; o++) {
    const auto ws = D::load_w_n(w + o * from.wr, tail);
    for (uint32_t r = 0; r < R; r++) acc[r][o] = D::add(acc[r][o], xs[r], ws);
  }
}

// y = the lanes' sums, or y += them; outputs of the tile lie yo apart.
template <uint32_t R, uint32_t O>
static inline void dot_finish(const vf (&acc)[R][O], float *y, size_t yr, size_t yo, bool add) {
  constexpr uint32_t width = O < 4 ? O : 4;
  // Unrolled, or the accumulators would leave their registers.
#pragma GCC unroll 8
  for (uint32_t r = 0; r < R; r++) {
#pragma GCC unroll 2
    for (uint32_t o = 0; o < O; o += width) {
      float sums[4], *to = y + r * yr + o * yo;
      if constexpr (O < 4) v_reduce4(acc[r][0], acc[r][O - 1], acc[r][0], acc[r][O - 1], sums);
      else v_reduce4(acc[r][o], acc[r][o + 1], acc[r][o + 2], acc[r][o + 3], sums);
      for (uint32_t i = 0; i < width; i++) to[i * yo] = add ? to[i * yo] + sums[i] : sums[i];
    }
  }
}

// R rows times O outputs along K; O is 1, 2, 4 or 8. `add`: to the blocks before, whose sum is in y. As a function of its
// own it costs a tenth of the time.
template <class X, class W, uint32_t R, uint32_t O, bool kFetch = false>
static inline __attribute__((always_inline)) void dot_tile(DotSource<X> from, uint32_t k, float *y, size_t yr, size_t yo, bool add) {
  using D = Dot<X, W>;
  for (uint32_t at = 0; at < k; at += D::depth) {
    vf acc[R][O];
    for (uint32_t r = 0; r < R; r++)
      for (uint32_t o = 0; o < O; o++) acc[r][o] = v_zero();
    dot_steps<X, W, R, O, kFetch>(acc, from, least(k - at, D::depth));
    dot_finish<R, O>(acc, y, yr, yo, add || at > 0);
    from.x += D::depth / D::step * from.xs;
    from.w += D::depth * W::bytes;
  }
}

// R rows times any number of outputs that lie side by side.
template <class X, class W, uint32_t R>
AIRLLM_KERNEL void dot_outputs(DotSource<X> from, uint32_t outs, uint32_t k, float *y, size_t yr, bool add) {
  uint32_t o = 0;
  if constexpr (R <= kWideRows)
    for (; o + 8 <= outs; o += 8, from.w += 8 * from.wr) dot_tile<X, W, R, 8>(from, k, y + o, yr, 1, add);
  for (; o + 4 <= outs; o += 4, from.w += 4 * from.wr) dot_tile<X, W, R, 4>(from, k, y + o, yr, 1, add);
  for (; o < outs; o++, from.w += from.wr) dot_tile<X, W, R, 1>(from, k, y + o, yr, 1, add);
}

// R rows times S stripes of `outs` outputs each, `apart` outputs from one to the next: S long runs through memory.
template <class X, class W, uint32_t R, uint32_t S>
AIRLLM_KERNEL void dot_stripes(DotSource<X> from, uint32_t apart, uint32_t outs, uint32_t k, float *y, size_t yr,
                               bool add) {
  const size_t row = from.wr;
  from.wr = apart * row;
  for (uint32_t o = 0; o < outs; o++, from.w += row) dot_tile<X, W, R, S, true>(from, k, y + o, yr, apart, add);
}

// Calls `body` with an integral constant R for the tile's number of rows.
template <uint32_t N> struct Rows {
  static constexpr uint32_t count = N;
};
template <uint32_t R = kTileRows, class Body> static inline void with_rows(uint32_t rows, Body body) {
  if constexpr (R > 1) {
    if (rows < R) return with_rows<R - 1>(rows, body);
  }
  body(Rows<R>());
}

// All of rows × outs, unpacked: for few rows, or a K that fits the first cache.
template <class X, class W>
AIRLLM_KERNEL void dot_matrix(DotSource<X> from, uint32_t rows, uint32_t outs, uint32_t k, float *y, size_t yr, bool add) {
  for (uint32_t r = 0; r < rows; r += kTileRows) {
    with_rows(rows - r < kTileRows ? rows - r : kTileRows, [&](auto tile) {
      dot_outputs<X, W, tile.count>({from.x + r * from.xr, from.xr, from.xs, from.w, from.wr}, outs, k,
                                       y + r * yr, yr, add);
    });
  }
}

struct AxpySource {
  const float *x;
  size_t xr;  // to the next row; k is contiguous
  const uint8_t *w;
  size_t wk;  // bytes to the next k
};

// R rows times V vectors of outputs, the last one with `n` lanes; adds to y, or starts at 0.
template <class W, uint32_t R, uint32_t V>
static inline void axpy_tile(const AxpySource &from, uint32_t k, float *y, size_t yr, uint32_t n, bool fresh) {
  vf acc[R][V];
  for (uint32_t r = 0; r < R; r++)
    for (uint32_t v = 0; v < V; v++)
      acc[r][v] = fresh ? v_zero() : load_some(y + r * yr + v * kLanes, v + 1 < V ? kLanes : n);
  const float *x = from.x;
  const uint8_t *w = from.w;
  for (uint32_t i = 0; i < k; i++, w += from.wk) {
    vf xs[R];
    for (uint32_t r = 0; r < R; r++) xs[r] = v_set(x[r * from.xr + i]);
    for (uint32_t v = 0; v < V; v++) {
      const uint8_t *at = w + v * kLanes * W::bytes;
      const vf ws = v + 1 < V ? w_load(W(), at) : w_load_some(W(), at, n);
      for (uint32_t r = 0; r < R; r++) acc[r][v] = v_fma(xs[r], ws, acc[r][v]);
    }
  }
  for (uint32_t r = 0; r < R; r++)
    for (uint32_t v = 0; v < V; v++) store_some(y + r * yr + v * kLanes, acc[r][v], v + 1 < V ? kLanes : n);
}

template <class W, uint32_t R>
AIRLLM_KERNEL void axpy_outputs(AxpySource from, uint32_t outs, uint32_t k, float *y, size_t yr, bool fresh) {
  uint32_t o = 0;
  const auto run = [&](auto vectors) {
    constexpr uint32_t width = vectors.count * kLanes;
    for (; o + width <= outs; o += width, from.w += width * W::bytes)
      axpy_tile<W, R, vectors.count>(from, k, y + o, yr, kLanes, fresh);
  };
  if constexpr (R <= kWideRows) run(Rows<8>());
  run(Rows<4>());
  run(Rows<1>());
  if (o < outs) axpy_tile<W, R, 1>(from, k, y + o, yr, outs - o, fresh);
}

template <class W>
AIRLLM_KERNEL void axpy_matrix(AxpySource from, uint32_t rows, uint32_t outs, uint32_t k, float *y, size_t yr, bool fresh) {
  for (uint32_t r = 0; r < rows; r += kTileRows) {
    with_rows(rows - r < kTileRows ? rows - r : kTileRows, [&](auto tile) {
      axpy_outputs<W, tile.count>({from.x + r * from.xr, from.xr, from.w, from.wk}, outs, k, y + r * yr, yr, fresh);
    });
  }
}

}  // namespace
}  // namespace airllm
