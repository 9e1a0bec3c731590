// y = x·Wᵀ of bf16 by tiles, as AMX has them: 16 × 16 sums in one register, to which one instruction adds 32 of K. Weights
// are the first operand, straight from memory as they are stored; activations are packed into pairs.
//
// Order of summation: an element is one place of one accumulator from the start of K to its end, in steps of 32 with zeros
// past K; what happens within a step is the instruction's own and knows nothing of the other rows and outputs. So one row
// and many give the same bits.
//
// T, the tiles, is an object with these functions; isa/amxbf16.h has the instructions, isa/amx-emulated.h says what they do.
//   configure(columns) release()     tiles as follows from here on; none
//   zero()                           all accumulators
//   load_a0 load_a1 (p, stride)      16 outputs × 32 bf16, rows `stride` bytes apart
//   load_b0 load_b1 (p, stride)      16 pairs of K × `columns` rows of activations, a pair of bf16 each
//   dot_00 dot_01 dot_10 dot_11 ()   accumulator ij += a_i · b_j
//   store_00 … store_11 (p, stride)  16 outputs × `columns` rows, float32
//   pairs(x, n, to)                  n ≤ 32 floats, rounded, as 16 pairs, zeros past n
//   transpose(from, to)              16 × 16 words of 32 bits
#pragma once

