// Gradients of activations: df of the functor in scalar.h. `dy y` where the result suffices, `dy x` where it does not.
#include "../pointwise.h"

namespace gp::GP_ISA {
namespace {

template <class F>
struct Backward {
  template <class S>
  struct On {
    static void run(const PointwiseBlock &b) {
      map2<S>(b, [](auto dy, auto v) { return F::df(dy, v); });
    }
  };
  static int32_t run(gp_context *, const gp_kernel *, const gp_call *c) {
    if (in(c, 0).dtype != in(c, 1).dtype) return GP_UNSUPPORTED;
    return run_floats<On>(c, in(c, 0).dtype, 2);
  }
};

int32_t gelu_backward(gp_context *context, const gp_kernel *self, const gp_call *c) {
  return Attrs(c).choice() == 0 ? Backward<Gelu>::run(context, self, c) : Backward<GeluTanh>::run(context, self, c);
}

}  // namespace

#define ROW(op, signature, run) \
  { op, signature, kFloats, GP_KERNEL_ANY_STRIDE, ~0ull, nullptr, run }

GP_ROWS(pointwise_backward) = {ROW("tanh_backward", "dy y -> dx", Backward<Tanh>::run),
                               ROW("sigmoid_backward", "dy y -> dx", Backward<Sigmoid>::run),
                               ROW("relu_backward", "dy y -> dx", Backward<Relu>::run),
                               ROW("silu_backward", "dy x -> dx", Backward<Silu>::run),
                               ROW("gelu_backward", "dy x -> dx ; approximate", gelu_backward),
                               {}};

}  // namespace gp::GP_ISA
