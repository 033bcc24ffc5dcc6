// The register tile: rows x (vectors * lanes) of C, one ascending-k chain of fused multiply-adds per element.
//
// A tile starts from zero or from partial sums (cin) and leaves sums (cout); it never scales, rounds or adds anything
// else, so how K is blocked leaves no trace in the bits.
#pragma once
#include "vec.h"

namespace gp::GP_ISA {

template <class T, class Packed>
struct MicroJob {
  int64_t k;
  const Packed *a;  // element (i, k) at a[i + k * a_step], or in rows at a[i * a_step + k]; packed: a_step = rows
  int64_t a_step;
  const Packed *b;  // row k at b[k * b_row]; packed: b_row = vectors * lanes, zero-padded
  int64_t b_row;
  const T *cin;  // null: start from zero
  int64_t cin_row;
  T *cout;
  int64_t cout_row;
  const void *const *fetch;  // k / kFetchSteps addresses to prefetch on the way
  int last;                  // lanes of the last vector that exist: no load or store goes beyond
  const void *touch;  // what will be written soon after, in bytes: both ends of `rows` runs, prefetched for writing
  int64_t touch_row, touch_last;
  const T *plus = nullptr;  // added to the sums as they leave, not by kernels of bf16 pairs; null: nothing
  int64_t plus_row = 0;
  Packed *copy_a = nullptr, *copy_b = nullptr;  // where kernels that copy leave the operands packed
};

template <class T, class Packed>
using MicroFn = void (*)(const MicroJob<T, Packed> *);

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileRows = 12;  // 12 x 2 accumulators of 32 registers
#else
constexpr int kTileRows = 6;           // 6 x 2 of 16
#endif
#if defined(__AVX512F__)
constexpr bool kMasksAreFree = true;  // they have registers of their own
#else
constexpr bool kMasksAreFree = false;  // an accumulator would be spilt for one
#endif
constexpr int kTileVectors = 2;
constexpr int kFetchSteps = 4;  // also the unrolling

// How a micro-kernel reads its operands; of A and B one word each. What it reads in place (columns of A, strided B) it
// may copy on the way, packed, for the kernels after it: a pass of its own over the operand would wait for memory, here
// the multiply-adds hide it. Copied are strips of kTallRows and more, and with columns of A whole panels of B.
enum Reading { kColumnsOfA = 0, kRowsOfA = 1, kStridedB = 0, kPackedB = 2, kCopyB = 4, kCopyA = 8 };
constexpr int kReadings = (kCopyA | kCopyB) + 1;
constexpr int kTallRows = kTileRows / 2;

// [Reading][vectors][rows]
extern const MicroFn<float, float> kMicroF32[kReadings][3][kTileRows + 1];
extern const MicroFn<double, double> kMicroF64[kReadings][3][kTileRows + 1];
#if defined(__AVX512F__)
bool has_avx512_bf16();
// a and b hold pairs of bf16 along k; k counts pairs; b is packed. Rows of A are bf16 where they stand, and a_step
// counts those. Call only when has_avx512_bf16(). [Reading of A]...
extern const MicroFn<float, uint32_t> kMicroBf16[2][3][kTileRows + 1];
#endif

namespace {

// Elements along k in one word of a packed operand.
template <class Packed>
constexpr int64_t kElements = 1;
template <>
constexpr int64_t kElements<uint32_t> = 2;

GP_INLINE void touch_run(const void *from, int64_t at, int64_t last) {
  __builtin_prefetch(static_cast<const char *>(from) + at, 1);
  __builtin_prefetch(static_cast<const char *>(from) + at + last, 1);
}

// Vector j of NV at p. Whole: the last one exists in full.
template <class T, int NV, bool Whole>
GP_INLINE typename Vec<T>::V load_part(const T *p, int j, int last) {
  return !Whole && j == NV - 1 ? loadn(p + j * Vec<T>::N, last) : load(p + j * Vec<T>::N);
}

template <int MR, class T, int NV, int R, bool Whole>
GP_INLINE void chains(const MicroJob<T, T> *job) {
  using V = typename Vec<T>::V;
  constexpr int N = Vec<T>::N;
  constexpr bool kRows = (R & kRowsOfA) != 0, kPacked = (R & kPackedB) != 0;
  constexpr bool kWholeB = Whole || kPacked;  // packed columns are padded
  constexpr bool kCopiesA = (R & kCopyA) != 0, kCopiesB = (R & kCopyB) != 0;
  constexpr int kLine = 64 / sizeof(T), kFar = 32;  // steps that a copied operand is asked for ahead
  constexpr int kBases = kRows ? (MR + 2) / 3 : 1;
  V acc[MR][NV];
  const T *b = job->b;
  T *copy_a = job->copy_a, *copy_b = job->copy_b;
  const int64_t a_step = job->a_step * static_cast<int64_t>(sizeof(T)), b_row = kPacked ? NV * N : job->b_row;
  // Rows of A are reached as base, base + step and base + 2 * step. The compiler would rather keep an address per row
  // and unrolled step, and spill them: the empty assembly hides where the bases come from.
  const char *base[kBases];
#pragma GCC unroll 4
  for (int i = 0; i < kBases; i++) {
    base[i] = reinterpret_cast<const char *>(job->a) + 3 * i * a_step;
    asm("" : "+r"(base[i]));
  }
  const int last = Whole ? N : job->last;
  T *out = job->cout;
  const int64_t out_row = job->cout_row;
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) touch_run(job->touch, i * job->touch_row, job->touch_last);
  if (job->cin != nullptr) {
    const T *in = job->cin;
    const int64_t in_row = job->cin_row;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = load_part<T, NV, Whole>(in + i * in_row, j, last);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = V{};
    }
  }
  auto step = [&](int ahead) __attribute__((always_inline)) {
    V bv[NV];
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      bv[j] = load_part<T, NV, kWholeB>(b, j, last);
      if (kCopiesB) {
        store(copy_b + j * N, bv[j]);
        if (j * N % kLine == 0) __builtin_prefetch(b + kFar * b_row + j * N);
      }
    }
    if (kCopiesB) copy_b += NV * N;
    if (kCopiesA) {
      memcpy(copy_a, base[0], MR * sizeof(T));
      copy_a += MR;
      __builtin_prefetch(base[0] + kFar * a_step + (MR - 1) * sizeof(T));  // the strip before has fetched the rest
    }
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
      const char *p = kRows ? base[i / 3] + i % 3 * a_step : base[0] + i * static_cast<int>(sizeof(T));
      V av = broadcast(reinterpret_cast<const T *>(p) + (kRows ? ahead : 0));
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
    if (!kRows) {
      base[0] += a_step;
      asm("" : "+r"(base[0]));
    }
    b += b_row;
    if (!kPacked) asm("" : "+r"(b));
  };
  auto advance = [&](int steps) __attribute__((always_inline)) {
    if (!kRows) return;
#pragma GCC unroll 4
    for (int i = 0; i < kBases; i++) {
      base[i] += steps * static_cast<int>(sizeof(T));
      asm("" : "+r"(base[i]));
    }
  };
  const void *const *fetch = job->fetch;
  int64_t k = job->k;
  for (; k >= kFetchSteps; k -= kFetchSteps) {
    __builtin_prefetch(*fetch++);
#pragma GCC unroll 4
    for (int s = 0; s < kFetchSteps; s++) step(s);
    advance(kFetchSteps);
  }
  for (; k > 0; k--) {
    step(0);
    advance(1);
  }
  if (job->plus != nullptr) {
    const T *plus = job->plus;
    const int64_t plus_row = job->plus_row;
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
      for (int j = 0; j < NV; j++) acc[i][j] += load_part<T, NV, Whole>(plus + i * plus_row, j, last);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
    for (int j = 0; j < NV; j++) {
      T *p = out + i * out_row + j * N;
      if (!Whole && j == NV - 1) {
        storen(p, acc[i][j], last);
      } else {
        store(p, acc[i][j]);
      }
    }
  }
}

