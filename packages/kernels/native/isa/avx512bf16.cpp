#include "avx512bf16.h"
#include "../pass.h"
// clang-format off: the order matters, each file uses those before it.
#include "../ops/weights.h"
#include "../ops/tiles.h"
#include "../ops/linear.h"

namespace airllm {

void linear_avx512bf16(const Pass &pass, const Op &op, Worker &worker) { op_linear_bf16(pass, op, worker); }

}  // namespace airllm
