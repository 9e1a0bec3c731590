// Codes of quantised matrices without any instruction set: see isa/codes.h.
#pragma once
#include "codes.h"

namespace airllm {
namespace {

using NibbleOrder = bool;  // high half first
static inline NibbleOrder nibble_order(bool high_first) { return high_first; }
static inline vf pick(const Sixteen &s, const uint8_t *p, NibbleOrder high_first) {
  float all[16];
  memcpy(all, &s, sizeof all);
  vf x;
  for (uint32_t i = 0; i < kLanes; i++) x[i] = all[p[i / 2] >> ((i % 2 == 1) != high_first ? 4 : 0) & 15];
  return x;
}

template <class Decode> static inline vf each_byte(const uint8_t *p, Decode decode) {
  vf x;
  for (uint32_t i = 0; i < kLanes; i++) x[i] = decode(p[i]);
  return x;
}
static inline vf byte_numbers(U8, const uint8_t *p) {
  return each_byte(p, [](uint8_t code) { return float(code); });
}
static inline vf byte_numbers(I8, const uint8_t *p) {
  return each_byte(p, [](uint8_t code) { return float(int8_t(code)); });
}
// The exponent is moved by a multiplication, which also normalises subnormals; all ones is NaN.
static inline vf byte_numbers(E4M3, const uint8_t *p) {
  return each_byte(p, [](uint8_t code) {
    const uint32_t size = code & 0x7fu, sign = uint32_t(code & 0x80) << 24;
    return size == 0x7f ? as_float(sign | 0x7fc00000u)
                        : as_float(sign | size << 20) * 1.329227995784915872903807060280344576e36f;  // 2^120
  });
}

}  // namespace
}  // namespace airllm
