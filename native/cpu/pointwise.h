// One driver for all pointwise kernels. The driver knows shapes, strides and threads; a block function knows one op and
// one dtype and sees nothing but contiguous runs of at most kBlock elements. So an element's bits do not depend on
// strides, position, tail or thread.
#pragma once
#include "simd/math.h"

namespace gp::GP_ISA {

constexpr int kMaxOperands = 3;
constexpr int64_t kBlock = 512;         // elements per block when an operand must be staged
constexpr int64_t kSerial = 32 * 1024;  // below this many elements the calling thread works alone

struct PointwiseBlock;
using BlockFn = void (*)(const PointwiseBlock &block);
struct PointwiseBlock {
  void *y;
  const void *x[kMaxOperands];
  int64_t n;
  int64_t first;        // flat position of the block's first element, for reports
  const gp_call *call;  // attributes and status
  BlockFn widened;      // the driver's own
  int32_t dtype[kMaxOperands + 1];
};

// Runs `fn` over all elements of `y`. Inputs have y's shape, any strides; y may have any strides and be one of the
// inputs. With `widen`, operands of half types reach `fn` as float.
int32_t pointwise(const gp_call *call, BlockFn fn, bool widen, const gp_view &y, const gp_view *const *x, int x_count);

// Copies a view of any strides into contiguous memory of the same dtype, or as bytes x != 0.
int32_t pack(const gp_call *call, void *to, const gp_view &x);
int32_t pack_truth(const gp_call *call, uint8_t *to, const gp_view &x);

namespace {

GP_INLINE int32_t size_of(int32_t dtype) {
  constexpr int8_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return sizes[dtype];
}

// ---- from a functor to a block function -----------------------------------------------------------------------------

// op(V...) over 1 to 3 inputs of storage type S, computed in Compute<S>; the tail goes through the same code.
template <class S, class Op>
GP_FN void map1(const PointwiseBlock &b, Op op) {
  using V = Compute<S>;
  const S *x = static_cast<const S *>(b.x[0]);
  S *y = static_cast<S *>(b.y);
  int64_t i = 0;
  for (; i + V::lanes <= b.n; i += V::lanes) store(y + i, op(load<V>(x + i)));
  if (i < b.n) store_some(y + i, op(load_some<V>(x + i, b.n - i)), b.n - i);
}
template <class S, class Op>
GP_FN void map2(const PointwiseBlock &b, Op op) {
  using V = Compute<S>;
  const S *x0 = static_cast<const S *>(b.x[0]), *x1 = static_cast<const S *>(b.x[1]);
  S *y = static_cast<S *>(b.y);
  int64_t i = 0;
  for (; i + V::lanes <= b.n; i += V::lanes) store(y + i, op(load<V>(x0 + i), load<V>(x1 + i)));
  if (i < b.n) store_some(y + i, op(load_some<V>(x0 + i, b.n - i), load_some<V>(x1 + i, b.n - i)), b.n - i);
}
// The same with a mask as result, stored as bytes.
template <class S, class Op>
GP_FN void test1(const PointwiseBlock &b, Op op) {
  using V = Compute<S>;
  const S *x = static_cast<const S *>(b.x[0]);
  uint8_t *y = static_cast<uint8_t *>(b.y);
  int64_t i = 0;
  for (; i + V::lanes <= b.n; i += V::lanes) store_mask(y + i, op(load<V>(x + i)));
  if (i < b.n) {
    uint8_t t[V::lanes];
    store_mask(t, op(load_some<V>(x + i, b.n - i)));
    for (int64_t j = 0; i + j < b.n; j++) y[i + j] = t[j];
  }
}
template <class S, class Op>
GP_FN void test2(const PointwiseBlock &b, Op op) {
  using V = Compute<S>;
  const S *x0 = static_cast<const S *>(b.x[0]), *x1 = static_cast<const S *>(b.x[1]);
  uint8_t *y = static_cast<uint8_t *>(b.y);
  int64_t i = 0;
  for (; i + V::lanes <= b.n; i += V::lanes) store_mask(y + i, op(load<V>(x0 + i), load<V>(x1 + i)));
  if (i < b.n) {
    uint8_t t[V::lanes];
    store_mask(t, op(load_some<V>(x0 + i, b.n - i), load_some<V>(x1 + i, b.n - i)));
    for (int64_t j = 0; i + j < b.n; j++) y[i + j] = t[j];
  }
}

// ---- from a block function to a kernel ------------------------------------------------------------------------------

// y is the first output, or for a kernel in place the first input.
GP_INLINE int32_t run_pointwise(const gp_call *c, BlockFn fn, bool widen, int inputs, bool in_place = false) {
  const gp_view *x[kMaxOperands] = {};
  for (int i = 0; i < inputs; i++) x[i] = &in(c, i);
  return pointwise(c, fn, widen, in_place ? *x[0] : out(c, 0), x, inputs);
}

// Family is a template: Family<S>::run is the block function of S. Half types run the float one, widened.
template <template <class> class Family>
GP_INLINE int32_t run_floats(const gp_call *c, int32_t dtype, int inputs, bool in_place = false) {
  switch (dtype) {
    case GP_F32:
      return run_pointwise(c, Family<float>::run, false, inputs, in_place);
    case GP_F64:
      return run_pointwise(c, Family<double>::run, false, inputs, in_place);
    case GP_F16:
    case GP_BF16:
      return run_pointwise(c, Family<float>::run, true, inputs, in_place);
    default:
      return GP_UNSUPPORTED;
  }
}
template <template <class> class Family>
GP_INLINE int32_t run_integers(const gp_call *c, int32_t dtype, int inputs, bool in_place = false) {
  switch (dtype) {
    case GP_I64:
      return run_pointwise(c, Family<int64_t>::run, false, inputs, in_place);
    case GP_I32:
      return run_pointwise(c, Family<int32_t>::run, false, inputs, in_place);
    case GP_U8:
      return run_pointwise(c, Family<uint8_t>::run, false, inputs, in_place);
    default:
      return GP_UNSUPPORTED;
  }
}

// Integers, element by element; the loop is left to the compiler. Two's complement: overflow wraps.
template <class S, class Op>
GP_FN void loop1(const PointwiseBlock &b, Op op) {
  const S *x = static_cast<const S *>(b.x[0]);
  S *y = static_cast<S *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = op(x[i]);
}
template <class S, class R, class Op>
GP_FN void loop2(const PointwiseBlock &b, Op op) {
  const S *x0 = static_cast<const S *>(b.x[0]), *x1 = static_cast<const S *>(b.x[1]);
  R *y = static_cast<R *>(b.y);
  for (int64_t i = 0; i < b.n; i++) y[i] = static_cast<R>(op(x0[i], x1[i]));
}

// NaN is true, both zeros are false.
template <class S>
GP_FN bool truth(S x) {
  return x != S(0);
}
template <>
GP_FN bool truth(f16 x) {
  return (x.bits & 0x7fff) != 0;
}
template <>
GP_FN bool truth(bf16 x) {
  return (x.bits & 0x7fff) != 0;
}

// Runs the statement with `T` bound to the storage type of any dtype; bool is uint8_t.
#define GP_ANY_DTYPE(dtype, T, ...)            \
  switch (dtype) {                             \
    GP_CASE_(GP_F32, float, T, __VA_ARGS__)    \
    GP_CASE_(GP_F64, double, T, __VA_ARGS__)   \
    GP_CASE_(GP_F16, f16, T, __VA_ARGS__)      \
    GP_CASE_(GP_BF16, bf16, T, __VA_ARGS__)    \
    GP_CASE_(GP_I64, int64_t, T, __VA_ARGS__)  \
    GP_CASE_(GP_I32, int32_t, T, __VA_ARGS__)  \
    default:                                   \
      GP_CASE_(GP_U8, uint8_t, T, __VA_ARGS__) \
  }

template <class S>
constexpr bool is_float = false;
template <>
constexpr bool is_float<float> = true;
template <>
constexpr bool is_float<double> = true;

}  // namespace
}  // namespace gp::GP_ISA
