// Included once per instruction set, after its primitives: compiles every kernel for it and names the table.
#pragma once
#include "../pass.h"
// clang-format off: the order matters, each file uses those before it.
#include "math.h"
#include "weights.h"
#include "tiles.h"
#include "linear.h"
#include "packed.h"
#include "packed_dot.h"
#include "packed_linear.h"
#include "norm.h"
#include "elementwise.h"
#include "attention.h"
#include "route.h"
#include "convert.h"

namespace airllm {

// In the order of OpCode; `expert` runs a sub-program and so belongs to the interpreter.
const OpTable AIRLLM_OPS = {{op_embed, op_rms_norm, op_layer_norm, op_linear, op_rope, op_attention, op_activation,
                             op_gated, op_add, op_mul, op_scale, op_softcap, op_slice, op_route, nullptr, op_combine},
                            op_linear_bf16, op_packed_linear, op_packed_linear_bf16, op_packed_embed,
                            convert, unpack};

}  // namespace airllm
