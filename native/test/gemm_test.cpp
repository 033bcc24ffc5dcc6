// The matrix product against two references: doubles (is it right?) and one ascending-k chain of fused multiply-adds
// per element, cut at 4096 (is it the promised order, bit for bit?). Built once per instruction set (-DGP_ISA=...).
#include "../cpu/gemm/gemm.h"
#include "../cpu/gemm/activation.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "isa_check.h"

namespace gp::GP_ISA {
namespace {

int failures = 0, cases = 0;
std::mt19937 rng(1234);

int64_t pick(std::initializer_list<int64_t> of) { return of.begin()[rng() % of.size()]; }
bool coin(unsigned one_in = 2) { return rng() % one_in == 0; }

template <class T>
struct Name;
template <>
struct Name<float> {
  static constexpr int32_t dtype = GP_F32;
  static constexpr const char *text = "f32";
};
template <>
struct Name<double> {
  static constexpr int32_t dtype = GP_F64;
  static constexpr const char *text = "f64";
};
template <>
struct Name<f16> {
  static constexpr int32_t dtype = GP_F16;
  static constexpr const char *text = "f16";
};
template <>
struct Name<bf16> {
  static constexpr int32_t dtype = GP_BF16;
  static constexpr const char *text = "bf16";
};

template <class A>
A chain_step(A a, A b, A c) {
  if (kFused) return std::fma(a, b, c);
  volatile A product = a * b;  // two roundings, whatever flags this file is built with
  return product + c;
}

// A matrix in an allocation of exactly its size, so that a sanitizer sees every step beyond it.
template <class T>
struct Matrix {
  T *memory = nullptr;
  size_t count = 0;
  GemmMatrix view{};

  Matrix() = default;
  Matrix(const Matrix &) = delete;
  Matrix &operator=(const Matrix &) = delete;
  ~Matrix() { free(memory); }

