// Random tensors from the generator state `rng` (see philox.h), which every kernel here advances.
//
// One 32-bit number per element. uniform: as many bits as the type's significand holds (f64: 32), so the value stays
// below `high`; randn: Box-Muller on the pairs (0, 1) and (2, 3) of a counter; randint: high half of number * range.
#include "../philox.h"
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class S>
GP_FN S from_double(double v) {
  return static_cast<S>(v);
}
template <>
GP_FN f16 from_double(double v) {
  return narrow_f16(static_cast<float>(v));
}
template <>
GP_FN bf16 from_double(double v) {
  return narrow_bf16(static_cast<float>(v));
}
GP_FN double to_double(double v) { return v; }
GP_FN double to_double(f16 v) { return static_cast<double>(widen(v)); }
GP_FN double to_double(bf16 v) { return static_cast<double>(widen(v)); }

template <class S>
constexpr int kDigits = 32;
template <>
constexpr int kDigits<float> = 24;
template <>
constexpr int kDigits<f16> = 11;
template <>
constexpr int kDigits<bf16> = 8;

// Attributes of uniform, randn and randint: the shape as a list, two numbers, dtype; of bernoulli: the shape, p, dtype.
struct Two {
  double a, b;
  explicit Two(const gp_call *c) {
    int64_t shape[GP_MAX_DIMS * 2];
    Attrs attrs(c);
    attrs.list(shape);
    a = attrs.number();
    b = attrs.number();
  }
};

template <class S>
void uniform(const gp_call *c, const RngState &s, int64_t n) {
  const Two range(c);
  const double low = range.a, high = range.b, width = high - low;
  const double unit = 1.0 / static_cast<double>(uint64_t{1} << kDigits<S>);
  S *y = data<S>(out(c, 0));
  each_philox(s, n, [=](int64_t first, const uint32_t *r, int count) {
    for (int j = 0; j < count; j++) {
      const S v = from_double<S>(low + static_cast<double>(r[j] >> (32 - kDigits<S>)) * unit * width);
      y[first + j] = to_double(v) >= high ? from_double<S>(low) : v;  // rounding may reach the end
    }
  });
}

// 32 pairs; z[2 j] and z[2 j + 1] belong to the pair j.
void normals(float *z, const uint32_t *r) {
  alignas(64) float u[32], t[32], a[32], b[32];
  for (int j = 0; j < 32; j++) {
    u[j] = static_cast<float>(r[2 * j]) * 0x1p-32f + 0x1p-33f;  // in (0, 1]
    t[j] = static_cast<float>(r[2 * j + 1] >> 8) * 0x1p-24f;
  }
  for (int j = 0; j < 32; j += kLanes) {
    const VecF radius = sqrt_(VecF(-2.0f) * log_(load<VecF>(u + j)));
    const auto angle = sincos_turns(load<VecF>(t + j));
    store(a + j, radius * angle.cos);
    store(b + j, radius * angle.sin);
  }
  for (int j = 0; j < 32; j++) {
    z[2 * j] = a[j];
    z[2 * j + 1] = b[j];
  }
}
void normals(double *z, const uint32_t *r) {
  for (int j = 0; j < 32; j++) {
    const double radius = ::sqrt(-2.0 * ::log(static_cast<double>(r[2 * j]) * 0x1p-32 + 0x1p-33));
    const double angle = 6.28318530717958647693 * (static_cast<double>(r[2 * j + 1]) * 0x1p-32);
    z[2 * j] = radius * ::cos(angle);
    z[2 * j + 1] = radius * ::sin(angle);
  }
}
template <class S>
void randn(const gp_call *c, const RngState &s, int64_t n) {
  using C = typename Compute<S>::Scalar;
  const Two p(c);
  const C mean = static_cast<C>(p.a), deviation = static_cast<C>(p.b);
  S *y = data<S>(out(c, 0));
  each_philox(s, n, [=](int64_t first, const uint32_t *r, int count) {
    C z[kPhilox];
    normals(z, r);
    for (int j = 0; j < count; j++) y[first + j] = narrow<S>(mean + deviation * z[j]);
  });
}

