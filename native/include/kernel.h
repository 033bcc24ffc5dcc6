// For kernel authors: reading a call, cutting work into tiles, converting half types.
//
// Include this *inside* nothing: it opens the per-ISA namespace itself. Every CPU kernel file is compiled once per
// instruction set; everything in it lives in an anonymous namespace inside gp::GP_ISA, because a weak symbol (any
// inline function or template with external linkage) compiled with AVX flags may be picked by the linker for the whole
// addon. tools/check-symbols.ts holds this.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "../cpu/threads.h"
#include "backend.h"

#ifndef GP_ISA
#error "compile kernel files with -DGP_ISA=base|avx2|avx512"
#endif

#define GP_INLINE __attribute__((always_inline)) inline

// A kernel file ends with: GP_ROWS(rms_norm) = { {...}, {...}, {} };   the empty row ends the table.
#define GP_ROWS(family)                   \
  extern const gp_kernel family##_rows[]; \
  const gp_kernel family##_rows[]

namespace gp::GP_ISA {
namespace {

constexpr uint32_t kFloats = GP_DT(GP_F32) | GP_DT(GP_F64) | GP_DT(GP_F16) | GP_DT(GP_BF16);
constexpr uint32_t kIntegers = GP_DT(GP_I64) | GP_DT(GP_I32) | GP_DT(GP_U8);
constexpr uint32_t kAnyDtype = kFloats | kIntegers | GP_DT(GP_BOOL);

// ---- reading a call -------------------------------------------------------------------------------------------------

GP_INLINE bool has(const gp_call *c, int input) { return c->input_count[input] > 0; }
GP_INLINE const gp_view &in(const gp_call *c, int input) { return c->inputs[c->input_first[input]]; }
GP_INLINE const gp_view &out(const gp_call *c, int output) { return c->outputs[c->output_first[output]]; }
GP_INLINE const gp_view &in_list(const gp_call *c, int input, int i) { return c->inputs[c->input_first[input] + i]; }
GP_INLINE const gp_view &out_list(const gp_call *c, int o, int i) { return c->outputs[c->output_first[o] + i]; }

template <class T>
GP_INLINE T *data(const gp_view &v) {
  return static_cast<T *>(v.data);
}

GP_INLINE int64_t numel(const gp_view &v) {
  int64_t n = 1;
  for (int i = 0; i < v.ndim; i++) n *= v.shape[i];
  return n;
}

GP_INLINE bool is_contiguous(const gp_view &v) {
  int64_t expected = 1;
  for (int i = v.ndim - 1; i >= 0; i--) {
    if (v.shape[i] != 1 && v.stride[i] != expected) return false;
    expected *= v.shape[i];
  }
  return true;
}

// Walks the attributes in declared order.
struct Attrs {
  const double *p;
  explicit Attrs(const gp_call *c) : p(c->attrs) {}
  double number() { return *p++; }
  int64_t integer() { return static_cast<int64_t>(*p++); }
  bool flag() { return *p++ != 0.0; }
  int choice() { return static_cast<int>(*p++); }
  // Copies up to GP_MAX_DIMS * 2 elements; returns the length.
  int list(int64_t *to) {
    int n = static_cast<int>(*p++);
    for (int i = 0; i < n; i++) to[i] = static_cast<int64_t>(*p++);
    return n;
  }
};

// The first failure wins; safe from several threads.
GP_INLINE int32_t report(const gp_call *c, int32_t code, int64_t position, double value) {
  int32_t expected = 0;
  if (__atomic_compare_exchange_n(&c->status->code, &expected, code, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    c->status->position = position;
    c->status->value = value;
    c->status->sequence = c->sequence;
  }
  return code;
}

// ---- tiles ----------------------------------------------------------------------------------------------------------

template <class F>
GP_INLINE void tiles(int64_t count, const F &body) {
  if (count <= 1) {
    if (count == 1) body(int64_t{0}, 0);
    return;
  }
  struct Thunk {
    static void call(void *f, int64_t tile, int slot) { (*static_cast<const F *>(f))(tile, slot); }
  };
  parallel_tiles(count, &Thunk::call, const_cast<void *>(static_cast<const void *>(&body)));
}

// Cuts [0, n) into runs of `grain` (a multiple of 64 for vector loops) and calls body(begin, end).
template <class F>
GP_INLINE void ranges(int64_t n, int64_t grain, F &&body) {
  if (n <= 0) return;
  auto run = [&](int64_t tile, int) {
    int64_t begin = tile * grain, end = begin + grain < n ? begin + grain : n;
    body(begin, end);
  };
  tiles((n + grain - 1) / grain, run);
}

// ---- half types -----------------------------------------------------------------------------------------------------

struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

GP_INLINE float widen(bf16 h) {
  uint32_t u = static_cast<uint32_t>(h.bits) << 16;
  float f;
  memcpy(&f, &u, 4);
  return f;
}

GP_INLINE bf16 narrow_bf16(float f) {  // round to nearest even; NaN stays NaN
  uint32_t u;
  memcpy(&u, &f, 4);
  if ((u & 0x7fffffffu) > 0x7f800000u) return bf16{static_cast<uint16_t>((u >> 16) | 0x40u)};
  return bf16{static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16)};
}

GP_INLINE float widen(f16 h) {
  uint32_t sign = static_cast<uint32_t>(h.bits & 0x8000u) << 16, e = (h.bits >> 10) & 31u, m = h.bits & 1023u, u;
  if (e == 31) {
    u = sign | 0x7f800000u | (m << 13);
  } else if (e != 0) {
    u = sign | ((e + 112u) << 23) | (m << 13);
  } else {
    float f = static_cast<float>(m) * 5.9604644775390625e-8f;  // 2^-24: subnormal
    memcpy(&u, &f, 4);
    u |= sign;
  }
  float f;
  memcpy(&f, &u, 4);
  return f;
}

GP_INLINE f16 narrow_f16(float f) {  // round to nearest even, overflow to infinity, NaN stays NaN
  uint32_t u;
  memcpy(&u, &f, 4);
  uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
  if (a > 0x7f800000u) return f16{static_cast<uint16_t>(sign | 0x7e00u)};
  if (a >= 0x477ff000u) return f16{static_cast<uint16_t>(sign | 0x7c00u)};
  if (a < 0x38800000u) {  // subnormal or zero: let the adder round
    float t;
    memcpy(&t, &a, 4);
    t += 0.5f;
    uint32_t r;
    memcpy(&r, &t, 4);
    return f16{static_cast<uint16_t>(sign | (r - 0x3f000000u))};
  }
  uint32_t r = a + 0xc8000fffu + ((a >> 13) & 1u);
  return f16{static_cast<uint16_t>(sign | (r >> 13))};
}

GP_INLINE float widen(float f) { return f; }
GP_INLINE double widen(double f) { return f; }

// T -> the type its arithmetic is done in: float for half types.
template <class T>
struct Wide {
  using type = float;
};
template <>
struct Wide<double> {
  using type = double;
};
template <class T>
GP_INLINE T narrow(typename Wide<T>::type v);
template <>
__attribute__((always_inline)) inline float narrow<float>(float v) {
  return v;
}
template <>
__attribute__((always_inline)) inline double narrow<double>(double v) {
  return v;
}
template <>
__attribute__((always_inline)) inline f16 narrow<f16>(float v) {
  return narrow_f16(v);
}
template <>
__attribute__((always_inline)) inline bf16 narrow<bf16>(float v) {
  return narrow_bf16(v);
}

}  // namespace
}  // namespace gp::GP_ISA

// Runs the statement with `T` bound to the C++ type of `dtype`: GP_FLOATS(dtype, T, { kernel<T>(call); })
#define GP_CASE_(tag, type, T, ...) \
  case tag: {                       \
    using T = type;                 \
    __VA_ARGS__;                    \
    break;                          \
  }
#define GP_FLOATS(dtype, T, ...)             \
  switch (dtype) {                           \
    GP_CASE_(GP_F32, float, T, __VA_ARGS__)  \
    GP_CASE_(GP_F64, double, T, __VA_ARGS__) \
    GP_CASE_(GP_F16, f16, T, __VA_ARGS__)    \
    GP_CASE_(GP_BF16, bf16, T, __VA_ARGS__)  \
    default:                                 \
      return GP_UNSUPPORTED;                 \
  }
#define GP_INTEGERS(dtype, T, ...)            \
  switch (dtype) {                            \
    GP_CASE_(GP_I64, int64_t, T, __VA_ARGS__) \
    GP_CASE_(GP_I32, int32_t, T, __VA_ARGS__) \
    GP_CASE_(GP_U8, uint8_t, T, __VA_ARGS__)  \
    default:                                  \
      return GP_UNSUPPORTED;                  \
  }
