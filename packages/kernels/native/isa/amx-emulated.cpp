#include "scalar.h"
#include "../pass.h"
// clang-format off: the order matters, each file uses those before it.
#include "../ops/weights.h"
#include "../ops/tiles.h"
#include "../ops/linear.h"
#include "amx-emulated.h"
#include "../ops/tile_linear.h"

namespace airllm {

void linear_amx_emulated(const Pass &pass, const Op &op, Worker &worker) {
  op_linear_tiles<EmulatedTiles>(pass, op, worker, ops_scalar.linear_bf16);
}
bool amx_emulated_agrees() { return tiles_agree<EmulatedTiles>(); }

}  // namespace airllm
