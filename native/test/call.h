// For native tests of kernel rows: builds a launch from tensors and attributes and runs it, with scratch full of NaN.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <random>
#include <vector>

#include "../include/kernel.h"

namespace gp::GP_ISA {
namespace {

// A tensor of doubles' worth of numbers stored as T, in an allocation of exactly its size.
struct Tensor {
  gp_view view{};
  size_t bytes = 0;

  Tensor() { view.dtype = GP_NONE; }
  Tensor(int32_t dtype, std::vector<int64_t> shape) {
    view.dtype = dtype;
    view.ndim = static_cast<int32_t>(shape.size());
    int64_t count = 1;
    for (int i = view.ndim - 1; i >= 0; i--) {
      view.shape[i] = shape[static_cast<size_t>(i)];
      view.stride[i] = count;
      count *= view.shape[i];
    }
    bytes = static_cast<size_t>(count) * (dtype == GP_F64 || dtype == GP_I64   ? 8
                                          : dtype == GP_F32 || dtype == GP_I32 ? 4
                                                                               : 2);
    view.data = malloc(bytes + 1);
    memset(view.data, 0xff, bytes);
  }
  Tensor(const Tensor &) = delete;
  Tensor &operator=(const Tensor &) = delete;
  ~Tensor() { free(view.data); }

  int64_t count() const {
    if (view.dtype == GP_NONE) return 0;
    int64_t n = 1;
    for (int i = 0; i < view.ndim; i++) n *= view.shape[i];
    return n;
  }
  double get(int64_t i) const {
    switch (view.dtype) {
      case GP_F32:
        return static_cast<const float *>(view.data)[i];
      case GP_F64:
        return static_cast<const double *>(view.data)[i];
      case GP_F16:
        return widen(static_cast<const f16 *>(view.data)[i]);
      case GP_BF16:
        return widen(static_cast<const bf16 *>(view.data)[i]);
      case GP_I32:
        return static_cast<const int32_t *>(view.data)[i];
      default:
        return static_cast<double>(static_cast<const int64_t *>(view.data)[i]);
    }
  }
  void set(int64_t i, double x) {
    switch (view.dtype) {
      case GP_F32:
        static_cast<float *>(view.data)[i] = static_cast<float>(x);
        break;
      case GP_F64:
        static_cast<double *>(view.data)[i] = x;
        break;
      case GP_F16:
        static_cast<f16 *>(view.data)[i] = narrow<f16>(static_cast<float>(x));
        break;
      case GP_BF16:
        static_cast<bf16 *>(view.data)[i] = narrow<bf16>(static_cast<float>(x));
        break;
      case GP_I32:
        static_cast<int32_t *>(view.data)[i] = static_cast<int32_t>(x);
        break;
      default:
        static_cast<int64_t *>(view.data)[i] = static_cast<int64_t>(x);
    }
  }
  void randomise(std::mt19937 &rng) {
    for (int64_t i = 0; i < count(); i++) set(i, (static_cast<int>(rng() % 2001) - 1000) / 512.0);
  }
};

inline gp_status last_status;

// Runs row `op` of a table. An absent optional input is a Tensor().
inline int32_t launch(const gp_kernel *rows, const char *op, std::initializer_list<const Tensor *> inputs,
                      std::initializer_list<const Tensor *> outputs, std::vector<double> attrs) {
  const gp_kernel *row = rows;
  while (row->op != nullptr && strcmp(row->op, op) != 0) row++;
  if (row->op == nullptr) return GP_UNSUPPORTED;
  std::vector<gp_view> in_views, out_views;
  std::vector<int32_t> in_first, in_count, out_first, out_count;
  for (const Tensor *t : inputs) {
    in_first.push_back(static_cast<int32_t>(in_views.size()));
    in_count.push_back(t->view.dtype == GP_NONE ? 0 : 1);
    if (t->view.dtype != GP_NONE) in_views.push_back(t->view);
  }
  for (const Tensor *t : outputs) {
    out_first.push_back(static_cast<int32_t>(out_views.size()));
    out_count.push_back(1);
    out_views.push_back(t->view);
  }
  gp_call call{};
  memset(&last_status, 0, sizeof last_status);
  call.inputs = in_views.data();
  call.input_first = in_first.data();
  call.input_count = in_count.data();
  call.outputs = out_views.data();
  call.output_first = out_first.data();
  call.output_count = out_count.data();
  call.attrs = attrs.data();
  call.n_inputs = static_cast<int32_t>(inputs.size());
  call.n_outputs = static_cast<int32_t>(outputs.size());
  call.n_attrs = static_cast<int32_t>(attrs.size());
  call.status = &last_status;
  call.sequence = 1;
  call.workspace_size = row->workspace == nullptr ? 0 : row->workspace(&call);
  call.workspace = aligned_alloc(64, (call.workspace_size + 127) / 64 * 64);
  memset(call.workspace, 0xff, call.workspace_size);
  const int32_t code = row->run(nullptr, row, &call);
  free(call.workspace);
  return code;
}

}  // namespace
}  // namespace gp::GP_ISA
