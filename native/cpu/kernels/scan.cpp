// Running sums, products, extremes and log-sum-exps along an axis.
// cumsum, cumprod: "x -> y ; dim", in double for floating types, in i64 (the result's dtype) for integers and bool.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

struct Plus {
  static constexpr int start = 0;
  template <class W>
  static W f(W a, W b) {
    return static_cast<W>(a + b);
  }
};
struct Times {
  static constexpr int start = 1;
  template <class W>
  static W f(W a, W b) {
    return static_cast<W>(a * b);
  }
};

template <class Op, class S, class D, class W>
void scan(D *y, const S *x, int64_t outer, int64_t n, int64_t inner) {
  constexpr int64_t kColumns = 64;
  const int64_t strips = (inner + kColumns - 1) / kColumns;
  auto body = [=](int64_t tile, int) {
    const int64_t begin = tile % strips * kColumns, count = begin + kColumns < inner ? kColumns : inner - begin;
    const int64_t base = tile / strips * n * inner + begin;
    W sum[kColumns];
    for (W &s : sum) s = W(Op::start);
    for (int64_t r = 0; r < n; r++)
      for (int64_t k = 0; k < count; k++) {
        const int64_t at = base + r * inner + k;
        if constexpr (sizeof(D) == 2) {
          sum[k] = Op::f(sum[k], static_cast<W>(widen(x[at])));
          y[at] = narrow<D>(static_cast<float>(sum[k]));
        } else {
          sum[k] = Op::f(sum[k], static_cast<W>(x[at]));
          y[at] = static_cast<D>(sum[k]);
        }
      }
  };
  if (outer * n * inner < kSerial)
    for (int64_t i = 0; i < outer * strips; i++) body(i, 0);
  else
    tiles(outer * strips, body);
}

template <class Op>
int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &x = in(c, 0), &y = out(c, 0);
  const int64_t dim = Attrs(c).integer();
  int64_t outer = 1, inner = 1, n = 1;
  for (int d = 0; d < x.ndim; d++) (d < dim ? outer : d == dim ? n : inner) *= x.shape[d];
  if (outer * n * inner == 0) return GP_OK;
  const bool floating = GP_DT(x.dtype) & kFloats;
  if (y.dtype != (floating ? x.dtype : static_cast<int32_t>(GP_I64))) return GP_UNSUPPORTED;
  switch (x.dtype) {
    case GP_F32:
      scan<Op, float, float, double>(data<float>(y), data<float>(x), outer, n, inner);
      break;
    case GP_F64:
      scan<Op, double, double, double>(data<double>(y), data<double>(x), outer, n, inner);
      break;
    case GP_F16:
      scan<Op, f16, f16, double>(data<f16>(y), data<f16>(x), outer, n, inner);
      break;
    case GP_BF16:
      scan<Op, bf16, bf16, double>(data<bf16>(y), data<bf16>(x), outer, n, inner);
      break;
    case GP_I64:
      scan<Op, int64_t, int64_t, uint64_t>(data<int64_t>(y), data<int64_t>(x), outer, n, inner);
      break;
    case GP_I32:
      scan<Op, int32_t, int64_t, uint64_t>(data<int64_t>(y), data<int32_t>(x), outer, n, inner);
      break;
    default:
      scan<Op, uint8_t, int64_t, uint64_t>(data<int64_t>(y), data<uint8_t>(x), outer, n, inner);
      break;
  }
  return GP_OK;
}

// log(e^a + e^b) without overflow.
double log_add(double a, double b) {
  const double most = a > b || a != a ? a : b, least = most == a ? b : a;
  if (least != least || most == __builtin_inf() || least == -__builtin_inf()) return least != least ? least : most;
  return most + ::log1p(::exp(least - most));
}
template <class S>
void log_sums(const gp_view &y, const gp_view &x, int64_t outer, int64_t n, int64_t inner) {
  auto line = [&](int64_t tile, int) {
    const int64_t base = tile / inner * n * inner + tile % inner;
    double sum = -__builtin_inf();
    for (int64_t r = 0; r < n; r++) {
      const int64_t at = base + r * inner;
      if constexpr (sizeof(S) == 2) {
        sum = log_add(sum, static_cast<double>(widen(data<S>(x)[at])));
        data<S>(y)[at] = narrow<S>(static_cast<float>(sum));
      } else {
        sum = log_add(sum, static_cast<double>(data<S>(x)[at]));
        data<S>(y)[at] = static_cast<S>(sum);
      }
    }
  };
  tiles(outer * inner, line);
}
int32_t logcumsumexp(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &x = in(c, 0), &y = out(c, 0);
  const int64_t dim = Attrs(c).integer();
  int64_t outer = 1, inner = 1, n = 1;
  for (int d = 0; d < x.ndim; d++) (d < dim ? outer : d == dim ? n : inner) *= x.shape[d];
  if (outer * n * inner == 0) return GP_OK;
  GP_ANY_DTYPE(x.dtype, S, {
    if constexpr (is_float<S> || sizeof(S) == 2) log_sums<S>(y, x, outer, n, inner);
  })
  return GP_OK;
}

// The largest (smallest) element so far and its position: the last of equal ones; the first NaN stays.
template <class S, bool Max>
void extremes(const gp_view &values, const gp_view &indices, const gp_view &x, int64_t outer, int64_t n,
              int64_t inner) {
  auto line = [&](int64_t tile, int) {
    const int64_t base = tile / inner * n * inner + tile % inner;
    int64_t best = 0;
    for (int64_t r = 0; r < n; r++) {
      const int64_t at = base + r * inner;
      const auto wide = [](S v) {
        if constexpr (sizeof(S) == 2)
          return widen(v);
        else
          return v;
      };
      const auto now = wide(data<S>(x)[at]), old = wide(data<S>(x)[base + best * inner]);
      if (now != now || (old == old && (Max ? now >= old : now <= old))) best = r;
      data<S>(values)[at] = data<S>(x)[base + best * inner];
      data<int64_t>(indices)[at] = best;
    }
  };
  tiles(outer * inner, line);
}
template <bool Max>
int32_t extreme(gp_context *, const gp_kernel *, const gp_call *c) {
  const gp_view &x = in(c, 0);
  const int64_t dim = Attrs(c).integer();
  int64_t outer = 1, inner = 1, n = 1;
  for (int d = 0; d < x.ndim; d++) (d < dim ? outer : d == dim ? n : inner) *= x.shape[d];
  if (outer * n * inner == 0) return GP_OK;
  GP_ANY_DTYPE(x.dtype, S, (extremes<S, Max>(out(c, 0), out(c, 1), x, outer, n, inner)))
  return GP_OK;
}

}  // namespace

GP_ROWS(scan) = {{"cumsum", "x -> y ; dim", kAnyDtype, 0, 0, nullptr, run<Plus>},
                 {"cumprod", "x -> y ; dim", kAnyDtype, 0, 0, nullptr, run<Times>},
                 {"logcumsumexp", "x -> y ; dim", kFloats, 0, 0, nullptr, logcumsumexp},
                 {"cummax", "x -> values indices ; dim", kAnyDtype, 0, 0, nullptr, extreme<true>},
                 {"cummin", "x -> values indices ; dim", kAnyDtype, 0, 0, nullptr, extreme<false>},
                 {}};

}  // namespace gp::GP_ISA
