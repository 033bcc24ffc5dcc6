// tril and triu: y = x on one side of a diagonal of each matrix, 0 on the other.
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

// Keeps columns [from(row), to(row)) of every row.
template <class U>
void keep(const gp_view &x, const gp_view &y, int64_t diagonal, bool lower) {
  const int64_t rows = x.shape[x.ndim - 2], columns = x.shape[x.ndim - 1];
  if (columns == 0) return;
  const U *from = data<U>(x);
  U *to = data<U>(y);
  ranges(numel(x) / columns, 1 + 16384 / columns, [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; r++) {
      int64_t cut = r % rows + diagonal + (lower ? 1 : 0);  // first column beyond (tril) or inside (triu)
      cut = cut < 0 ? 0 : cut > columns ? columns : cut;
      const int64_t begin = lower ? 0 : cut, end = lower ? cut : columns;
      U *row = to + r * columns;
      memset(row, 0, static_cast<size_t>(begin) * sizeof(U));
      memcpy(row + begin, from + r * columns + begin, static_cast<size_t>(end - begin) * sizeof(U));
      memset(row + end, 0, static_cast<size_t>(columns - end) * sizeof(U));
    }
  });
}

int32_t triangle(const gp_call *call, bool lower) {
  const gp_view &x = in(call, 0), &y = out(call, 0);
  const int64_t diagonal = Attrs(call).integer();
  switch (x.dtype) {
    case GP_F64:
    case GP_I64:
      keep<uint64_t>(x, y, diagonal, lower);
      break;
    case GP_F32:
    case GP_I32:
      keep<uint32_t>(x, y, diagonal, lower);
      break;
    case GP_F16:
    case GP_BF16:
      keep<uint16_t>(x, y, diagonal, lower);
      break;
    default:
      keep<uint8_t>(x, y, diagonal, lower);
  }
  return GP_OK;
}

int32_t tril(gp_context *, const gp_kernel *, const gp_call *call) { return triangle(call, true); }
int32_t triu(gp_context *, const gp_kernel *, const gp_call *call) { return triangle(call, false); }

}  // namespace

GP_ROWS(triangle) = {
    {"tril", "x -> y ; diagonal", kAnyDtype, 0, 0, nullptr, tril},
    {"triu", "x -> y ; diagonal", kAnyDtype, 0, 0, nullptr, triu},
    {},
};

}  // namespace gp::GP_ISA
