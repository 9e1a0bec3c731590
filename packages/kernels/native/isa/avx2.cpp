#include "avx2.h"
#include "avx2_codes.h"
#define AIRLLM_OPS ops_avx2
#include "../ops/table.h"
