// How the codes of quantised matrices become numbers. A file per instruction set defines, over its vector `vf`:
//   NibbleOrder nibble_order(high_first)   which half of a byte comes first
//   vf pick(Sixteen, p, order)             kLanes 4-bit codes from kLanes / 2 bytes, each picks one of 16 numbers
//   vf byte_numbers(U8|I8|E4M3, p)         kLanes 8-bit codes
#pragma once

namespace airllm {
namespace {

// Kinds of codes.
struct U4 {};
struct U8 {};
struct I8 {};
struct E4M3 {};

// Whether activations of format X meet codes in registers: see ops/packed_dot.h.
template <class X> constexpr bool kFused = false;

// One number for each of 16 codes.
struct Sixteen {
  vf part[16 / kLanes];
};

}  // namespace
}  // namespace airllm
