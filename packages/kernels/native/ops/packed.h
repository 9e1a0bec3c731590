// A quantised matrix as it lies in memory, and the plain way to its numbers: any run of weights of any row, decoded to
// float32 exactly as the format says,
//   value = (number(code) - zero) * scale + offset, rounded after each step; absent parts are skipped.
#pragma once

namespace airllm {
namespace {

// One number per block, stored in any of the formats, or one of 256 that a byte picks.
struct BlockReader {
  const uint8_t *numbers, *supers;
  const uint8_t *table;  // of 256 floats, for bytes; nullptr: the byte is the number
  DType dtype, super_dtype;
  uint64_t skip, super_skip;  // blocks and supers before the first that was given
  uint32_t every;
  const uint8_t *bias;
};

// Rows from `from` on of a matrix of the pass; those of an embedding have been picked, and count from 0.
struct PackedMatrix {
  const Packed *format;
  const uint8_t *codes;  // of row `from`
  uint32_t from, k;
  size_t row_bytes;
  BlockReader scale, zero, offset;
  const uint8_t *columns, *table4;
};

// The blocks in which columns [at, at + k) of a row lie.
struct BlockRange {
  uint64_t first;
  uint32_t count;
  uint32_t lead;  // columns of the first that lie in the range, if it goes on that long
};

static inline uint32_t code_bits(Code code) { return code == Code::U4 || code == Code::Table4 ? 4 : 8; }

static inline BlockReader block_reader(const Pass &pass, const Weight &w, const BlockNumbers &n, uint32_t from,
                                       const uint8_t *table, const uint8_t *bias) {
  if (n.numbers == kNone) return {};
  const Weight &numbers = pass.program->weights[n.numbers];
  BlockReader r{pass.weight(n.numbers), pass.weight(n.supers), table, numbers.dtype, pass.dtype(n.supers), 0, 0,
                n.every, bias};
  if (numbers.layout == w.layout) r.skip = uint64_t(from) * numbers.columns;
  if (n.every && pass.program->weights[n.supers].layout == w.layout)
    r.super_skip = uint64_t(from) * pass.program->weights[n.supers].columns;
  return r;
}

static inline PackedMatrix packed_matrix(const Pass &pass, uint32_t weight, uint32_t from) {
  const Weight &w = pass.program->weights[weight];
  const Packed &q = pass.program->packed[w.packed];
  const uint8_t *constants = pass.weight(q.constants);
  const auto at = [&](uint32_t place) { return place == kNone ? nullptr : constants + 4 * place; };
  PackedMatrix m{};
  m.format = &q;
  m.codes = pass.weight(weight);
  m.from = from;
  m.k = w.columns;
  m.row_bytes = size_t(w.columns) * code_bits(q.code) / 8;
  m.scale = block_reader(pass, w, q.scale, from, at(q.table8_at), at(q.bias_at));
  m.zero = block_reader(pass, w, q.zero, from, nullptr, nullptr);
  m.offset = block_reader(pass, w, q.offset, from, at(q.table8_at), nullptr);
  m.columns = pass.weight(q.columns);
  m.table4 = at(q.table4_at);
  return m;
}

// `row` counts from the matrix's first one.
static inline BlockRange blocks_in(const PackedMatrix &m, uint32_t row, uint32_t at, uint32_t k) {
  const uint32_t columns = m.format->block_columns;
  const uint64_t start = (m.format->flat ? uint64_t(row) * m.k : 0) + at;
  const uint64_t first = start / columns, last = (start + k - 1) / columns;
  const uint64_t before =
      m.format->flat ? 0 : uint64_t(row / m.format->block_rows) * ceil_div(m.k, columns);
  const uint64_t lead = (first + 1) * columns - start;
  return {before + first, uint32_t(last - first + 1), lead < k ? uint32_t(lead) : k};
}

// At any address.
template <class T> static inline T element(const uint8_t *p, uint64_t i) {
  T x;
  memcpy(&x, p + i * sizeof(T), sizeof(T));
  return x;
}

static inline float number_at(const uint8_t *p, DType dtype, uint64_t i) {
  float lanes[kLanes];
  with_format(dtype, [&](auto w) { v_store(lanes, w_load_n(w, p + i * w.bytes, 1)); });
  return lanes[0];
}

// Numbers of `count` blocks from `first` on. Bytes one by one, floats a vector at a time.
static inline void read_blocks(const BlockReader &r, uint64_t first, uint32_t count, float *out) {
  const uint64_t from = first - r.skip;
  if (r.dtype == DType::Bytes) {
    const uint8_t *p = r.numbers + from;
    if (r.table)
      for (uint32_t i = 0; i < count; i++) out[i] = element<float>(r.table, p[i]);
    else
      for (uint32_t i = 0; i < count; i++) out[i] = float(p[i]);
  } else {
    with_format(r.dtype, [&](auto w) {
      const uint8_t *p = r.numbers + from * w.bytes;
      for_lanes(count, [&](uint32_t i, uint32_t n) { store_some(out + i, w_load_some(w, p + i * w.bytes, n), n); });
    });
  }
  for (uint32_t i = 0; r.every && i < count;) {
    const uint64_t which = (first + i) / r.every;
    const vf factor = v_set(number_at(r.supers, r.super_dtype, which - r.super_skip));
    const uint64_t end = (which + 1) * r.every - first;
    const uint32_t some = (end < count ? uint32_t(end) : count) - i;
    float *const to = out + i;
    for_lanes(some, [&](uint32_t j, uint32_t n) { store_some(to + j, load_some(to + j, n) * factor, n); });
    i += some;
  }
  if (r.bias) {
    const vf bias = v_set(element<float>(r.bias, 0));
    for_lanes(count, [&](uint32_t i, uint32_t n) { store_some(out + i, load_some(out + i, n) + bias, n); });
  }
}

// Asks for the numbers of `count` blocks, which are wanted soon.
static inline void fetch_blocks(const BlockReader &r, uint64_t first, uint32_t count) {
  const uint32_t bytes = r.dtype == DType::Bytes ? 1 : format_bytes(r.dtype);
  const uint8_t *p = r.numbers + (first - r.skip) * bytes;
  for (uint32_t at = 0; at < count * bytes; at += 64) __builtin_prefetch(p + at, 0, 3);
}

// Numbers of the blocks of one row, for as many columns as a thread's scratch has place for.
struct RowBlocks {
  BlockRange range;
  const float *scale, *zero, *offset;  // offset: nullptr where there is none
};

// `place` has room for three arrays of `most` numbers. A fixed zero is written out for every block.
static inline RowBlocks read_row_blocks(const PackedMatrix &m, uint32_t row, uint32_t at, uint32_t k, float *place,
                                        uint32_t most) {
  RowBlocks b{blocks_in(m, row, at, k), place, place + most, nullptr};
  read_blocks(m.scale, b.range.first, b.range.count, place);
  if (m.zero.numbers) read_blocks(m.zero, b.range.first, b.range.count, place + most);
  else
    for (uint32_t i = 0; i < b.range.count; i++) place[most + i] = m.format->fixed_zero;
  if (m.offset.numbers) {
    read_blocks(m.offset, b.range.first, b.range.count, place + 2 * most);
    b.offset = place + 2 * most;
  }
  return b;
}

// What the codes of one block are turned into: numbers alone, or with the block's scale, zero and offset.
struct Affine {
  vf scale, zero, offset;
  bool has_offset;
  // Subtracting 0 changes no number; adding it would change -0.
  inline vf operator()(vf number) const {
    const vf scaled = (number - zero) * scale;
    return has_offset ? scaled + offset : scaled;
  }
};

static inline Sixteen code_numbers(const PackedMatrix &m) {
  float all[16];
  for (int i = 0; i < 16; i++) all[i] = float(i);
  if (m.table4) memcpy(all, m.table4, sizeof all);
  Sixteen s;
  for (uint32_t i = 0; i < 16 / kLanes; i++) s.part[i] = v_load(all + i * kLanes);
  return s;
}

// All 16 values that a weight of a block can have: each is rounded once per block, not once per weight.
static inline Sixteen block_values(const Sixteen &numbers, const Affine &affine) {
  Sixteen s;
  for (uint32_t i = 0; i < 16 / kLanes; i++) s.part[i] = affine(numbers.part[i]);
  return s;
}

// Columns [column, column + n) of a row of 4-bit codes, all of one block.
static inline void decode_nibbles(const Sixteen &values, const uint8_t *codes, bool high_first, uint32_t column,
                                  uint32_t n, float *out) {
  const NibbleOrder order = nibble_order(high_first);
  if (column % 2 == 1) {
    float all[16];
    for (uint32_t i = 0; i < 16 / kLanes; i++) v_store(all + i * kLanes, values.part[i]);
    *out++ = all[high_first ? codes[column / 2] & 15 : codes[column / 2] >> 4];
    column++;
    n--;
  }
  const uint8_t *p = codes + column / 2;
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes, p += kLanes / 2) v_store(out + i, pick(values, p, order));
  if (i == n) return;
  uint8_t some[kLanes / 2] = {};
  memcpy(some, p, (n - i + 1) / 2);
  v_store_n(out + i, pick(values, some, order), n - i);
}

// Columns of a row of 8-bit codes, all of one block.
template <class C> static inline void decode_bytes(C code, const Affine &affine, const uint8_t *p, uint32_t n, float *out) {
  uint32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) v_store(out + i, affine(byte_numbers(code, p + i)));
  if (i == n) return;
  uint8_t some[kLanes] = {};
  memcpy(some, p + i, n - i);
  v_store_n(out + i, affine(byte_numbers(code, some)), n - i);
}

