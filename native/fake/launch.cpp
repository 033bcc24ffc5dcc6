#include "launch.h"

#include <algorithm>

namespace gp_fake {

namespace {

// How many views the declared inputs (outputs) stand for.
size_t total(const int32_t *first, const int32_t *count, int32_t n) {
  int32_t end = 0;
  for (int32_t i = 0; i < n; i++) end = std::max(end, first[i] + count[i]);
  return static_cast<size_t>(end);
}

}  // namespace

size_t dtype_bytes(int32_t dtype) {
  static constexpr uint8_t widths[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return widths[dtype];
}

Launch::Launch(const gp_kernel *borrowed, const gp_call *call) : kernel_(borrowed), call_(*call) {
  const gp_call &c = *call;
  inputs_.assign(c.inputs, c.inputs + total(c.input_first, c.input_count, c.n_inputs));
  outputs_.assign(c.outputs, c.outputs + total(c.output_first, c.output_count, c.n_outputs));
  attrs_.assign(c.attrs, c.attrs + c.n_attrs);
  for (const int32_t *list : {c.input_first, c.input_count}) integers_.insert(integers_.end(), list, list + c.n_inputs);
  for (const int32_t *list : {c.output_first, c.output_count})
    integers_.insert(integers_.end(), list, list + c.n_outputs);
}

bool Launch::translate(const Memory &memory, std::vector<gp_view> *views) const {
  for (gp_view &v : *views) {
    // The addressed range, so that a view that leaves the device's memory is an illegal address here as there.
    int64_t low = 0, high = 0, numel = 1;
    for (int32_t d = 0; d < v.ndim; d++) {
      numel *= v.shape[d];
      (v.stride[d] > 0 ? high : low) += (v.shape[d] - 1) * v.stride[d];
    }
    const auto width = static_cast<int64_t>(dtype_bytes(v.dtype));
    if (numel == 0) {
      v.data = integers_.empty() ? nullptr : const_cast<int32_t *>(integers_.data());  // never followed
      continue;
    }
    char *lowest = static_cast<char *>(v.data) + low * width;
    void *host = memory.translate(lowest, static_cast<size_t>((high - low + 1) * width));
    if (host == nullptr) return false;
    v.data = static_cast<char *>(host) - low * width;
  }
  return true;
}

int32_t Launch::run(const Memory &memory) {
  gp_status *cell = call_.status;
  if (cell->code != GP_OK && (kernel_->flags & GP_KERNEL_MUTATES) != 0) return GP_OK;
  auto failed = [&](int32_t code) {
    if (cell->code == GP_OK) *cell = gp_status{call_.sequence, code, 0, 0, 0};
    return code;
  };
  if (!translate(memory, &inputs_) || !translate(memory, &outputs_)) return failed(GP_DEVICE_ERROR);
  if (call_.workspace != nullptr) {
    call_.workspace = memory.translate(call_.workspace, call_.workspace_size);
    if (call_.workspace == nullptr) return failed(GP_DEVICE_ERROR);
  }
  const int32_t *list = integers_.data();
  call_.inputs = inputs_.data();
  call_.outputs = outputs_.data();
  call_.attrs = attrs_.data();
  call_.input_first = list;
  call_.input_count = list + call_.n_inputs;
  call_.output_first = list + 2 * call_.n_inputs;
  call_.output_count = list + 2 * call_.n_inputs + call_.n_outputs;
  int32_t code = kernel_->run(nullptr, kernel_, &call_);
  return code == GP_OK ? cell->code : failed(code);
}

}  // namespace gp_fake
