// Codes of quantised matrices by AVX-512: see isa/codes.h.
#pragma once
#include "codes.h"

namespace airllm {
namespace {

template <> constexpr bool kFused<F32> = true;

struct NibbleOrder {
  __m512i bytes, shifts;
};
// 32-bit lane i gets byte i / 2 of the eight, and shifts its half down; what lies above is nobody's business.
static inline NibbleOrder nibble_order(bool high_first) {
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_setr_epi32(0, 0, 1, 1));
  const __m512i eighths = _mm512_setr_epi64(0, 0, 0x200000002, 0x200000002, 0x400000004, 0x400000004, 0x600000006,
                                            0x600000006);
  const __m512i above = _mm512_set1_epi32(int(0x80808000));
  const __m512i first = _mm512_set1_epi64(high_first ? 4 : int64_t(4) << 32);
  // The order of a pair's two lanes: 0 and 4, or 4 and 0.
  return {_mm512_or_si512(_mm512_add_epi32(bytes, eighths), above), first};
}
static inline vf pick(const Sixteen &s, const uint8_t *p, const NibbleOrder &order) {
  int64_t eight;
  memcpy(&eight, p, 8);
  const __m512i codes = _mm512_srlv_epi32(_mm512_shuffle_epi8(_mm512_set1_epi64(eight), order.bytes), order.shifts);
  return _mm512_permutexvar_ps(codes, s.part[0]);
}

static inline __m128i load_bytes(const uint8_t *p) { return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)); }
static inline vf byte_numbers(U8, const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_bytes(p))); }
static inline vf byte_numbers(I8, const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(p))); }
// As float32 they are 2^120 too small, whose exponents have four bits more; all ones is no NaN there.
template <class C> static inline vf quick_numbers(C code, const uint8_t *p) { return byte_numbers(code, p); }
static inline vf quick_numbers(E4M3, const uint8_t *p) {
  const __m512i wide = _mm512_slli_epi32(_mm512_cvtepi8_epi32(load_bytes(p)), 20);
  const __m512i small = _mm512_and_si512(wide, _mm512_set1_epi32(int(0x87f00000)));
  return _mm512_castsi512_ps(small) * _mm512_set1_ps(1.329227995784915872903807060280344576e36f);
}
static inline vf byte_numbers(E4M3, const uint8_t *p) {
  const __m128i size = _mm_and_si128(load_bytes(p), _mm_set1_epi8(0x7f));
  const __mmask16 nan = _mm_cmpeq_epi8_mask(size, _mm_set1_epi8(0x7f));
  const vf numbers = quick_numbers(E4M3(), p);
  return _mm512_castsi512_ps(_mm512_mask_or_epi32(_mm512_castps_si512(numbers), nan, _mm512_castps_si512(numbers),
                                                  _mm512_set1_epi32(0x7fc00000)));
}
// Which of 64 codes in E4M3 are NaN.
static inline uint64_t nan_codes(E4M3, const uint8_t *p) {
  return _mm512_cmpeq_epi8_mask(_mm512_or_si512(_mm512_loadu_si512(p), _mm512_set1_epi8(-128)), _mm512_set1_epi8(-1));
}

}  // namespace
}  // namespace airllm
