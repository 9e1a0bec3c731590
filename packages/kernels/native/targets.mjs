// The platforms that have a package under npm/, and how to compile for them.

/** Instruction sets with a translation unit of their own in isa/: for a compiler by feature, for Zig by CPU model. */
const AVX512 = ['-mavx512f', '-mavx512bw', '-mavx512vl', '-mavx512dq', '-mavx2', '-mfma', '-mf16c'];
const X64 = {
  avx2: { flags: ['-mavx2', '-mfma', '-mf16c'], cpu: 'x86_64_v3' },
  avx512: { flags: AVX512, cpu: 'x86_64_v4' },
  avx512bf16: { flags: [...AVX512, '-mavx512bf16'], cpu: 'x86_64_v4+avx512bf16' },
};
/** AMX needs the system's leave, which is Linux' own affair; a compiler whose assembler lacks it does without. */
const LINUX_X64 = {
  ...X64,
  amxbf16: {
    flags: X64.avx512bf16.flags,
    cpu: 'x86_64_v4+avx512bf16+amx_tile+amx_bf16',
    needs: 'int main() { __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0"); }',
    define: '-DAIRLLM_AMX',
  },
};
/** NEON is in every 64-bit ARM. Atomics inline: their out-of-line versions need a run time. */
const ARM64 = { neon: { flags: [], cpu: 'generic' } };

/** `cpu` is the baseline of all other units. Old system versions, so that the binaries run widely. */
export const TARGETS = {
  // Symbols of glibc 2.17 without a dependency on its loader: musl resolves them as well.
  'linux-x64': { os: 'linux', file: 'airllm-kernels.so', zig: 'x86_64-linux-gnu.2.17', cpu: 'x86_64', isas: LINUX_X64 },
  'linux-arm64': { os: 'linux', file: 'airllm-kernels.so', zig: 'aarch64-linux-gnu.2.17', cpu: 'generic', isas: ARM64 },
  'darwin-x64': { os: 'darwin', file: 'airllm-kernels.dylib', zig: 'x86_64-macos.11.0', cpu: 'x86_64', isas: X64 },
  'darwin-arm64': {
    os: 'darwin',
    file: 'airllm-kernels.dylib',
    zig: 'aarch64-macos.11.0',
    cpu: 'apple_m1',
    isas: ARM64,
  },
  'win32-x64': { os: 'win32', file: 'airllm-kernels.dll', zig: 'x86_64-windows-gnu', cpu: 'x86_64', isas: X64 },
  'win32-arm64': { os: 'win32', file: 'airllm-kernels.dll', zig: 'aarch64-windows-gnu', cpu: 'generic', isas: ARM64 },
};
