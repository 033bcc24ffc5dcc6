// Activations for the epilogue.
#pragma once
#include "gemm.h"
#include "vec.h"

namespace gp::GP_ISA {
namespace {

template <class V>
GP_INLINE V activate(V v, int32_t activation) {
  if (activation == kRelu) {
    const V zero = {};
    return v < zero ? zero : v;  // NaN stays NaN
  }
  return v;
}

}  // namespace
}  // namespace gp::GP_ISA
