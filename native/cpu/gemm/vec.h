// The few vector operations that a matrix product needs, for the instruction set this file is compiled for.
// loadn/storen touch the first n lanes only (1 <= n <= lanes); the other lanes read as zero.
#pragma once
#include "../../include/kernel.h"
#include "../simd/transpose.h"
#if defined(__GNUC__) && !defined(__clang__)
// gcc 12 warns about its own _mm512_undefined_*() once they are inlined here.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace gp::GP_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
struct Vec {
  static constexpr int N = kVectorBytes / static_cast<int>(sizeof(T));
  typedef T V __attribute__((vector_size(kVectorBytes)));
  typedef T U __attribute__((vector_size(kVectorBytes), aligned(alignof(T)), may_alias));
};

template <class T>
GP_INLINE typename Vec<T>::V load(const T *p) {
  return *reinterpret_cast<const typename Vec<T>::U *>(p);
}
template <class T>
GP_INLINE void store(T *p, typename Vec<T>::V v) {
  *reinterpret_cast<typename Vec<T>::U *>(p) = v;
}
// Lane by lane, where no instruction widens.
template <class V, class T>
GP_INLINE V widened(const T *p, int n) {
  V v = {};
  for (int i = 0; i < n; i++) v[i] = widen(p[i]);
  return v;
}

#if defined(__AVX512F__)

using VF = Vec<float>::V;
using VD = Vec<double>::V;
GP_INLINE __mmask16 mask16(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
GP_INLINE __mmask8 mask8(int n) { return static_cast<__mmask8>((1u << n) - 1u); }
GP_INLINE VF loadn(const float *p, int n) { return (VF)_mm512_maskz_loadu_ps(mask16(n), p); }
GP_INLINE VD loadn(const double *p, int n) { return (VD)_mm512_maskz_loadu_pd(mask8(n), p); }
GP_INLINE void storen(float *p, VF v, int n) { _mm512_mask_storeu_ps(p, mask16(n), (__m512)v); }
GP_INLINE void storen(double *p, VD v, int n) { _mm512_mask_storeu_pd(p, mask8(n), (__m512d)v); }
GP_INLINE VF fma(VF a, VF b, VF c) { return (VF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
GP_INLINE VD fma(VD a, VD b, VD c) { return (VD)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
// In assembly, because the compiler otherwise folds the broadcast into every fma of the row and doubles the loads.
GP_INLINE VF broadcast(const float *p) {
  __m512 r;
  asm("vbroadcastss %1, %0" : "=v"(r) : "m"(*p));
  return (VF)r;
}
GP_INLINE VD broadcast(const double *p) {
  __m512d r;
  asm("vbroadcastsd %1, %0" : "=v"(r) : "m"(*p));
  return (VD)r;
}
// Half types, widened.
GP_INLINE VF loadn(const bf16 *p, int n) {
  __m512i w = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(_mm512_maskz_loadu_epi16(mask16(n), p)));
  return (VF)_mm512_slli_epi32(w, 16);
}
GP_INLINE VF loadn(const f16 *p, int n) {
  return (VF)_mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_maskz_loadu_epi16(mask16(n), p)));
}

#elif defined(__AVX2__)

using VF = Vec<float>::V;
using VD = Vec<double>::V;
alignas(64) const int32_t kLanes32[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
alignas(64) const int64_t kLanes64[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
GP_INLINE __m256i lanes32(int n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(kLanes32 + 8 - n)); }
GP_INLINE __m256i lanes64(int n) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(kLanes64 + 4 - n)); }
GP_INLINE VF loadn(const float *p, int n) { return (VF)_mm256_maskload_ps(p, lanes32(n)); }
GP_INLINE VD loadn(const double *p, int n) { return (VD)_mm256_maskload_pd(p, lanes64(n)); }
GP_INLINE void storen(float *p, VF v, int n) {
  if (n == 8) return store(p, v);
  _mm256_maskstore_ps(p, lanes32(n), (__m256)v);
}
GP_INLINE void storen(double *p, VD v, int n) {
  if (n == 4) return store(p, v);
  _mm256_maskstore_pd(p, lanes64(n), (__m256d)v);
}
GP_INLINE VF fma(VF a, VF b, VF c) { return (VF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
GP_INLINE VD fma(VD a, VD b, VD c) { return (VD)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
GP_INLINE VF broadcast(const float *p) { return (VF)_mm256_broadcast_ss(p); }
GP_INLINE VD broadcast(const double *p) { return (VD)_mm256_broadcast_sd(p); }
GP_INLINE __m128i load_halves(const void *p, int n) {
  if (n == 8) return _mm_loadu_si128(static_cast<const __m128i *>(p));
  __m128i h = _mm_setzero_si128();
  memcpy(&h, p, static_cast<size_t>(n) * 2);
  return h;
}
GP_INLINE VF loadn(const bf16 *p, int n) { return (VF)_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_halves(p, n)), 16); }
#if defined(__F16C__)
GP_INLINE VF loadn(const f16 *p, int n) { return (VF)_mm256_cvtph_ps(load_halves(p, n)); }
#else
GP_INLINE VF loadn(const f16 *p, int n) { return widened<VF>(p, n); }
#endif

#else

using VF = Vec<float>::V;
using VD = Vec<double>::V;
template <class T>
GP_INLINE typename Vec<T>::V loadn(const T *p, int n) {
  if (n == Vec<T>::N) return load(p);
  typename Vec<T>::V v = {};
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
}
template <class T>
GP_INLINE void storen(T *p, typename Vec<T>::V v, int n) {
  if (n == Vec<T>::N) return store(p, v);
  for (int i = 0; i < n; i++) p[i] = v[i];
}
template <class T>
GP_INLINE typename Vec<T>::V broadcast(const T *p) {
  T x = *p;
  typename Vec<T>::V v;
  for (int i = 0; i < Vec<T>::N; i++) v[i] = x;
  return v;
}
#if defined(__aarch64__)
GP_INLINE VF fma(VF a, VF b, VF c) { return (VF)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
GP_INLINE VD fma(VD a, VD b, VD c) { return (VD)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b); }
#else
// No fused multiply-add before AVX2: two roundings, so these bits differ from the other instruction sets.
GP_INLINE VF fma(VF a, VF b, VF c) { return a * b + c; }
GP_INLINE VD fma(VD a, VD b, VD c) { return a * b + c; }
#endif
GP_INLINE VF loadn(const bf16 *p, int n) { return widened<VF>(p, n); }
GP_INLINE VF loadn(const f16 *p, int n) { return widened<VF>(p, n); }

#endif

}  // namespace
}  // namespace gp::GP_ISA
