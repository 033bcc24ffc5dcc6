// What integers and booleans have beside arithmetic: powers, bits, shifts, truncating remainders; and their products.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class F>
struct Integers {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      loop2<S, S>(b, [](S x, S y) { return F::f(x, y); });
    }
  };
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
    const int32_t dtype = in(c, 0).dtype;
    if (dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
    return run_integers<On>(c, dtype == GP_BOOL ? static_cast<int32_t>(GP_U8) : dtype, 2);
  }
};

// By squaring, wrapping on overflow; a negative exponent leaves 1 and -1 only.
struct Power {
  template <class S>
  static S f(S x, S y) {
    if constexpr (S(-1) < S(0))
      if (y < S(0)) return x == S(1) ? S(1) : x == S(-1) ? (y & 1 ? S(-1) : S(1)) : S(0);
    uint64_t base = static_cast<uint64_t>(x), result = 1;
    for (uint64_t n = static_cast<uint64_t>(y); n != 0; n >>= 1, base *= base)
      if (n & 1) result *= base;
    return static_cast<S>(result);
  }
};
struct And {
  template <class S>
  static S f(S x, S y) {
    return static_cast<S>(x & y);
  }
};
struct Or {
  template <class S>
  static S f(S x, S y) {
    return static_cast<S>(x | y);
  }
};
struct Xor {
  template <class S>
  static S f(S x, S y) {
    return static_cast<S>(x ^ y);
  }
};
// A shift by a negative amount or by all bits and more leaves nothing, or the sign.
struct ShiftLeft {
  template <class S>
  static S f(S x, S y) {
    if (static_cast<uint64_t>(y) >= 8 * sizeof(S)) return S(0);
    return static_cast<S>(static_cast<uint64_t>(x) << static_cast<int>(y));
  }
};
struct ShiftRight {
  template <class S>
  static S f(S x, S y) {
    constexpr int kMost = 8 * static_cast<int>(sizeof(S)) - 1;
    const bool far = static_cast<uint64_t>(y) > static_cast<uint64_t>(kMost);
    if constexpr (!(S(-1) < S(0)))
      if (far) return S(0);
    return static_cast<S>(x >> (far ? kMost : static_cast<int>(y)));
  }
};

template <class S>
struct NotOn {
  static void run(const PointwiseBlock &b) {
    loop1<S>(b, [](S x) { return static_cast<S>(~x); });
  }
};
int32_t bitwise_not(gp_context *, const gp_kernel *, const gp_call *c) {
  return run_integers<NotOn>(c, in(c, 0).dtype, 1);
}

