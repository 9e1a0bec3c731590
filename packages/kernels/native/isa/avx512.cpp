#include "avx512.h"
#include "avx512_codes.h"
#define AIRLLM_OPS ops_avx512
#include "../ops/table.h"
