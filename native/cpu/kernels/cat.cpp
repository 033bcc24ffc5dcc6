// Moving whole runs of memory: cat, and unview (the adjoint of a strided view). No arithmetic: elements are bytes here.
#include "kernel.h"

namespace gp::GP_ISA {
namespace {

constexpr int64_t kGrainBytes = 128 * 1024;

int64_t element_size(int32_t dtype) {
  static constexpr uint8_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return sizes[dtype];
}

// Copies `rows` runs of `bytes`; runs lie `to_step` and `from_step` bytes apart.
void copy_rows(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t rows, int64_t bytes) {
  if (bytes == 0) return;
  if (rows == 1) {
    ranges(bytes, kGrainBytes, [&](int64_t b, int64_t e) { memcpy(to + b, from + b, static_cast<size_t>(e - b)); });
    return;
  }
  const int64_t grain = bytes >= kGrainBytes ? 1 : kGrainBytes / bytes;
  ranges(rows, grain, [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; r++) memcpy(to + r * to_step, from + r * from_step, static_cast<size_t>(bytes));
  });
}

int32_t cat(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &y = out(call, 0);
  const int dim = static_cast<int>(Attrs(call).integer());
  int64_t outer = 1, inner = element_size(y.dtype);
  for (int i = 0; i < dim; i++) outer *= y.shape[i];
  for (int i = dim + 1; i < y.ndim; i++) inner *= y.shape[i];
  const int64_t row = y.shape[dim] * inner;
  char *to = data<char>(y);
  for (int i = 0; i < call->input_count[0]; i++) {
    const gp_view &x = in_list(call, 0, i);
    if (numel(x) == 0) continue;  // of any rank
    const int64_t bytes = x.shape[dim] * inner;
    copy_rows(to, row, data<char>(x), bytes, outer, bytes);
    to += bytes;
  }
  return GP_OK;
}

template <class U>
void write_strided(const gp_view &dy, const gp_view &dx, const int64_t *stride, int64_t offset) {
  const int last = dy.ndim - 1;
  const int64_t run = last < 0 ? 1 : dy.shape[last];
  const int64_t step = last < 0 ? 1 : stride[last];
  if (run == 0) return;
  const int64_t rows = numel(dy) / run;
  const U *from = data<U>(dy);
  U *to = data<U>(dx) + offset;
  const int64_t grain =
      run * static_cast<int64_t>(sizeof(U)) >= kGrainBytes ? 1 : kGrainBytes / (run * static_cast<int64_t>(sizeof(U)));
  ranges(rows, grain, [&](int64_t b, int64_t e) {
    for (int64_t r = b; r < e; r++) {
      int64_t rest = r, at = 0;
      for (int i = last - 1; i >= 0; i--) {
        at += rest % dy.shape[i] * stride[i];
        rest /= dy.shape[i];
      }
      const U *source = from + r * run;
      U *target = to + at;
      if (step == 1) {
        memcpy(target, source, static_cast<size_t>(run) * sizeof(U));
      } else {
        for (int64_t k = 0; k < run; k++) target[k * step] = source[k];
      }
    }
  });
}

int32_t unview(gp_context *, const gp_kernel *, const gp_call *call) {
  const gp_view &dy = in(call, 0), &dx = out(call, 0);
  int64_t shape[GP_MAX_DIMS * 2], stride[GP_MAX_DIMS * 2];
  Attrs attrs(call);
  attrs.list(shape);
  attrs.list(stride);
  const int64_t offset = attrs.integer();
  const int64_t bytes = numel(dx) * element_size(dx.dtype);
  char *to = data<char>(dx);
  ranges(bytes, kGrainBytes, [&](int64_t b, int64_t e) { memset(to + b, 0, static_cast<size_t>(e - b)); });
  if (numel(dy) == 0) return GP_OK;
  switch (element_size(dx.dtype)) {
    case 1:
      write_strided<uint8_t>(dy, dx, stride, offset);
      break;
    case 2:
      write_strided<uint16_t>(dy, dx, stride, offset);
      break;
    case 4:
      write_strided<uint32_t>(dy, dx, stride, offset);
      break;
    default:
      write_strided<uint64_t>(dy, dx, stride, offset);
  }
  return GP_OK;
}

}  // namespace

GP_ROWS(cat) = {
    {"cat", "xs[] -> y ; dim", kAnyDtype, 0, 0, nullptr, cat},
    {"unview", "dy -> dx ; shape stride offset", kAnyDtype, 0, 0, nullptr, unview},
    {},
};

}  // namespace gp::GP_ISA
