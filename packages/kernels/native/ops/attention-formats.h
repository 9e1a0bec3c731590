// How keys and values lie in a state's block of 32 positions (see src/state/kv-layout.ts), one key head after the other:
//   keys     [key_dim][32]     by column, so that a vector holds one column of neighbouring positions: scores need no sum
//                              over lanes, and each is added up column by column whatever tile it is in
//   values   [32][value_dim]
//   int8 alone, after all of these: float scales of the keys [32], per key head, then those of the values
// Stored as float, as bf16 (rounded to nearest even) or as int8 times the position's scale.
#pragma once

namespace airllm {
namespace {

struct Int8 {
  static constexpr uint32_t bytes = 1;
};
static inline vf w_load(Int8, const uint8_t *p) { return byte_numbers(I8(), p); }
static inline vf w_load_n(Int8, const uint8_t *p, uint32_t n) {
  uint8_t some[kLanes] = {};
  memcpy(some, p, n);
  return w_load(Int8(), some);
}

// Where things lie in a block, in bytes.
template <class F> struct KvLayout {
  uint32_t kv_heads, key_dim, value_dim;

  explicit KvLayout(const State &s) : kv_heads(s.kv_heads), key_dim(s.key_dim), value_dim(s.value_dim) {}

  size_t keys(uint32_t head) const { return size_t(head) * key_dim * kBlockPositions * F::bytes; }
  size_t values(uint32_t head) const { return keys(kv_heads) + size_t(head) * kBlockPositions * value_dim * F::bytes; }
  size_t key_scales(uint32_t head) const { return values(kv_heads) + size_t(head) * kBlockPositions * 4; }
  size_t value_scales(uint32_t head) const { return key_scales(kv_heads + head); }
};

// Writes one vector with `stride` elements between its items.
static inline void encode(F32, const float *x, uint32_t n, uint8_t *to, size_t stride, float *) {
  for (uint32_t i = 0; i < n; i++) memcpy(to + i * stride * 4, x + i, 4);
}
static inline void encode(BF16, const float *x, uint32_t n, uint8_t *to, size_t stride, float *) {
  for (uint32_t i = 0; i < n; i++) {
    const uint16_t half = to_bf16(x[i]);
    memcpy(to + i * stride * 2, &half, 2);
  }
}
// scale = largest |x| / 127; each x / scale rounded to nearest, ties to even: off by half a scale at most.
static inline void encode(Int8, const float *x, uint32_t n, uint8_t *to, size_t stride, float *scale) {
  uint32_t largest = 0;  // of the bit patterns without sign, which are in the order of the values, NaN last
  for (uint32_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    largest = bits > largest ? bits : largest;
  }
  float size;
  memcpy(&size, &largest, 4);
  *scale = size / 127.0f;
  const vf unit = v_set(*scale == 0 ? 1.0f : *scale), low = v_set(-127.0f), high = v_set(127.0f);
  for_lanes(n, [&](uint32_t i, uint32_t lanes) {
    float wholes[kLanes];
    v_store(wholes, v_max(v_min(v_round(load_some(x + i, lanes) / unit), high), low));
    for (uint32_t l = 0; l < lanes; l++) to[(i + l) * stride] = uint8_t(int8_t(int32_t(wholes[l])));
  });
}

// What partials multiply with, for the positions of a block: nothing, but for int8 its scales.
template <class F> static inline const float *scales_at(const uint8_t *block, size_t offset) {
  if constexpr (F::bytes == 1) return reinterpret_cast<const float *>(block + offset);
  else return nullptr;
}

}  // namespace
}  // namespace airllm
