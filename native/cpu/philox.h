// Philox4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011).
//
// The stream of a tensor: element i is lane i % 4 of the counter (offset + i / 4), key = seed. It depends on nothing
// else, so it is the same for every number of threads, instruction set and backend.
#pragma once
#include "simd/vec.h"

namespace gp::GP_ISA {
namespace {

constexpr int kPhilox = 64;  // numbers per call

constexpr int kCounters = VecU::lanes;  // side by side in one register, each word in the low half of a lane

// Ten rounds: c[word]. The key words stand in the low halves too.
GP_FN void philox_rounds(VecU (&c)[4], uint64_t k0, uint64_t k1) {
  const VecU low(0xffffffffu), m0(0xD2511F53u), m1(0xCD9E8D57u);
  for (int round = 0; round < 10; round++) {
    const VecU p0 = mul_wide(c[0], m0), p1 = mul_wide(c[2], m1);
    c[0] = (p1 >> 32) ^ c[1] ^ VecU(k0);
    c[1] = p1 & low;
    c[2] = (p0 >> 32) ^ c[3] ^ VecU(k1);
    c[3] = p0 & low;
    k0 = (k0 + 0x9E3779B9u) & 0xffffffffu;
    k1 = (k1 + 0xBB67AE85u) & 0xffffffffu;
  }
}

// out[4 j + lane] = lane of counter + j, for j in [0, 16). Not inlined: it is long.
__attribute__((noinline)) void philox(uint32_t *out, uint64_t seed, uint64_t counter) {
  for (int first = 0; first < kPhilox / 4; first += kCounters) {
    uint64_t low[kCounters], high[kCounters];
    for (int j = 0; j < kCounters; j++) {
      const uint64_t n = counter + static_cast<uint64_t>(first + j);
      low[j] = n & 0xffffffffu;
      high[j] = n >> 32;
    }
    VecU c[4] = {load<VecU>(low), load<VecU>(high), VecU(0), VecU(0)};
    philox_rounds(c, seed & 0xffffffffu, seed >> 32);
    const VecU a = c[0] | (c[1] << 32), b = c[2] | (c[3] << 32);  // words 0 1 and 2 3 of every counter
    store(low, a);
    store(high, b);
    for (int j = 0; j < kCounters; j++) {
      memcpy(out + 4 * (first + j), &low[j], 8);
      memcpy(out + 4 * (first + j) + 2, &high[j], 8);
    }
  }
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
