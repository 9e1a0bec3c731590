#include "neon.h"
#define AIRLLM_OPS ops_neon
#include "../ops/table.h"
