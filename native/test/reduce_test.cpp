// Reductions over any axes and strides against plain loops in double; the same bits for every number of threads, for
// AVX2 and AVX-512, and for a strided input and its contiguous copy.
#include "kernels.h"

using namespace gp::test;

namespace {

struct Shape {
  std::vector<int64_t> shape;
  std::vector<double> dims;
};

const Shape shapes[] = {
    {{1}, {0}},
    {{7}, {0}},
    {{63}, {0}},
    {{65}, {0}},
    {{1000003}, {0}},
    {{5, 7}, {1}},
    {{5, 7}, {0}},
    {{65, 63}, {0}},
    {{65, 63}, {1}},
    {{300, 777}, {0}},
    {{300, 777}, {1}},
    {{3, 70001}, {1}},
    {{70001, 3}, {0}},
    {{2500, 129}, {0}},
    {{4, 5, 6}, {0, 2}},
    {{4, 5, 6}, {1}},
    {{8, 16, 9, 9}, {0, 2, 3}},
    {{3, 4, 5, 6, 7}, {0, 2, 4}},
    {{2, 1, 3}, {1}},
    {{64, 10}, {0}},
    {{4, 5, 6}, {0, 1, 2}},
    {{0, 4}, {0}},
    {{12, 64, 128}, {0, 1}},
    {{2, 3000, 20}, {1}},
    {{}, {}},
};

bool reduced(const Shape &s, int d) {
  for (double r : s.dims)
    if (static_cast<int>(r) == d) return true;
  return false;
}

std::vector<int64_t> result_shape(const Shape &s) {
  std::vector<int64_t> r;
  for (size_t d = 0; d < s.shape.size(); d++)
    if (!reduced(s, static_cast<int>(d))) r.push_back(s.shape[d]);
  return r;
}

std::vector<double> attrs_of(const Shape &s) {
  std::vector<double> a = {static_cast<double>(s.dims.size())};
  a.insert(a.end(), s.dims.begin(), s.dims.end());
  a.push_back(0);
  return a;
}

// For every element of x in order: the position of its result.
std::vector<int64_t> targets(const Shape &s) {
  int64_t n = 1;
  for (int64_t d : s.shape) n *= d;
  std::vector<int64_t> to(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i, t = 0, step = 1;
    for (int d = static_cast<int>(s.shape.size()) - 1; d >= 0; d--) {
      int64_t at = rest % s.shape[static_cast<size_t>(d)];
      rest /= s.shape[static_cast<size_t>(d)];
      if (!reduced(s, d)) t += at * step, step *= s.shape[static_cast<size_t>(d)];
    }
    to[static_cast<size_t>(i)] = t;
  }
  return to;
}

// The same elements laid out with axes in reverse memory order and a gap after each: nothing merges.
Tensor scattered(const Tensor &x, gp_view *view) {
  gp_view v = x.view;
  int64_t step = 2;
  for (int d = 0; d < v.ndim; d++) v.stride[d] = step, step *= v.shape[d] + 1;
  Tensor t(x.view.dtype, {step + 1});
  size_t size = size_of(x.view.dtype);
  for (int64_t i = 0; i < x.numel(); i++) {
    int64_t rest = i, at = 0;
    for (int d = v.ndim - 1; d >= 0; d--) at += rest % v.shape[d] * v.stride[d], rest /= v.shape[d];
    std::memcpy(t.bytes.data() + static_cast<size_t>(at) * size, x.bytes.data() + static_cast<size_t>(i) * size, size);
  }
  v.data = t.bytes.data();
  *view = v;
  return t;
}

struct Truth {
  long double sum = 0;  // doubles added one by one would err more than the kernel
  double magnitude = 0, prod = 1, max = -INFINITY, min = INFINITY;
  bool any = false, all = true;
  int64_t count = 0;
};

void check(const Isa &isa, const Shape &s, int dtype) {
  Tensor x(dtype, s.shape);
  Numbers r(s.shape.empty() ? 5 : static_cast<uint64_t>(s.shape[0]) + 17);
  const std::vector<int64_t> to = targets(s);
  Tensor y(dtype, result_shape(s)), b(GP_BOOL, result_shape(s)), m(GP_I64, result_shape(s));
  std::vector<Truth> truth(static_cast<size_t>(y.numel()));
  for (int64_t i = 0; i < x.numel(); i++) {
    double v = r.next() < 0.01 ? 0 : r.between(-1, 2);
    if (dtype == GP_F32)
      v = x.as<float>()[i] = static_cast<float>(v);
    else if (dtype == GP_F64)
      x.as<double>()[i] = v;
    else
      v = static_cast<double>(x.as<int32_t>()[i] = static_cast<int32_t>(v * 1000));
    Truth &t = truth[static_cast<size_t>(to[static_cast<size_t>(i)])];
    t.sum += v, t.magnitude += std::fabs(v), t.prod *= v, t.count++;
    t.max = std::fmax(t.max, v), t.min = std::fmin(t.min, v), t.any = t.any || v != 0, t.all = t.all && v != 0;
  }
  gp_view sparse;
  Tensor holder = scattered(x, &sparse);
  const std::vector<double> attrs = attrs_of(s);
  const double unit = dtype == GP_F32 ? 0x1p-24 : 0x1p-53;
  const bool empty = x.numel() == 0;
  for (const char *op : {"sum", "mean", "amax", "amin", "any", "all", "prod"}) {
    const std::string name = op;
    if (dtype == GP_I32 && name == "mean") continue;
    if (empty && (name == "amax" || name == "amin")) continue;
    const bool logical = name == "any" || name == "all";
    Tensor &out = logical ? b : dtype == GP_I32 && (name == "sum" || name == "prod") ? m : y;
    Tensor first = out, again = out;
    for (int threads : {1, 2, 3}) {
      gp::set_thread_count(threads);
      Tensor &to_write = threads == 1 ? first : again;
      expect(run(isa, op, {threads == 3 ? sparse : x.at()}, {to_write.at()}, attrs) == GP_OK, "%s runs", op);
      expect(to_write.margin_intact(), "%s writes only its output", op);
      if (threads > 1)
        expect(first.same_bytes(again), "%s: the same bits with %d threads%s", op, threads,
               threads == 3 ? ", strided" : "");
    }
    for (int64_t i = 0; i < out.numel(); i++) {
      const Truth &t = truth[static_cast<size_t>(i)];
      const double got = logical                    ? first.as<uint8_t>()[i]
                         : out.view.dtype == GP_I64 ? static_cast<double>(first.as<int64_t>()[i])
                         : dtype == GP_F32          ? static_cast<double>(first.as<float>()[i])
                         : dtype == GP_F64          ? first.as<double>()[i]
                                                    : first.as<int32_t>()[i];
      // A block of 4096 adds at most 64 + 4 terms in a row; the wide type adds nothing that counts.
      const double slack = t.magnitude * unit * (70 + static_cast<double>(t.count) / 4096);
      bool ok = true;
      if (name == "sum")
        ok = dtype == GP_I32 ? got == static_cast<double>(t.sum) : std::fabs(got - static_cast<double>(t.sum)) <= slack;
      if (name == "mean")
        ok = empty ? std::isnan(got)
                   : std::fabs(got - static_cast<double>(t.sum) / static_cast<double>(t.count)) <=
                         slack / static_cast<double>(t.count) + std::fabs(got) * unit;
      if (name == "amax") ok = got == t.max;
      if (name == "amin") ok = got == t.min;
      if (name == "any") ok = got == t.any;
      if (name == "all") ok = got == t.all;
      if (name == "prod" && t.count < 100 && dtype != GP_I32)
        ok = std::fabs(got - t.prod) <= std::fabs(t.prod) * unit * 100;
      expect(ok, "%s %s dtype %d shape[0] %lld element %lld: %.9g", isa.name.c_str(), op, dtype,
             s.shape.empty() ? 1LL : static_cast<long long>(s.shape[0]), static_cast<long long>(i), got);
    }
  }
}

void nan_wins(const Isa &isa) {
  for (int64_t n : {3, 40, 5000}) {
    for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
      Tensor x(GP_F32, {n}), y(GP_F32, {});
      for (int64_t i = 0; i < n; i++) x.as<float>()[i] = static_cast<float>(i);
      x.as<float>()[at] = NAN;
      for (const char *op : {"amax", "amin", "sum"}) {
        run(isa, op, {x.at()}, {y.at()}, {1, 0, 0});
        expect(std::isnan(*y.as<float>()), "%s: %s of %lld numbers with a NaN at %lld is NaN", isa.name.c_str(), op,
               static_cast<long long>(n), static_cast<long long>(at));
      }
    }
  }
}

}  // namespace

int main() {
  std::vector<Isa> all = isas();
  for (const Isa &isa : all) {
    for (const Shape &s : shapes)
      for (int dtype : {GP_F32, GP_F64, GP_I32}) check(isa, s, dtype);
    nan_wins(isa);
  }
  if (all.size() == 3) {
    for (const Shape &s : shapes) {
      Tensor x(GP_F32, s.shape), a(GP_F32, result_shape(s)), b(GP_F32, result_shape(s));
      Numbers r(23);
      for (int64_t i = 0; i < x.numel(); i++) x.as<float>()[i] = static_cast<float>(r.between(-1, 2));
      for (const char *op : {"sum", "mean", "prod"}) {
        run(all[1], op, {x.at()}, {a.at()}, attrs_of(s));
        run(all[2], op, {x.at()}, {b.at()}, attrs_of(s));
        expect(a.same_bytes(b), "%s: AVX2 and AVX-512 give the same bits", op);
      }
    }
  }
  return report();
}
