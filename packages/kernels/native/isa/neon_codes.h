// Codes of quantised matrices by NEON: see isa/codes.h.
#pragma once
#include "codes.h"

namespace airllm {
namespace {

// Shifts that bring code i of a 16-bit word to the bottom of lane i.
using NibbleOrder = int32x4_t;
static inline NibbleOrder nibble_order(bool high_first) {
  const int32_t low[4] = {0, -4, -8, -12}, high[4] = {-4, 0, -12, -8};
  return vld1q_s32(high_first ? high : low);
}
static inline vf pick(const Sixteen &s, const uint8_t *p, NibbleOrder order) {
  const uint32_t two = p[0] | uint32_t(p[1]) << 8;
  const uint32x4_t codes = vandq_u32(vshlq_u32(vdupq_n_u32(two), order), vdupq_n_u32(15));
  // The four bytes of a code's number lie from 4 · code on.
  const uint32x4_t bytes = vmlaq_n_u32(vdupq_n_u32(0x03020100), codes, 0x04040404);
  const uint8x16x4_t table = {{vreinterpretq_u8_f32(s.part[0]), vreinterpretq_u8_f32(s.part[1]),
                               vreinterpretq_u8_f32(s.part[2]), vreinterpretq_u8_f32(s.part[3])}};
  return vreinterpretq_f32_u8(vqtbl4q_u8(table, vreinterpretq_u8_u32(bytes)));
}

static inline uint16x4_t load_bytes(const uint8_t *p) {
  uint8_t some[8] = {};
  memcpy(some, p, 4);
  return vget_low_u16(vmovl_u8(vld1_u8(some)));
}
static inline vf byte_numbers(U8, const uint8_t *p) { return vcvtq_f32_u32(vmovl_u16(load_bytes(p))); }
static inline vf byte_numbers(I8, const uint8_t *p) {
  const int16x4_t high = vreinterpret_s16_u16(vshl_n_u16(load_bytes(p), 8));
  return vcvtq_f32_s32(vmovl_s16(vshr_n_s16(high, 8)));
}
// As float16 they are 2^8 too small, whose exponents have a bit more; all ones there is no NaN.
static inline vf byte_numbers(E4M3, const uint8_t *p) {
  const uint16x4_t codes = load_bytes(p), size = vshl_n_u16(vand_u16(codes, vdup_n_u16(0x7f)), 7);
  const uint16x4_t sign = vshl_n_u16(vand_u16(codes, vdup_n_u16(0x80)), 8);
  const uint16x4_t nan = vand_u16(vceq_u16(size, vdup_n_u16(0x3f80)), vdup_n_u16(0x7fff));
  const uint16x4_t half = vorr_u16(vorr_u16(sign, size), nan);
  return vmulq_n_f32(vcvt_f32_f16(vreinterpret_f16_u16(half)), 256);
}

}  // namespace
}  // namespace airllm
