// Accuracy of the elementwise functions against the C library in double, their special values, and agreement of the
// instruction sets.
#include "kernels.h"

using namespace gp::test;

namespace {

struct Function {
  const char *op;
  double low, high;  // where arguments are drawn
  bool logarithmic;  // magnitudes drawn by their logarithm
  double limit;      // ulps allowed, over the C library's own half ulp in double
  double (*truth)(double);
  std::vector<double> attrs = {};
};

double cdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
double gelu_tanh(double x) { return x / (1 + std::exp(-2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x))); }
double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::fmax(x, 0) + std::log1p(std::exp(-std::fabs(x))); }

// gelu: the left tail is a product of two approximations; its tanh form magnifies the rounding of an argument near -9.
const Function functions[] = {
    {"exp", -104, 89, false, 1.1, std::exp},
    {"exp2", -150, 128, false, 1.1, std::exp2},
    {"expm1", -30, 88, false, 2.1, std::expm1},
    {"expm1", 1e-8, 1, true, 2.1, std::expm1},
    {"log", 1e-45, 3e38, true, 1.1, std::log},
    {"log", 0.5, 2, false, 1.6, std::log},
    {"log2", 1e-45, 3e38, true, 1.6, std::log2},
    {"log2", 0.5, 2, false, 2.1, std::log2},
    {"log1p", 1e-9, 1e9, true, 2.1, std::log1p},
    {"log1p", -0.999, 1, false, 2.1, std::log1p},
    {"sqrt", 1e-45, 3e38, true, 0.501, std::sqrt},
    {"rsqrt", 1e-38, 3e38, true, 1.6, [](double x) { return 1 / std::sqrt(x); }},
    {"reciprocal", 1e-37, 1e37, true, 0.501, [](double x) { return 1 / x; }},
    {"sin", -100, 100, false, 1.6, std::sin},
    {"sin", 1e-9, 1e30, true, 1.6, std::sin},
    {"cos", -100, 100, false, 1.6, std::cos},
    {"cos", 1e-9, 1e30, true, 1.6, std::cos},
    {"tan", -100, 100, false, 1.1, std::tan},
    {"tanh", -10, 10, false, 2.1, std::tanh},
    {"tanh", 1e-9, 20, true, 2.1, std::tanh},
    {"sigmoid", -85, 20, false, 2.6, sigmoid},
    {"log_sigmoid", -50, 50, false, 2.6, [](double x) { return -softplus(-x); }},
    {"softplus", -50, 50, false, 2.6, softplus},
    {"silu", -80, 80, false, 3.1, [](double x) { return x * sigmoid(x); }},
    {"erf", -5, 5, false, 2.1, std::erf},
    {"erf", 1e-9, 1, true, 2.1, std::erf},
    {"gelu", -12, 12, false, 6, [](double x) { return x * cdf(x); }, {0}},
    {"gelu", -4, 4, false, 20, gelu_tanh, {1}},
    {"elu", -10, 10, false, 2.6, [](double x) { return x < 0 ? 1.5 * std::expm1(x) : x; }, {1.5}},
};

void accuracy(const Isa &isa) {
  std::printf("%s: largest error in ulp\n", isa.name.c_str());
  for (const Function &f : functions) {
    const int64_t n = 200'003;
    Tensor x(GP_F32, {n}), y(GP_F32, {n});
    Numbers r(7);
    for (int64_t i = 0; i < n; i++) {
      double v = f.logarithmic ? std::exp(r.between(std::log(f.low), std::log(f.high))) : r.between(f.low, f.high);
      x.as<float>()[i] = static_cast<float>(v);
    }
    expect(run(isa, f.op, {x.at()}, {y.at()}, f.attrs) == GP_OK, "%s runs", f.op);
    double worst = 0, where = 0;
    for (int64_t i = 0; i < n; i++) {
      double v = x.as<float>()[i], u = ulps(y.as<float>()[i], f.truth(v));
      if (u > worst) worst = u, where = v;
    }
    // Without fused multiply-add the polynomials and the scaled arguments round more often.
    const double limit = isa.name == "base" && f.limit > 0.6 ? f.limit * 1.5 + 0.5 : f.limit;
    std::printf("  %-12s [%g, %g]: %.3f at %.9g\n", f.op, f.low, f.high, worst, where);
    expect(worst <= limit, "%s %s: %.3f ulp at %.9g, allowed %.2f", isa.name.c_str(), f.op, worst, where, limit);
    expect(y.margin_intact(), "%s writes only its output", f.op);
  }
}

