#include "amxbf16.h"
#include "../pass.h"
// clang-format off: the order matters, each file uses those before it.
#include "../ops/weights.h"
#include "../ops/tiles.h"
#include "../ops/linear.h"
#include "../ops/tile_linear.h"

namespace airllm {

void linear_amxbf16(const Pass &pass, const Op &op, Worker &worker) {
  op_linear_tiles<AmxTiles>(pass, op, worker, linear_avx512bf16);
}
bool amx_agrees() { return tiles_agree<AmxTiles>(); }

}  // namespace airllm
