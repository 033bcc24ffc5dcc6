// argmax, argmin, logsumexp and cumsum against plain loops, over inner, outer and several axes.
#include "kernels.h"

using namespace gp::test;

namespace {

struct Case {
  int64_t outer, n, inner;
};
const Case cases[] = {{1, 1, 1},  {1, 7, 1},     {1, 100003, 1}, {5, 63, 1},
                      {4, 65, 3}, {300, 129, 1}, {1, 500, 200},  {2, 3, 20000}};

void rows(const Isa &isa, const Case &k) {
  const char *name = isa.name.c_str();
  Tensor x(GP_F32, {k.outer, k.n, k.inner}), w(GP_F32, {k.outer, k.inner}), i64(GP_I64, {k.outer, k.inner}),
      c(GP_F32, {k.outer, k.n, k.inner});
  Numbers r(31);
  for (int64_t i = 0; i < x.numel(); i++)
    x.as<float>()[i] = static_cast<float>(std::floor(r.between(-20, 20)) / 2);  // with ties
  auto at = [&](int64_t o, int64_t j, int64_t i) {
    return static_cast<double>(x.as<float>()[(o * k.n + j) * k.inner + i]);
  };
  for (const char *op : {"argmax", "argmin"}) {
    const double sign = std::strcmp(op, "argmax") == 0 ? 1 : -1;
    run(isa, op, {x.at()}, {i64.at()}, {1, 1, 0});
    bool right = true;
    for (int64_t o = 0; o < k.outer; o++)
      for (int64_t i = 0; i < k.inner; i++) {
        int64_t best = 0;
        for (int64_t j = 1; j < k.n; j++)
          if (sign * at(o, j, i) > sign * at(o, best, i)) best = j;
        right = right && i64.as<int64_t>()[o * k.inner + i] == best;
      }
    expect(right && i64.margin_intact(), "%s %s over %lld", name, op, static_cast<long long>(k.n));
  }
  run(isa, "logsumexp", {x.at()}, {w.at()}, {1, 1, 0});
  run(isa, "cumsum", {x.at()}, {c.at()}, {1});
  for (int64_t o = 0; o < k.outer; o++)
    for (int64_t i = 0; i < k.inner; i++) {
      double total = 0, most = -INFINITY, running = 0;
      for (int64_t j = 0; j < k.n; j++) most = std::fmax(most, at(o, j, i));
      bool right = true;
      for (int64_t j = 0; j < k.n; j++) {
        total += std::exp(at(o, j, i) - most);
        running += at(o, j, i);
        right = right && c.as<float>()[(o * k.n + j) * k.inner + i] == static_cast<float>(running);
      }
      const double want = most + std::log(total), got = static_cast<double>(w.as<float>()[o * k.inner + i]);
      expect(std::fabs(got - want) <= std::fabs(want) * 0x1p-23 + 1e-7, "%s logsumexp: %.9g, expected %.9g", name, got,
             want);
      expect(right, "%s cumsum over %lld", name, static_cast<long long>(k.n));
    }
  // all axes: one flat index
  Tensor flat(GP_I64, {});
  run(isa, "argmax", {x.at()}, {flat.at()}, {3, 0, 1, 2, 0});
  int64_t best = 0;
  for (int64_t i = 1; i < x.numel(); i++)
    if (x.as<float>()[i] > x.as<float>()[best]) best = i;
  expect(*flat.as<int64_t>() == best, "%s argmax over all axes", name);
  // the outer axes, through a transposed view: the same as the contiguous copy
  Tensor a(GP_F32, {k.n}), b(GP_F32, {k.n}), copy(GP_F32, {k.inner, k.n, k.outer});
  gp_view t = x.at();
  t.shape[0] = k.inner, t.stride[0] = 1;
  t.shape[2] = k.outer, t.stride[2] = k.n * k.inner;
  run(isa, "contiguous", {t}, {copy.at()});
  run(isa, "logsumexp", {t}, {a.at()}, {2, 0, 2, 0});
  run(isa, "logsumexp", {copy.at()}, {b.at()}, {2, 0, 2, 0});
  expect(a.same_bytes(b), "%s logsumexp over two outer axes: strided as contiguous", name);
}

void specials(const Isa &isa) {
  for (int64_t n : {3, 50}) {
    Tensor x(GP_F32, {n}), y(GP_F32, {}), k(GP_I64, {});
    for (int64_t i = 0; i < n; i++) x.as<float>()[i] = -INFINITY;
    run(isa, "logsumexp", {x.at()}, {y.at()}, {1, 0, 0});
    expect(*y.as<float>() == -INFINITY, "logsumexp of -inf alone is -inf");
    x.as<float>()[1] = INFINITY;
    run(isa, "logsumexp", {x.at()}, {y.at()}, {1, 0, 0});
    expect(*y.as<float>() == INFINITY, "logsumexp with +inf is +inf");
    x.as<float>()[1] = 1000.0f;
    run(isa, "logsumexp", {x.at()}, {y.at()}, {1, 0, 0});
    expect(*y.as<float>() == 1000.0f, "logsumexp does not overflow");
    x.as<float>()[2] = NAN;
    run(isa, "logsumexp", {x.at()}, {y.at()}, {1, 0, 0});
    expect(std::isnan(*y.as<float>()), "logsumexp with NaN is NaN");
    for (const char *op : {"argmax", "argmin"}) {
      run(isa, op, {x.at()}, {k.at()}, {1, 0, 0});
      expect(*k.as<int64_t>() == 2, "%s %s: NaN wins", isa.name.c_str(), op);
    }
  }
  Tensor b(GP_BOOL, {70}), y(GP_I64, {70}), i(GP_I64, {});
  for (int k = 0; k < 70; k++) b.as<uint8_t>()[k] = k >= 40;
  run(isa, "cumsum", {b.at()}, {y.at()}, {0});
  run(isa, "argmax", {b.at()}, {i.at()}, {1, 0, 0});
  expect(y.as<int64_t>()[69] == 30 && y.as<int64_t>()[40] == 1 && y.as<int64_t>()[39] == 0, "cumsum of bool counts");
  expect(*i.as<int64_t>() == 40, "argmax of bool is the first true");
}

}  // namespace

int main() {
  std::vector<Isa> all = isas();
  for (const Isa &isa : all) {
    for (const Case &k : cases) rows(isa, k);
    specials(isa);
  }
  return report();
}
