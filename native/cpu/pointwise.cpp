#include "pointwise.h"

namespace gp::GP_ISA {
namespace {

constexpr int kOperands = kMaxOperands + 1;  // the output is operand 0

// The iteration space after dropping axes of size 1, ordering by the output's strides and merging.
struct Space {
  int ndim;
  int operands;
  int64_t n;
  int64_t shape[GP_MAX_DIMS];
  int64_t stride[kOperands][GP_MAX_DIMS];  // in elements
  char *base[kOperands];
  int32_t size[kOperands];  // bytes per element
};

void add_operand(Space &s, const gp_view &v) {
  const int o = s.operands++;
  s.base[o] = static_cast<char *>(v.data);
  s.size[o] = size_of(v.dtype);
  for (int d = 0, k = 0; d < v.ndim; d++)
    if (v.shape[d] != 1) s.stride[o][k++] = v.stride[d];
}

void swap_axes(Space &s, int a, int b) {
  int64_t t = s.shape[a];
  s.shape[a] = s.shape[b];
  s.shape[b] = t;
  for (int o = 0; o < s.operands; o++) {
    t = s.stride[o][a];
    s.stride[o][a] = s.stride[o][b];
    s.stride[o][b] = t;
  }
}

void simplify(Space &s) {
  for (int i = 1; i < s.ndim; i++)
    for (int j = i; j > 0 && s.stride[0][j - 1] < s.stride[0][j]; j--) swap_axes(s, j - 1, j);
  int last = 0;  // axis that the next one is merged into, if it can be
  for (int i = 1; i < s.ndim; i++) {
    bool merge = true;
    for (int o = 0; o < s.operands; o++) merge = merge && s.stride[o][last] == s.stride[o][i] * s.shape[i];
    if (!merge) last++;
    s.shape[last] = merge ? s.shape[last] * s.shape[i] : s.shape[i];
    for (int o = 0; o < s.operands; o++) s.stride[o][last] = s.stride[o][i];
  }
  s.ndim = s.ndim == 0 ? 0 : last + 1;
  if (s.ndim == 0) {
    s.ndim = 1;
    s.shape[0] = 1;
    for (int o = 0; o < s.operands; o++) s.stride[o][0] = 0;
  }
}

// A position in the space: coordinates and the byte offset of every operand.
struct Walk {
  int64_t at[GP_MAX_DIMS];
  int64_t offset[kOperands];  // in elements

