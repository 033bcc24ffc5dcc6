// For native tests built per instruction set with -DGP_ISA=...: its name, whether it runs here, how it rounds.
#pragma once
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define GP_TEXT_(x) #x
#define GP_TEXT(x) GP_TEXT_(x)
#define GP_ISA_NAME GP_TEXT(GP_ISA)

namespace gp {
namespace {

enum { isa_base, isa_avx2, isa_avx512 };
#define GP_ISA_LEVEL_(x) isa_##x
#define GP_ISA_LEVEL(x) GP_ISA_LEVEL_(x)
constexpr int kIsa = GP_ISA_LEVEL(GP_ISA);

#if defined(__x86_64__)
inline bool isa_runs_here() {
  __builtin_cpu_init();
  if (kIsa == isa_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (kIsa == isa_avx512) return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return true;
}
constexpr bool kFused = kIsa != isa_base;  // before AVX2 there is no fused multiply-add
inline bool bf16_pairs() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return kIsa == isa_avx512 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 5 & 1u) != 0;
}
#else
inline bool isa_runs_here() { return true; }
constexpr bool kFused = true;
inline bool bf16_pairs() { return false; }
#endif

}  // namespace
}  // namespace gp
