// What every instruction set's file shares. The primitives a file must define, all `static inline`, over its vector of
// floats `vf` with `kLanes` lanes:
//   v_zero v_set v_load v_load_n v_store v_store_n       (n < kLanes: the first n lanes; loads fill the rest with 0)
//   v_store_f16                                          (all lanes, at any byte address)
//   w_load w_load_n                                      (weights in stored form at any byte address, to float)
//   v_fma v_max v_min v_abs v_round v_scale2 v_select_lt v_copysign
//   v_reduce4 v_reduce_max
// `+ - * /` are the compiler's own on vectors; -ffp-contract=off keeps them apart, so v_fma is the only fusion.
// Everything is in an anonymous namespace: functions of one translation unit, compiled for one instruction set, must
// never be merged with another's by the linker.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace airllm {
namespace {

// Stored formats of weights.
struct F32 {
  static constexpr uint32_t bytes = 4;
  using Stored = float;
};
struct F16 {
  static constexpr uint32_t bytes = 2;
};
struct BF16 {
  static constexpr uint32_t bytes = 2;
  using Stored = uint16_t;
};

// How activations in format X meet weights in format W in a dot product: see ops/tiles.h. An instruction set that has an
// instruction for it specialises it.
template <class X, class W> struct Dot;

}  // namespace
}  // namespace airllm
