// y = x·Wᵀ + b and rows of W for quantised matrices. Weights are decoded a few outputs at a time into a thread's scratch,
// in the format that the tiles of dense matrices read: so a sum is that of the decoded matrix, bit for bit.
#pragma once

namespace airllm {
namespace {

// A thread's scratch: what a dense linear has, then what decoding needs.
struct PackedScratch {
  uint8_t *dense, *panel;
  float *numbers, *row, *gathered;
};

static inline PackedScratch packed_scratch(uint32_t k, const Worker &worker) {
  const size_t rounded = (size_t(kFewRows) * (k + kMostStep) * 2 + 63) & ~size_t(63);
  uint8_t *const panel = worker.scratch + (rounded > kLinearScratch ? rounded : kLinearScratch);
  auto *const numbers = reinterpret_cast<float *>(panel + kFewPanel);
  float *const row = numbers + kBlockNumbers / 4;
  return {worker.scratch, panel, numbers, row, row + kMostDepth};
}

// Columns [at, at + k) of `outs` rows, in the format X that they meet activations in, `stride` bytes apart.
template <class X>
static inline void decode_panel(const PackedMatrix &m, uint32_t out, uint32_t outs, uint32_t at, uint32_t k,
                                const PackedScratch &scratch, uint8_t *panel, size_t stride) {
  for (uint32_t o = 0; o < outs; o++, panel += stride) {
    if constexpr (X::bytes == 4) {
      decode_row(m, out + o, at, k, scratch.numbers, reinterpret_cast<float *>(panel));
    } else {
      decode_row(m, out + o, at, k, scratch.numbers, scratch.row);
      pack_rows<X, X, 1>(scratch.row, 0, k, reinterpret_cast<typename X::Stored *>(panel));
    }
  }
}

// Columns [at, at + k) of some rows of activations, in the order in which the matrix stores its columns.
static inline void gather(const float *x, size_t stride, const uint8_t *columns, uint32_t rows, uint32_t at, uint32_t k,
                          float *to) {
  for (uint32_t r = 0; r < rows; r++, x += stride, to += k)
    for (uint32_t i = 0; i < k; i++) to[i] = x[element<int32_t>(columns, at + i)];
}

// Rows ≤ kTileRows times some outputs.
template <class X>
static inline void packed_few(const PackedMatrix &m, const DotSource<X> &x, const Linear &l, uint32_t out, uint32_t outs,
                              const PackedScratch &scratch) {
  constexpr uint32_t depth = Dot<X, X>::depth;
  constexpr size_t stride = size_t(depth) * X::bytes + 64;
  static_assert(depth <= kMostDepth && kFewOuts * stride <= kFewPanel);
  for (uint32_t o = 0; o < outs; o += kFewOuts) {
    const uint32_t some = least(kFewOuts, outs - o);
    for (uint32_t at = 0; at < l.k; at += depth) {
      const uint32_t k = least(depth, l.k - at);
      decode_panel<X>(m, out + o, some, at, k, scratch, scratch.panel, stride);
      dot_matrix<X, X>({x.x + at, x.xr, x.xs, scratch.panel, stride}, l.rows, some, k, l.y + out + o, l.y_stride, at > 0);
    }
  }
}

// Any number of rows times outs ≤ kOutBlock.
template <class X>
static inline void packed_many(const PackedMatrix &m, const Linear &l, uint32_t row, uint32_t rows, uint32_t out,
                               uint32_t outs, const PackedScratch &scratch) {
  using P = Panel<X, X>;
  auto *const packed = reinterpret_cast<typename X::Stored *>(scratch.dense);
  uint8_t *const panel = scratch.dense + P::packed;
  for (uint32_t at = 0; at < l.k; at += P::depth) {
    const uint32_t k = least(P::depth, l.k - at);
    decode_panel<X>(m, out, outs, at, k, scratch, panel, P::stride);
    for (uint32_t r = 0; r < rows; r += kTileRows) {
      with_rows(least(kTileRows, rows - r), [&](auto tile) {
        constexpr uint32_t R = tile.count, step = Dot<X, X>::step;
        const float *x = l.x + (row + r) * l.x_stride;
        if (m.columns) {
          gather(x, l.x_stride, m.columns, R, at, k, scratch.gathered);
          pack_rows<X, X, R>(scratch.gathered, k, k, packed);
        } else {
          pack_rows<X, X, R>(x + at, l.x_stride, k, packed);
        }
        dot_outputs<X, X, R>({packed, step, R * step, panel, P::stride}, outs, k, l.y + (row + r) * l.y_stride + out,
                             l.y_stride, at > 0);
      });
    }
  }
}

template <class X> static void run_packed_linear(const Pass &pass, const Op &op, Worker &worker) {
  const Weight &weight = pass.program->weights[op.weight];
  const uint8_t *bias = pass.weight(op.bias);
  const DType bias_dtype = pass.dtype(op.bias);
  const bool sliced = pass.part.slice_from != kNone;
  const uint32_t from = sliced ? pass.part.slice_from : 0, to = sliced ? pass.part.slice_to : weight.rows;
  const PackedMatrix m = packed_matrix(pass, op.weight, from);
  const PackedScratch scratch = packed_scratch(m.k, worker);
  Linear l{pass.value(op.a), nullptr, pass.value(op.out) + from, pass.rows, m.k, to - from, pass.width(op.a),
           pass.width(op.out), 0};
  const auto done = [&](uint32_t row, uint32_t rows, uint32_t out, uint32_t outs) {
    if (bias)
      for (uint32_t r = row; r < row + rows; r++)
        add_bias(l.y + r * l.y_stride + out, bias, bias_dtype, from + out, outs);
  };
  if (l.rows <= kTileRows) {
    if (m.columns) {
      gather(l.x, l.x_stride, m.columns, l.rows, 0, l.k, scratch.gathered);
      l.x = scratch.gathered;
      l.x_stride = l.k;
    }
    const DotSource<X> x = few_rows<X, X>(l, scratch.dense);
    const bool fused = l.rows <= kFusedRows && with_fused<X>(m, [&](const auto &code) {
      with_rows<kFusedRows>(l.rows, [&](auto tile) {
        for_stripes<kFusedStripes>(worker, l.outs, m.row_bytes, [&](uint32_t out, uint32_t outs, uint32_t apart) {
          if (apart) packed_stripes<tile.count>(m, code, x, out, outs, apart, scratch.numbers, l.y, l.y_stride);
          else packed_few<X>(m, x, l, out, outs, scratch);
          for (uint32_t s = 0; s < (apart ? kFusedStripes : 1); s++) done(0, l.rows, out + s * apart, outs);
        });
      });
    });
    if (fused) return;
    const uint32_t step = 8 * (1 + uint32_t(kTaskBytes / (8 * m.row_bytes)));
    const uint32_t fair = 8 * ceil_div(l.outs, 8 * 4 * worker.pool->threads);
    const uint32_t block = least(step, fair), tasks = ceil_div(l.outs, block);
    for (uint32_t t; (t = next_task(worker)) < tasks;) {
      const uint32_t out = t * block, outs = least(block, l.outs - out);
      packed_few<X>(m, x, l, out, outs, scratch);
      done(0, l.rows, out, outs);
    }
    return;
  }
  for_blocks(worker, l.rows, l.outs, [&](uint32_t row, uint32_t rows, uint32_t out, uint32_t outs) {
    packed_many<X>(m, l, row, rows, out, outs, scratch);
    done(row, rows, out, outs);
  });
}

static inline void op_packed_linear(const Pass &pass, const Op &op, Worker &worker) {
  run_packed_linear<F32>(pass, op, worker);
}

// Of activations and decoded weights rounded to bf16.
static inline void op_packed_linear_bf16(const Pass &pass, const Op &op, Worker &worker) {
  run_packed_linear<BF16>(pass, op, worker);
}

// Rows that were picked, times a factor.
static inline void op_packed_embed(const Pass &pass, const Op &op, Worker &worker) {
  const PackedMatrix m = packed_matrix(pass, op.weight, 0);
  const vf factor = v_set(op.f[kBy]);
  float *const y = pass.value(op.out), *const numbers = reinterpret_cast<float *>(worker.scratch);
  for (uint32_t r; (r = next_task(worker)) < pass.rows;) {
    for (uint32_t at = 0; at < m.k; at += kMostDepth) {
      const uint32_t k = least(kMostDepth, m.k - at);
      float *const to = y + size_t(r) * m.k + at;
      decode_row(m, r, at, k, numbers, to);
      for_lanes(k, [&](uint32_t i, uint32_t n) { store_some(to + i, load_some(to + i, n) * factor, n); });
    }
  }
}

}  // namespace
}  // namespace airllm
