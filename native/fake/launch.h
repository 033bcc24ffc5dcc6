// A launch that waits in the queue: a deep copy of the call, and its translation when its turn comes.
#pragma once
#include <cstdint>
#include <vector>

#include "backend.h"
#include "memory.h"

namespace gp_fake {

size_t dtype_bytes(int32_t dtype);

class Launch {
 public:
  Launch(const gp_kernel *borrowed, const gp_call *call);
  // Runs the borrowed kernel on translated addresses. A mutating one is skipped once the status cell holds a failure.
  // GP_OK or the failure, which then also stands in the cell.
  int32_t run(const Memory &memory);

 private:
  bool translate(const Memory &memory, std::vector<gp_view> *views) const;

  const gp_kernel *kernel_;
  gp_call call_;
  std::vector<gp_view> inputs_, outputs_;
  std::vector<int32_t> integers_;
  std::vector<double> attrs_;
};

}  // namespace gp_fake
