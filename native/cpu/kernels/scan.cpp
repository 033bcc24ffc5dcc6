// cumsum: "x -> y ; dim", in double for floating types, in i64 (the result's dtype) for integers and bool.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class S, class D, class W>
void cumsum(D *y, const S *x, int64_t outer, int64_t n, int64_t inner) {
  constexpr int64_t kColumns = 64;
  const int64_t strips = (inner + kColumns - 1) / kColumns;
  auto body = [=](int64_t tile, int) {
    const int64_t begin = tile % strips * kColumns, count = begin + kColumns < inner ? kColumns : inner - begin;
    const int64_t base = tile / strips * n * inner + begin;
    W sum[kColumns] = {};
    for (int64_t r = 0; r < n; r++)
      for (int64_t k = 0; k < count; k++) {
        const int64_t at = base + r * inner + k;
        if constexpr (sizeof(D) == 2) {
          sum[k] += static_cast<W>(widen(x[at]));
          y[at] = narrow<D>(static_cast<float>(sum[k]));
        } else {
          sum[k] = static_cast<W>(sum[k] + static_cast<W>(x[at]));
          y[at] = static_cast<D>(sum[k]);
        }
      }
  };
  if (outer * n * inner < kSerial)
    for (int64_t i = 0; i < outer * strips; i++) body(i, 0);
  else
    tiles(outer * strips, body);
}

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
      cumsum<float, float, double>(data<float>(y), data<float>(x), outer, n, inner);
      break;
    case GP_F64:
      cumsum<double, double, double>(data<double>(y), data<double>(x), outer, n, inner);
      break;
    case GP_F16:
      cumsum<f16, f16, double>(data<f16>(y), data<f16>(x), outer, n, inner);
      break;
    case GP_BF16:
      cumsum<bf16, bf16, double>(data<bf16>(y), data<bf16>(x), outer, n, inner);
      break;
    case GP_I64:
      cumsum<int64_t, int64_t, uint64_t>(data<int64_t>(y), data<int64_t>(x), outer, n, inner);
      break;
    case GP_I32:
      cumsum<int32_t, int64_t, uint64_t>(data<int64_t>(y), data<int32_t>(x), outer, n, inner);
      break;
    default:
      cumsum<uint8_t, int64_t, uint64_t>(data<int64_t>(y), data<uint8_t>(x), outer, n, inner);
      break;
  }
  return GP_OK;
}

}  // namespace

GP_ROWS(scan) = {{"cumsum", "x -> y ; dim", kAnyDtype, 0, 0, nullptr, run}, {}};

}  // namespace gp::GP_ISA
