#include "neon.h"
#include "neon_codes.h"
#define AIRLLM_OPS ops_neon
#include "../ops/table.h"