template <class S>
void randint(const gp_call *c, const RngState &s, int64_t n) {
  const Two range(c);
  const int64_t low = static_cast<int64_t>(range.a), high = static_cast<int64_t>(range.b);
  const uint64_t width = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  S *y = data<S>(out(c, 0));
  each_philox(s, n, [=](int64_t first, const uint32_t *r, int count) {
    for (int j = 0; j < count; j++) {
      const uint64_t step = static_cast<uint64_t>((static_cast<unsigned __int128>(r[j]) * width) >> 32);
      y[first + j] = static_cast<S>(static_cast<uint64_t>(low) + step);
    }
  });
}

template <class S>
void bernoulli(const gp_call *c, const RngState &s, int64_t n) {
  int64_t shape[GP_MAX_DIMS * 2];
  Attrs attrs(c);
  attrs.list(shape);
  const uint32_t limit = chance(attrs.number());
  S *y = data<S>(out(c, 0));
  const S one = from_double<S>(1.0), zero = from_double<S>(0.0);
  each_philox(s, n, [=](int64_t first, const uint32_t *r, int count) {
    for (int j = 0; j < count; j++) y[first + j] = (r[j] >> 8) < limit ? one : zero;
  });
}

#define GP_DRAW(name, dtypes)                                             \
  int32_t name##_run(gp_context *, const gp_kernel *, const gp_call *c) { \
    const int64_t n = numel(out(c, 0));                                   \
    const RngState s = draw(in(c, 0), n);                                 \
    dtypes(out(c, 0).dtype, S, { name<S>(c, s, n); }) return GP_OK;       \
  }
GP_DRAW(uniform, GP_FLOATS)
GP_DRAW(randn, GP_FLOATS)
GP_DRAW(randint, GP_INTEGERS)
GP_DRAW(bernoulli, GP_ANY_DTYPE)
#undef GP_DRAW

// ---- dropout --------------------------------------------------------------------------------------------------------

// y = x / (1 - p) where the element's number is not below p, else 0.
template <class S>
void drop(S *y, const S *x, const RngState &s, int64_t n, double p) {
  using C = typename Compute<S>::Scalar;
  const uint32_t limit = chance(p);
  const C scale = static_cast<C>(1.0 / (1.0 - p));
  each_philox(s, n, [=](int64_t first, const uint32_t *r, int count) {
    for (int j = 0; j < count; j++) {
      const C v = static_cast<C>(widen(x[first + j])) * scale;
      y[first + j] = (r[j] >> 8) < limit ? narrow<S>(C(0)) : narrow<S>(v);
    }
  });
}

int32_t dropout(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &x = in(c, 0), &y = out(c, 0);
  const int64_t n = numel(y);
  const RngState s = draw(in(c, 1), n);
  data<int64_t>(out(c, 1))[0] = static_cast<int64_t>(s.seed);
  data<int64_t>(out(c, 1))[1] = static_cast<int64_t>(s.offset);
  GP_FLOATS(x.dtype, S, { drop<S>(data<S>(y), data<S>(x), s, n, c->attrs[0]); })
  return GP_OK;
}
int32_t dropout_backward(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &dy = in(c, 0), &dx = out(c, 0);
  const RngState s = read_state(in(c, 1));
  GP_FLOATS(dy.dtype, S, { drop<S>(data<S>(dx), data<S>(dy), s, numel(dx), c->attrs[0]); })
  return GP_OK;
}

}  // namespace

GP_ROWS(random) = {
    {"uniform", "rng -> y ; shape low high dtype", kFloats, GP_KERNEL_MUTATES, 0, nullptr, uniform_run},
    {"randn", "rng -> y ; shape mean std dtype", kFloats, GP_KERNEL_MUTATES, 0, nullptr, randn_run},
    {"randint", "rng -> y ; shape low high dtype", kIntegers, GP_KERNEL_MUTATES, 0, nullptr, randint_run},
    {"bernoulli", "rng -> y ; shape p dtype", kAnyDtype, GP_KERNEL_MUTATES, 0, nullptr, bernoulli_run},
    {"dropout", "x rng -> y | state ; p", kFloats, GP_KERNEL_MUTATES, 0, nullptr, dropout},
    {"dropout_backward", "dy state -> dx ; p", kFloats, 0, 0, nullptr, dropout_backward},
    {}};

}  // namespace gp::GP_ISA
