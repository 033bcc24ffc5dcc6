#include "independent.h"

#include <numeric>

#include "call.h"

namespace gp {

Footprint footprint(const gp_view &view, size_t space, int64_t offset, bool written) {
  const int64_t size = static_cast<int64_t>(dtype_bytes(view.dtype));
  int64_t inner = 1, gap = 0, low = 0, high = 0;
  bool empty = false, dense = true;  // dense: the axes so far are one run
  for (int d = view.ndim - 1; d >= 0; d--) {
    const int64_t n = view.shape[d], step = view.stride[d];
    if (n == 0) empty = true;
    if (n <= 1 || step == 0) continue;
    (step < 0 ? low : high) += (n - 1) * step;
    dense = dense && step == inner;
    if (dense)
      inner *= n;
    else
      gap = std::gcd(gap, step);
  }
  Footprint f{space, offset + low * size, offset + (high + 1) * size, gap * size, inner * size, written};
  if (empty) f.end = f.begin;
  if (f.pitch < f.run) f.pitch = 0;
  return f;
}

bool apart(const Footprint &a, const Footprint &b) {
  if (!a.written && !b.written) return true;
  if (a.space != b.space || a.end <= b.begin || b.end <= a.begin) return true;
  if (a.pitch == 0 || a.pitch != b.pitch) return false;
  const int64_t p = a.pitch, i = (a.begin % p + p) % p, j = (b.begin % p + p) % p;
  if (i + a.run > p || j + b.run > p) return false;
  return i + a.run <= j || j + b.run <= i;
}

}  // namespace gp
