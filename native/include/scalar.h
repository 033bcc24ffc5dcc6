// Elementwise mathematics, written once for every backend: functors with f (the function) and df (the gradient that
// reaches the input), over a value type T.
//
// No include guard and no namespace: include it inside the namespace that holds T's operations, with GP_SCALAR_FN
// defined (CPU: inline; CUDA: __device__ __forceinline__). T brings + - * / unary -, construction from a constant,
// comparisons that give a mask with & | !, and select, fma_, abs_, sqrt_, exp_, expm1_, log_, log1p_, tanh_, erf_,
// normal_cdf_, sin_, cos_, pow_, clamp_, max_nan, min_nan, is_nan, floor_, fmod_, copysign_ …
//
// A constant stands here once, beside its functor; backward kernels take it from here.

template <class T>
GP_SCALAR_FN T sigmoid_(T x) {  // through exp(-|x|): relative accuracy in both tails
  T e = exp_(-abs_(x));
  return select(x < T(0), e, T(1)) / (T(1) + e);
}

struct Neg {
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return -x;
  }
};
struct Abs {
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return abs_(x);
  }
};
struct Sign {  // of NaN: 0, as in PyTorch
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return select(x > T(0), T(1), select(x < T(0), T(-1), T(0)));
  }
};

#define GP_SIMPLE_(Name, expression) \
  struct Name {                      \
    template <class T>               \
    GP_SCALAR_FN static T f(T x) {   \
      return expression;             \
    }                                \
  };
GP_SIMPLE_(Exp, exp_(x))
GP_SIMPLE_(Exp2, exp2_(x))
GP_SIMPLE_(Expm1, expm1_(x))
GP_SIMPLE_(Log, log_(x))
GP_SIMPLE_(Log1p, log1p_(x))
GP_SIMPLE_(Log2, log2_(x))
GP_SIMPLE_(Sqrt, sqrt_(x))
GP_SIMPLE_(Rsqrt, T(1) / sqrt_(x))
GP_SIMPLE_(Reciprocal, T(1) / x)
GP_SIMPLE_(Square, x *x)
GP_SIMPLE_(Sin, sin_(x))
GP_SIMPLE_(Cos, cos_(x))
GP_SIMPLE_(Tan, tan_(x))
GP_SIMPLE_(Erf, erf_(x))
GP_SIMPLE_(Floor, floor_(x))
GP_SIMPLE_(Ceil, ceil_(x))
GP_SIMPLE_(Round, round_(x))  // halves to even
GP_SIMPLE_(Trunc, trunc_(x))
#undef GP_SIMPLE_

struct Tanh {
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return tanh_(x);
  }
  template <class T>
  GP_SCALAR_FN static T df(T dy, T y) {  // dy (1 - y^2)
    return dy * ((T(1) - y) * (T(1) + y));
  }
};

struct Sigmoid {
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return sigmoid_(x);
  }
  template <class T>
  GP_SCALAR_FN static T df(T dy, T y) {  // dy y (1 - y)
    return dy * (y * (T(1) - y));
  }
};

struct LogSigmoid {  // -softplus(-x)
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return min_nan(x, T(0)) - log1p_(exp_(-abs_(x)));
  }
};

struct Softplus {  // log(1 + e^x)
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return max_nan(x, T(0)) + log1p_(exp_(-abs_(x)));
  }
};

struct Relu {
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return select(x < T(0), T(0), x);
  }
  template <class T>
  GP_SCALAR_FN static T df(T dy, T y) {
    return select(y <= T(0), T(0), dy);  // NaN lets the gradient through
  }
};

struct LeakyRelu {
  template <class T>
  GP_SCALAR_FN static T f(T x, T slope) {
    return select(x < T(0), x * slope, x);
  }
};

struct Elu {  // x, or alpha (e^x - 1) below zero
  template <class T>
  GP_SCALAR_FN static T f(T x, T alpha) {
    return select(x < T(0), alpha * expm1_(x), x);
  }
};

struct Silu {  // x sigmoid(x)
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return x * sigmoid_(x);
  }
  template <class T>
  GP_SCALAR_FN static T df(T dy, T x) {  // dy s (1 + x (1 - s)); 1 - s = sigmoid(-x) without cancellation
    T e = exp_(-abs_(x)), r = T(1) / (T(1) + e);
    T s = select(x < T(0), e, T(1)) * r, c = select(x < T(0), T(1), e) * r;
    return dy * (s * fma_(clamp_(x, T(-1e4), T(1e4)), c, T(1)));
  }
};

struct Gelu {                                             // x Phi(x), Hendrycks & Gimpel 2016
  static constexpr double kPdf = 0.39894228040143267794;  // 1 / sqrt(2 pi)
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    return x * normal_cdf_(x);
  }
  template <class T>
  GP_SCALAR_FN static T df(T dy, T x) {  // dy (Phi(x) + x phi(x))
    T t = clamp_(x, T(-40), T(40));
    return dy * fma_(t, T(kPdf) * exp_(T(-0.5) * t * t), normal_cdf_(x));
  }
};

struct GeluTanh {  // x / 2 (1 + tanh u) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
  static constexpr double kRoot = 0.79788456080286535588;
  static constexpr double kCubic = 0.044715;
  template <class T>
  GP_SCALAR_FN static T f(T x) {
    T m = x * fma_(x * x, T(-2 * kRoot * kCubic), T(-2 * kRoot));  // -2 u
    return x / (T(1) + exp_(m));
  }
  template <class T>
  GP_SCALAR_FN static T df(T dy, T x) {  // dy (s + x s (1 - s) 2 u')
    T t = clamp_(x, T(-40), T(40)), z = t * t;
    T m = t * fma_(z, T(2 * kRoot * kCubic), T(2 * kRoot));  // 2 u
    T e = exp_(-abs_(m)), r = T(1) / (T(1) + e);
    T s = select(m < T(0), e, T(1)) * r;
    T slope = fma_(z, T(6 * kRoot * kCubic), T(2 * kRoot));
    return dy * fma_(t * slope, (e * r) * r, s);  // s (1 - s) = e / (1 + e)^2
  }
};

struct Mul {
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    return a / b;
  }
};
struct Pow {
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    return pow_(a, b);
  }
};
struct Maximum {
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    return max_nan(a, b);
  }
};
struct Minimum {
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    return min_nan(a, b);
  }
};
struct Atan2 {
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    return atan2_(a, b);
  }
};
struct Remainder {  // with the sign of the divisor
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    T r = fmod_(a, b);
    return select((r != T(0)) & ((r < T(0)) ^ (b < T(0))), r + b, r);
  }
};
struct FloorDivide {  // floor(a / b) computed from the exact remainder: a / b alone may round up to an integer
  template <class T>
  GP_SCALAR_FN static T f(T a, T b) {
    T r = fmod_(a, b);
    T q = (a - r) / b;
    q = select((r != T(0)) & ((r < T(0)) ^ (b < T(0))), q - T(1), q);
    T whole = floor_(q);
    whole = select(q - whole > T(0.5), whole + T(1), whole);
    whole = select(q == T(0), copysign_(T(0), a / b), whole);
    return select(b == T(0), a / b, whole);
  }
};
