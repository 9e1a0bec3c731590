// One or two rows of activations times a quantised matrix: codes become operands in registers, on their way from memory.
// The order of summation is that of ops/tiles.h, and each operand is the one that decoding gives, so a row has the bytes
// that it has among many.
#pragma once

namespace airllm {
namespace {

// Rows that are computed so; more of them repay decoding a few outputs into scratch.
constexpr uint32_t kFusedRows = 2;
// Outputs at once, each in a long run of memory of its own.
constexpr uint32_t kFusedStripes = 4;
// Blocks of each whose numbers are read at a time.
constexpr uint32_t kFusedBlocks = kBlockNumbers / (kFusedStripes * 3 * 4);
constexpr uint32_t kCacheLine = 64;
// Registers hold a tile only where all that touches it is one function.
#define AIRLLM_INLINE inline __attribute__((always_inline))

// Whether each step lies in one block, or consists of two.
template <class X> static inline bool fused_ok(const PackedMatrix &m) {
  constexpr uint32_t step = Dot<X, X>::step;
  const uint32_t columns = m.format->block_columns;
  if (m.format->flat && m.k % columns != 0) return false;
  const bool halves = X::bytes == 2 && 2 * columns == step;
  return columns >= m.k || columns % step == 0 || halves;
}

// Numbers of some blocks of one output of each stripe.
struct FusedNumbers {
  float *all;
  inline float *scale(uint32_t stripe, uint32_t i) const { return all + (3 * stripe) * kFusedBlocks + i; }
  inline float *zero(uint32_t stripe, uint32_t i) const { return all + (3 * stripe + 1) * kFusedBlocks + i; }
  inline float *offset(uint32_t stripe, uint32_t i) const { return all + (3 * stripe + 2) * kFusedBlocks + i; }
};

// Codes of a kind C and numbers of their blocks as operands of Dot<X, X>. `Block` is what all steps of a block share;
// kAffine: blocks have zeros or offsets, kHalves: a step may be two blocks. `quick_operand` is for codes that are no NaN.
template <class X, class C, bool kAffine> struct FusedCode;

template <class A, class B> struct Same { static constexpr bool yes = false; };
template <class A> struct Same<A, A> { static constexpr bool yes = true; };

// Any of the 16 values that a weight of a block can have is picked by its code.
template <bool kAffine> struct NibbleCode {
  Sixteen numbers;
  NibbleOrder order;
  bool zeros, offsets;

  explicit NibbleCode(const PackedMatrix &m)
      : numbers(code_numbers(m)), order(nibble_order(m.format->high_first)), zeros(m.zero.numbers),
        offsets(m.offset.numbers) {
    for (vf &part : numbers.part) part = part - v_set(m.format->fixed_zero);
  }
  inline Sixteen values(const FusedNumbers &n, uint32_t stripe, uint32_t i) const {
    Sixteen b = numbers;
    for (vf &part : b.part) {
      if (kAffine && zeros) part = part - v_set(*n.zero(stripe, i));
      part = part * v_set(*n.scale(stripe, i));
      if (kAffine && offsets) part = part + v_set(*n.offset(stripe, i));
    }
    return b;
  }
};

template <bool kAffine> struct FusedCode<F32, U4, kAffine> : NibbleCode<kAffine> {
  using NibbleCode<kAffine>::NibbleCode;
  using Block = Sixteen;
  static constexpr uint32_t bits = 4;
  static constexpr bool kNan = false;
  static constexpr bool kHalves = false;
  inline Block block(const FusedNumbers &n, uint32_t stripe, uint32_t i) const { return this->values(n, stripe, i); }
  inline vf operand(const Block &b, const uint8_t *p) const { return pick(b, p, this->order); }
  inline vf quick_operand(const Block &b, const uint8_t *p) const { return operand(b, p); }
};

// Bytes are numbers themselves.
template <class C, bool kAffine> struct ByteCode {
  bool zeros, offsets;
  float fixed_zero;

  explicit ByteCode(const PackedMatrix &m)
      : zeros(m.zero.numbers), offsets(m.offset.numbers), fixed_zero(m.format->fixed_zero) {}
  struct Block {
    vf scale, zero, offset;
  };
  inline Block block(const FusedNumbers &n, uint32_t stripe, uint32_t i) const {
    const vf scale = v_set(*n.scale(stripe, i));
    if (!kAffine) return {scale, v_zero(), v_zero()};
    // Adding -0 changes no number.
    return {scale, v_set(zeros ? *n.zero(stripe, i) : fixed_zero), v_set(offsets ? *n.offset(stripe, i) : -0.0f)};
  }
  inline vf value(const Block &b, vf number) const {
    return kAffine ? (number - b.zero) * b.scale + b.offset : number * b.scale;
  }
};

template <class C, bool kAffine> struct FusedCode<F32, C, kAffine> : ByteCode<C, kAffine> {
  using Base = ByteCode<C, kAffine>;
  using Base::Base;
  using typename Base::Block;
  static constexpr uint32_t bits = 8;
  using Kind = C;
  static constexpr bool kNan = Same<C, E4M3>::yes;
  static constexpr bool kHalves = false;
  inline vf operand(const Block &b, const uint8_t *p) const { return Base::value(b, byte_numbers(C(), p)); }
  inline vf quick_operand(const Block &b, const uint8_t *p) const { return Base::value(b, quick_numbers(C(), p)); }
};

// R rows times one output of each stripe, along some columns of one depth.
template <uint32_t R, class X, class C> struct FusedTile {
  using D = Dot<X, X>;
  static constexpr uint32_t S = kFusedStripes, bytes = D::step * C::bits / 8;
  // Columns whose codes are a line of the cache, which is asked for ahead.
  static constexpr uint32_t line = kCacheLine * 8 / C::bits;

  const C code;
  const FusedNumbers numbers;
  const typename X::Stored *x;  // of the next column
  size_t xr;
  const uint8_t *codes[S];  // of the row's first column
  size_t next;              // bytes from there to the next column
  vf acc[R][S];

  AIRLLM_INLINE void clear() {
    for (uint32_t r = 0; r < R; r++)
      for (uint32_t s = 0; s < S; s++) acc[r][s] = v_zero();
  }
  AIRLLM_INLINE void fetch() const {
    for (uint32_t s = 0; s < S; s++) __builtin_prefetch(codes[s] + next + kAhead, 0, 3);
  }
  // In the next line of codes.
  AIRLLM_INLINE bool any_nan() const {
    if constexpr (C::kNan) {
      uint64_t found = 0;
      for (uint32_t s = 0; s < S; s++) found |= nan_codes(typename C::Kind(), codes[s] + next);
      return found;
    }
    return false;
  }
  // One step; `operand(s, codes)`.
  template <class Operand> AIRLLM_INLINE void step(const Operand &operand) {
    typename D::Operand xs[R];
    for (uint32_t r = 0; r < R; r++) xs[r] = D::load_x(x + r * xr);
    for (uint32_t s = 0; s < S; s++) {
      const auto w = operand(s, codes[s] + next);
      for (uint32_t r = 0; r < R; r++) acc[r][s] = D::add(acc[r][s], xs[r], w);
    }
    x += D::step;
    next += bytes;
  }
  // The first n columns of a step, where a row ends: zeros follow, as in a tile.
  template <class Operand> AIRLLM_INLINE void last_step(const Operand &operand, uint32_t n) {
    typename D::Operand xs[R];
    for (uint32_t r = 0; r < R; r++) xs[r] = D::load_x_n(x + r * xr, n);
    for (uint32_t s = 0; s < S; s++) {
      uint8_t some[bytes] = {};
      memcpy(some, codes[s] + next, (n * C::bits + 7) / 8);
      const auto all = operand(s, some);
      const auto w = D::load_w_n(reinterpret_cast<const uint8_t *>(&all), n);
      for (uint32_t r = 0; r < R; r++) acc[r][s] = D::add(acc[r][s], xs[r], w);
    }
  }
  // Columns of one block, or of its beginning or end.
  AIRLLM_INLINE void one_block(uint32_t i, uint32_t n) {
    typename C::Block block[S];
    for (uint32_t s = 0; s < S; s++) block[s] = code.block(numbers, s, i);
    const auto operand = [&](uint32_t s, const uint8_t *p) { return code.operand(block[s], p); };
    uint32_t j = 0;
    for (; j + line <= n; j += line) {
      fetch();
      if (any_nan()) {
        for (uint32_t k = 0; k < line; k += D::step) step(operand);
        continue;
      }
#pragma GCC unroll 8
      for (uint32_t k = 0; k < line; k += D::step)
        step([&](uint32_t s, const uint8_t *p) { return code.quick_operand(block[s], p); });
    }
    if (j < n) fetch();
    for (; j + D::step <= n; j += D::step) step(operand);
    if (j < n) last_step(operand, n - j);
  }
  // Blocks of `columns`, whole lines of them; i is the first. Returns how many columns were left.
  template <uint32_t columns> AIRLLM_INLINE uint32_t small_blocks(uint32_t i, uint32_t k) {
    for (; k >= line; k -= line) {
      fetch();
#pragma GCC unroll 8
      for (uint32_t done = 0; done < line; done += columns < D::step ? D::step : columns) {
        if constexpr (columns < D::step) {
          step([&](uint32_t s, const uint8_t *p) { return code.halves(numbers, s, i, p); });
          i += 2;
        } else {
          typename C::Block block[S];
          for (uint32_t s = 0; s < S; s++) block[s] = code.block(numbers, s, i);
#pragma GCC unroll 8
          for (uint32_t j = 0; j < columns; j += D::step)
            step([&](uint32_t s, const uint8_t *p) { return code.operand(block[s], p); });
          i++;
        }
      }
    }
    return k;
  }
  // The end of a row in blocks of half a step.
  AIRLLM_INLINE void last_halves(uint32_t i, uint32_t k) {
    if constexpr (C::kHalves) {
      const auto operand = [&](uint32_t s, const uint8_t *p) { return code.halves(numbers, s, i, p); };
      for (; k >= D::step; k -= D::step, i += 2) step(operand);
      if (k > 0) last_step(operand, k);
    }
  }
};

// Where in its row's blocks a depth begins: in block i of those that were read, of which `left` columns are to come.
struct BlockCursor {
  uint32_t i, left;
};

template <uint32_t R, class X, class C>
static AIRLLM_INLINE void fused_depth(FusedTile<R, X, C> &tile, uint32_t columns, BlockCursor &at, uint32_t k) {
  constexpr uint32_t step = Dot<X, X>::step;
  if (columns <= 64 && at.left == columns) {
    uint32_t left = k;
    if (columns == 32) left = tile.template small_blocks<32>(at.i, k);
    else if (columns == 64) left = tile.template small_blocks<64>(at.i, k);
    else if (columns == 16 && (step == 16 || C::kHalves)) left = tile.template small_blocks<16>(at.i, k);
    at.i += (k - left) / columns;
    k = left;
    if (columns < step && k > 0) return tile.last_halves(at.i, k);
  }
  while (k > 0) {
    const uint32_t n = least(at.left, k);
    tile.one_block(at.i, n);
    k -= n;
    at.left -= n;
    if (at.left == 0) at = {at.i + 1, columns};
  }
}

// R rows times `outs` outputs in each of the stripes, which lie `apart`.
template <uint32_t R, class X, class C>
AIRLLM_KERNEL void packed_stripes(const PackedMatrix &m, const C &code, const DotSource<X> &from, uint32_t out,
                                  uint32_t outs, uint32_t apart, float *place, float *y, size_t yr) {
  using D = Dot<X, X>;
  constexpr uint32_t S = kFusedStripes;
  const uint32_t columns = m.format->block_columns, per_row = ceil_div(m.k, columns);
  const uint32_t block_rows = m.format->block_rows;
  const FusedNumbers numbers{place};
  // Depths whose blocks' numbers are read together.
  const uint32_t span = columns >= m.k ? m.k : D::depth * (1 + (kFusedBlocks - kMostDepth / 16 - 2) / ceil_div(D::depth, columns));
  for (uint32_t o = out; o < out + outs; o++) {
    FusedTile<R, X, C> tile{code, numbers, from.x, from.xr, {}, 0, {}};
    uint64_t first[S];
    for (uint32_t s = 0; s < S; s++) {
      const uint32_t row = o + s * apart, whole = m.from + row;
      tile.codes[s] = m.codes + row * m.row_bytes;
      first[s] = uint64_t(block_rows == 1 ? whole : whole / block_rows) * per_row;
    }
    BlockCursor at{0, columns};
    for (uint32_t begin = 0; begin < m.k; begin += span) {
      const uint32_t length = least(span, m.k - begin);
      const uint32_t count = length <= at.left ? 1 : 1 + ceil_div(length - at.left, columns);
      for (uint32_t s = 0; s < S; s++) {
        first[s] += at.i;
        // Where each row has numbers of its own, those of the stripe's next row follow.
        const auto read = [&](const BlockReader &reader, float *to) {
          if (!reader.numbers) return;
          read_blocks(reader, first[s], count, to);
          fetch_blocks(reader, first[s] + count, count);
        };
        read(m.scale, numbers.scale(s, 0));
        read(m.zero, numbers.zero(s, 0));
        read(m.offset, numbers.offset(s, 0));
      }
      at.i = 0;
      for (uint32_t done = 0; done < length; done += D::depth) {
        tile.clear();
        fused_depth(tile, columns, at, least(D::depth, length - done));
        dot_finish<R, S>(tile.acc, y + o, yr, apart, begin + done > 0);
      }
    }
  }
}

// Calls `body` with the tag of a matrix's codes, if they can be met in registers; else returns false.
template <class X, class Body> static inline bool with_fused(const PackedMatrix &m, Body body) {
  if constexpr (kFused<X>) {
    if (!fused_ok<X>(m)) return false;
    const bool affine = m.zero.numbers || m.offset.numbers;
    if (code_bits(m.format->code) == 4) {
      if (affine) body(FusedCode<X, U4, true>(m));
      else body(FusedCode<X, U4, false>(m));
    } else if (m.format->code == Code::U8) {
      body(FusedCode<X, U8, true>(m));
    } else if (affine || m.format->fixed_zero != 0) {
      return false;
    } else if (m.format->code == Code::I8) {
      body(FusedCode<X, I8, false>(m));
    } else {
      body(FusedCode<X, E4M3, false>(m));
    }
    return true;
  }
  return false;
}

}  // namespace
}  // namespace airllm
