#include "avx2.h"
#define AIRLLM_OPS ops_avx2
#include "../ops/table.h"
