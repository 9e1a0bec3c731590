#include "avx512bf16.h"
#include "avx512_codes.h"
#include "../pass.h"
// clang-format off: the order matters, each file uses those before it.
#include "../ops/weights.h"
#include "../ops/tiles.h"
#include "../ops/linear.h"
#include "../ops/packed.h"
#include "../ops/packed_dot.h"
#include "avx512bf16_codes.h"
#include "../ops/packed_linear.h"

namespace airllm {

void linear_avx512bf16(const Pass &pass, const Op &op, Worker &worker) { op_linear_bf16(pass, op, worker); }
void packed_linear_avx512bf16(const Pass &pass, const Op &op, Worker &worker) {
  op_packed_linear_bf16(pass, op, worker);
}

}  // namespace airllm
