// Chooses the instruction set once: CPUID says what the processor has, XGETBV what the system saves on a switch.
// __builtin_cpu_supports is not used: it does not link everywhere (it needs the compiler's own run-time library).
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cpu.h"
#if defined(__x86_64__)
#include <cpuid.h>
#define GP_X86_TABLES 1
#endif

namespace gp {

#ifndef GP_WITHOUT_BASE
namespace base {
extern const gp_kernel *const table[];
}
#endif
#ifdef GP_X86_TABLES
#ifndef GP_WITHOUT_AVX2
namespace avx2 {
extern const gp_kernel *const table[];
}
#endif
#ifndef GP_WITHOUT_AVX512
namespace avx512 {
extern const gp_kernel *const table[];
}
#endif
#endif

namespace {

enum Isa { kBase, kAvx2, kAvx512, kIsas };
constexpr const char *kNames[] = {"base", "avx2", "avx512"};

// Builds for tests may leave sets out, to be done sooner.
constexpr bool built(Isa isa) {
#ifdef GP_WITHOUT_BASE
  if (isa == kBase) return false;
#endif
#ifdef GP_WITHOUT_AVX2
  if (isa == kAvx2) return false;
#endif
#ifdef GP_WITHOUT_AVX512
  if (isa == kAvx512) return false;
#endif
  return isa == kBase || isa == kAvx2 || isa == kAvx512;
}

bool processor_has(Isa isa) {
  if (!built(isa)) return false;
  if (isa == kBase) return true;
#ifdef GP_X86_TABLES
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return false;
  const bool osxsave = c & bit_OSXSAVE, avx = c & bit_AVX, fma = c & bit_FMA, f16c = c & bit_F16C;
  if (!osxsave || !avx || !fma || !f16c) return false;
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & 0x6) != 0x6) return false;  // SSE and AVX state
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if (!(b & bit_AVX2) || !(b & bit_BMI) || !(b & bit_BMI2)) return false;
  if (isa == kAvx2) return true;
  if ((low & 0xe6) != 0xe6) return false;  // mask registers, upper halves, registers 16 to 31
  const unsigned need = bit_AVX512F | bit_AVX512DQ | bit_AVX512BW | bit_AVX512VL;
  return (b & need) == need;
#else
  return false;
#endif
}

struct Choice {
  gp_isa_info info;
  const char *available[kIsas];
  char reason[64];
  char error[256];
  Isa isa;
};

// The transparent state is settings of the system: [always] and [madvise] grant what we ask for.
int32_t huge_pages_granted() {
#ifdef __linux__
  int32_t granted = 0;
  if (FILE *f = std::fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r")) {
    char text[128] = {};
    if (std::fread(text, 1, sizeof text - 1, f) > 0)
      granted = std::strstr(text, "[always]") != nullptr || std::strstr(text, "[madvise]") != nullptr;
    std::fclose(f);
  }
  return granted;
#else
  return 0;
#endif
}

Choice *choose() {
  auto *c = new Choice();  // lives for ever
  int count = 0;
  c->isa = kBase;
  for (int i = kBase; i < kIsas; i++) {
    if (!processor_has(static_cast<Isa>(i))) continue;
    c->available[count++] = kNames[i];
    c->isa = static_cast<Isa>(i);
  }
  std::snprintf(c->reason, sizeof c->reason, "the best of this processor");
  const char *wish = std::getenv("GRADPROOF_ISA");
  if (wish != nullptr && *wish != 0) {
    int found = -1;
    for (int i = kBase; i < kIsas; i++)
      if (std::strcmp(wish, kNames[i]) == 0 && processor_has(static_cast<Isa>(i))) found = i;
    if (found >= 0) {
      c->isa = static_cast<Isa>(found);
      std::snprintf(c->reason, sizeof c->reason, "GRADPROOF_ISA=%s", kNames[found]);
    } else {
      char list[64] = {};
      for (int i = 0; i < count; i++) {
        if (i > 0) std::strcat(list, ", ");
        std::strcat(list, c->available[i]);
      }
      std::snprintf(c->error, sizeof c->error,
                    "GRADPROOF_ISA=%.32s cannot be used here: this processor and build have %s", wish, list);
      c->info.error = c->error;
    }
  }
  c->info.name = kNames[c->isa];
  c->info.reason = c->reason;
  c->info.available = c->available;
  c->info.available_count = count;
  c->info.huge_pages = huge_pages_granted();
  return c;
}

const Choice &choice() {
  static const Choice *chosen = choose();
  return *chosen;
}

}  // namespace

const gp_kernel *const *cpu_tables() {
#if defined(GP_X86_TABLES) && !defined(GP_WITHOUT_AVX512)
  if (choice().isa == kAvx512) return avx512::table;
#endif
#if defined(GP_X86_TABLES) && !defined(GP_WITHOUT_AVX2)
  if (choice().isa == kAvx2) return avx2::table;
#endif
#ifndef GP_WITHOUT_BASE
  if (choice().isa == kBase) return base::table;
#endif
  static const gp_kernel *const none[] = {nullptr};
  return none;
}

}  // namespace gp

extern "C" const gp_isa_info *gp_cpu_isa() { return &gp::choice().info; }
