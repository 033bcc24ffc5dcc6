// Prefetching what a later block will read or write, a few lines beside each register tile: what lies behind L2 is as
// far as DRAM when neighbours fill the shared cache, and the hardware does not foresee strided rows.
#pragma once
#include "../../include/kernel.h"

namespace gp::GP_ISA {
namespace {

class Ahead {
 public:
  // `rows` runs of `bytes`, `row` bytes apart, spread evenly over `steps` calls. Addresses beyond the operand are
  // harmless: a prefetch never faults.
  void aim(const void *from, int64_t rows, int64_t bytes, int64_t row, int64_t steps) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(from);
    at_ = address & ~uintptr_t{63};
    lines_ = (static_cast<int64_t>(address - at_) + bytes + 63) / 64;
    left_ = lines_ > 0 ? rows * lines_ : 0;
    run_ = lines_;
    skip_ = static_cast<uintptr_t>(row - lines_ * 64);
    per_step_ = (left_ + steps - 1) / steps;
  }

  // One call's share, at once.
  void now() {
    each(per_step_, [](const void *line) { __builtin_prefetch(line); });
  }

  // One call's share, written down for a micro-kernel, which asks for a line every few steps: many at once would wait
  // for each other. Returns the end of what was written.
  const void **list(const void **to, const void **end) {
    each(per_step_ < end - to ? per_step_ : end - to, [&](const void *line) { *to++ = line; });
    return to;
  }

 private:
  template <class F>
  GP_INLINE void each(int64_t count, const F &f) {
    if (count > left_) count = left_;
    left_ -= count;
    while (count > 0) {
      const int64_t n = count < run_ ? count : run_;
      for (int64_t i = 0; i < n; i++) f(reinterpret_cast<const void *>(at_ + static_cast<uintptr_t>(i) * 64));
      at_ += static_cast<uintptr_t>(n) * 64;
      count -= n;
      run_ -= n;
      if (run_ == 0) {
        run_ = lines_;
        at_ += skip_;
      }
    }
  }

  uintptr_t at_ = 0, skip_ = 0;
  int64_t left_ = 0, lines_ = 0, run_ = 0, per_step_ = 0;
};

}  // namespace
}  // namespace gp::GP_ISA
