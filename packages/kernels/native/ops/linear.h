// y = x·Wᵀ + b (`out,in`) and y = x·W + b (`in,out`), whole or one slice of the weight's stored rows.
// Threads take blocks of outputs (and of rows, where there are many); K is never split between threads.
#pragma once

namespace airllm {
namespace {

// Blocks for many rows: a panel of kOutBlock rows of weights, kDepthBlock deep, is copied into the second cache in its
// stored form (rows that lie a power of two apart would fall into the same few cache sets); tiles of activations, packed,
// come to the first cache one by one and meet the whole panel.
constexpr uint32_t kOutBlock = 128;   // a multiple of the tile's 4 outputs
constexpr uint32_t kPanelRows = 24;   // fewer rows of activations do not repay the copy
constexpr uint32_t kLeastRows = 96;   // rows per task, a multiple of every kTileRows
constexpr uint32_t kPanelPadding = 64;
constexpr size_t kPackedFloats = size_t(kTileRows) * kDepthBlock;
// Bytes of weights per task at few rows: enough to stream, small enough to share out evenly.
constexpr uint32_t kStreamBytes = 128 * 1024;

static_assert(kLeastRows % kTileRows == 0 && kOutBlock % 4 == 0 && kDepthBlock % kLanes == 0);
static_assert(kPackedFloats * 4 + kOutBlock * (kDepthBlock * 4 + kPanelPadding) <= kLinearScratch);

struct Linear {
  const float *x;
  const uint8_t *w;  // of the slice
  float *y;
  uint32_t rows, k, outs;  // as they are in this slice
  size_t x_stride, y_stride, w_stride;
};

// [steps][R][lanes], zeros past K.
template <uint32_t R>
static inline void pack_rows(const float *x, size_t stride, uint32_t k, float *packed) {
  uint32_t i = 0;
  for (; i + kLanes <= k; i += kLanes)
    for (uint32_t r = 0; r < R; r++, packed += kLanes) v_store(packed, v_load(x + r * stride + i));
  if (i < k)
    for (uint32_t r = 0; r < R; r++, packed += kLanes) v_store(packed, v_load_n(x + r * stride + i, k - i));
}

// Any number of rows times outs ≤ kOutBlock.
template <class W>
AIRLLM_KERNEL void dot_block(const Linear &l, uint32_t row, uint32_t rows, uint32_t out, uint32_t outs, float *packed) {
  uint8_t *const panel = reinterpret_cast<uint8_t *>(packed + kPackedFloats);
  for (uint32_t at = 0; at < l.k; at += kDepthBlock) {
    const uint32_t k = least(kDepthBlock, l.k - at);
    const uint8_t *w = l.w + out * l.w_stride + size_t(at) * W::bytes;
    size_t w_stride = l.w_stride;
    if (rows >= kPanelRows) {
      const size_t stride = kDepthBlock * W::bytes + kPanelPadding;
      for (uint32_t o = 0; o < outs; o++) memcpy(panel + o * stride, w + o * w_stride, size_t(k) * W::bytes);
      w = panel;
      w_stride = stride;
    }
    for (uint32_t r = 0; r < rows; r += kTileRows) {
      with_rows(least(kTileRows, rows - r), [&](auto tile) {
        constexpr uint32_t R = tile.count;
        pack_rows<R>(l.x + (row + r) * l.x_stride + at, l.x_stride, k, packed);
        dot_outputs<W, R>({packed, kLanes, R * kLanes, w, w_stride}, outs, k, l.y + (row + r) * l.y_stride + out,
                          l.y_stride, at > 0);
      });
    }
  }
}

static inline uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

template <class W, class Done> static void linear_out_in(const Linear &l, Worker &worker, Done done) {
  if (l.rows <= kTileRows) {
    // Whole groups of 8 outputs, at least one.
    const uint32_t step = 8 * (1 + uint32_t(kStreamBytes / (8 * l.w_stride)));
    const uint32_t fair = 8 * ceil_div(l.outs, 8 * 4 * worker.pool->threads);
    const uint32_t block = least(step, fair), tasks = ceil_div(l.outs, block);
    for (uint32_t t; (t = next_task(worker)) < tasks;) {
      const uint32_t out = t * block, outs = least(block, l.outs - out);
      // One row is read in long runs; more rows of activations stay in the first cache only block by block.
      const uint32_t depth = l.rows == 1 ? l.k : kDepthBlock;
      for (uint32_t at = 0; at < l.k; at += depth)
        dot_matrix<W>({l.x + at, l.x_stride, kLanes, l.w + out * l.w_stride + size_t(at) * W::bytes, l.w_stride},
                      l.rows, outs, least(depth, l.k - at), l.y + out, l.y_stride, at > 0);
      done(0, l.rows, out, outs);
    }
    return;
  }
  // All rows in one task, unless there are too few blocks of outputs for the threads.
  const uint32_t out_blocks = ceil_div(l.outs, kOutBlock);
  const uint32_t row_tasks = ceil_div(4 * worker.pool->threads, out_blocks);
  const uint32_t row_block = kLeastRows * ceil_div(l.rows, kLeastRows * row_tasks);
  const uint32_t row_blocks = ceil_div(l.rows, row_block), tasks = row_blocks * out_blocks;
  for (uint32_t t; (t = next_task(worker)) < tasks;) {
    const uint32_t row = t % row_blocks * row_block, out = t / row_blocks * kOutBlock;
    const uint32_t rows = least(row_block, l.rows - row), outs = least(kOutBlock, l.outs - out);
    dot_block<W>(l, row, rows, out, outs, reinterpret_cast<float *>(worker.scratch));
    done(row, rows, out, outs);
  }
}

// `fresh`: the sum starts here, else it goes on from what the slice before left in y.
template <class W, class Done> static void linear_in_out(const Linear &l, Worker &worker, bool fresh, Done done) {
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
      axpy_matrix<W>({l.x + row * l.x_stride + at, l.x_stride, w, l.w_stride}, rows, outs, least(depth, l.k - at),
                     l.y + row * l.y_stride + out, l.y_stride, fresh && at == 0);
    }
    done(row, rows, out, outs);
  }
}

static void op_linear(const Pass &pass, const Op &op, Worker &worker) {
  const Weight &weight = pass.program->weights[op.weight];
  const uint8_t *bias = pass.weight(op.bias);
  const DType bias_dtype = pass.dtype(op.bias);
  const bool sliced = pass.part.slice_from != kNone, out_in = weight.layout == Layout::OutIn;
  const uint32_t from = sliced ? pass.part.slice_from : 0, to = sliced ? pass.part.slice_to : weight.rows;
  Linear l{pass.value(op.a), pass.weight(op.weight), pass.value(op.out), pass.rows, weight.columns, to - from,
           pass.width(op.a), pass.width(op.out), size_t(weight.columns) * format_bytes(weight.dtype)};
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
  with_format(weight.dtype, [&](auto w) {
    if (out_in) linear_out_in<decltype(w)>(l, worker, done);
    else linear_in_out<decltype(w)>(l, worker, from == 0, done);
  });
}

}  // namespace
}  // namespace airllm
