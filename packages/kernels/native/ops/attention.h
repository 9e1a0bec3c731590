// Attention over a paged KV state: flash attention with an online softmax.
//
// The unit of arithmetic is the PARTIAL: one query (row and head) against the up to 512 keys of one stretch of absolute
// logical positions [512c, 512c + 512). It gives a maximum, a sum of exponentials and a weighted sum of values. Partials
// are merged in ascending c. Both are functions of the query alone, so it does not matter which queries share the pass,
// or whether one thread makes all partials of a query or several do.
//
// Within a partial: scores column by column (ops/attention-tiles.h); exponentials summed in one vector accumulator whose
// lanes sit at absolute positions; values added key by key in ascending order. A sink is merged last of all.
//
// A task is a TILE of up to kQueryTile queries: some rows of one sequence times the query heads that share a key head,
// so that a key block read once serves all of them.
#pragma once
#include "attention-tiles.h"

namespace airllm {
namespace {

struct Attention {
  const Pass &pass;
  const State &state;
  const airllm_kv *sequences;
  const float *q, *k, *v;
  float *out;
  const uint8_t *sinks;  // [heads] in stored form, or nullptr
  DType sinks_dtype;
  uint32_t heads, group;  // query heads, and how many of them share a key head
  uint32_t window;
  float scale, softcap;
  uint32_t tile_heads, tile_rows, tiles_per_chunk;

  Attention(const Pass &p, const Op &op)
      : pass(p), state(p.program->states[op.n[kAttnState]]),
        sequences(p.run->states + size_t(op.n[kAttnState]) * p.run->sequences), q(p.value(op.a)), k(p.value(op.b)),
        v(p.value(op.c)), out(p.value(op.out)), sinks(p.weight(op.weight)), sinks_dtype(p.dtype(op.weight)),
        heads(op.n[kAttnHeads]), group(heads / state.kv_heads),
        window(op.n[kAttnWindow]), scale(op.f[kAttnScale]), softcap(op.f[kAttnSoftcap]),
        tile_heads(least(group, kQueryTile)), tile_rows(kQueryTile / tile_heads),
        tiles_per_chunk(state.kv_heads * ceil_div(group, tile_heads)) {}

  uint32_t position(uint32_t row) const { return uint32_t(pass.run->position[row]); }
  // First position the row sees.
  uint32_t first(uint32_t row) const {
    const int32_t from = pass.run->visible_from[row];
    const uint32_t p = position(row), visible = from > 0 ? uint32_t(from) : 0;
    return window && p + 1 > window && p + 1 - window > visible ? p + 1 - window : visible;
  }
  // Memory of a logical block, or nullptr after noting the failure.
  uint8_t *block(uint32_t row, uint32_t index) const {
    const airllm_kv &kv = sequences[pass.run->sequence[row]];
    if (index < kv.count && kv.blocks[index]) return reinterpret_cast<uint8_t *>(kv.blocks[index]);
    pass.fail(AIRLLM_MISSING_STATE);
    return nullptr;
  }
  // The same for addresses that are only asked for ahead of time: any, where there is none.
  const uint8_t *peek(uint32_t row, uint32_t index) const {
    const airllm_kv &kv = sequences[pass.run->sequence[row]];
    return index < kv.count ? reinterpret_cast<const uint8_t *>(kv.blocks[index]) : nullptr;
  }
  // Rows from `row` that one tile can hold: of one sequence.
  uint32_t chunk_rows(uint32_t row) const {
    uint32_t n = 1;
    while (n < tile_rows && row + n < pass.rows && pass.run->sequence[row + n] == pass.run->sequence[row]) n++;
    return n;
  }
};

struct Tile {
  uint32_t row, rows, kv_head, head, heads;
  uint32_t queries() const { return rows * heads; }
};

// Finds tiles by number; numbers must ascend.
struct TileCursor {
  const Attention &a;
  uint32_t row = 0, base = 0;

