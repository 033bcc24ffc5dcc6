// The matrix product against itself: a product has the bits of the smaller ones that it could be cut into, and an f32
// operand of half types those of its cast. So types whose sums follow the hardware's order (bf16 by vdpbf16ps) are held
// too. Built once per instruction set (-DGP_ISA=...).
#include "../cpu/gemm/gemm.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "isa_check.h"

namespace gp::GP_ISA {
namespace {

int failures = 0, cases = 0;
std::mt19937 rng(4321);

template <class T>
constexpr int32_t kType = GP_F32;
template <>
constexpr int32_t kType<double> = GP_F64;
template <>
constexpr int32_t kType<f16> = GP_F16;
template <>
constexpr int32_t kType<bf16> = GP_BF16;

template <class T>
T number() {
  return narrow<T>(static_cast<typename Wide<T>::type>(static_cast<double>(rng() % 2001) / 1000 - 1));
}

// Runs with stale scratch, under one to three threads.
void run(const GemmArgs &g) {
  set_thread_count(1 + static_cast<int>(rng() % 3));
  const size_t size = gemm_workspace(g);
  void *scratch = aligned_alloc(64, (size + 127) / 64 * 64);
  memset(scratch, 0xff, size);
  if (gemm(g, scratch, size) != GP_OK) failures++;
  free(scratch);
}

// Bit for bit, but that which NaN it is may follow the compiler's order of operands.
template <class T>
bool same(const std::vector<T> &x, const std::vector<T> &y) {
  for (size_t i = 0; i < x.size(); i++)
    if (memcmp(&x[i], &y[i], sizeof(T)) != 0 && !(std::isnan(widen(x[i])) && std::isnan(widen(y[i])))) return false;
  return true;
}

template <class T>
void differs(const char *what, int64_t m, int64_t k, int64_t n, int a_layout, int b_layout, int64_t padding) {
  failures++;
  printf("%s type %d: %ld x %ld x %ld, layouts %d %d, padding %ld: %s\n", GP_ISA_NAME, kType<T>, m, k, n, a_layout,
         b_layout, padding, what);
}

// A few rows against Bᵀ are not packed: the same rows as part of a larger product have the same bits, in every type.
template <class T>
void few_rows() {
  for (int64_t k : {96, 129, 1000}) {
    const int64_t n = 300, all = 40;
    std::vector<T> a(static_cast<size_t>(all * k)), b(static_cast<size_t>(n * k));
    for (T &x : a) x = number<T>();
    for (T &x : b) x = number<T>();
    auto product = [&](int64_t m, bool tall) {
      std::vector<T> c(static_cast<size_t>(m * n));
      GemmArgs g = gemm_args(kType<T>, m, n, k);
      g.a = gemm_matrix(a.data(), tall ? 1 : k, tall ? all : 1);
      g.b = gemm_matrix(b.data(), 1, k);
      g.c = gemm_matrix(c.data(), n, 1);
      run(g);
      return c;
    };
    for (bool tall : {false, true}) {
      const std::vector<T> whole = product(all, tall);
      for (int64_t m = 1; m <= 5; m++) {
        cases++;
        const std::vector<T> few = product(m, tall);
        if (memcmp(few.data(), whole.data(), few.size() * sizeof(T)) != 0)
          differs<T>("differs from the same rows of more", m, k, n, tall ? 1 : 0, 1, 0);
      }
    }
  }
}

// A large product has the bits of the small products that it could be cut into, wherever its operands stand: rows of
// odd length, whole pages apart, between numbers that are none.
template <class T>
void parts_of_large() {
  struct Shape {
    int64_t m, n, k;
    int a_layout, b_layout;
  };
  const int64_t page = 4096 / static_cast<int64_t>(sizeof(T));
  const Shape shapes[] = {{150, 130, 705, 0, 1}, {100, 200, 512, 0, 1},     {70, 400, page, 0, 1},
                          {131, 161, 705, 0, 0}, {200, 97, 2 * page, 0, 0}, {90, 90, 4707, 0, 0},
                          {90, 90, 4707, 0, 1},  {400, 60, 333, 0, 0},      {130, 300, 301, 1, 0}};
  auto fill = [](std::vector<T> &memory, int64_t rows, int64_t width, int64_t row) {
    memory.assign(static_cast<size_t>(rows * row + 1), narrow<T>(static_cast<typename Wide<T>::type>(NAN)));
    for (int64_t i = 0; i < rows; i++)
      for (int64_t j = 0; j < width; j++) memory[static_cast<size_t>(i * row + j)] = number<T>();
  };
  for (const Shape &s : shapes) {
    for (int64_t padding : {0, 1, 8}) {
      cases++;
      const int64_t a_row = (s.a_layout == 0 ? s.k : s.m) + padding, b_row = (s.b_layout == 0 ? s.n : s.k) + padding;
      std::vector<T> a, b, whole(static_cast<size_t>(s.m * s.n)), part(whole.size());
      s.a_layout == 0 ? fill(a, s.m, s.k, a_row) : fill(a, s.k, s.m, a_row);
      s.b_layout == 0 ? fill(b, s.k, s.n, b_row) : fill(b, s.n, s.k, b_row);
      auto product = [&](std::vector<T> &to, int64_t i, int64_t m, int64_t j, int64_t n) {
        const int64_t a_i = s.a_layout == 0 ? a_row : 1, b_j = s.b_layout == 0 ? 1 : b_row;
        GemmArgs g = gemm_args(kType<T>, m, n, s.k);
        g.a = gemm_matrix(a.data() + i * a_i, a_i, s.a_layout == 0 ? 1 : a_row);
        g.b = gemm_matrix(b.data() + j * b_j, s.b_layout == 0 ? b_row : 1, b_j);
        g.c = gemm_matrix(to.data() + i * s.n + j, s.n, 1);
        run(g);
      };
      product(whole, 0, s.m, 0, s.n);
      for (int64_t i = 0; i < s.m; i += 16) product(part, i, std::min<int64_t>(16, s.m - i), 0, s.n);
      if (!same(whole, part)) differs<T>("differs from its parts", s.m, s.k, s.n, s.a_layout, s.b_layout, padding);
    }
  }
}

// An f32 operand B of half types counts as its cast, in every way to read it: also numbers that round to infinity, and
// the subnormal ones that round to the smallest normal one.
template <class T>
void unrounded() {
  struct Shape {
    int64_t m, n, k;
    int a_layout, b_layout;
  };
  const Shape shapes[] = {{1, 300, 129, 0, 1},   {4, 200, 1000, 0, 1},  {3, 5, 17, 0, 0},      {13, 33, 40, 0, 2},
                          {33, 65, 70, 1, 1},    {70, 333, 257, 0, 1},  {200, 97, 385, 0, 0},  {131, 161, 4707, 0, 0},
                          {131, 161, 705, 0, 1}, {385, 150, 97, 0, 1},  {500, 130, 301, 1, 0}, {60, 400, 200, 0, 2},
                          {800, 260, 950, 0, 0}, {800, 260, 951, 0, 1}, {45, 120, 2048, 0, 1}};
  const float special[] = {NAN,     INFINITY, -0.0f, 65519.0f,       65520.0f,
                           3.4e38f, 1e-41f,   6e-8f, 1.1754942e-38f, -1.17547e-38f};
  for (const Shape &s : shapes) {
    for (bool odd : {false, true}) {
      cases++;
      const int64_t step = s.b_layout == 2 ? 2 : 1, wide = (s.b_layout == 0 ? s.n : s.k) * step + (odd ? 3 : 0);
      const int64_t rows = s.b_layout == 0 ? s.k : s.n;
      std::vector<T> a(static_cast<size_t>(s.m * s.k)), rounded(static_cast<size_t>(rows * wide));
      std::vector<float> b(rounded.size());
      for (T &x : a) x = number<T>();
      for (float &x : b) x = static_cast<float>(rng()) / 2147483648.0f - 1;
      for (float x : special) {
        b[rng() % b.size()] = x;
        if (std::isfinite(x)) a[rng() % a.size()] = narrow<T>(3e38f);  // beside a subnormal number it shows
      }
      if (odd)
        for (int64_t i = 0; i < s.k; i++)
          b[static_cast<size_t>(s.b_layout == 0 ? i * wide : i * step)] = 1.1754942e-38f;
      for (size_t i = 0; i < b.size(); i++) rounded[i] = narrow<T>(b[i]);
      auto product = [&](void *data, bool wide_b) {
        std::vector<T> c(static_cast<size_t>(s.m * s.n));
        GemmArgs g = gemm_args(kType<T>, s.m, s.n, s.k);
        g.wide_b = wide_b;
        g.a = gemm_matrix(a.data(), s.a_layout == 0 ? s.k : 1, s.a_layout == 0 ? 1 : s.m);
        g.b = s.b_layout == 0 ? gemm_matrix(data, wide, 1) : gemm_matrix(data, step, wide);
        g.c = gemm_matrix(c.data(), s.n, 1);
        run(g);
        return c;
      };
      if (!same(product(rounded.data(), false), product(b.data(), true)))
        differs<T>("differs from the cast operand's", s.m, s.k, s.n, s.a_layout, s.b_layout, odd ? 3 : 0);
    }
  }
}

template <class T>
void every_way() {
  few_rows<T>();
  parts_of_large<T>();
  if constexpr (sizeof(T) == 2) unrounded<T>();
}

}  // namespace

int run_tests() {
  every_way<float>();
  every_way<double>();
  every_way<f16>();
  every_way<bf16>();
  printf("%s: %d cases, %d failures\n", GP_ISA_NAME, cases, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace gp::GP_ISA

int main() {
  if (!gp::isa_runs_here()) {
    printf("skipped: this processor has no %s\n", GP_ISA_NAME);
    return 0;
  }
  const int code = gp::GP_ISA::run_tests();
  gp::shutdown_threads();
  return code;
}
