// Distributions, and the one stream: the same numbers for every number of threads and every instruction set.
#include "kernels.h"

#include <algorithm>

using namespace gp::test;

namespace {

Tensor state(int64_t seed, int64_t offset) {
  Tensor t(GP_I64, {2});
  t.as<int64_t>()[0] = seed;
  t.as<int64_t>()[1] = offset;
  return t;
}

std::vector<double> attrs(int64_t n, std::initializer_list<double> rest) {
  std::vector<double> a(rest.size() + 3, 0.0);  // the shape as a list, the numbers, dtype
  a[0] = 1;
  a[1] = static_cast<double>(n);
  std::copy(rest.begin(), rest.end(), a.begin() + 2);
  return a;
}

struct Moments {
  double mean = 0, variance = 0, skew = 0, kurtosis = 0, least = INFINITY, most = -INFINITY;
};
Moments moments(const std::vector<double> &v) {
  Moments m;
  for (double x : v) m.mean += x, m.least = std::fmin(m.least, x), m.most = std::fmax(m.most, x);
  m.mean /= static_cast<double>(v.size());
  for (double x : v) {
    const double d = x - m.mean;
    m.variance += d * d, m.skew += d * d * d, m.kurtosis += d * d * d * d;
  }
  const double n = static_cast<double>(v.size());
  m.variance /= n;
  m.skew /= n * std::pow(m.variance, 1.5);
  m.kurtosis /= n * m.variance * m.variance;
  return m;
}

template <class T>
std::vector<double> values(Tensor &t) {
  std::vector<double> v;
  for (int64_t i = 0; i < t.numel(); i++) v.push_back(static_cast<double>(t.as<T>()[i]));
  return v;
}

// Philox4x32-10, word by word as published, checked against the known-answer vectors of Random123 (file kat_vectors,
// Salmon et al., D. E. Shaw Research).
struct Words {
  uint32_t v[4];
};
Words philox(Words c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c.v[0], p1 = uint64_t{0xCD9E8D57u} * c.v[2];
    c = {{static_cast<uint32_t>(p1 >> 32) ^ c.v[1] ^ k0, static_cast<uint32_t>(p1),
          static_cast<uint32_t>(p0 >> 32) ^ c.v[3] ^ k1, static_cast<uint32_t>(p0)}};
  }
  return c;
}
void known_answers() {
  struct Answer {
    Words counter;
    uint32_t key[2];
    Words result;
  };
  const uint32_t all = 0xffffffff;
  const Answer answers[] = {
      {{{0, 0, 0, 0}}, {0, 0}, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
      {{{all, all, all, all}}, {all, all}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
      {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {0xa4093822, 0x299f31d0},
       {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
  };
  for (const Answer &a : answers) {
    const Words got = philox(a.counter, a.key[0], a.key[1]);
    expect(std::memcmp(&got, &a.result, sizeof got) == 0, "Philox4x32-10 of %08x...", a.counter.v[0]);
  }
}

// randint over 2^32 values returns the raw numbers.
void the_stream_is_philox(const Isa &isa) {
  for (uint64_t seed : {uint64_t{0}, uint64_t{0x0123456789abcdef}, ~uint64_t{0}})
    for (uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{0xfffffffd}, uint64_t{1} << 62}) {
      const int64_t n = 203;
      Tensor rng = state(static_cast<int64_t>(seed), static_cast<int64_t>(offset)), y(GP_I64, {n});
      run(isa, "randint", {rng.at()}, {y.at()}, attrs(n, {0, 0x1p32}));
      bool same = true;
      for (int64_t i = 0; i < n; i++) {
        const uint64_t counter = offset + static_cast<uint64_t>(i) / 4;
        const Words w = philox({{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), 0, 0}},
                               static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
        same = same && y.as<int64_t>()[i] == w.v[i % 4];
      }
      expect(same, "%s: the stream of seed %llx offset %llx", isa.name.c_str(), static_cast<unsigned long long>(seed),
             static_cast<unsigned long long>(offset));
    }
}

// Bounds are six standard errors of the estimate.
void distributions(const Isa &isa) {
  const int64_t n = 1'000'003;
  const double root = std::sqrt(static_cast<double>(n));
  Tensor rng = state(42, 7), f(GP_F32, {n}), d(GP_F64, {n}), i(GP_I64, {n});
  const char *name = isa.name.c_str();

  run(isa, "uniform", {rng.at()}, {f.at()}, attrs(n, {-1, 3}));
  Moments m = moments(values<float>(f));
  expect(std::fabs(m.mean - 1) < 6 * 4 / std::sqrt(12.0) / root, "%s uniform mean %g", name, m.mean);
  expect(std::fabs(m.variance - 16 / 12.0) < 6 * 1.2 / root, "%s uniform variance %g", name, m.variance);
  expect(m.least >= -1 && m.most < 3, "%s uniform range [%g, %g]", name, m.least, m.most);
  expect(rng.as<int64_t>()[1] == 7 + (n + 3) / 4, "%s: the offset moved by the counters used", name);

  run(isa, "randn", {rng.at()}, {f.at()}, attrs(n, {0, 1}));
  run(isa, "randn", {rng.at()}, {d.at()}, attrs(n, {0, 1}));
  for (const std::vector<double> &v : {values<float>(f), values<double>(d)}) {
    m = moments(v);
    expect(std::fabs(m.mean) < 6 / root, "%s normal mean %g", name, m.mean);
    expect(std::fabs(m.variance - 1) < 6 * std::sqrt(2.0) / root, "%s normal variance %g", name, m.variance);
    expect(std::fabs(m.skew) < 6 * std::sqrt(6.0) / root, "%s normal skewness %g", name, m.skew);
    expect(std::fabs(m.kurtosis - 3) < 6 * std::sqrt(24.0) / root, "%s normal kurtosis %g", name, m.kurtosis);
    double within = 0, neighbours = 0;
    for (size_t k = 0; k < v.size(); k++) {
      within += std::fabs(v[k]) < 1;
      if (k > 0) neighbours += v[k] * v[k - 1];
    }
    const double p = std::erf(std::sqrt(0.5));
    expect(std::fabs(within / static_cast<double>(n) - p) < 6 * std::sqrt(p * (1 - p)) / root, "%s normal within 1",
           name);
    expect(std::fabs(neighbours / static_cast<double>(n)) < 6 / root, "%s neighbours are uncorrelated", name);
  }

  run(isa, "randint", {rng.at()}, {i.at()}, attrs(n, {-3, 4}));
  double counts[7] = {}, chi = 0;
  for (double v : values<int64_t>(i)) {
    expect(v >= -3 && v < 4, "%s randint gave %g", name, v);
    counts[static_cast<int>(v) + 3]++;
  }
  const double even = static_cast<double>(n) / 7;
  for (double k : counts) chi += (k - even) * (k - even) / even;
  expect(chi < 6 + 6 * std::sqrt(12.0), "%s randint chi squared %g of 6 degrees", name, chi);

  Tensor b(GP_BOOL, {n});
  run(isa, "bernoulli", {rng.at()}, {b.at()}, attrs(n, {0.3}));
  m = moments(values<uint8_t>(b));
  expect(std::fabs(m.mean - 0.3) < 6 * std::sqrt(0.21) / root, "%s bernoulli mean %g", name, m.mean);

  for (int half : {GP_F16, GP_BF16}) {
    Tensor h(half, {n});
    run(isa, "uniform", {rng.at()}, {h.at()}, attrs(n, {0, 1}));
    const uint16_t one = half == GP_F16 ? 0x3c00 : 0x3f80;
    bool below = true;
    for (int64_t k = 0; k < n; k++) below = below && h.as<uint16_t>()[k] < one;
    expect(below, "%s: a half uniform stays below 1", name);
  }
}

void dropout(const Isa &isa) {
  const int64_t n = 100'003;
  const double p = 0.25;
  Tensor rng = state(1, 2), x(GP_F32, {n}), y(GP_F32, {n}), used(GP_I64, {2}), dx(GP_F32, {n});
  for (int64_t i = 0; i < n; i++) x.as<float>()[i] = 3.0f;
  run(isa, "dropout", {x.at(), rng.at()}, {y.at(), used.at()}, {p});
  run(isa, "dropout_backward", {x.at(), used.at()}, {dx.at()}, {p});
  int64_t kept = 0;
  for (int64_t i = 0; i < n; i++) {
    const float v = y.as<float>()[i];
    expect(v == 0 || v == 4.0f, "dropout gives 0 or x / (1 - p), got %g", static_cast<double>(v));
    kept += v != 0;
  }
  expect(std::fabs(static_cast<double>(kept) / static_cast<double>(n) - 0.75) <
             6 * std::sqrt(p * (1 - p) / static_cast<double>(n)),
         "three quarters are kept: %lld", static_cast<long long>(kept));
  expect(y.same_bytes(dx), "backward drops the same elements");
  expect(used.as<int64_t>()[0] == 1 && used.as<int64_t>()[1] == 2, "the state used is kept");
  expect(rng.as<int64_t>()[1] == 2 + (n + 3) / 4, "dropout advances the generator");
  for (double all : {0.0, 1.0}) {
    run(isa, "dropout", {x.at(), rng.at()}, {y.at(), used.at()}, {all});
    bool right = true;
    for (int64_t i = 0; i < n; i++) right = right && y.as<float>()[i] == (all == 0.0 ? 3.0f : 0.0f);
    expect(right, "dropout with p = %g", all);
  }
}

void one_stream(const std::vector<Isa> &all) {
  const int64_t n = 70'001;
  struct Draw {
    const char *op;
    int dtype;
    std::vector<double> attrs;
  };
  const Draw draws[] = {
      {"uniform", GP_F32, attrs(n, {0, 1})},  {"uniform", GP_BF16, attrs(n, {0, 1})},
      {"uniform", GP_F64, attrs(n, {2, 5})},  {"randint", GP_I64, attrs(n, {0, 1e12})},
      {"bernoulli", GP_F32, attrs(n, {0.5})}, {"randn", GP_F32, attrs(n, {0, 1})},
      {"randn", GP_F64, attrs(n, {1, 2})},
  };
  for (const Draw &d : draws) {
    Tensor reference(d.dtype, {n});
    for (size_t k = 0; k < all.size(); k++)
      for (int threads : {1, 2, 5}) {
        gp::set_thread_count(threads);
        Tensor rng = state(-9, (int64_t{1} << 40) + 3), y(d.dtype, {n});
        run(all[k], d.op, {rng.at()}, {y.at()}, d.attrs);
        if (threads == 1 && k == 0) reference = y;
        const bool exact = !(std::strcmp(d.op, "randn") == 0 && d.dtype == GP_F32);
        if (exact || all[k].name != "base") {
          // f32 normals go through f32 polynomials: without FMA their last bits differ.
          if (!exact && threads == 1 && k == 1) reference = y;
          expect(y.same_bytes(reference), "%s dtype %d: %s with %d threads gives the same bits", d.op, d.dtype,
                 all[k].name.c_str(), threads);
        }
      }
    // Drawing in two pieces continues the stream.
    Tensor rng = state(-9, (int64_t{1} << 40) + 3), head(d.dtype, {4096}), tail(d.dtype, {n - 4096});
    run(all.back(), d.op, {rng.at()}, {head.at()}, d.attrs);
    run(all.back(), d.op, {rng.at()}, {tail.at()}, d.attrs);
    const size_t size = size_of(d.dtype);
    expect(std::memcmp(head.bytes.data(), reference.bytes.data(), 4096 * size) == 0 &&
               std::memcmp(tail.bytes.data(), reference.bytes.data() + 4096 * size,
                           static_cast<size_t>(n - 4096) * size) == 0,
           "%s dtype %d: two draws continue the stream of one", d.op, d.dtype);
  }
}

}  // namespace

int main() {
  std::vector<Isa> all = isas();
  known_answers();
  for (const Isa &isa : all) {
    the_stream_is_philox(isa);
    distributions(isa);
    dropout(isa);
  }
  one_stream(all);
  return report();
}
