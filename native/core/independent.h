// Whether launches may run at the same time: none writes what another one reads or writes.
#pragma once
#include "../include/backend.h"

namespace gp {

// Where the elements of a view lie, in bytes from the start of their space (an arena, or memory that shares nothing
// with it). They repeat every `pitch` bytes and take [begin mod pitch, + run) of it; pitch 0: all of [begin, end).
struct Footprint {
  size_t space;
  int64_t begin, end, pitch, run;
  bool written;
};

// `offset`: of the view's first element; strides may be negative or 0.
Footprint footprint(const gp_view &view, size_t space, int64_t offset, bool written);

// False where it is not known. Columns of one matrix are apart, though their rows lie between each other.
bool apart(const Footprint &a, const Footprint &b);

}  // namespace gp
