// Philox4x32-10 against the known-answer vectors of Random123 (file kat_vectors, Salmon et al., D. E. Shaw Research).
#include "../cpu/philox.h"

#include <cstdio>

#include "isa_check.h"

namespace gp::GP_ISA {
namespace {

struct Answer {
  uint32_t counter[4], key[2], result[4];
};
const Answer answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

int test() {
  int checks = 0, failures = 0;
  for (const Answer &a : answers) {
    uint32_t c[4][16];
    for (int w = 0; w < 4; w++)
      for (int j = 0; j < 16; j++) c[w][j] = a.counter[w];
    philox_rounds(c, a.key[0], a.key[1]);
    for (int w = 0; w < 4; w++)
      for (int j = 0; j < 16; j++, checks++)
        if (c[w][j] != a.result[w]) {
          std::printf("  FAILED: word %d counter %d: %08x, published %08x\n", w, j, c[w][j], a.result[w]);
          failures++;
        }
  }
  // The stream: counter in the low two words, the seed as key.
  uint32_t stream[kPhilox];
  philox(stream, 0, 0);
  for (int w = 0; w < 4; w++, checks++) failures += stream[w] != answers[0].result[w];
  uint32_t later[kPhilox];
  philox(stream, 0x0123456789abcdef, 0xfffffffffffffff0);
  philox(later, 0x0123456789abcdef, 0xfffffffffffffff5);
  for (int i = 0; i < 40; i++, checks++) failures += later[i] != stream[i + 20];
  std::printf("%s: %d checks, %d failed\n", GP_ISA_NAME, checks, failures);
  return failures != 0;
}

}  // namespace
}  // namespace gp::GP_ISA

int main() { return gp::isa_runs_here() ? gp::GP_ISA::test() : 0; }
