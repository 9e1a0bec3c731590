// AVX-512 BF16: AVX-512 with a dot product of bf16 pairs. Only bf16 linears are compiled for it, all else is avx512's.
#pragma once
#include "avx512.h"

namespace airllm {
namespace {

// VDPBF16PS adds two products to each lane, rounding each sum to nearest even and taking denormals for 0. It serves one
// row and many alike, since its roundings are its own.
template <> struct Dot<BF16, BF16> {
  using Operand = __m512i;
  static constexpr uint32_t step = 2 * kLanes;
  static constexpr uint32_t depth = 2048;  // the panel has the bytes that one of float32 has
  static inline __mmask32 first(uint32_t n) { return __mmask32((1ull << n) - 1); }
  static inline __m512i load_x(const uint16_t *p) { return _mm512_loadu_si512(p); }
  static inline __m512i load_x_n(const uint16_t *p, uint32_t n) { return _mm512_maskz_loadu_epi16(first(n), p); }
  static inline __m512i load_w(const uint8_t *p) { return _mm512_loadu_si512(p); }
  static inline __m512i load_w_n(const uint8_t *p, uint32_t n) { return _mm512_maskz_loadu_epi16(first(n), p); }
  static inline vf add(vf sum, __m512i x, __m512i w) { return _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)w); }
  static inline void store(uint16_t *packed, vf low, vf high) {
    _mm512_storeu_si512(packed, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
  static inline void pack(const float *x, uint16_t *packed) { store(packed, v_load(x), v_load(x + kLanes)); }
  static inline void pack_n(const float *x, uint32_t n, uint16_t *packed) {
    if (n <= kLanes) store(packed, v_load_n(x, n), v_zero());
    else store(packed, v_load(x), v_load_n(x + kLanes, n - kLanes));
  }
};

}  // namespace
}  // namespace airllm