template <int MR, class T, int NV, int R>
__attribute__((noinline)) void micro(const MicroJob<T, T> *job) {
  if (!kMasksAreFree && job->last == Vec<T>::N) return chains<MR, T, NV, R, true>(job);
  chains<MR, T, NV, R, false>(job);
}

}  // namespace
}  // namespace gp::GP_ISA

#if defined(__AVX512F__) || defined(__aarch64__)
#define GP_MICRO_ROWS(f, ...)                                                                               \
  {                                                                                                         \
    nullptr, f<1, __VA_ARGS__>, f<2, __VA_ARGS__>, f<3, __VA_ARGS__>, f<4, __VA_ARGS__>, f<5, __VA_ARGS__>, \
        f<6, __VA_ARGS__>, f<7, __VA_ARGS__>, f<8, __VA_ARGS__>, f<9, __VA_ARGS__>, f<10, __VA_ARGS__>,     \
        f<11, __VA_ARGS__>, f<12, __VA_ARGS__>                                                              \
  }
#define GP_MICRO_TALL(f, ...)                                                                                      \
  {                                                                                                                \
    nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, f<6, __VA_ARGS__>, f<7, __VA_ARGS__>, f<8, __VA_ARGS__>, \
        f<9, __VA_ARGS__>, f<10, __VA_ARGS__>, f<11, __VA_ARGS__>, f<12, __VA_ARGS__>                              \
  }
#else
#define GP_MICRO_ROWS(f, ...)                                                                               \
  {                                                                                                         \
    nullptr, f<1, __VA_ARGS__>, f<2, __VA_ARGS__>, f<3, __VA_ARGS__>, f<4, __VA_ARGS__>, f<5, __VA_ARGS__>, \
        f<6, __VA_ARGS__>                                                                                   \
  }
#define GP_MICRO_TALL(f, ...) \
  { nullptr, nullptr, nullptr, f<3, __VA_ARGS__>, f<4, __VA_ARGS__>, f<5, __VA_ARGS__>, f<6, __VA_ARGS__> }
#endif

// The kernels of an element type by [Reading][vectors][rows]; readings that nobody asks for are empty.
#define GP_MICRO_BOTH(rows, T, reading) \
  { {}, rows(micro, T, 1, reading), rows(micro, T, 2, reading) }
#define GP_MICRO_TABLE(T)                                                                                              \
  {                                                                                                                    \
    GP_MICRO_BOTH(GP_MICRO_ROWS, T, kColumnsOfA | kStridedB), GP_MICRO_BOTH(GP_MICRO_ROWS, T, kRowsOfA | kStridedB),   \
        GP_MICRO_BOTH(GP_MICRO_ROWS, T, kColumnsOfA | kPackedB), GP_MICRO_BOTH(GP_MICRO_ROWS, T, kRowsOfA | kPackedB), \
        GP_MICRO_BOTH(GP_MICRO_TALL, T, kColumnsOfA | kStridedB | kCopyB),                                             \
        GP_MICRO_BOTH(GP_MICRO_TALL, T, kRowsOfA | kStridedB | kCopyB), {}, {}, {}, {},                                \
        {{}, {}, GP_MICRO_TALL(micro, T, 2, kColumnsOfA | kPackedB | kCopyA)}, {},                                     \
        {{}, {}, GP_MICRO_TALL(micro, T, 2, kColumnsOfA | kStridedB | kCopyA | kCopyB)},                               \
  }