// The remainder with the sign of the dividend, as C has it.
template <class S>
struct FmodOn {
  static void run(const PointwiseBlock &b) {
    const S *x0 = static_cast<const S *>(b.x[0]), *x1 = static_cast<const S *>(b.x[1]);
    S *y = static_cast<S *>(b.y);
    for (int64_t i = 0; i < b.n; i++) {
      if (x1[i] == S(0)) report(b.call, GP_BAD_VALUE, b.first + i, 0.0);
      // the smallest integer modulo -1 traps
      const bool unit = x1[i] == S(0) || (S(-1) < S(0) && x1[i] == S(-1));
      y[i] = unit ? S(0) : static_cast<S>(x0[i] % x1[i]);
    }
  }
};
int32_t fmod_integers(gp_context *, const gp_kernel *, const gp_call *c) {
  if (in(c, 0).dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
  return run_integers<FmodOn>(c, in(c, 0).dtype, 2);
}

// Integers are their own rounding.
template <class S>
struct SameOn {
  static void run(const PointwiseBlock &b) { memcpy(b.y, b.x[0], static_cast<size_t>(b.n) * sizeof(S)); }
};
int32_t same(gp_context *, const gp_kernel *, const gp_call *c) { return run_integers<SameOn>(c, in(c, 0).dtype, 1); }

template <class S>
struct ReluOn {
  static void run(const PointwiseBlock &b) {
    loop1<S>(b, [](S x) { return x < S(0) ? S(0) : x; });
  }
};
int32_t relu_integers(gp_context *, const gp_kernel *, const gp_call *c) {
  return run_integers<ReluOn>(c, in(c, 0).dtype, 1);
}

// Booleans: a sum is true where one of the two is, whatever alpha (but 0) says.
struct AddBool {
  static void run(const PointwiseBlock &b) {
    const uint8_t scale = b.call->attrs[0] != 0.0;
    loop2<uint8_t, uint8_t>(b, [scale](uint8_t x, uint8_t y) { return static_cast<uint8_t>(x | (y & scale)); });
  }
  template <bool InPlace>
  static int32_t of(gp_context *, const gp_kernel *, const gp_call *c) {
    if (in(c, 1).dtype != GP_BOOL) return GP_UNSUPPORTED;
    return run_pointwise(c, run, false, 2, InPlace);
  }
};
int32_t and_in_place(gp_context *, const gp_kernel *, const gp_call *c) {
  if (in(c, 1).dtype != GP_BOOL) return GP_UNSUPPORTED;
  return run_pointwise(c, Integers<And>::On<uint8_t>::run, false, 2, true);
}

// y[..., M, N] = a[..., M, K] b[..., K, N] of integers, wrapping; any strides, a row of the result per tile.
template <class S>
void product(const gp_call *c) {
  const gp_view &a = in(c, 0), &b = in(c, 1), &y = out(c, 0);
  const int rank = y.ndim;
  const int64_t m = y.shape[rank - 2], n = y.shape[rank - 1], depth = a.shape[rank - 1];
  auto row = [&](int64_t tile, int) {
    int64_t i = tile % m, rest = tile / m, from_a = i * a.stride[rank - 2], from_b = 0;
    for (int axis = rank - 3; axis >= 0; axis--) {
      const int64_t at = rest % y.shape[axis];
      rest /= y.shape[axis];
      from_a += at * a.stride[axis];
      from_b += at * b.stride[axis];
    }
    const S *left = data<S>(a) + from_a, *right = data<S>(b) + from_b;
    S *to = data<S>(y) + tile * n;
    for (int64_t j = 0; j < n; j++) to[j] = S(0);
    for (int64_t k = 0; k < depth; k++) {
      const uint64_t factor = static_cast<uint64_t>(left[k * a.stride[rank - 1]]);
      const S *line = right + k * b.stride[rank - 2];
      for (int64_t j = 0; j < n; j++)
        to[j] =
            static_cast<S>(static_cast<uint64_t>(to[j]) + factor * static_cast<uint64_t>(line[j * b.stride[rank - 1]]));
    }
  };
  const int64_t rows = n == 0 ? 0 : numel(y) / n;
  if (numel(y) * depth < kSerial)
    for (int64_t i = 0; i < rows; i++) row(i, 0);
  else
    tiles(rows, row);
}
int32_t matmul(gp_context *, const gp_kernel *, const gp_call *c) {
  if (in(c, 0).dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
  switch (in(c, 0).dtype) {
    case GP_I64:
      product<int64_t>(c);
      return GP_OK;
    case GP_I32:
      product<int32_t>(c);
      return GP_OK;
    case GP_U8:
      product<uint8_t>(c);
      return GP_OK;
    default:
      return GP_UNSUPPORTED;
  }
}

constexpr uint32_t kBool = GP_DT(GP_BOOL);

}  // namespace

#define ROW(op, signature, dtypes, run) \
  { op, signature, dtypes, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, run }
#define IN_PLACE_ROW(op, signature, dtypes, run) \
  { op, signature, dtypes, GP_KERNEL_MUTATES | GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, run }

GP_ROWS(pointwise_integer) = {ROW("pow", "a b -> y", kIntegers, Integers<Power>::run),
                              ROW("fmod", "a b -> y", kIntegers, fmod_integers),
                              ROW("relu", "x -> y", kIntegers, relu_integers),
                              ROW("floor", "x -> y", kIntegers, same),
                              ROW("ceil", "x -> y", kIntegers, same),
                              ROW("round", "x -> y", kIntegers, same),
                              ROW("trunc", "x -> y", kIntegers, same),
                              ROW("bitwise_and", "a b -> y", kIntegers | kBool, Integers<And>::run),
                              ROW("bitwise_or", "a b -> y", kIntegers | kBool, Integers<Or>::run),
                              ROW("bitwise_xor", "a b -> y", kIntegers | kBool, Integers<Xor>::run),
                              ROW("bitwise_not", "x -> y", kIntegers, bitwise_not),
                              ROW("bitwise_left_shift", "a b -> y", kIntegers, Integers<ShiftLeft>::run),
                              ROW("bitwise_right_shift", "a b -> y", kIntegers, Integers<ShiftRight>::run),
                              ROW("add", "a b -> y ; alpha", kBool, AddBool::of<false>),
                              IN_PLACE_ROW("add_", "a b -> ; alpha", kBool, AddBool::of<true>),
                              ROW("mul", "a b -> y", kBool, Integers<And>::run),
                              IN_PLACE_ROW("mul_", "a b ->", kBool, and_in_place),
                              ROW("maximum", "a b -> y", kBool, Integers<Or>::run),
                              ROW("minimum", "a b -> y", kBool, Integers<And>::run),
                              {"matmul", "a b -> y", kIntegers, GP_KERNEL_ANY_STRIDE, 0, nullptr, matmul},
                              {}};

}  // namespace gp::GP_ISA
