// For native tests: tensors on the host, kernels by name and instruction set, and a count of failures.
#pragma once
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "../cpu/cpu.h"
#include "../cpu/threads.h"
#include "backend.h"

#ifndef GP_WITHOUT_BASE
namespace gp::base {
extern const gp_kernel *const table[];
}
#endif
#if defined(__x86_64__) && !defined(GP_WITHOUT_AVX2)
namespace gp::avx2 {
extern const gp_kernel *const table[];
}
#endif
#if defined(__x86_64__) && !defined(GP_WITHOUT_AVX512)
namespace gp::avx512 {
extern const gp_kernel *const table[];
}
#endif

namespace gp::test {

inline int checks = 0, failures = 0;

__attribute__((format(printf, 2, 3))) inline void expect(bool ok, const char *format, ...) {
  checks++;
  if (ok) return;
  if (++failures > 40) return;
  va_list args;
  va_start(args, format);
  std::printf("  FAILED: ");
  std::vprintf(format, args);
  std::printf("\n");
  va_end(args);
}

inline int report() {
  std::printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 && checks > 0 ? 0 : 1;
}

struct Isa {
  std::string name;
  const gp_kernel *const *table;
};

// What this build and this processor have, worst first.
inline std::vector<Isa> isas() {
  std::vector<Isa> all;
  const gp_isa_info *info = gp_cpu_isa();
  for (int i = 0; i < info->available_count; i++) {
    std::string name = info->available[i];
#ifndef GP_WITHOUT_BASE
    if (name == "base") all.push_back({name, base::table});
#endif
#if defined(__x86_64__) && !defined(GP_WITHOUT_AVX2)
    if (name == "avx2") all.push_back({name, avx2::table});
#endif
#if defined(__x86_64__) && !defined(GP_WITHOUT_AVX512)
    if (name == "avx512") all.push_back({name, avx512::table});
#endif
  }
  return all;
}

inline size_t size_of(int dtype) {
  constexpr size_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return sizes[dtype];
}

struct Tensor {
  gp_view view{};
  std::vector<unsigned char> bytes;

  Tensor(int dtype, std::vector<int64_t> shape) {
    view.dtype = dtype;
    view.ndim = static_cast<int32_t>(shape.size());
    int64_t n = 1;
    for (int d = view.ndim - 1; d >= 0; d--) {
      view.shape[d] = shape[static_cast<size_t>(d)];
      view.stride[d] = n;
      n *= view.shape[d];
    }
    bytes.assign(static_cast<size_t>(n) * size_of(dtype) + 64, 0xA5);  // a margin that no kernel may write
  }
  gp_view at() const {
    gp_view v = view;
    v.data = const_cast<unsigned char *>(bytes.data());
    return v;
  }
  template <class T>
  T *as() {
    return reinterpret_cast<T *>(bytes.data());
  }
  int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < view.ndim; d++) n *= view.shape[d];
    return n;
  }
  bool same_bytes(const Tensor &o) const { return bytes == o.bytes; }
  bool margin_intact() const {
    for (size_t i = bytes.size() - 64; i < bytes.size(); i++)
      if (bytes[i] != 0xA5) return false;
    return true;
  }
};

// Finds the row, checks that it is unique, and runs it; every input and output has count 1. An op's rows may share its
// dtypes out among them: then the first input's chooses.
inline int run(const Isa &isa, const char *op, const std::vector<gp_view> &inputs, const std::vector<gp_view> &outputs,
               const std::vector<double> &attrs = {}, gp_status *status = nullptr) {
  std::vector<const gp_kernel *> rows;
  for (const gp_kernel *const *t = isa.table; *t != nullptr; t++)
    for (const gp_kernel *k = *t; k->op != nullptr; k++)
      if (std::strcmp(k->op, op) == 0) rows.push_back(k);
  const uint32_t dtype = 1u << (inputs.empty() ? outputs : inputs)[0].dtype;
  if (rows.size() > 1) std::erase_if(rows, [dtype](const gp_kernel *k) { return (k->dtypes & dtype) == 0; });
  const gp_kernel *row = rows.empty() ? nullptr : rows[0];
  if (rows.size() != 1) {
    std::printf("%s: %zu rows for %s\n", isa.name.c_str(), rows.size(), op);
    std::exit(1);
  }
  std::vector<int32_t> first(16), count(16, 1);
  for (size_t i = 0; i < first.size(); i++) first[i] = static_cast<int32_t>(i);
  gp_status own{};
  gp_call c{};
  c.inputs = inputs.data();
  c.input_first = first.data();
  c.input_count = count.data();
  c.outputs = outputs.data();
  c.output_first = first.data();
  c.output_count = count.data();
  c.attrs = attrs.data();
  c.n_inputs = static_cast<int32_t>(inputs.size());
  c.n_outputs = static_cast<int32_t>(outputs.size());
  c.n_attrs = static_cast<int32_t>(attrs.size());
  c.status = status != nullptr ? status : &own;
  c.sequence = 1;
  void *scratch = nullptr;
  if (row->workspace != nullptr && (c.workspace_size = row->workspace(&c)) > 0) {
    scratch = std::aligned_alloc(64, (c.workspace_size + 63) / 64 * 64);
    c.workspace = scratch;
  }
  int code = row->run(nullptr, row, &c);
  std::free(scratch);
  return code;
}

// xorshift: the tests' own numbers, the same everywhere
struct Numbers {
  uint64_t state;
  explicit Numbers(uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u + 1) {}
  double next() {  // [0, 1)
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<double>(state >> 11) * 0x1p-53;
  }
  double between(double a, double b) { return a + (b - a) * next(); }
};

// Distance of a float result from the true value in units of the last place of the true value, subnormals included.
inline double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  float rounded = static_cast<float>(want);
  if (std::isinf(rounded) || std::isinf(got)) return got == rounded ? 0 : (std::fabs(want) > 3.4028e38 ? 1 : 1e9);
  int e;
  std::frexp(want, &e);
  double unit = std::ldexp(1.0, (e < -125 ? -125 : e) - 24);
  return std::fabs(static_cast<double>(got) - want) / unit;
}

}  // namespace gp::test
