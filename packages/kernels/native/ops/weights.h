// Choosing the code for a weight's stored format, once per op.
#pragma once

namespace airllm {
namespace {

// Calls `body` with the tag type of the format: F32(), F16() or BF16().
template <class Body> static inline void with_format(DType dtype, Body body) {
  if (dtype == DType::F32) body(F32());
  else if (dtype == DType::F16) body(F16());
  else body(BF16());
}

static inline uint32_t format_bytes(DType dtype) { return dtype == DType::F32 ? 4 : 2; }

// Calls `body(i, n)` for each run of lanes of `length` elements; n < kLanes only in the last.
template <class Body> static inline void for_lanes(uint32_t length, Body body) {
  uint32_t i = 0;
  for (; i + kLanes <= length; i += kLanes) body(i, kLanes);
  if (i < length) body(i, length - i);
}

static inline vf load_some(const float *p, uint32_t n) { return n == kLanes ? v_load(p) : v_load_n(p, n); }
static inline void store_some(float *p, vf x, uint32_t n) {
  if (n == kLanes) v_store(p, x);
  else v_store_n(p, x, n);
}
template <class W> static inline vf w_load_some(W w, const uint8_t *p, uint32_t n) {
  return n == kLanes ? w_load(w, p) : w_load_n(w, p, n);
}

// The sum of a vector's lanes, in the order of v_reduce4.
static inline float v_reduce_add(vf x) {
  float sums[4];
  v_reduce4(x, x, x, x, sums);
  return sums[0];
}

// To nearest, ties to even.
static inline uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, nan = bits >> 16 | 0x40;
  return uint16_t((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
}
static inline float rounded_to_bf16(float x) {
  const uint32_t bits = uint32_t(to_bf16(x)) << 16;
  memcpy(&x, &bits, 4);
  return x;
}

// y[i] += bias[i]
static inline void add_bias(float *y, const uint8_t *bias, DType dtype, uint32_t from, uint32_t length) {
  with_format(dtype, [&](auto w) {
    for_lanes(length, [&](uint32_t i, uint32_t n) {
      const vf b = w_load_some(w, bias + size_t(from + i) * w.bytes, n);
      store_some(y + i, load_some(y + i, n) + b, n);
    });
  });
}

static inline uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }

}  // namespace
}  // namespace airllm
