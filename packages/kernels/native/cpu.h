// Which instruction sets this library has and this CPU and system run.
#pragma once
#include "pass.h"

namespace airllm {

struct Isa {
  const char *name;
  const OpTable *table;
  // By an instruction for bf16, in place of the table's; nullptr where there is none.
  OpFunction linear_bf16, packed_linear_bf16;
  size_t shared_scratch;  // bytes that linear_bf16 needs for all threads
};

// Best first; the table of the index past the last is nullptr.
Isa isa_at(uint32_t index);
// By name, nullptr for the best one; table nullptr if there is none of that name here. `amx-emulated`, which is not among
// those of isa_at, computes what AMX would, slowly: for tests where no CPU has it.
Isa isa_named(const char *name);

}  // namespace airllm
