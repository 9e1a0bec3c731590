// y = x·Wᵀ + b (`out,in`) and y = x·W + b (`in,out`), whole or one slice of the weight's stored rows.
// Threads take blocks of outputs (and of rows, where there are many); K is never split between threads.
#pragma once

namespace airllm {
namespace {

// Activations are float32 (X = F32), or rounded to bf16 on their way into a thread's scratch (X = BF16).

// Blocks for many rows: a panel of kOutBlock rows of weights, Dot::depth deep, is copied into the second cache in its
// stored form (rows that lie a power of two apart would fall into the same few cache sets); tiles of activations, packed,
// come to the first cache one by one and meet the whole panel.
constexpr uint32_t kOutBlock = 128;   // a multiple of the tile's 4 outputs
constexpr uint32_t kPanelRows = 24;   // fewer rows of activations do not repay the copy
constexpr uint32_t kLeastRows = 96;   // rows per task, a multiple of every kTileRows
constexpr uint32_t kPanelPadding = 64;
// Few rows read weights from memory. Bytes of weights per task: small enough to share out evenly; how far ahead they are
// asked for.
constexpr uint32_t kTaskBytes = 32 * 1024, kAhead = 4096;

static_assert(kLeastRows % kTileRows == 0 && kOutBlock % 4 == 0 && kTileRows <= kFewRows);

// A thread's scratch at many rows: a tile of activations, then the panel.
template <class X, class W> struct Panel {
  static constexpr uint32_t depth = Dot<X, W>::depth;
  static constexpr size_t packed = size_t(kTileRows) * depth * X::bytes, stride = depth * W::bytes + kPanelPadding;
  static_assert(depth % Dot<X, W>::step == 0 && Dot<X, W>::step <= kMostStep);
  static_assert(packed + kOutBlock * stride <= kLinearScratch);
};

struct Linear {
  const float *x;
  const uint8_t *w;  // of the slice
  float *y;
  uint32_t rows, k, outs;  // as they are in this slice
  size_t x_stride, y_stride, w_stride;
};

// [steps][R][lanes], zeros past K.
template <class X, class W, uint32_t R>
static inline void pack_rows(const float *x, size_t stride, uint32_t k, typename X::Stored *packed) {
  using D = Dot<X, W>;
  // Row by row: activations come from the third cache, in runs that its prefetcher sees.
  for (uint32_t r = 0; r < R; r++, x += stride) {
    typename X::Stored *to = packed + r * D::step;
    uint32_t i = 0;
    for (; i + D::step <= k; i += D::step, to += R * D::step) D::pack(x + i, to);
    if (i < k) D::pack_n(x + i, k - i, to);
  }
}

// Any number of rows times outs ≤ kOutBlock.
template <class X, class W>
AIRLLM_KERNEL void dot_block(const Linear &l, uint32_t row, uint32_t rows, uint32_t out, uint32_t outs,
                             uint8_t *scratch) {
  using P = Panel<X, W>;
  auto *const packed = reinterpret_cast<typename X::Stored *>(scratch);
  uint8_t *const panel = scratch + P::packed;
  for (uint32_t at = 0; at < l.k; at += P::depth) {
    const uint32_t k = least(P::depth, l.k - at);
    const uint8_t *w = l.w + out * l.w_stride + size_t(at) * W::bytes;
    size_t w_stride = l.w_stride;
    if (rows >= kPanelRows) {
      for (uint32_t o = 0; o < outs; o++) memcpy(panel + o * P::stride, w + o * w_stride, size_t(k) * W::bytes);
      w = panel;
      w_stride = P::stride;
    }
    for (uint32_t r = 0; r < rows; r += kTileRows) {
      with_rows(least(kTileRows, rows - r), [&](auto tile) {
        constexpr uint32_t R = tile.count, step = Dot<X, W>::step;
        const float *x = l.x + (row + r) * l.x_stride + at;
        pack_rows<X, W, R>(x, l.x_stride, k, packed);
        dot_outputs<X, W, R>({packed, step, R * step, w, w_stride}, outs, k, l.y + (row + r) * l.y_stride + out,
                             l.y_stride, at > 0);
      });
    }
  }
}

// Few rows as the tiles read them: the floats themselves, or a rounded copy in a thread's scratch.
template <class X, class W> static inline DotSource<X> few_rows(const Linear &l, uint8_t *scratch) {
  constexpr uint32_t step = Dot<X, W>::step;
  if constexpr (X::bytes == 4) {
    return {l.x, l.x_stride, step, l.w, l.w_stride};
  } else {
    auto *const rounded = reinterpret_cast<typename X::Stored *>(scratch);
    const size_t stride = step * size_t(ceil_div(l.k, step));
    for (uint32_t r = 0; r < l.rows; r++)
      pack_rows<X, W, 1>(l.x + r * l.x_stride, l.x_stride, l.k, rounded + r * stride);
    return {rounded, stride, step, l.w, l.w_stride};
  }
}

// Shares `outs` rows of weights out between threads so that each reads long runs of memory: it has a range of its own,
// which it walks in S stripes at once, and then helps the others with theirs. Calls body(out, outs, apart): `outs` outputs
// from `out` on in each of the S stripes that lie `apart`; or apart = 0: in one.
template <uint32_t S, class Body>
static inline void for_stripes(Worker &worker, uint32_t outs, size_t row_bytes, Body body) {
  begin_ranges(worker);
  const uint32_t threads = worker.pool->threads, range = ceil_div(outs, threads);
  const uint32_t block = 1 + uint32_t(kTaskBytes / (S * row_bytes));
  for (uint32_t i = 0; i < threads; i++) {
    const uint32_t whose = (worker.index + i) % threads, from = least(whose * range, outs);
    const uint32_t length = least(range, outs - from), apart = length / S, tasks = ceil_div(apart, block);
    for (uint32_t t; (t = next_in_range(worker, whose)) <= tasks;) {
      if (t < tasks) body(from + t * block, least(block, apart - t * block), apart);
      else if (S * apart < length) body(from + S * apart, length - S * apart, 0);
    }
  }
}

// A row's weights are read along all of K; the activations of several rows stay in the first cache block by block.
template <class X, class W, uint32_t R, class Done>
static void linear_few_rows(const Linear &l, Worker &worker, Done done) {
  constexpr uint32_t S = R == 1 ? kStripes : 4;
  const DotSource<X> all = few_rows<X, W>(l, worker.scratch);
  const uint32_t depth = R == 1 ? l.k : Dot<X, W>::depth;
  const size_t ahead = R == 1 ? kAhead : l.w_stride;
  for_stripes<S>(worker, l.outs, l.w_stride, [&](uint32_t out, uint32_t outs, uint32_t apart) {
    float *y = l.y + out;
    for (uint32_t at = 0; at < l.k; at += depth) {
      const uint8_t *w = all.w + out * all.wr + size_t(at) * W::bytes;
      const DotSource<X> from{all.x + at, all.xr, all.xs, w, all.wr, ahead};
      const uint32_t k = least(depth, l.k - at);
      if (apart) dot_stripes<X, W, R, S>(from, apart, outs, k, y, l.y_stride, at > 0);
      else dot_outputs<X, W, R>(from, outs, k, y, l.y_stride, at > 0);
    }
    for (uint32_t s = 0; s < (apart ? S : 1); s++) done(0, R, out + s * apart, outs);
  });
}

// Shares many rows times `outs` outputs out between threads: calls body(row, rows, out, outs) for blocks of at most
// kOutBlock outputs, of all rows together unless there are too few such blocks for the threads.
template <class Body> static inline void for_blocks(Worker &worker, uint32_t rows, uint32_t outs, Body body) {
  const uint32_t out_blocks = ceil_div(outs, kOutBlock);
  const uint32_t row_tasks = ceil_div(4 * worker.pool->threads, out_blocks);
  const uint32_t row_block = kLeastRows * ceil_div(rows, kLeastRows * row_tasks);
  const uint32_t row_blocks = ceil_div(rows, row_block), tasks = row_blocks * out_blocks;
  for (uint32_t t; (t = next_task(worker)) < tasks;) {
    const uint32_t row = t % row_blocks * row_block, out = t / row_blocks * kOutBlock;
    body(row, least(row_block, rows - row), out, least(kOutBlock, outs - out));
  }
}

template <class X, class W, class Done> static void linear_out_in(const Linear &l, Worker &worker, Done done) {
  if (l.rows <= kTileRows)
    return with_rows(l.rows, [&](auto tile) { linear_few_rows<X, W, tile.count>(l, worker, done); });
  for_blocks(worker, l.rows, l.outs, [&](uint32_t row, uint32_t rows, uint32_t out, uint32_t outs) {
    dot_block<X, W>(l, row, rows, out, outs, worker.scratch);
    done(row, rows, out, outs);
  });
}

// Activations rounded to bf16, still as floats: the products are those of bf16.
static inline AxpySource rounded_rows(const AxpySource &from, uint32_t rows, uint32_t k, float *rounded) {
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t i = 0; i < k; i++) rounded[size_t(r) * k + i] = rounded_to_bf16(from.x[r * from.xr + i]);
  return {rounded, k, from.w, from.wk};
}

// `fresh`: the sum starts here, else it goes on from what the slice before left in y.
template <class X, class W, class Done>
static void linear_in_out(const Linear &l, Worker &worker, bool fresh, Done done) {
  const bool few = l.rows <= kTileRows;
  // Few rows: wide blocks, a few rows of the matrix at a time, so that memory is read in long runs.
  const uint32_t depth = few ? 8 : 256, row_block = few ? l.rows : kLeastRows;
  const uint32_t fair = 64 * ceil_div(l.outs, 64 * 2 * worker.pool->threads);
  const uint32_t block = few ? fair : 64, row_blocks = ceil_div(l.rows, row_block);
  const uint32_t tasks = row_blocks * ceil_div(l.outs, block);
  for (uint32_t t; (t = next_task(worker)) < tasks;) {
    const uint32_t row = t % row_blocks * row_block, out = t / row_blocks * block;
    const uint32_t rows = least(row_block, l.rows - row), outs = least(block, l.outs - out);
    for (uint32_t at = 0; at < l.k; at += depth) {
      const uint8_t *w = l.w + at * l.w_stride + size_t(out) * W::bytes;
      const uint32_t k = least(depth, l.k - at);
      AxpySource from{l.x + row * l.x_stride + at, l.x_stride, w, l.w_stride};
      if constexpr (X::bytes == 2) from = rounded_rows(from, rows, k, reinterpret_cast<float *>(worker.scratch));
      axpy_matrix<W>(from, rows, outs, k, l.y + row * l.y_stride + out, l.y_stride, fresh && at == 0);
    }
    done(row, rows, out, outs);
  }
}

// Kernels::out_in and ::in_out multiply by the two layouts; `done` is told of every block that they have finished.
template <class W, class Kernels> static void run_linear(const Pass &pass, const Op &op, Worker &worker) {
  const Weight &weight = pass.program->weights[op.weight];
  const uint8_t *bias = pass.weight(op.bias);
  const DType bias_dtype = pass.dtype(op.bias);
  const bool sliced = pass.part.slice_from != kNone, out_in = weight.layout == Layout::OutIn;
  const uint32_t from = sliced ? pass.part.slice_from : 0, to = sliced ? pass.part.slice_to : weight.rows;
  Linear l{pass.value(op.a), pass.weight(op.weight), pass.value(op.out), pass.rows, weight.columns, to - from,
           pass.width(op.a), pass.width(op.out), size_t(weight.columns) * W::bytes};
  if (out_in) {
    l.y += from;
  } else {
    l.x += from;
    l.k = to - from;
    l.outs = weight.columns;
  }
  const bool add = bias && (out_in || to == weight.rows);
  const auto done = [&](uint32_t row, uint32_t rows, uint32_t out, uint32_t outs) {
    if (add)
      for (uint32_t r = row; r < row + rows; r++)
        add_bias(l.y + r * l.y_stride + out, bias, bias_dtype, (out_in ? from : 0) + out, outs);
  };
  if (out_in) Kernels::out_in(l, worker, done);
  else Kernels::in_out(l, worker, from == 0, done);
}

template <class X, class W> struct Dots {
  template <class Done> static void out_in(const Linear &l, Worker &worker, Done done) {
    linear_out_in<X, W>(l, worker, done);
  }
  template <class Done> static void in_out(const Linear &l, Worker &worker, bool fresh, Done done) {
    linear_in_out<X, W>(l, worker, fresh, done);
  }
};

static inline void op_linear(const Pass &pass, const Op &op, Worker &worker) {
  with_format(pass.dtype(op.weight), [&](auto w) { run_linear<decltype(w), Dots<F32, decltype(w)>>(pass, op, worker); });
}

// Of bf16 matrices alone.
static inline void op_linear_bf16(const Pass &pass, const Op &op, Worker &worker) {
  run_linear<BF16, Dots<BF16, BF16>>(pass, op, worker);
}

}  // namespace
}  // namespace airllm
