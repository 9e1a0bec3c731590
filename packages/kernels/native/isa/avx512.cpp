#include "avx512.h"
#define AIRLLM_OPS ops_avx512
#include "../ops/table.h"
