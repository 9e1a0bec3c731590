#include "cpu.h"
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(AIRLLM_AMX)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace airllm {
namespace {

#if defined(__x86_64__)

struct Features {
  bool avx2, avx512, bf16, amx;
};

// CPUID says what the CPU can do, XGETBV which registers the system saves.
Features features() {
  unsigned a, a1 = 0, b, c, d, b7, d7, last;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return {};
  const bool fma = c >> 12 & 1, osxsave = c >> 27 & 1, avx = c >> 28 & 1, f16c = c >> 29 & 1;
  if (!osxsave || !avx || !__get_cpuid_count(7, 0, &last, &b7, &c, &d7)) return {};
  if (last >= 1) __get_cpuid_count(7, 1, &a1, &b, &c, &d);
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  const bool ymm = (low & 0x6) == 0x6, zmm = (low & 0xe6) == 0xe6;
  const bool avx2 = fma && f16c && (b7 >> 5 & 1) && ymm;
  const bool f = b7 >> 16 & 1, dq = b7 >> 17 & 1, bw = b7 >> 30 & 1, vl = b7 >> 31 & 1;
  const bool avx512 = avx2 && f && dq && bw && vl && zmm;
  const bool bf16 = avx512 && (a1 >> 5 & 1);
  const bool tiles = (d7 >> 24 & 1) && (d7 >> 22 & 1) && (low & 0x60000) == 0x60000;
  return {avx2, avx512, bf16, bf16 && tiles};
}

#if defined(AIRLLM_AMX)
// A process asks Linux once for the tiles' room in what it saves of a thread. Whatever goes wrong, there is avx512bf16.
bool amx_works() {
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  static int known;  // 0: not yet, 1: it does not, 2: it does
  const int before = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (before) return before == 2;
  const bool works = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0 && amx_agrees();
  __atomic_store_n(&known, works ? 2 : 1, __ATOMIC_RELAXED);
  return works;
}
#endif

#endif

}  // namespace

Isa isa_at(uint32_t index) {
  Isa found[5];
  uint32_t count = 0;
#if defined(__x86_64__)
  const Features has = features();
#if defined(AIRLLM_AMX)
  if (has.amx && amx_works())
    found[count++] = {"amxbf16", &ops_avx512, linear_amxbf16, packed_linear_avx512bf16, kTilePanelBytes};
#endif
  if (has.bf16) found[count++] = {"avx512bf16", &ops_avx512, linear_avx512bf16, packed_linear_avx512bf16, 0};
  if (has.avx512) found[count++] = {"avx512", &ops_avx512, nullptr, nullptr, 0};
  if (has.avx2) found[count++] = {"avx2", &ops_avx2, nullptr, nullptr, 0};
#elif defined(__aarch64__)
  found[count++] = {"neon", &ops_neon, nullptr, nullptr, 0};
#endif
  found[count++] = {"scalar", &ops_scalar, nullptr, nullptr, 0};
  return index < count ? found[index] : Isa{nullptr, nullptr, nullptr, nullptr, 0};
}

Isa isa_named(const char *name) {
  if (name && strcmp(name, "amx-emulated") == 0 && amx_emulated_agrees())
    return {name, &ops_scalar, linear_amx_emulated, ops_scalar.packed_linear_bf16, kTilePanelBytes};
  for (uint32_t i = 0;; i++) {
    const Isa isa = isa_at(i);
    if (!isa.table || !name || strcmp(isa.name, name) == 0) return isa;
  }
}

}  // namespace airllm
