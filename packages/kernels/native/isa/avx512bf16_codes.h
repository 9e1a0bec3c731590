// Codes of quantised matrices as operands of bf16 dot products: see ops/packed_dot.h.
#pragma once

namespace airllm {
namespace {

template <> constexpr bool kFused<BF16> = true;

static inline __m512i joined(vf low, vf high) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

// A step of 32 codes picks from 16 values in bf16, twice side by side: the fifth bit of an index is the next code's.
template <bool kAffine> struct FusedCode<BF16, U4, kAffine> : NibbleCode<kAffine> {
  using Base = NibbleCode<kAffine>;
  using Block = __m512i;
  static constexpr uint32_t bits = 4;
  static constexpr bool kNan = false;
  static constexpr bool kHalves = true;
  __m512i places, shifts;

  explicit FusedCode(const PackedMatrix &m) : Base(m) {
    // 16-bit lane i gets byte i / 2 of the sixteen, and shifts its half down.
    const __m512i pairs = _mm512_broadcast_i32x4(_mm_setr_epi16(0, 0, 1, 1, 2, 2, 3, 3));
    const __m512i quarters = _mm512_setr_epi64(0, 0, 0x4000400040004, 0x4000400040004, 0x8000800080008, 0x8000800080008,
                                               0xc000c000c000c, 0xc000c000c000c);
    places = _mm512_or_si512(_mm512_add_epi16(pairs, quarters), _mm512_set1_epi16(int16_t(0x8000)));
    shifts = _mm512_set1_epi32(m.format->high_first ? 4 : 4 << 16);
  }
  inline Block block(const FusedNumbers &n, uint32_t stripe, uint32_t i) const {
    return _mm512_broadcast_i64x4((__m256i)_mm512_cvtneps_pbh(Base::values(n, stripe, i).part[0]));
  }
  inline __m512i operand(const Block &b, const uint8_t *p) const {
    const __m512i sixteen = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    return _mm512_permutexvar_epi16(_mm512_srlv_epi16(_mm512_shuffle_epi8(sixteen, places), shifts), b);
  }
  inline __m512i quick_operand(const Block &b, const uint8_t *p) const { return operand(b, p); }
  inline __m512i halves(const FusedNumbers &n, uint32_t stripe, uint32_t i, const uint8_t *p) const {
    return joined(pick(Base::values(n, stripe, i), p, this->order), pick(Base::values(n, stripe, i + 1), p + 8, this->order));
  }
};

template <class C, bool kAffine> struct FusedCode<BF16, C, kAffine> : ByteCode<C, kAffine> {
  using Base = ByteCode<C, kAffine>;
  using Base::Base;
  using typename Base::Block;
  static constexpr uint32_t bits = 8;
  using Kind = C;
  static constexpr bool kNan = Same<C, E4M3>::yes;
  static constexpr bool kHalves = true;
  inline __m512i operand(const Block &b, const uint8_t *p) const {
    return joined(Base::value(b, byte_numbers(C(), p)), Base::value(b, byte_numbers(C(), p + kLanes)));
  }
  inline __m512i quick_operand(const Block &b, const uint8_t *p) const {
    return joined(Base::value(b, quick_numbers(C(), p)), Base::value(b, quick_numbers(C(), p + kLanes)));
  }
  inline __m512i halves(const FusedNumbers &n, uint32_t stripe, uint32_t i, const uint8_t *p) const {
    return joined(Base::value(Base::block(n, stripe, i), byte_numbers(C(), p)),
                  Base::value(Base::block(n, stripe, i + 1), byte_numbers(C(), p + kLanes)));
  }
};

}  // namespace
}  // namespace airllm