void special_values(const Isa &isa) {
  const double inf = INFINITY, nan = NAN;
  struct Case {
    const char *op;
    double x, y;
    std::vector<double> attrs = {};
  };
  const Case cases[] = {
      {"exp", -inf, 0},
      {"exp", inf, inf},
      {"exp", nan, nan},
      {"exp", 0, 1},
      {"exp", 1000, inf},
      {"exp", -1000, 0},
      {"exp2", inf, inf},
      {"exp2", -inf, 0},
      {"exp2", 10, 1024},
      {"exp2", nan, nan},
      {"expm1", -inf, -1},
      {"expm1", inf, inf},
      {"expm1", -0.0, -0.0},
      {"expm1", nan, nan},
      {"log", 0, -inf},
      {"log", -0.0, -inf},
      {"log", -1, nan},
      {"log", inf, inf},
      {"log", nan, nan},
      {"log", 1, 0},
      {"log", -inf, nan},
      {"log2", 0, -inf},
      {"log2", 8, 3},
      {"log2", 1, 0},
      {"log2", -3, nan},
      {"log2", inf, inf},
      {"log1p", -1, -inf},
      {"log1p", -2, nan},
      {"log1p", inf, inf},
      {"log1p", -0.0, -0.0},
      {"log1p", nan, nan},
      {"sqrt", -1, nan},
      {"sqrt", -0.0, -0.0},
      {"rsqrt", 0, inf},
      {"reciprocal", 0, inf},
      {"sin", inf, nan},
      {"cos", -inf, nan},
      {"sin", -0.0, -0.0},
      {"cos", 0, 1},
      {"sin", nan, nan},
      {"tanh", inf, 1},
      {"tanh", -inf, -1},
      {"tanh", nan, nan},
      {"tanh", -0.0, -0.0},
      {"sigmoid", inf, 1},
      {"sigmoid", -inf, 0},
      {"sigmoid", nan, nan},
      {"sigmoid", 0, 0.5},
      {"relu", nan, nan},
      {"relu", -1, 0},
      {"relu", inf, inf},
      {"softplus", inf, inf},
      {"softplus", -inf, 0},
      {"log_sigmoid", -inf, -inf},
      {"log_sigmoid", inf, 0},
      {"erf", inf, 1},
      {"erf", -inf, -1},
      {"erf", nan, nan},
      {"gelu", inf, inf, {0}},
      {"gelu", nan, nan, {0}},
      {"gelu", inf, inf, {1}},
      {"gelu", -30, -0.0, {1}},
      {"gelu", -50, -0.0, {0}},
      {"round", 2.5, 2},
      {"round", -0.5, -0.0},
      {"floor", -0.5, -1},
      {"ceil", -0.5, -0.0},
      {"trunc", -1.9, -1},
      {"sign", nan, 0},  // as in PyTorch
      {"sign", -3, -1},
      {"sign", 0, 0},
      {"abs", -0.0, 0},
      {"neg", 0, -0.0},
      {"clamp", nan, nan, {-1, 1}},
      {"clamp", -inf, -1, {-1, NAN}},
      {"clamp", inf, inf, {-1, NAN}},
      {"clamp", 9, 1, {NAN, 1}},
  };
  for (const Case &k : cases) {
    for (int dtype : {GP_F32, GP_F64}) {
      Tensor x(dtype, {}), y(dtype, {});
      if (dtype == GP_F32)
        *x.as<float>() = static_cast<float>(k.x);
      else
        *x.as<double>() = k.x;
      expect(run(isa, k.op, {x.at()}, {y.at()}, k.attrs) == GP_OK, "%s runs", k.op);
      double got = dtype == GP_F32 ? static_cast<double>(*y.as<float>()) : *y.as<double>();
      bool same = std::isnan(k.y) ? std::isnan(got) : got == k.y && std::signbit(got) == std::signbit(k.y);
      expect(same, "%s dtype %d: %s(%g) = %g, expected %g", isa.name.c_str(), dtype, k.op, k.x, got, k.y);
    }
  }
}