  // False past the last tile.
  bool find(uint32_t index, Tile &tile) {
    while (row < a.pass.rows && index >= base + a.tiles_per_chunk) {
      row += a.chunk_rows(row);
      base += a.tiles_per_chunk;
    }
    if (row >= a.pass.rows) return false;
    const uint32_t per_head = a.tiles_per_chunk / a.state.kv_heads, at = index - base;
    tile.row = row;
    tile.rows = a.chunk_rows(row);
    tile.kv_head = at / per_head;
    const uint32_t first = at % per_head * a.tile_heads;
    tile.head = tile.kv_head * a.group + first;
    tile.heads = least(a.tile_heads, a.group - first);
    return true;
  }
};

struct Range {
  uint32_t from, to;  // positions, `to` excluded
  bool empty() const { return from >= to; }
};
static inline Range intersect(Range a, Range b) {
  return {a.from > b.from ? a.from : b.from, least(a.to, b.to)};
}
static inline Range join(Range a, Range b) {
  if (a.empty()) return b;
  if (b.empty()) return a;
  return {least(a.from, b.from), a.to > b.to ? a.to : b.to};
}

// A thread's memory for one tile and one partial.
struct PartialScratch {
  float *queries;  // [key_dim][queries]
  float *scores;   // [queries][kPartialKeys]

