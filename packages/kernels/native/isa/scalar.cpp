#include "scalar.h"
#define AIRLLM_OPS ops_scalar
#include "../ops/table.h"
