#include "cpu.h"
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace airllm {
namespace {

#if defined(__x86_64__)

struct Features {
  bool avx2, avx512, bf16;
};

// CPUID says what the CPU can do, XGETBV which registers the system saves.
Features features() {
  unsigned a, a1 = 0, b, c, d, b7, last;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return {};
  const bool fma = c >> 12 & 1, osxsave = c >> 27 & 1, avx = c >> 28 & 1, f16c = c >> 29 & 1;
  if (!osxsave || !avx || !__get_cpuid_count(7, 0, &last, &b7, &c, &d)) return {};
  if (last >= 1) __get_cpuid_count(7, 1, &a1, &b, &c, &d);
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool ymm = (low & 0x6) == 0x6, zmm = (low & 0xe6) == 0xe6;
  const bool avx2 = fma && f16c && (b7 >> 5 & 1) && ymm;
  const bool f = b7 >> 16 & 1, dq = b7 >> 17 & 1, bw = b7 >> 30 & 1, vl = b7 >> 31 & 1;
  const bool avx512 = avx2 && f && dq && bw && vl && zmm;
  return {avx2, avx512, avx512 && (a1 >> 5 & 1)};
}

#endif

}  // namespace

Isa isa_at(uint32_t index) {
  Isa found[4];
  uint32_t count = 0;
#if defined(__x86_64__)
  const Features has = features();
  if (has.bf16) found[count++] = {"avx512bf16", &ops_avx512, linear_avx512bf16, packed_linear_avx512bf16};
  if (has.avx512) found[count++] = {"avx512", &ops_avx512, nullptr, nullptr};
  if (has.avx2) found[count++] = {"avx2", &ops_avx2, nullptr, nullptr};
#elif defined(__aarch64__)
  found[count++] = {"neon", &ops_neon, nullptr, nullptr};
#endif
  found[count++] = {"scalar", &ops_scalar, nullptr, nullptr};
  return index < count ? found[index] : Isa{nullptr, nullptr, nullptr, nullptr};
}

Isa isa_named(const char *name) {
  for (uint32_t i = 0;; i++) {
    const Isa isa = isa_at(i);
    if (!isa.table || !name || strcmp(isa.name, name) == 0) return isa;
  }
}

}  // namespace airllm