// Calls `body` with the tag of a code of 8 bits: U8(), I8() or E4M3().
template <class Body> static inline void with_bytes(Code code, Body body) {
  if (code == Code::U8) body(U8());
  else if (code == Code::I8) body(I8());
  else body(E4M3());
}

// Columns [at, at + k) of a row, all from the matrix's `from`; k ≤ kMostDepth.
AIRLLM_KERNEL void decode_row(const PackedMatrix &m, uint32_t row, uint32_t at, uint32_t k, float *place, float *out) {
  const RowBlocks b = read_row_blocks(m, m.from + row, at, k, place, kMostDepth + 64);
  const uint8_t *codes = m.codes + row * m.row_bytes;
  const auto each_block = [&](auto decode) {
    for (uint32_t i = 0, done = 0; i < b.range.count; i++) {
      const uint32_t n = i == 0 ? b.range.lead : least(m.format->block_columns, k - done);
      const Affine affine{v_set(b.scale[i]), v_set(b.zero[i]), b.offset ? v_set(b.offset[i]) : v_zero(),
                          b.offset != nullptr};
      decode(affine, at + done, n, out + done);
      done += n;
    }
  };
  if (code_bits(m.format->code) == 4) {
    const Sixteen numbers = code_numbers(m);
    const bool high_first = m.format->high_first;
    each_block([&](const Affine &affine, uint32_t column, uint32_t n, float *to) {
      decode_nibbles(block_values(numbers, affine), codes, high_first, column, n, to);
    });
  } else {
    with_bytes(m.format->code, [&](auto code) {
      each_block([&](const Affine &affine, uint32_t column, uint32_t n, float *to) {
        decode_bytes(code, affine, codes + column, n, to);
      });
    });
  }
}

}  // namespace
}  // namespace airllm
