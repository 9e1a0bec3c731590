#include "scalar.h"
#include "scalar_codes.h"
#define AIRLLM_OPS ops_scalar
#include "../ops/table.h"
