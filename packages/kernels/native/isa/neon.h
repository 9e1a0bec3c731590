// NEON of any 64-bit ARM: 32 registers of 4 floats.
#pragma once
#include "common.h"
#include <arm_neon.h>

namespace airllm {
namespace {

using vf = float32x4_t;
constexpr uint32_t kLanes = 4;
// 6 × 4 accumulators, 6 activations, 1 weight: 31 registers.
constexpr uint32_t kTileRows = 6;
constexpr uint32_t kWideRows = 2;  // rows that run 8 outputs at once
constexpr uint32_t kStripes = 8;   // outputs that one row runs at once: chains of additions enough for memory

static inline vf v_zero() { return vdupq_n_f32(0); }
static inline vf v_set(float x) { return vdupq_n_f32(x); }
static inline vf v_load(const float *p) { return vld1q_f32(p); }
static inline vf v_load_n(const float *p, uint32_t n) {
  float some[4] = {};
  memcpy(some, p, n * 4);
  return vld1q_f32(some);
}
static inline void v_store(float *p, vf x) { vst1q_f32(p, x); }
static inline void v_store_n(float *p, vf x, uint32_t n) {
  float all[4];
  vst1q_f32(all, x);
  memcpy(p, all, n * 4);
}

// To nearest, ties to even.
static inline void v_store_f16(uint8_t *p, vf x) { vst1_u8(p, vreinterpret_u8_f16(vcvt_f16_f32(x))); }

// Byte loads: the other types promise the compiler an alignment that weights do not have.
static inline uint16x4_t load_halves(const uint8_t *p) { return vreinterpret_u16_u8(vld1_u8(p)); }
static inline uint16x4_t first_halves(const uint8_t *p, uint32_t n) {
  uint8_t some[8] = {};
  memcpy(some, p, n * 2);
  return load_halves(some);
}
static inline vf from_bf16(uint16x4_t x) { return vreinterpretq_f32_u32(vshll_n_u16(x, 16)); }
static inline vf from_f16(uint16x4_t x) { return vcvt_f32_f16(vreinterpret_f16_u16(x)); }
static inline vf w_load(F32, const uint8_t *p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
static inline vf w_load(F16, const uint8_t *p) { return from_f16(load_halves(p)); }
static inline vf w_load(BF16, const uint8_t *p) { return from_bf16(load_halves(p)); }
static inline vf w_load_n(F32, const uint8_t *p, uint32_t n) {
  uint8_t some[16] = {};
  memcpy(some, p, n * 4);
  return w_load(F32(), some);
}
static inline vf w_load_n(F16, const uint8_t *p, uint32_t n) { return from_f16(first_halves(p, n)); }
static inline vf w_load_n(BF16, const uint8_t *p, uint32_t n) { return from_bf16(first_halves(p, n)); }

static inline vf v_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf v_max(vf a, vf b) { return vmaxq_f32(a, b); }
static inline vf v_min(vf a, vf b) { return vminq_f32(a, b); }
static inline vf v_abs(vf x) { return vabsq_f32(x); }
static inline vf v_round(vf x) { return vrndnq_f32(x); }
static inline vf power_of_2(int32x4_t n) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23)); }
// x · 2ⁿ for whole n from −252 to 254, in two steps.
static inline vf v_scale2(vf x, vf n) {
  const int32x4_t whole = vcvtq_s32_f32(n), half = vshrq_n_s32(whole, 1);
  return x * power_of_2(half) * power_of_2(vsubq_s32(whole, half));
}
// a < b ? x : y
static inline vf v_select_lt(vf a, vf b, vf x, vf y) { return vbslq_f32(vcltq_f32(a, b), x, y); }
static inline vf v_copysign(vf x, vf sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, x); }

// Sums of the lanes of four vectors, each as (0+1) + (2+3).
static inline void v_reduce4(vf a, vf b, vf c, vf d, float *out) {
  vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}
static inline float v_reduce_max(vf x) { return vmaxvq_f32(x); }

}  // namespace
}  // namespace airllm