void powers(const Isa &isa) {
  const double edge[] = {0.0, -0.0, 1,    -1,       2,         -2,  0.5,   -0.5, 3,
                         -3,  2.5,  -2.5, INFINITY, -INFINITY, NAN, 1e-40, 3e38, -3e38};
  std::vector<float> a, b;
  for (double p : edge)
    for (double q : edge) a.push_back(static_cast<float>(p)), b.push_back(static_cast<float>(q));
  Numbers r(3);
  for (int i = 0; i < 100'000; i++) {
    a.push_back(static_cast<float>(std::exp(r.between(-80, 80))));
    b.push_back(static_cast<float>(r.between(-3, 3)));
    a.push_back(static_cast<float>(r.between(-9, 9)));
    b.push_back(static_cast<float>(std::floor(r.between(-20, 20))));
  }
  const int64_t n = static_cast<int64_t>(a.size());
  Tensor x(GP_F32, {n}), y(GP_F32, {n}), z(GP_F32, {n});
  std::memcpy(x.as<float>(), a.data(), a.size() * 4);
  std::memcpy(y.as<float>(), b.data(), b.size() * 4);
  run(isa, "pow", {x.at(), y.at()}, {z.at()});
  for (int64_t i = 0; i < n; i++) {
    float got = z.as<float>()[i];
    double want =
        std::pow(static_cast<double>(a[static_cast<size_t>(i)]), static_cast<double>(b[static_cast<size_t>(i)]));
    bool ok = ulps(got, want) < 0.6 && (std::isnan(want) || std::signbit(got) == std::signbit(want));
    expect(ok, "%s: pow(%g, %g) = %g, expected %g", isa.name.c_str(), static_cast<double>(a[static_cast<size_t>(i)]),
           static_cast<double>(b[static_cast<size_t>(i)]), static_cast<double>(got), want);
  }
}

// Every float that is a multiple of 2^16 in bits, then a dense sample: AVX2 and AVX-512 may not differ in one bit.
void same_bits(const Isa &p, const Isa &q) {
  const int64_t n = 65536 + 100'003;
  Tensor x(GP_F32, {n}), y(GP_F32, {n}), a(GP_F32, {n}), b(GP_F32, {n});
  Numbers r(11);
  for (int64_t i = 0; i < n; i++) {
    uint32_t u = static_cast<uint32_t>(i) << 16;
    if (i < 65536)
      std::memcpy(x.as<float>() + i, &u, 4);
    else
      x.as<float>()[i] = static_cast<float>(r.between(-20, 20));
    y.as<float>()[i] = static_cast<float>(r.between(-4, 4));
  }
  auto compare = [&](const char *op) {
    for (int64_t i = 0; i < n; i++) {
      float u = a.as<float>()[i], v = b.as<float>()[i];
      bool same = std::memcmp(&u, &v, 4) == 0 || (std::isnan(u) && std::isnan(v));
      expect(same, "%s: %s gives %.9g, %s %.9g at %.9g", op, p.name.c_str(), static_cast<double>(u), q.name.c_str(),
             static_cast<double>(v), static_cast<double>(x.as<float>()[i]));
    }
  };
  for (const Function &f : functions) {
    run(p, f.op, {x.at()}, {a.at()}, f.attrs);
    run(q, f.op, {x.at()}, {b.at()}, f.attrs);
    compare(f.op);
  }
  for (const char *op :
       {"pow", "div", "remainder", "floor_divide", "atan2", "silu_backward", "tanh_backward", "maximum"}) {
    run(p, op, {x.at(), y.at()}, {a.at()});
    run(q, op, {x.at(), y.at()}, {b.at()});
    compare(op);
  }
  for (double form : {0.0, 1.0}) {
    run(p, "gelu_backward", {y.at(), x.at()}, {a.at()}, {form});
    run(q, "gelu_backward", {y.at(), x.at()}, {b.at()}, {form});
    compare("gelu_backward");
  }
}

}  // namespace

int main() {
  std::vector<Isa> all = isas();
  for (const Isa &isa : all) {
    accuracy(isa);
    special_values(isa);
    powers(isa);
  }
  if (all.size() == 3)
    same_bits(all[1], all[2]);
  else
    std::printf("AVX2 against AVX-512: not run, this processor lacks one\n");
  return report();
}