namespace airllm {
namespace {

constexpr uint32_t kTile = 16, kTileDepth = 32;
// Weights per task that stay in the second cache while rows of activations pass.
constexpr uint32_t kTileBlockBytes = 1 << 20;
// Of deeper matrices a panel does not hold one tile's rows.
constexpr uint32_t kMostTileK = kTilePanelBytes / (2 * kTile) - kTileDepth;

static inline uint32_t tile_steps(uint32_t k) { return ceil_div(k, kTileDepth); }
// Bytes of `columns` packed rows: [steps][16 pairs][columns], zeros past K and past the rows there are.
static inline size_t packed_bytes(uint32_t k, uint32_t columns) { return size_t(tile_steps(k)) * kTile * 4 * columns; }

template <class T>
static void pack_pairs(T &tiles, const float *x, size_t stride, uint32_t rows, uint32_t k, uint32_t columns,
                       uint8_t *packed) {
  alignas(64) uint32_t pairs[kTile][kTile] = {}, turned[kTile][kTile];
  for (uint32_t at = 0; at < k; at += kTileDepth) {
    for (uint32_t r = 0; r < rows; r++) tiles.pairs(x + r * stride + at, least(kTileDepth, k - at), pairs[r]);
    if (columns > 1) tiles.transpose(pairs[0], turned[0]);
    for (uint32_t p = 0; p < kTile; p++, packed += 4 * columns) memcpy(packed, columns > 1 ? turned[p] : &pairs[0][p], 4 * columns);
  }
}

// Packed rows of activations: two groups of `columns`, or one.
struct PackedRows {
  const uint8_t *groups;
  size_t group_bytes;
  uint32_t columns, rows;  // rows that count, at most two groups
};

// What a tile cannot load straight from memory: rows of weights past the last, columns past K.
template <uint32_t A>
static void copy_edge(const uint8_t *w, size_t stride, uint32_t outs, uint32_t bytes, uint8_t (&edge)[A * kTile][64]) {
  memset(edge, 0, sizeof edge);
  for (uint32_t o = 0; o < outs; o++) memcpy(edge[o], w + o * stride, bytes);
}

// outs ≤ 16 A outputs times B groups of rows; sums: [A][B][16][16], of which each row uses `columns`.
template <class T, uint32_t A, uint32_t B>
AIRLLM_KERNEL void tile_sums(T &tiles, const uint8_t *w, size_t w_stride, uint32_t outs, uint32_t k, const PackedRows &x,
                             float (&sums)[2][2][kTile * kTile]) {
  const size_t x_stride = 4 * x.columns;
  const uint8_t *b = x.groups;
  alignas(64) uint8_t edge[A * kTile][64];
  tiles.zero();
  for (uint32_t at = 0; at < k; at += kTileDepth, w += 2 * kTileDepth, b += kTile * x_stride) {
    const uint8_t *a = w;
    size_t a_stride = w_stride;
    if (outs < A * kTile || k - at < kTileDepth) {
      copy_edge<A>(w, w_stride, outs, 2 * least(kTileDepth, k - at), edge);
      a = edge[0];
      a_stride = 64;
    }
    tiles.load_b0(b, x_stride);
    if constexpr (B == 2) tiles.load_b1(b + x.group_bytes, x_stride);
    tiles.load_a0(a, a_stride);
    tiles.dot_00();
    if constexpr (B == 2) tiles.dot_01();
    if constexpr (A == 2) {
      tiles.load_a1(a + kTile * a_stride, a_stride);
      tiles.dot_10();
      if constexpr (B == 2) tiles.dot_11();
    }
  }
  tiles.store_00(sums[0][0], x_stride);
  if constexpr (B == 2) tiles.store_01(sums[0][1], x_stride);
  if constexpr (A == 2) tiles.store_10(sums[1][0], x_stride);
  if constexpr (A == 2 && B == 2) tiles.store_11(sums[1][1], x_stride);
}

// One accumulator, outputs by rows, to where rows are by outputs.
template <class T>
static void store_turned(T &tiles, const float *sums, uint32_t columns, uint32_t rows, uint32_t outs, float *y,
                         size_t y_stride) {
  if (columns == kTile) {
    alignas(64) float turned[kTile][kTile];
    tiles.transpose(sums, turned[0]);
    for (uint32_t r = 0; r < rows; r++) memcpy(y + r * y_stride, turned[r], outs * 4);
    return;
  }
  for (uint32_t r = 0; r < rows; r++)
    for (uint32_t o = 0; o < outs; o++) y[r * y_stride + o] = sums[o * columns + r];
}

// At most 32 outputs times the packed rows.
template <class T>
static void tile_block(T &tiles, const uint8_t *w, size_t w_stride, uint32_t outs, uint32_t k, const PackedRows &x, float *y,
                       size_t y_stride) {
  alignas(64) float sums[2][2][kTile * kTile];
  const bool a2 = outs > kTile, b2 = x.rows > x.columns;
  if (a2 && b2) tile_sums<T, 2, 2>(tiles, w, w_stride, outs, k, x, sums);
  else if (a2) tile_sums<T, 2, 1>(tiles, w, w_stride, outs, k, x, sums);
  else if (b2) tile_sums<T, 1, 2>(tiles, w, w_stride, outs, k, x, sums);
  else tile_sums<T, 1, 1>(tiles, w, w_stride, outs, k, x, sums);
  for (uint32_t i = 0; i * kTile < outs; i++)
    for (uint32_t j = 0; j * x.columns < x.rows; j++)
      store_turned(tiles, sums[i][j], x.columns, least(x.columns, x.rows - j * x.columns), least(kTile, outs - i * kTile),
                   y + j * x.columns * y_stride + i * kTile, y_stride);
}

// Each thread packs the rows for itself, and reads runs of weights.
template <class T, class Done> static void tile_few_rows(T &tiles, const Linear &l, Worker &worker, Done done) {
  constexpr uint32_t outs = 2 * kTile;
  pack_pairs(tiles, l.x, l.x_stride, l.rows, l.k, l.rows, worker.scratch);
  const PackedRows x{worker.scratch, 0, l.rows, l.rows};
  tiles.configure(l.rows);
  for_stripes<1>(worker, ceil_div(l.outs, outs), outs * l.w_stride, [&](uint32_t first, uint32_t count, uint32_t) {
    for (uint32_t o = first * outs; o < least(l.outs, (first + count) * outs); o += outs) {
      const uint32_t n = least(outs, l.outs - o);
      tile_block(tiles, l.w + o * l.w_stride, l.w_stride, n, l.k, x, l.y + o, l.y_stride);
      done(0, l.rows, o, n);
    }
  });
}

// Rows [from, from + rows) of activations, packed in the memory that threads share, times all outputs.
template <class T, class Done>
static void tile_panel(T &tiles, const Linear &l, uint32_t from, uint32_t rows, Worker &worker, Done done) {
  constexpr uint32_t pair = 2 * kTile;
  const size_t group = packed_bytes(l.k, kTile);
  const uint32_t threads = worker.pool->threads;
  const uint32_t cached = pair * (1 + uint32_t(kTileBlockBytes / (pair * l.w_stride + 1)));
  const uint32_t out_block = least(cached, pair * ceil_div(l.outs, pair * 4 * threads));
  const uint32_t out_blocks = ceil_div(l.outs, out_block), row_tasks = ceil_div(4 * threads, out_blocks);
  const uint32_t row_block = pair * ceil_div(rows, pair * row_tasks), row_blocks = ceil_div(rows, row_block);
  for (uint32_t t; (t = next_task(worker)) < row_blocks * out_blocks;) {
    const uint32_t first = t % row_blocks * row_block, end = least(rows, first + row_block);
    const uint32_t out = t / row_blocks * out_block, outs = least(out_block, l.outs - out);
    for (uint32_t r = first; r < end; r += pair) {
      const PackedRows x{worker.pool->shared + r / kTile * group, group, kTile, least(pair, end - r)};
      for (uint32_t o = out; o < out + outs; o += pair)
        tile_block(tiles, l.w + o * l.w_stride, l.w_stride, least(pair, out + outs - o), l.k, x,
                   l.y + (from + r) * l.y_stride + o, l.y_stride);
    }
    done(from + first, end - first, out, outs);
  }
}

template <class T, class Done> static void tile_many_rows(T &tiles, const Linear &l, Worker &worker, Done done) {
  const size_t group = packed_bytes(l.k, kTile);
  const uint32_t panel = kTile * uint32_t(kTilePanelBytes / group);
  tiles.configure(kTile);
  for (uint32_t from = 0; from < l.rows; from += panel) {
    const uint32_t rows = least(panel, l.rows - from);
    // Others may still read what was packed before.
    pool_barrier(*worker.pool);
    for (uint32_t g; (g = next_task(worker)) * kTile < rows;)
      pack_pairs(tiles, l.x + (from + g * kTile) * l.x_stride, l.x_stride, least(kTile, rows - g * kTile), l.k, kTile,
                 worker.pool->shared + g * group);
    pool_barrier(*worker.pool);
    tile_panel(tiles, l, from, rows, worker, done);
  }
}

template <class T> struct TileKernels {
  template <class Done> static void out_in(const Linear &l, Worker &worker, Done done) {
    T tiles;
    if (l.rows <= kFewRows) tile_few_rows(tiles, l, worker, done);
    else tile_many_rows(tiles, l, worker, done);
    tiles.release();
  }
  template <class Done> static void in_out(const Linear &, Worker &, bool, Done) {}
};

// Of bf16 matrices alone; those that tiles do not take are left to `dots`.
template <class T> static void op_linear_tiles(const Pass &pass, const Op &op, Worker &worker, OpFunction dots) {
  const Weight &weight = pass.program->weights[op.weight];
  if (weight.layout == Layout::InOut || weight.columns > kMostTileK) dots(pass, op, worker);
  else run_linear<BF16, TileKernels<T>>(pass, op, worker);
}

// Whether tiles give what sums in double precision give, and the same bits for one row as for many.
template <class T> static bool tiles_agree() {
  constexpr uint32_t outs = 35, k = 70, rows = 19;
  uint16_t w[outs * k];
  float x[rows * k], y[rows][outs], alone[outs];
  for (uint32_t i = 0; i < outs * k; i++) w[i] = to_bf16(float(int(i * 37 % 101) - 50) / 32);
  for (uint32_t i = 0; i < rows * k; i++) x[i] = float(int(i * 53 % 97) - 48) / 64;
  alignas(64) uint8_t packed[2 * ((k + kTileDepth - 1) / kTileDepth) * kTile * 4 * kTile];
  const uint8_t *bytes = reinterpret_cast<const uint8_t *>(w);
  const auto product = [&](T &tiles, const PackedRows &p, float *to) {
    for (uint32_t o = 0; o < outs; o += 2 * kTile)
      tile_block(tiles, bytes + o * k * 2, k * 2, least(2 * kTile, outs - o), k, p, to + o, outs);
  };
  T tiles;
  const size_t group = packed_bytes(k, kTile);
  for (uint32_t r = 0; r < rows; r += kTile)
    pack_pairs(tiles, x + r * k, k, least(kTile, rows - r), k, kTile, packed + r / kTile * group);
  tiles.configure(kTile);
  product(tiles, {packed, group, kTile, rows}, y[0]);
  pack_pairs(tiles, x, k, 1, k, 1, packed);
  tiles.configure(1);
  product(tiles, {packed, 0, 1, 1}, alone);
  tiles.release();
  for (uint32_t r = 0; r < rows; r++) {
    for (uint32_t o = 0; o < outs; o++) {
      double sum = 0, size = 0;
      for (uint32_t i = 0; i < k; i++) {
        uint32_t bits = uint32_t(w[o * k + i]) << 16;
        float weight;
        memcpy(&weight, &bits, 4);
        const double product = double(weight) * rounded_to_bf16(x[r * k + i]);
        sum += product;
        size += product < 0 ? -product : product;
      }
      const double error = y[r][o] - sum;
      if (!((error < 0 ? -error : error) <= 1e-6 * size)) return false;
    }
  }
  return memcmp(alone, y[0], sizeof alone) == 0;
}

}  // namespace
}  // namespace airllm