  void seek(const Space &s, int64_t flat) {
    for (int o = 0; o < s.operands; o++) offset[o] = 0;
    for (int d = s.ndim - 1; d >= 0; d--) {
      at[d] = flat % s.shape[d];
      flat /= s.shape[d];
      for (int o = 0; o < s.operands; o++) offset[o] += at[d] * s.stride[o][d];
    }
  }
  // n elements on along the innermost axis, not beyond its end.
  void advance(const Space &s, int64_t n) {
    int d = s.ndim - 1;
    at[d] += n;
    for (int o = 0; o < s.operands; o++) offset[o] += n * s.stride[o][d];
    while (d > 0 && at[d] == s.shape[d]) {
      for (int o = 0; o < s.operands; o++) offset[o] += s.stride[o][d - 1] - at[d] * s.stride[o][d];
      at[d] = 0;
      at[--d]++;
    }
  }
};

template <class U>
void gather_run(void *to, const void *from, int64_t stride, int64_t n) {
  U *t = static_cast<U *>(to);
  const U *f = static_cast<const U *>(from);
  if (stride == 1) {
    memcpy(t, f, static_cast<size_t>(n) * sizeof(U));
  } else if (stride == 0) {
    const U v = *f;
    for (int64_t i = 0; i < n; i++) t[i] = v;
  } else {
    for (int64_t i = 0; i < n; i++) t[i] = f[i * stride];
  }
}
template <class U>
void scatter_run(void *to, const void *from, int64_t stride, int64_t n) {
  U *t = static_cast<U *>(to);
  const U *f = static_cast<const U *>(from);
  for (int64_t i = 0; i < n; i++) t[i * stride] = f[i];
}

void gather(int32_t size, void *to, const void *from, int64_t stride, int64_t n) {
  switch (size) {
    case 1:
      return gather_run<uint8_t>(to, from, stride, n);
    case 2:
      return gather_run<uint16_t>(to, from, stride, n);
    case 4:
      return gather_run<uint32_t>(to, from, stride, n);
    default:
      return gather_run<uint64_t>(to, from, stride, n);
  }
}
void scatter(int32_t size, void *to, const void *from, int64_t stride, int64_t n) {
  switch (size) {
    case 1:
      return scatter_run<uint8_t>(to, from, stride, n);
    case 2:
      return scatter_run<uint16_t>(to, from, stride, n);
    case 4:
      return scatter_run<uint32_t>(to, from, stride, n);
    default:
      return scatter_run<uint64_t>(to, from, stride, n);
  }
}

struct Staging {
  alignas(64) char bytes[kOperands][kBlock * 8];
};

GP_INLINE char *address(const Space &s, const Walk &w, int o) { return s.base[o] + w.offset[o] * s.size[o]; }

GP_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Long inner axis: blocks end with their row; operands contiguous along it are used where they lie.
void run_rows(const Space &s, BlockFn fn, PointwiseBlock &b, int64_t begin, int64_t end) {
  Staging staging;
  const int inner = s.ndim - 1;
  bool staged = false, constant[kOperands] = {}, filled[kOperands] = {};
  for (int o = 0; o < s.operands; o++) {
    staged = staged || s.stride[o][inner] != 1;
    constant[o] = true;
    for (int d = 0; d < s.ndim; d++) constant[o] = constant[o] && s.stride[o][d] == 0;
  }
  Walk w;
  w.seek(s, begin);
  bool new_row = true;
  for (int64_t i = begin; i < end;) {
    int64_t n = smaller(s.shape[inner] - w.at[inner], end - i);
    const int64_t row = smaller(n, kBlock);  // what a value repeated along the row must fill
    if (staged) n = row;
    for (int o = 1; o < s.operands; o++) {
      const int64_t stride = s.stride[o][inner];
      char *source = address(s, w, o), *stage = staging.bytes[o];
      b.x[o - 1] = stride == 1 ? source : stage;
      if (stride == 1 || (stride == 0 && filled[o] && (constant[o] || !new_row))) continue;
      gather(s.size[o], stage, source, stride, constant[o] ? smaller(kBlock, end - i) : n);
      filled[o] = true;
    }
    char *y = address(s, w, 0);
    const bool direct = s.stride[0][inner] == 1 || n == 1;
    b.y = direct ? y : staging.bytes[0];
    b.n = n;
    b.first = i;
    fn(b);
    if (!direct) scatter(s.size[0], y, staging.bytes[0], s.stride[0][inner], n);
    i += n;
    w.advance(s, n);
    new_row = w.at[inner] == 0 || s.ndim == 0;
  }
}

// Short inner axis: blocks cross rows; every operand that is not plainly contiguous is staged run by run.
void run_short_rows(const Space &s, BlockFn fn, PointwiseBlock &b, int64_t begin, int64_t end) {
  Staging staging;
  const int inner = s.ndim - 1;
  bool linear[kOperands];
  for (int o = 0; o < s.operands; o++) {
    int64_t expected = 1;
    linear[o] = true;
    for (int d = inner; d >= 0; expected *= s.shape[d--]) linear[o] = linear[o] && s.stride[o][d] == expected;
  }
  Walk w;
  w.seek(s, begin);
  for (int64_t i = begin; i < end;) {
    const int64_t n = smaller(kBlock, end - i);
    Walk start = w;
    for (int64_t done = 0; done < n;) {
      const int64_t run = smaller(s.shape[inner] - w.at[inner], n - done);
      for (int o = 1; o < s.operands; o++)
        if (!linear[o])
          gather(s.size[o], staging.bytes[o] + done * s.size[o], address(s, w, o), s.stride[o][inner], run);
      done += run;
      w.advance(s, run);
    }
    for (int o = 1; o < s.operands; o++) b.x[o - 1] = linear[o] ? address(s, start, o) : staging.bytes[o];
    b.y = linear[0] ? address(s, start, 0) : staging.bytes[0];
    b.n = n;
    b.first = i;
    fn(b);
    if (!linear[0]) {
      for (int64_t done = 0; done < n;) {
        const int64_t run = smaller(s.shape[inner] - start.at[inner], n - done);
        scatter(s.size[0], address(s, start, 0), staging.bytes[0] + done * s.size[0], s.stride[0][inner], run);
        done += run;
        start.advance(s, run);
      }
    }
    i += n;
  }
}

template <class H>
void widen_run(float *to, const void *from, int64_t n) {
  const H *f = static_cast<const H *>(from);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(to + i, load<VecF>(f + i));
  if (i < n) store_some(to + i, load_some<VecF>(f + i, n - i), n - i);
}
template <class H>
void narrow_run(void *to, const float *from, int64_t n) {
  H *t = static_cast<H *>(to);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(t + i, load<VecF>(from + i));
  if (i < n) store_some(t + i, load_some<VecF>(from + i, n - i), n - i);
}

GP_INLINE bool is_half(int32_t dtype) { return dtype == GP_F16 || dtype == GP_BF16; }

void widened_block(const PointwiseBlock &b) {
  alignas(64) float wide[kOperands][kBlock];
  PointwiseBlock w = b;
  for (int64_t i = 0; i < b.n; i += kBlock) {
    w.n = smaller(kBlock, b.n - i);
    w.first = b.first + i;
    w.y = is_half(b.dtype[0]) ? static_cast<void *>(wide[0]) : static_cast<char *>(b.y) + i * size_of(b.dtype[0]);
    for (int o = 1; o < kOperands && b.x[o - 1] != nullptr; o++) {
      const char *x = static_cast<const char *>(b.x[o - 1]) + i * size_of(b.dtype[o]);
      w.x[o - 1] = is_half(b.dtype[o]) ? static_cast<const void *>(wide[o]) : x;
      if (b.dtype[o] == GP_F16) widen_run<f16>(wide[o], x, w.n);
      if (b.dtype[o] == GP_BF16) widen_run<bf16>(wide[o], x, w.n);
    }
    b.widened(w);
    if (b.dtype[0] == GP_F16) narrow_run<f16>(static_cast<f16 *>(b.y) + i, wide[0], w.n);
    if (b.dtype[0] == GP_BF16) narrow_run<bf16>(static_cast<bf16 *>(b.y) + i, wide[0], w.n);
  }
}

void copy_block(const PointwiseBlock &b) {
  memcpy(b.y, b.x[0], static_cast<size_t>(b.n) * static_cast<size_t>(size_of(b.dtype[0])));
}

template <class S>
void truth_block(const PointwiseBlock &b) {
  const S *x = static_cast<const S *>(b.x[0]);
  uint8_t *y = static_cast<uint8_t *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = truth(x[i]);
}

int32_t pack_as(const gp_call *call, void *to, int32_t dtype, const gp_view &x, BlockFn fn) {
  gp_view y = x;
  y.data = to;
  y.dtype = dtype;
  int64_t step = 1;
  for (int d = y.ndim - 1; d >= 0; step *= y.shape[d--]) y.stride[d] = step;
  const gp_view *inputs[] = {&x};
  return pointwise(call, fn, false, y, inputs, 1);
}

}  // namespace

int32_t pack(const gp_call *call, void *to, const gp_view &x) { return pack_as(call, to, x.dtype, x, copy_block); }

int32_t pack_truth(const gp_call *call, uint8_t *to, const gp_view &x) {
  BlockFn fn = nullptr;
  GP_ANY_DTYPE(x.dtype, S, fn = truth_block<S>)
  return pack_as(call, to, GP_BOOL, x, fn);
}

int32_t pointwise(const gp_call *call, BlockFn fn, bool widen, const gp_view &y, const gp_view *const *x, int x_count) {
  Space s;
  s.ndim = s.operands = 0;
  s.n = 1;
  for (int d = 0; d < y.ndim; d++) {
    s.n *= y.shape[d];
    if (y.shape[d] != 1) s.shape[s.ndim++] = y.shape[d];
  }
  if (s.n == 0) return GP_OK;
  add_operand(s, y);
  for (int i = 0; i < x_count; i++) add_operand(s, *x[i]);
  simplify(s);
  const bool short_rows = s.ndim > 1 && s.shape[s.ndim - 1] < 64;
  auto range = [&](int64_t begin, int64_t end) {
    PointwiseBlock b{};
    b.call = call;
    b.widened = fn;
    b.dtype[0] = y.dtype;
    for (int i = 0; i < x_count; i++) b.dtype[i + 1] = x[i]->dtype;
    (short_rows ? run_short_rows : run_rows)(s, widen ? widened_block : fn, b, begin, end);
  };
  if (s.n < kSerial)
    range(0, s.n);
  else
    ranges(s.n, kSerial / 2, range);
  return call->status->code != 0 && call->status->sequence == call->sequence ? call->status->code : GP_OK;
}

}  // namespace gp::GP_ISA
