// AMX tiles of bf16. Instructions as text: compilers' own functions for them take tile numbers only as literals, and those
// of gcc 12 do not say which memory they read.
#pragma once
#include "avx512bf16.h"

namespace airllm {
namespace {

#define AIRLLM_TILE_LOAD(name, tile)                                                                     \
  static inline void name(const void *p, size_t stride) {                                                \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #tile : : "r"(p), "r"(stride) : "memory");             \
  }
#define AIRLLM_TILE_STORE(name, tile)                                                                    \
  static inline void name(void *p, size_t stride) {                                                      \
    __asm__ volatile("tilestored %%tmm" #tile ", (%0,%1,1)" : : "r"(p), "r"(stride) : "memory");         \
  }
#define AIRLLM_TILE_DOT(name, sum, a, b)                                                                 \
  static inline void name() { __asm__ volatile("tdpbf16ps %tmm" #b ", %tmm" #a ", %tmm" #sum); }

// Sums in tiles 0 to 3, weights in 4 and 5, activations in 6 and 7: see ops/tile_linear.h. A thread's tiles are configured
// only while it computes, since the system saves what is configured whenever it stops the thread.
struct AmxTiles {
  static void configure(uint32_t columns) {
    alignas(64) struct {
      uint8_t palette, start_row, zeros[14];
      uint16_t bytes[16];  // per row, of each tile
      uint8_t rows[16];
    } shape = {1, 0, {}, {}, {}};
    for (uint32_t tile = 0; tile < 8; tile++) {
      shape.rows[tile] = 16;
      shape.bytes[tile] = tile == 4 || tile == 5 ? 64 : uint16_t(4 * columns);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(shape) : "memory");
  }
  static void release() { __asm__ volatile("tilerelease" : : : "memory"); }
  static inline void zero() {
    __asm__ volatile("tilezero %tmm0\n\ttilezero %tmm1\n\ttilezero %tmm2\n\ttilezero %tmm3");
  }
  AIRLLM_TILE_LOAD(load_a0, 4)
  AIRLLM_TILE_LOAD(load_a1, 5)
  AIRLLM_TILE_LOAD(load_b0, 6)
  AIRLLM_TILE_LOAD(load_b1, 7)
  AIRLLM_TILE_DOT(dot_00, 0, 4, 6)
  AIRLLM_TILE_DOT(dot_01, 1, 4, 7)
  AIRLLM_TILE_DOT(dot_10, 2, 5, 6)
  AIRLLM_TILE_DOT(dot_11, 3, 5, 7)
  AIRLLM_TILE_STORE(store_00, 0)
  AIRLLM_TILE_STORE(store_01, 1)
  AIRLLM_TILE_STORE(store_10, 2)
  AIRLLM_TILE_STORE(store_11, 3)

  static inline void pairs(const float *x, uint32_t n, uint32_t *to) {
    auto *const packed = reinterpret_cast<uint16_t *>(to);
    if (n == 2 * kLanes) Dot<BF16, BF16>::pack(x, packed);
    else Dot<BF16, BF16>::pack_n(x, n, packed);
  }
  // Four rounds, each of which exchanges rows and columns of blocks half the size.
  static inline void transpose(const void *from, void *to) {
    __m512i x[16], y[16];
    for (int i = 0; i < 16; i++) x[i] = _mm512_loadu_si512(static_cast<const uint32_t *>(from) + 16 * i);
    for (int i = 0; i < 16; i += 2) {
      y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
      y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
      x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
      x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
      x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
      y[i] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0x88);
      y[i + 4] = _mm512_shuffle_i32x4(x[i], x[i + 4], 0xdd);
      y[i + 8] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0x88);
      y[i + 12] = _mm512_shuffle_i32x4(x[i + 8], x[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
      const __m512i low = y[i], high = y[i + 8];
      _mm512_storeu_si512(static_cast<uint32_t *>(to) + 16 * i, _mm512_shuffle_i32x4(low, high, 0x88));
      _mm512_storeu_si512(static_cast<uint32_t *>(to) + 16 * (i + 8), _mm512_shuffle_i32x4(low, high, 0xdd));
    }
  }
};

#undef AIRLLM_TILE_LOAD
#undef AIRLLM_TILE_STORE
#undef AIRLLM_TILE_DOT

}  // namespace
}  // namespace airllm
