// Which instruction sets this library has and this CPU and system run.
#pragma once
#include "pass.h"

namespace airllm {

struct Isa {
  const char *name;
  const OpTable *table;
  // By an instruction for bf16, in place of the table's; nullptr where there is none.
  OpFunction linear_bf16, packed_linear_bf16;
};

// Best first; the table of the index past the last is nullptr.
Isa isa_at(uint32_t index);
// By name, nullptr for the best one; table nullptr if there is none of that name here.
Isa isa_named(const char *name);

}  // namespace airllm
