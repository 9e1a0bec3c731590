// AMX tiles of bf16 in plain C++, so that the kernel over them (ops/tile_linear.h) can be tested where no CPU has them.
// After the description of TDPBF16PS in Intel's manual (volume 2): within one step even and odd products are added apart,
// each with one rounding, then their sum is added to the accumulator; denormals count as 0 of their sign, operands and
// results.
#pragma once
#include "scalar.h"

namespace airllm {
namespace {

class EmulatedTiles {
 public:
  void configure(uint32_t columns) { columns_ = columns; }
  void release() { columns_ = 0; }
  void zero() { memset(sums_, 0, sizeof sums_); }
  void load_a0(const void *p, size_t stride) { load(a_[0], p, stride, 16); }
  void load_a1(const void *p, size_t stride) { load(a_[1], p, stride, 16); }
  void load_b0(const void *p, size_t stride) { load(b_[0], p, stride, columns_); }
  void load_b1(const void *p, size_t stride) { load(b_[1], p, stride, columns_); }
  void dot_00() { dot(sums_[0], a_[0], b_[0]); }
  void dot_01() { dot(sums_[1], a_[0], b_[1]); }
  void dot_10() { dot(sums_[2], a_[1], b_[0]); }
  void dot_11() { dot(sums_[3], a_[1], b_[1]); }
  void store_00(void *p, size_t stride) const { store(sums_[0], p, stride); }
  void store_01(void *p, size_t stride) const { store(sums_[1], p, stride); }
  void store_10(void *p, size_t stride) const { store(sums_[2], p, stride); }
  void store_11(void *p, size_t stride) const { store(sums_[3], p, stride); }

  static void pairs(const float *x, uint32_t n, uint32_t *to) {
    uint16_t rounded[32] = {};
    for (uint32_t i = 0; i < n; i++) rounded[i] = to_bf16(x[i]);
    memcpy(to, rounded, sizeof rounded);
  }
  static void transpose(const void *from, void *to) {
    const uint8_t *const in = static_cast<const uint8_t *>(from);
    uint8_t *const out = static_cast<uint8_t *>(to);
    for (uint32_t i = 0; i < 16; i++)
      for (uint32_t j = 0; j < 16; j++) memcpy(out + 4 * (16 * j + i), in + 4 * (16 * i + j), 4);
  }

 private:
  using Tile = uint32_t[16][16];

  static float flushed(float x) { return (x < 0 ? -x : x) < 1.17549435e-38f ? 0 * x : x; }
  static float low(uint32_t pair) { return flushed(as_float(pair << 16)); }
  static float high(uint32_t pair) { return flushed(as_float(pair & 0xffff0000u)); }

  static void load(Tile &tile, const void *p, size_t stride, uint32_t columns) {
    memset(tile, 0, sizeof tile);
    for (uint32_t i = 0; i < 16; i++) memcpy(tile[i], static_cast<const uint8_t *>(p) + i * stride, 4 * columns);
  }
  void store(const float (&sums)[16][16], void *p, size_t stride) const {
    for (uint32_t i = 0; i < 16; i++) memcpy(static_cast<uint8_t *>(p) + i * stride, sums[i], 4 * columns_);
  }
  // As a fused multiply-add rounds: the product of two bf16 has 16 bits, and where it decides how a sum with it is rounded
  // to 24 bits, the sum fits the 53 of a double.
  static float add_product(float sum, float a, float b) { return flushed(float(double(sum) + double(a) * double(b))); }
  void dot(float (&sums)[16][16], const Tile &a, const Tile &b) const {
    for (uint32_t m = 0; m < 16; m++) {
      for (uint32_t n = 0; n < columns_; n++) {
        float even = 0, odd = 0;
        for (uint32_t k = 0; k < 16; k++) {
          even = add_product(even, low(a[m][k]), low(b[k][n]));
          odd = add_product(odd, high(a[m][k]), high(b[k][n]));
        }
        sums[m][n] = flushed(sums[m][n] + flushed(even + odd));
      }
    }
  }

  uint32_t columns_ = 0;
  float sums_[4][16][16];
  Tile a_[2], b_[2];
};

}  // namespace
}  // namespace airllm