  explicit PartialScratch(uint8_t *at)
      : queries(reinterpret_cast<float *>(at) + size_t(kQueryTile) * kPartialKeys),
        scores(reinterpret_cast<float *>(at)) {}
};

// Where results of partials lie, [queries] each; a query without keys in the partial has an undefined result.
struct PartialResult {
  float *max, *sum;
  float *values;  // [queries][value_dim]
};

static inline Range row_range(const Attention &a, uint32_t row, uint32_t partial) {
  return intersect({a.first(row), a.position(row) + 1}, {partial * kPartialKeys, (partial + 1) * kPartialKeys});
}

static void gather_queries(const Attention &a, const Tile &tile, float *queries) {
  const uint32_t dim = a.state.key_dim, count = tile.queries();
  for (uint32_t q = 0; q < count; q++) {
    const float *from = a.q + (size_t(tile.row + q / tile.heads) * a.heads + tile.head + q % tile.heads) * dim;
    for (uint32_t d = 0; d < dim; d++) queries[size_t(d) * count + q] = from[d];
  }
}

// Calls `body(first row, rows, keys)` for each run of the tile's rows that see the same keys of a block.
template <class Body>
static inline void for_runs(const Attention &a, const Tile &tile, uint32_t partial, Range block, Body body) {
  for (uint32_t r = 0; r < tile.rows;) {
    const Range keys = intersect(row_range(a, tile.row + r, partial), block);
    uint32_t n = 1;
    for (; r + n < tile.rows; n++) {
      const Range next = intersect(row_range(a, tile.row + r + n, partial), block);
      if (next.from != keys.from || next.to != keys.to) break;
    }
    if (!keys.empty()) body(r, n, keys);
    r += n;
  }
}

// Raw scores become exp(score − max); lanes outside the range become 0.
static inline void soften(const Attention &a, float *scores, uint32_t from, uint32_t to, float &max, float &sum) {
  const uint32_t begin = from / kLanes * kLanes, end = (to + kLanes - 1) / kLanes * kLanes;
  const vf scale = v_set(a.scale), cap = v_set(a.softcap);
  vf top = v_set(-__builtin_inff());
  for (uint32_t i = begin; i < end; i += kLanes) {
    vf s = v_load(scores + i) * scale;
    if (a.softcap != 0) s = cap * v_tanh(s / cap);
    v_store(scores + i, s);
    if (i < from || i + kLanes > to) {
      for (uint32_t l = i; l < i + kLanes; l++)
        if (l < from || l >= to) scores[l] = -__builtin_inff();
      s = v_load(scores + i);
    }
    top = v_max(top, s);
  }
  max = v_reduce_max(top);
  vf total = v_zero();
  for (uint32_t i = begin; i < end; i += kLanes) {
    const vf p = v_exp(v_load(scores + i) - v_set(max));
    v_store(scores + i, p);
    total = total + p;
  }
  sum = v_reduce_add(total);
}

// Calls `body(first position, memory)` for each block of 32 positions that holds some of the range.
template <class Body> static inline void for_blocks(const Attention &a, uint32_t row, Range range, Body body) {
  for (uint32_t at = range.from / kBlockPositions * kBlockPositions; at < range.to; at += kBlockPositions)
    if (const uint8_t *memory = a.block(row, at / kBlockPositions)) body(at, memory);
}

// Scores of a block's keys, for the rows that see some of them.
template <class F>
static void score_keys(const Attention &a, const Tile &tile, uint32_t partial, uint32_t at, const uint8_t *memory,
                       const uint8_t *next, const PartialScratch &scratch) {
  uint32_t first = tile.rows, last = 0;
  for (uint32_t r = 0; r < tile.rows; r++) {
    if (intersect(row_range(a, tile.row + r, partial), {at, at + kBlockPositions}).empty()) continue;
    first = least(first, r);
    last = r + 1;
  }
  if (first >= last) return;
  const KvLayout<F> layout(a.state);
  const uint32_t q = first * tile.heads, n = (last - first) * tile.heads, dim = a.state.key_dim;
  score_block<F>(scratch.queries + q, tile.queries(), n, dim, memory + layout.keys(tile.kv_head), next,
                 scales_at<F>(memory, layout.key_scales(tile.kv_head)),
                 scratch.scores + size_t(q) * kPartialKeys + at % kPartialKeys, kPartialKeys);
}

// Adds a block's values, weighted, to the results of the rows that see some of them.
template <class F>
static void add_block(const Attention &a, const Tile &tile, uint32_t partial, uint32_t at, const uint8_t *memory,
                      const uint8_t *next, const PartialScratch &scratch, const PartialResult &result) {
  const KvLayout<F> layout(a.state);
  const uint32_t dim = a.state.value_dim;
  const uint8_t *values = memory + layout.values(tile.kv_head);
  const float *scales = scales_at<F>(memory, layout.value_scales(tile.kv_head));
  for_runs(a, tile, partial, {at, at + kBlockPositions}, [&](uint32_t row, uint32_t rows, Range keys) {
    // Rows of a run may begin their partial in different blocks: those that begin here start from 0.
    for (uint32_t r = row, n; r < row + rows; r += n) {
      const bool fresh = row_range(a, tile.row + r, partial).from >= at;
      n = 1;
      while (r + n < row + rows && (row_range(a, tile.row + r + n, partial).from >= at) == fresh) n++;
      const uint32_t q = r * tile.heads, queries = n * tile.heads;
      float *weights = scratch.scores + size_t(q) * kPartialKeys + at % kPartialKeys;
      if (scales)
        for (uint32_t i = 0; i < queries; i++)
          for (uint32_t p = 0; p < kBlockPositions; p += kLanes) {
            float *w = weights + size_t(i) * kPartialKeys + p;
            v_store(w, v_load(w) * v_load(scales + p));
          }
      add_values<F>(weights + (keys.from - at), kPartialKeys, queries, values + size_t(keys.from - at) * dim * F::bytes,
                    next - values, keys.to - keys.from, dim, result.values + size_t(q) * dim, fresh);
    }
  });
}

template <class F>
static void partial_of_tile(const Attention &a, const Tile &tile, uint32_t partial, const PartialScratch &scratch,
                            const PartialResult &result) {
  const uint32_t base = partial * kPartialKeys;
  Range all{0, 0};
  for (uint32_t r = 0; r < tile.rows; r++) all = join(all, row_range(a, tile.row + r, partial));
  // Keys of all blocks are read, then values, then the keys that begin the next partial.
  const KvLayout<F> layout(a.state);
  const size_t keys = layout.keys(tile.kv_head), values = layout.values(tile.kv_head);
  const uint8_t *const first = a.peek(tile.row, all.from / kBlockPositions);
  for_blocks(a, tile.row, all, [&](uint32_t at, const uint8_t *memory) {
    const uint8_t *next = at + kBlockPositions < all.to ? a.peek(tile.row, at / kBlockPositions + 1) + keys : first + values;
    score_keys<F>(a, tile, partial, at, memory, next, scratch);
  });
  for (uint32_t r = 0; r < tile.rows; r++) {
    const Range keys = row_range(a, tile.row + r, partial);
    if (keys.empty()) continue;
    for (uint32_t q = r * tile.heads; q < (r + 1) * tile.heads; q++)
      soften(a, scratch.scores + size_t(q) * kPartialKeys, keys.from - base, keys.to - base, result.max[q],
             result.sum[q]);
  }
  for_blocks(a, tile.row, all, [&](uint32_t at, const uint8_t *memory) {
    const size_t part = at + kBlockPositions < all.to ? values : keys;
    add_block<F>(a, tile, partial, at, memory, a.peek(tile.row, at / kBlockPositions + 1) + part, scratch, result);
  });
}

static inline float exp_of(float x) {
  float lanes[kLanes];
  v_store(lanes, v_exp(v_set(x)));
  return lanes[0];
}

static inline float sink_of(const Attention &a, uint32_t head) {
  float lanes[kLanes];
  with_format(a.sinks_dtype, [&](auto w) { v_store(lanes, w_load_n(w, a.sinks + size_t(head) * w.bytes, 1)); });
  return lanes[0];
}

// Running state of a tile's queries: maximum and sum in `max` and `sum`, weighted values in the op's output itself.
struct Running {
  float *max, *sum;
};

static inline float *output_of(const Attention &a, const Tile &tile, uint32_t query) {
  const uint32_t row = tile.row + query / tile.heads, head = tile.head + query % tile.heads;
  return a.out + (size_t(row) * a.heads + head) * a.state.value_dim;
}

static void start_tile(const Attention &a, const Tile &tile, const Running &running) {
  for (uint32_t q = 0; q < tile.queries(); q++) {
    running.max[q] = -__builtin_inff();
    running.sum[q] = 0;
    memset(output_of(a, tile, q), 0, size_t(a.state.value_dim) * 4);
  }
}

static void merge_partial(const Attention &a, const Tile &tile, uint32_t partial, const PartialResult &result,
                          const Running &running) {
  for (uint32_t q = 0; q < tile.queries(); q++) {
    if (row_range(a, tile.row + q / tile.heads, partial).empty()) continue;
    const float max = running.max[q] > result.max[q] ? running.max[q] : result.max[q];
    const float keep = exp_of(running.max[q] - max), take = exp_of(result.max[q] - max);
    running.max[q] = max;
    running.sum[q] = running.sum[q] * keep + result.sum[q] * take;
    float *out = output_of(a, tile, q);
    const float *values = result.values + size_t(q) * a.state.value_dim;
    const vf old = v_set(keep), fresh = v_set(take);
    for_lanes(a.state.value_dim, [&](uint32_t i, uint32_t n) {
      store_some(out + i, v_fma(load_some(values + i, n), fresh, load_some(out + i, n) * old), n);
    });
  }
}

// Divides by the sum. A sink joins it as a key without a value would: with its own exponential.
static void finish_tile(const Attention &a, const Tile &tile, const Running &running) {
  for (uint32_t q = 0; q < tile.queries(); q++) {
    if (running.sum[q] == 0) continue;  // a row that sees nothing gives zeros
    float keep = 1, sum = running.sum[q];
    if (a.sinks) {
      const float sink = sink_of(a, tile.head + q % tile.heads), max = running.max[q] > sink ? running.max[q] : sink;
      keep = exp_of(running.max[q] - max);
      sum = sum * keep + exp_of(sink - max);
    }
    float *out = output_of(a, tile, q);
    const vf kept = v_set(keep), total = v_set(sum);
    for_lanes(a.state.value_dim,
              [&](uint32_t i, uint32_t n) { store_some(out + i, load_some(out + i, n) * kept / total, n); });
  }
}

// Partials that any row of the tile has keys in.
static Range partials_of(const Attention &a, const Tile &tile) {
  Range all{0, 0};
  for (uint32_t r = 0; r < tile.rows; r++)
    all = join(all, {a.first(tile.row + r), a.position(tile.row + r) + 1});
  return {all.from / kPartialKeys, all.empty() ? 0 : (all.to + kPartialKeys - 1) / kPartialKeys};
}

// Each task takes a tile through all its partials.
template <class F> static void attend_by_tile(const Attention &a, Worker &worker) {
  const PartialScratch scratch(worker.scratch);
  float *at = scratch.queries + size_t(kQueryTile) * a.state.key_dim;
  const PartialResult result{at, at + kQueryTile, at + 4 * kQueryTile};
  const Running running{at + 2 * kQueryTile, at + 3 * kQueryTile};
  TileCursor cursor{a};
  Tile tile;
  while (cursor.find(next_task(worker), tile)) {
    gather_queries(a, tile, scratch.queries);
    start_tile(a, tile, running);
    const Range partials = partials_of(a, tile);
    for (uint32_t c = partials.from; c < partials.to; c++) {
      partial_of_tile<F>(a, tile, c, scratch, result);
      merge_partial(a, tile, c, result, running);
    }
    finish_tile(a, tile, running);
  }
}

// Few tiles with many keys: each task makes one partial of one tile; after every wave of partials they are merged in
// order. Memory is bounded by the length of a wave, not by the context.
template <class F>
static void attend_by_partial(const Attention &a, Worker &worker, uint32_t tiles, Range partials) {
  const PartialScratch scratch(worker.scratch);
  const size_t slot = size_t(kQueryTile) * (a.state.value_dim + 2);
  float *shared = reinterpret_cast<float *>(worker.pool->shared);
  const size_t floats = worker.pool->shared_bytes / 4 * worker.pool->threads;
  const uint32_t wave = uint32_t((floats - size_t(tiles) * 2 * kQueryTile) / (slot * tiles));
  const auto result_of = [&](uint32_t tile, uint32_t i) {
    float *at = shared + size_t(tiles) * 2 * kQueryTile + (size_t(tile) * wave + i) * slot;
    return PartialResult{at, at + kQueryTile, at + 2 * kQueryTile};
  };
  for (uint32_t c = partials.from; c < partials.to; c += wave) {
    const uint32_t count = least(wave, partials.to - c);
    Tile tile;
    TileCursor cursor{a};
    for (uint32_t t; (t = next_task(worker)) < tiles * count;) {
      const uint32_t partial = c + t % count;
      cursor.find(t / count, tile);
      const Range own = partials_of(a, tile);
      if (partial < own.from || partial >= own.to) continue;
      gather_queries(a, tile, scratch.queries);
      partial_of_tile<F>(a, tile, partial, scratch, result_of(t / count, t % count));
    }
    pool_barrier(*worker.pool);
    TileCursor merging{a};
    for (uint32_t t; (t = next_task(worker)) < tiles;) {
      merging.find(t, tile);
      const Running running{shared + size_t(t) * 2 * kQueryTile, shared + (size_t(t) * 2 + 1) * kQueryTile};
      if (c == partials.from) start_tile(a, tile, running);
      const Range own = partials_of(a, tile);
      for (uint32_t i = 0; i < count; i++)
        if (c + i >= own.from && c + i < own.to) merge_partial(a, tile, c + i, result_of(t, i), running);
      if (c + count >= partials.to) finish_tile(a, tile, running);
    }
    pool_barrier(*worker.pool);
  }
}

// Rows from `row` whose keys go to the same block: they are written by one thread, since their columns share cache lines.
static inline uint32_t rows_of_block(const Attention &a, uint32_t row) {
  uint32_t n = 1;
  while (row + n < a.pass.rows && a.pass.run->sequence[row + n] == a.pass.run->sequence[row] &&
         a.position(row + n) / kBlockPositions == a.position(row) / kBlockPositions)
    n++;
  return n;
}

template <class F> static void store_row(const Attention &a, uint32_t row) {
  const uint32_t position = a.position(row), at = position % kBlockPositions;
  const State &s = a.state;
  uint8_t *memory = a.block(row, position / kBlockPositions);
  if (!memory) return;
  const KvLayout<F> layout(s);
  for (uint32_t h = 0; h < s.kv_heads; h++) {
    const size_t head = size_t(row) * s.kv_heads + h;
    float *key_scale = reinterpret_cast<float *>(memory + layout.key_scales(h)) + at;
    float *value_scale = reinterpret_cast<float *>(memory + layout.value_scales(h)) + at;
    encode(F(), a.k + head * s.key_dim, s.key_dim, memory + layout.keys(h) + at * F::bytes, kBlockPositions, key_scale);
    encode(F(), a.v + head * s.value_dim, s.value_dim, memory + layout.values(h) + size_t(at) * s.value_dim * F::bytes,
           1, value_scale);
  }
}

template <class F> static void store_rows(const Attention &a, Worker &worker) {
  uint32_t task = next_task(worker), chunk = 0;
  for (uint32_t row = 0, n; row < a.pass.rows; row += n, chunk++) {
    n = rows_of_block(a, row);
    if (chunk != task) continue;
    for (uint32_t r = row; r < row + n; r++) store_row<F>(a, r);
    task = next_task(worker);
  }
}

template <class F> static void attend(const Attention &a, Worker &worker) {
  store_rows<F>(a, worker);
  pool_barrier(*worker.pool);
  // Every thread counts the same, so all take the same way.
  const uint32_t enough = kTasksPerThread * worker.pool->threads;
  uint32_t tiles = 0;
  Range partials{0, 0};
  for (uint32_t row = 0; row < a.pass.rows && tiles < enough; tiles += a.tiles_per_chunk) {
    const Tile rows{row, a.chunk_rows(row), 0, 0, 1};
    partials = join(partials, partials_of(a, rows));
    row += rows.rows;
  }
  if (tiles < enough && partials.to > partials.from + 1) attend_by_partial<F>(a, worker, tiles, partials);
  else attend_by_tile<F>(a, worker);
}

static void op_attention(const Pass &pass, const Op &op, Worker &worker) {
  const Attention a(pass, op);
  switch (a.state.dtype) {
    case KvDType::F32: return attend<F32>(a, worker);
    case KvDType::BF16: return attend<BF16>(a, worker);
    case KvDType::I8: return attend<Int8>(a, worker);
  }
}

}  // namespace
}  // namespace airllm