  // layout: 0 rows contiguous, 1 columns contiguous, 2 neither
  void make(int64_t rows, int64_t cols, int64_t batches, bool shared, int layout, int64_t padding, int64_t shift) {
    view = gemm_matrix(nullptr, 0, 0);
    if (layout == 0) {
      view.col = 1;
      view.row = cols + padding;
    } else if (layout == 1) {
      view.row = 1;
      view.col = rows + padding;
    } else {
      view.col = 2;
      view.row = 2 * cols + padding;
    }
    int64_t last = (rows - 1) * view.row + (cols - 1) * view.col;
    if (rows <= 0 || cols <= 0) last = -1;
    view.batch[0] = shared ? 0 : last + 1 + padding;
    count = static_cast<size_t>(shift + last + 1 + (batches - 1) * view.batch[0]);
    memory = static_cast<T *>(malloc(count * sizeof(T) + 1));
    for (size_t i = 0; i < count; i++) {
      using A = typename Wide<T>::type;
      memory[i] = narrow<T>(static_cast<A>(static_cast<int>(rng() % 2001) - 1000) / static_cast<A>(512));
    }
    view.data = memory + shift;
  }
  const T &at(int64_t batch, int64_t i, int64_t j) const {
    return static_cast<const T *>(view.data)[batch * view.batch[0] + i * view.row + j * view.col];
  }
};

struct Case {
  int64_t m, n, k, batches = 1;
  int a_layout = 0, b_layout = 0;
  bool shared_b = false, accumulate = false, wide = false, bias = false, row_bias = false, residual = false,
       pre = false;
  bool transposed_c = false;
  int32_t activation = 0;
  double alpha = 1.0;
  int64_t padding = 0, shift = 0;
  int threads = 1;
  bool special = false;
};

template <class T>
void fail(const Case &c, const char *what, int64_t batch, int64_t i, int64_t j, double got, double want) {
  if (++failures > 20) return;
  printf(
      "FAIL %s %s: m %ld n %ld k %ld batches %ld layouts %d %d shared %d acc %d wide %d bias %d/%d act %d res %d pre "
      "%d "
      "ct %d alpha %g pad %ld shift %ld threads %d: [%ld, %ld, %ld] got %.17g want %.17g\n",
      Name<T>::text, what, c.m, c.n, c.k, c.batches, c.a_layout, c.b_layout, c.shared_b, c.accumulate, c.wide, c.bias,
      c.row_bias, c.activation, c.residual, c.pre, c.transposed_c, c.alpha, c.padding, c.shift, c.threads, batch, i, j,
      got, want);
}

template <class A>
bool same(A x, A y) {
  return (std::isnan(x) && std::isnan(y)) || memcmp(&x, &y, sizeof x) == 0;
}

double exact_activation(int32_t kind, double x) {
  switch (kind) {
    case kRelu:
      return x < 0 ? 0 : x;
    case kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case kGeluTanh:
      return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default:
      return x / (1 + std::exp(-x));
  }
}

template <class T>
void check(const Case &c) {
  static const bool pairs = bf16_pairs();
  using A = typename Wide<T>::type;
  cases++;
  Matrix<T> a, b, out, bias, residual, pre;
  Matrix<A> wide;
  a.make(c.m, c.k, c.batches, false, c.a_layout, c.padding, c.shift);
  b.make(c.k, c.n, c.batches, c.shared_b, c.b_layout, c.padding, c.shift);
  if (c.special && a.count > 2 && b.count > 2) {
    for (int i = 0; i < 3; i++) {
      a.memory[rng() % a.count] = narrow<T>(static_cast<A>(coin() ? NAN : INFINITY));
      b.memory[rng() % b.count] = narrow<T>(static_cast<A>(coin() ? -INFINITY : 0.0));
    }
  }
  const int c_layout = c.transposed_c ? 1 : 0;
  GemmArgs g = gemm_args(Name<T>::dtype, c.m, c.n, c.k);
  g.batch_ndim = c.batches > 1 ? 1 : 0;  // thin and shallow products have no batch
  g.batch_shape[0] = c.batches;
  g.a = a.view;
  g.b = b.view;
  g.alpha = c.alpha;
  g.accumulate = c.accumulate;
  g.wide_c = c.wide && sizeof(T) == 2;
  g.activation = c.activation;
  std::vector<A> old;
  if (g.wide_c) {
    wide.make(c.m, c.n, c.batches, false, c_layout, c.padding, c.shift);
    g.c = wide.view;
    for (size_t i = 0; i < wide.count; i++) old.push_back(wide.memory[i]);
  } else {
    out.make(c.m, c.n, c.batches, false, c_layout, c.padding, c.shift);
    g.c = out.view;
    for (size_t i = 0; i < out.count; i++) old.push_back(widen(out.memory[i]));
  }
  if (c.bias) {
    bias.make(c.row_bias ? c.m : 1, c.row_bias ? 1 : c.n, 1, true, c.row_bias ? 1 : 0, 0, c.shift);
    g.bias = bias.view;
    (c.row_bias ? g.bias.col : g.bias.row) = 0;
  }
  if (c.residual) {
    residual.make(c.m, c.n, c.batches, false, 0, c.padding, c.shift);
    g.residual = residual.view;
  }
  if (c.pre) {
    pre.make(c.m, c.n, c.batches, false, 0, c.padding, 0);
    g.pre = pre.view;
  }
  set_thread_count(c.threads);
  const size_t size = gemm_workspace(g);
  char *scratch = static_cast<char *>(aligned_alloc(64, (size + 127) / 64 * 64));
  memset(scratch, 0xff, size);  // NaNs: stale scratch must never reach a result
  gemm(g, size == 0 ? nullptr : scratch, size);
  free(scratch);

  const int64_t stored = g.wide_c ? wide.count : out.count;
  std::vector<char> touched(static_cast<size_t>(stored), 0);
  for (int64_t batch = 0; batch < c.batches; batch++) {
    for (int64_t i = 0; i < c.m; i++) {
      for (int64_t j = 0; j < c.n; j++) {
        double exact = 0, magnitude = 0;
        A total = 0;
        for (int64_t k0 = 0; k0 == 0 || k0 < c.k; k0 += 4096) {
          A chain = 0;
          for (int64_t k = k0; k < c.k && k < k0 + 4096; k++) {
            A x = widen(a.at(batch, i, k)), y = widen(b.at(batch, k, j));
            chain = chain_step(x, y, chain);
            exact += static_cast<double>(x) * static_cast<double>(y);
            magnitude += std::fabs(static_cast<double>(x) * static_cast<double>(y));
          }
          total = k0 == 0 ? chain : total + chain;
        }
        const size_t at = static_cast<size_t>(c.shift + batch * g.c.batch[0] + i * g.c.row + j * g.c.col);
        touched[at] = 1;
        A v = total * static_cast<A>(c.alpha);
        exact *= c.alpha;
        magnitude *= std::fabs(c.alpha);
        auto add = [&](A x) {
          v = v + x;
          exact += static_cast<double>(x);
          magnitude += std::fabs(static_cast<double>(x));
        };
        if (c.bias) add(widen(c.row_bias ? bias.at(0, i, 0) : bias.at(0, 0, j)));
        const A before = v;
        if (c.activation != kNoActivation) {
          alignas(64) A lanes[16] = {v};  // the bits of the separate op
          activate(c.activation, lanes, 16);
          v = lanes[0];
          exact = exact_activation(c.activation, exact);
          magnitude = 2 * magnitude + 1e-3;  // slopes stay below 1.2
        }
        if (c.residual) add(widen(residual.at(batch, i, j)));
        if (c.accumulate) add(old[at]);
        A got = g.wide_c ? wide.memory[at] : static_cast<A>(widen(out.memory[at]));
        // Which sum order vdpbf16ps follows is the hardware's own; everything else follows the chain.
        const bool chained = Name<T>::dtype != GP_BF16 || !pairs;
        if (chained) {
          A want = static_cast<A>(widen(narrow<T>(v)));
          if (!same(got, want)) fail<T>(c, "bits", batch, i, j, got, want);
          if (c.pre) {
            A p = widen(pre.at(batch, i, j)), q = widen(narrow<T>(before));
            if (!same(p, q)) fail<T>(c, "pre", batch, i, j, p, q);
          }
        }
        const double eps = sizeof(A) == 8 ? 2.3e-16 : 1.2e-7;
        const double rounding = sizeof(T) == 2 ? (Name<T>::dtype == GP_F16 ? 5e-4 : 4e-3) : 0;
        const double limit =
            magnitude * eps * (8 + 2 * std::sqrt(static_cast<double>(c.k))) + std::fabs(exact) * rounding;
        if (std::isfinite(exact) ? !(std::fabs(static_cast<double>(got) - exact) <= limit)
                                 : std::isnan(exact) != std::isnan(got))
          fail<T>(c, "value", batch, i, j, got, exact);
      }
    }
  }
  for (int64_t at = 0; at < stored; at++) {
    const size_t s = static_cast<size_t>(at);
    A now = g.wide_c ? wide.memory[s] : static_cast<A>(widen(out.memory[s]));
    if (!touched[s] && !same(now, old[s])) fail<T>(c, "wrote outside C", 0, 0, at, now, old[s]);
  }
}

template <class T>
void random_cases(int count) {
  for (int i = 0; i < count; i++) {
    Case c;
    c.m = pick({1, 2, 3, 5, 7, 8, 12, 13, 31, 33, 63, 65, 127, 300});
    c.n = pick({1, 2, 3, 5, 7, 8, 13, 16, 31, 32, 33, 63, 65, 127, 300});
    c.k = pick({0, 1, 2, 3, 5, 7, 13, 31, 33, 63, 65, 127, 300, 383, 384, 385});
    if (coin(40)) {
      c.m = pick({1, 5, 13, 33});
      c.n = pick({1, 7, 33, 65});
      c.k = pick({4095, 4096, 4097, 9000});
    }
    c.batches = coin(4) ? pick({2, 3}) : 1;
    c.a_layout = coin(8) ? 2 : static_cast<int>(rng() % 2);
    c.b_layout = coin(8) ? 2 : static_cast<int>(rng() % 2);
    c.shared_b = coin(3);
    c.accumulate = coin(4);
    c.wide = coin(4);
    c.bias = coin(3);
    c.row_bias = coin(3);
    c.residual = coin(5);
    c.pre = coin(5);
    c.activation = coin(3) ? static_cast<int32_t>(1 + rng() % 4) : kNoActivation;
    c.alpha = coin(5) ? 0.375 : 1.0;
    c.transposed_c = coin(6);
    c.padding = coin() ? pick({1, 3, 16}) : 0;
    c.shift = coin() ? pick({1, 3}) : 0;
    c.threads = static_cast<int>(pick({1, 2, 3, 7}));
    c.special = coin(8);
    check<T>(c);
  }
}

// Products that take the path for large ones, with one and several chunks and blocks.
template <class T>
void large_cases() {
  for (int layout = 0; layout < 4; layout++) {
    for (int64_t threads : {1, 2, 3, 7}) {
      Case c;
      c.m = 300;
      c.n = 127 + 33 * layout;
      c.k = layout == 3 ? 4097 : 385;
      if (layout == 3) c.m = 63;
      c.a_layout = layout & 1;
      c.b_layout = layout >> 1;
      c.threads = static_cast<int>(threads);
      c.bias = threads == 2;
      c.accumulate = threads == 3;
      c.shift = threads == 7;
      check<T>(c);
    }
  }
}

// The ways a product chooses by its layout: computed as its transpose (A · Bᵀ with few rows; rows of B a whole number
// of pages apart or not), B packed once with A read in place or packed by each tile, one or several blocks of K, B or A
// packed for all by blocks of K; a few columns; one row shared out by its columns; a few products per element.
template <class T>
void layouts() {
  struct Shape {
    int64_t m, n, k;
    int a_layout, b_layout;
  };
  const int64_t page = 4096 / static_cast<int64_t>(sizeof(T));
  const Shape shapes[] = {
      {70, 333, 257, 0, 1},  {131, 97, 390, 1, 1},     {45, 120, page, 0, 1}, {384, 150, 97, 0, 1},
      {385, 150, 97, 0, 1},  {400, 768, 33, 1, 0},     {400, 530, 40, 0, 0},  {200, 66, 770, 1, 0},
      {65, 130, 770, 0, 0},  {97, 65, 2 * page, 0, 0}, {100, 700, 100, 1, 0}, {63, 1100, 70, 1, 1},
      {130, 33, 1000, 2, 0}, {64, 100, 1000, 0, 2},    {60, 130, 2100, 1, 0}, {131, 129, 1900, 0, 1},
      {90, 300, 2100, 1, 0}, {2100, 1940, 0, 0, 0},    {1500, 1, 70, 0, 0},   {700, 4, 129, 0, 1},
      {300, 3, 4096, 0, 2},  {20, 2, 4097, 0, 1},      {1, 200, 2100, 0, 0},  {12, 333, 100, 1, 0},
      {500, 130, 1, 0, 0},   {333, 65, 4, 1, 0},       {100, 2570, 3, 2, 0},  {13, 16, 2, 0, 0},
      {1000003, 1, 1, 0, 0}, {63001, 17, 1, 1, 0},     {50, 20001, 2, 0, 0},
  };
  int turn = 0;
  for (const Shape &s : shapes) {
    Case c;
    c.m = s.m;
    c.n = s.n;
    c.k = s.k;
    c.a_layout = s.a_layout;
    c.b_layout = s.b_layout;
    c.threads = static_cast<int>(pick({1, 2, 3, 7}));
    check<T>(c);
    turn++;
    c.threads = static_cast<int>(pick({1, 2, 3, 7}));
    c.bias = turn % 2 == 0;
    c.row_bias = turn % 4 == 0;
    c.residual = turn % 3 == 0;
    c.pre = turn % 3 == 1;
    c.activation = turn % 5;
    c.alpha = turn % 4 == 1 ? 0.375 : 1.0;
    c.accumulate = turn % 2 == 1;
    c.shift = turn % 3;
    c.padding = s.k % page == 0 ? 0 : turn % 4;
    c.transposed_c = turn % 7 == 0;
    c.special = turn % 5 == 0;
    check<T>(c);
  }
}

// Many rows: B, too large for L2, is packed once and streams past what each tile holds of A (read in place, copied side
// by side, or packed).
template <class T>
void streamed() {
  const int64_t page = 4096 / static_cast<int64_t>(sizeof(T));
  for (int way = 0; way < 4; way++) {
    Case c;
    c.m = 769 + way;
    c.n = 257 + 2 * way;
    c.k = way == 1 ? (900 / page + 1) * page : way == 3 ? 4500 : 950;
    if (Name<T>::dtype != GP_F32 && way != Name<T>::dtype % 3) continue;  // they take a second each
    c.a_layout = way == 2 ? 1 : 0;
    c.b_layout = way & 1;
    c.threads = 1 + way % 3;
    c.bias = way == 0;
    c.activation = way == 0 ? 2 : 0;
    c.residual = way == 2;
    c.accumulate = way == 3;
    c.special = way == 2;
    check<T>(c);
  }
}

// Aᵀ · B with few columns: columns of A are read where they stand (packed where they lie whole pages apart), and a
// narrow B is packed by slices of its depth.
template <class T>
void narrow_gradients() {
  const int64_t page = 4096 / static_cast<int64_t>(sizeof(T));
  for (int way = 0; way < 4; way++) {
    Case c;
    c.m = way == 3 ? page : pick({131, 385});
    c.n = pick({40, 64, 65, 127});
    c.k = way == 1 ? 4200 : pick({900, 1025});
    c.a_layout = 1;
    c.b_layout = way & 1;
    c.padding = way == 2 ? 3 : 0;
    c.threads = 1 + way;
    c.bias = way == 0;
    c.accumulate = way == 1;
    c.special = way == 2;
    check<T>(c);
  }
}

// A thread count raised after the scratch was sized must not overrun it, nor be refused: tiles follow the threads.
void raised_thread_count() {
  const int64_t n = 200, k = 400;
  for (int64_t m = 60; m < 600; m += 10) {
    for (bool transposed : {false, true}) {
      std::vector<float> a(m * k, 1.0f), b(k * n, 1.0f), c(m * n);
      GemmArgs g = gemm_args(GP_F32, m, n, k);
      g.a = transposed ? gemm_matrix(a.data(), 1, m) : gemm_matrix(a.data(), k, 1);
      g.b = gemm_matrix(b.data(), 1, k);
      g.c = gemm_matrix(c.data(), n, 1);
      set_thread_count(1);
      const size_t size = gemm_workspace(g);
      void *scratch = aligned_alloc(64, (size + 127) / 64 * 64);
      for (int threads : {2, 3, 7}) {
        std::fill(c.begin(), c.end(), 0.0f);
        set_thread_count(threads);
        if (gemm(g, scratch, size) != GP_OK) failures++;
        for (float x : c)
          if (x != 400.0f) failures++;
      }
      free(scratch);
    }
  }
}

template <class T>
void every_way(int random) {
  random_cases<T>(random);
  large_cases<T>();
  layouts<T>();
  streamed<T>();
  narrow_gradients<T>();
}

}  // namespace

int run_tests(int scale) {
  every_way<float>(12 * scale);
  every_way<double>(8 * scale);
  every_way<f16>(4 * scale);
  every_way<bf16>(6 * scale);
  raised_thread_count();
  printf("%s: %d cases, %d failures\n", GP_ISA_NAME, cases, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace gp::GP_ISA

int main(int argc, char **argv) {
  if (!gp::isa_runs_here()) {
    printf("skipped: this processor has no %s\n", GP_ISA_NAME);
    return 0;
  }
  const int code = gp::GP_ISA::run_tests(argc > 1 ? atoi(argv[1]) : 8);
  gp::shutdown_threads();
  return code;
}
