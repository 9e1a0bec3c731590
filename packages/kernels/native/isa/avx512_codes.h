// Codes of quantised matrices by AVX-512: see isa/codes.h.
#pragma once
#include "codes.h"

namespace airllm {
namespace {

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
// As float16 they are 2^8 too small, whose exponents have a bit more; all ones there is no NaN.
static inline vf byte_numbers(E4M3, const uint8_t *p) {
  const __m256i wide = _mm256_slli_epi16(_mm256_cvtepi8_epi16(load_bytes(p)), 7);
  const __m256i half = _mm256_and_si256(wide, _mm256_set1_epi16(int16_t(0xbfff)));
  const __m256i size = _mm256_and_si256(wide, _mm256_set1_epi16(0x3f80));
  const __mmask16 nan = _mm256_cmpeq_epi16_mask(size, _mm256_set1_epi16(0x3f80));
  return _mm512_cvtph_ps(_mm256_mask_set1_epi16(half, nan, 0x7fff)) * _mm512_set1_ps(256);
}

}  // namespace
}  // namespace airllm
