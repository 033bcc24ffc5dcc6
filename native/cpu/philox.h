// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011), sixteen counters
// at a time.
//
// The stream of a tensor: element i is lane i % 4 of the counter (offset + i / 4), key = seed. It depends on nothing
// else, so it is the same for every number of threads, instruction set and backend.
#pragma once
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

constexpr int kPhilox = 64;  // numbers per call

// Ten rounds on sixteen counters of four words: c[word][counter]. Not inlined: it is long and called per 64 numbers.
__attribute__((noinline)) void philox_rounds(uint32_t (&c)[4][16], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    for (int j = 0; j < 16; j++) {
      const uint64_t p0 = uint64_t{0xD2511F53u} * c[0][j], p1 = uint64_t{0xCD9E8D57u} * c[2][j];
      c[0][j] = static_cast<uint32_t>(p1 >> 32) ^ c[1][j] ^ k0;
      c[1][j] = static_cast<uint32_t>(p1);
      c[2][j] = static_cast<uint32_t>(p0 >> 32) ^ c[3][j] ^ k1;
      c[3][j] = static_cast<uint32_t>(p0);
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// out[4 j + lane] = lane of counter + j, for j in [0, 16).
GP_INLINE void philox(uint32_t *out, uint64_t seed, uint64_t counter) {
  uint32_t c[4][16] = {};
  for (int j = 0; j < 16; j++) {
    c[0][j] = static_cast<uint32_t>(counter + static_cast<uint64_t>(j));
    c[1][j] = static_cast<uint32_t>((counter + static_cast<uint64_t>(j)) >> 32);
  }
  philox_rounds(c, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  for (int j = 0; j < 16; j++)
    for (int lane = 0; lane < 4; lane++) out[4 * j + lane] = c[lane][j];
}

// A generator state is i64[2]: seed, offset. Drawing n numbers moves the offset by the counters used.
struct RngState {
  uint64_t seed, offset;
};
GP_INLINE RngState read_state(const gp_view &v) {
  const int64_t *s = data<int64_t>(v);
  return {static_cast<uint64_t>(s[0]), static_cast<uint64_t>(s[1])};
}
GP_INLINE RngState draw(const gp_view &v, int64_t n) {
  const RngState s = read_state(v);
  data<int64_t>(v)[1] = static_cast<int64_t>(s.offset + static_cast<uint64_t>((n + 3) / 4));
  return s;
}

// body(first, numbers, count) for every run of up to 64 elements of a tensor of n elements.
template <class F>
GP_INLINE void each_philox(const RngState &s, int64_t n, F &&body) {
  auto range = [&](int64_t begin, int64_t end) {
    uint32_t r[kPhilox];
    for (int64_t i = begin; i < end; i += kPhilox) {
      philox(r, s.seed, s.offset + static_cast<uint64_t>(i) / 4);
      body(i, r, static_cast<int>(end - i < kPhilox ? end - i : kPhilox));
    }
  };
  if (n < 8192)
    range(0, n);
  else
    ranges(n, 4096, range);
}

// A number is below this with probability p, in steps of 2^-24.
GP_INLINE uint32_t chance(double p) { return static_cast<uint32_t>(__builtin_ceil(p * 0x1p24)); }

}  // namespace
}  // namespace gp::GP_ISA
