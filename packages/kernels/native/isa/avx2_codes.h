// Codes of quantised matrices by AVX2: see isa/codes.h.
#pragma once
#include "codes.h"

namespace airllm {
namespace {

// Shifts that bring code i of a 32-bit word to the bottom of lane i; what lies above is nobody's business.
using NibbleOrder = __m256i;
static inline NibbleOrder nibble_order(bool high_first) {
  return high_first ? _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24) : _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
}
static inline vf pick(const Sixteen &s, const uint8_t *p, NibbleOrder order) {
  int32_t four;
  memcpy(&four, p, 4);
  const __m256i codes = _mm256_srlv_epi32(_mm256_set1_epi32(four), order);
  const vf low = _mm256_permutevar8x32_ps(s.part[0], codes), high = _mm256_permutevar8x32_ps(s.part[1], codes);
  return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(codes, 28)));
}

static inline __m128i load_bytes(const uint8_t *p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i *>(p)); }
static inline vf byte_numbers(U8, const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_bytes(p))); }
static inline vf byte_numbers(I8, const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_bytes(p))); }
// As float16 they are 2^8 too small, whose exponents have a bit more; all ones there is no NaN.
static inline vf byte_numbers(E4M3, const uint8_t *p) {
  const __m128i wide = _mm_slli_epi16(_mm_cvtepi8_epi16(load_bytes(p)), 7);
  const __m128i half = _mm_and_si128(wide, _mm_set1_epi16(int16_t(0xbfff))), ones = _mm_set1_epi16(0x3f80);
  const __m128i nan = _mm_cmpeq_epi16(_mm_and_si128(wide, ones), ones);
  return _mm256_cvtph_ps(_mm_or_si128(half, _mm_and_si128(nan, _mm_set1_epi16(0x7fff)))) * _mm256_set1_ps(256);
}

}  // namespace
}  // namespace airllm
