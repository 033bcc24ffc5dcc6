// Convolution and pooling against plain loops in double, and against themselves under other thread counts, bit for bit.
#include <cmath>

#include "call.h"
#include "isa_check.h"

namespace gp::GP_ISA {

extern const gp_kernel conv2d_rows[];
extern const gp_kernel pool2d_rows[];

namespace {

int failures = 0, cases = 0;
std::mt19937 rng(99);

int64_t pick(std::initializer_list<int64_t> of) { return of.begin()[rng() % of.size()]; }

double tolerance(int32_t dtype) {
  return dtype == GP_F64 ? 1e-12 : dtype == GP_F32 ? 3e-5 : dtype == GP_F16 ? 2e-3 : 2e-2;
}

void compare(const char *what, const Tensor &got, const std::vector<double> &want) {
  cases++;
  double scale = 1;
  for (double w : want)
    if (std::isfinite(w)) scale = std::fmax(scale, std::fabs(w));
  for (int64_t i = 0; i < got.count(); i++) {
    const double g = got.get(i), w = want[static_cast<size_t>(i)];
    if (std::isnan(g) && std::isnan(w)) continue;
    if (std::fabs(g - w) <= tolerance(got.view.dtype) * scale) continue;
    if (++failures <= 20) printf("FAIL %s dtype %d [%ld] got %.9g want %.9g\n", what, got.view.dtype, i, g, w);
  }
}

void same_bits(const char *what, const Tensor &a, const Tensor &b) {
  cases++;
  if (memcmp(a.view.data, b.view.data, a.bytes) == 0) return;
  if (++failures <= 20) printf("FAIL %s dtype %d: bits differ between thread counts\n", what, a.view.dtype);
}

void expect(const char *what, int32_t code, int32_t want) {
  cases++;
  if (code != want && ++failures <= 20) printf("FAIL %s: code %d, want %d\n", what, code, want);
}

struct Geometry {
  int64_t batch, channels, height, width, filters, kernel[2], stride[2], padding[2], dilation[2], groups, out[2];
};

Geometry geometry() {
  Geometry g;
  do {
    g.groups = pick({1, 1, 1, 2, 3});
    g.batch = pick({1, 2, 3, 9});
    g.channels = g.groups * pick({1, 2, 5});
    g.filters = g.groups * pick({1, 3, 8, 50});
    g.height = pick({1, 4, 7, 12, 20});
    g.width = pick({1, 5, 8, 13, 28});
    for (int i = 0; i < 2; i++) {
      g.kernel[i] = pick({1, 2, 3, 5});
      g.stride[i] = pick({1, 1, 2, 3});
      g.padding[i] = pick({0, 0, 1, 2});
      g.dilation[i] = pick({1, 1, 2});
    }
    if (rng() % 6 == 0) {  // the path without patches
      for (int i = 0; i < 2; i++) g.kernel[i] = g.stride[i] = g.dilation[i] = 1, g.padding[i] = 0;
    }
    const int64_t size[2] = {g.height, g.width};
    for (int i = 0; i < 2; i++)
      g.out[i] = (size[i] + 2 * g.padding[i] - g.dilation[i] * (g.kernel[i] - 1) - 1) / g.stride[i] + 1;
  } while (g.height + 2 * g.padding[0] < g.dilation[0] * (g.kernel[0] - 1) + 1 ||
           g.width + 2 * g.padding[1] < g.dilation[1] * (g.kernel[1] - 1) + 1);
  return g;
}

// body(y index, x index, weight index) for every product of the convolution
template <class F>
void products(const Geometry &g, const F &body) {
  const int64_t group_channels = g.channels / g.groups, group_filters = g.filters / g.groups;
  for (int64_t n = 0; n < g.batch; n++)
    for (int64_t o = 0; o < g.filters; o++)
      for (int64_t oy = 0; oy < g.out[0]; oy++)
        for (int64_t ox = 0; ox < g.out[1]; ox++)
          for (int64_t c = 0; c < group_channels; c++)
            for (int64_t i = 0; i < g.kernel[0]; i++)
              for (int64_t j = 0; j < g.kernel[1]; j++) {
                const int64_t iy = oy * g.stride[0] - g.padding[0] + i * g.dilation[0];
                const int64_t ix = ox * g.stride[1] - g.padding[1] + j * g.dilation[1];
                if (iy < 0 || iy >= g.height || ix < 0 || ix >= g.width) continue;
                body(((n * g.filters + o) * g.out[0] + oy) * g.out[1] + ox,
                     ((n * g.channels + o / group_filters * group_channels + c) * g.height + iy) * g.width + ix,
                     ((o * group_channels + c) * g.kernel[0] + i) * g.kernel[1] + j);
              }
}

// Many rows on both sides and a depth of several blocks: gathered tiles. With 41 x 41 taps a channel is a block and
// more than a register tile takes at once.
Geometry large_geometry(int64_t channels, int64_t filters, int64_t size, int64_t kernel, int64_t stride) {
  const int64_t padding = kernel / 2, out = (size + 2 * padding - kernel) / stride + 1;
  return {3,      channels, size,      size, filters, {kernel, kernel}, {stride, stride}, {padding, padding},
          {1, 1}, 1,        {out, out}};
}

// 3 x 3 with stride 1 and channels enough to be transformed, odd and even sizes, lanes left over.
Geometry winograd_geometry() {
  Geometry g = {pick({2, 5}),
                0,
                pick({7, 10, 17}),
                pick({8, 11, 18}),
                0,
                {3, 3},
                {1, 1},
                {pick({0, 1, 2, 3}), pick({0, 1, 2})},
                {1, 1},
                pick({1, 1, 2}),
                {}};
  g.channels = g.groups * pick({16, 19, 33});
  g.filters = g.groups * pick({16, 21, 40});
  g.out[0] = g.height + 2 * g.padding[0] - 2;
  g.out[1] = g.width + 2 * g.padding[1] - 2;
  return g;
}

void conv_case(int32_t dtype, const Geometry &g) {
  const std::vector<int64_t> x_shape = {g.batch, g.channels, g.height, g.width};
  const std::vector<int64_t> w_shape = {g.filters, g.channels / g.groups, g.kernel[0], g.kernel[1]};
  const std::vector<int64_t> y_shape = {g.batch, g.filters, g.out[0], g.out[1]};
  Tensor x(dtype, x_shape), weight(dtype, w_shape), bias(dtype, {g.filters}), dy(dtype, y_shape), absent;
  for (Tensor *t : {&x, &weight, &bias, &dy}) t->randomise(rng);
  std::vector<double> attrs;
  for (const int64_t *list : {g.stride, g.padding, g.dilation}) {
    attrs.push_back(2);
    attrs.push_back(static_cast<double>(list[0]));
    attrs.push_back(static_cast<double>(list[1]));
  }
  attrs.push_back(static_cast<double>(g.groups));
  std::vector<double> want_attrs = attrs;
  want_attrs.push_back(7);
  const bool with_bias = rng() % 2 == 0;

  auto zeros = [](const Tensor &t) { return std::vector<double>(static_cast<size_t>(t.count())); };
  std::vector<double> y_want = zeros(dy), dx_want = zeros(x), dw_want = zeros(weight), db_want = zeros(bias);
  const int64_t plane = g.out[0] * g.out[1];
  for (int64_t i = 0; i < dy.count(); i++) {
    const int64_t filter = i / plane % g.filters;
    if (with_bias) y_want[static_cast<size_t>(i)] = bias.get(filter);
    db_want[static_cast<size_t>(filter)] += dy.get(i);
  }
  products(g, [&](int64_t yi, int64_t xi, int64_t wi) {
    y_want[static_cast<size_t>(yi)] += x.get(xi) * weight.get(wi);
    dx_want[static_cast<size_t>(xi)] += dy.get(yi) * weight.get(wi);
    dw_want[static_cast<size_t>(wi)] += dy.get(yi) * x.get(xi);
  });
  Tensor y1(dtype, y_shape), dx1(dtype, x_shape), dw1(dtype, w_shape), db1(dtype, {g.filters});
  set_thread_count(1);
  expect("conv2d", launch(conv2d_rows, "conv2d", {&x, &weight, with_bias ? &bias : &absent}, {&y1}, attrs), GP_OK);
  expect("conv2d_backward", launch(conv2d_rows, "conv2d_backward", {&dy, &x, &weight}, {&dx1, &dw1, &db1}, want_attrs),
         GP_OK);
  compare("conv2d", y1, y_want);
  compare("conv2d dx", dx1, dx_want);
  compare("conv2d dweight", dw1, dw_want);
  compare("conv2d dbias", db1, db_want);
  for (int threads : {2, 3}) {
    Tensor y(dtype, y_shape), dx(dtype, x_shape), dw(dtype, w_shape), db(dtype, {g.filters}), none(dtype, {0});
    set_thread_count(threads);
    launch(conv2d_rows, "conv2d", {&x, &weight, with_bias ? &bias : &absent}, {&y}, attrs);
    want_attrs.back() = 5;  // without dweight
    launch(conv2d_rows, "conv2d_backward", {&dy, &x, &weight}, {&dx, &none, &db}, want_attrs);
    want_attrs.back() = 2;
    launch(conv2d_rows, "conv2d_backward", {&dy, &x, &weight}, {&none, &dw, &none}, want_attrs);
    same_bits("conv2d", y1, y);
    same_bits("conv2d dx", dx1, dx);
    same_bits("conv2d dweight", dw1, dw);
    same_bits("conv2d dbias", db1, db);
  }
}

int64_t pooled(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, bool ceil) {
  const int64_t span = size + 2 * padding - dilation * (kernel - 1) - 1;
  int64_t out = (span + (ceil ? stride - 1 : 0)) / stride + 1;
  if (ceil && (out - 1) * stride >= size + padding)
    out--;  // the last window starts inside the image or its left padding
  return out;
}

// pairs: windows of 2 x 2 with stride 2, in rows shorter and longer than vectors, of even and odd length.
void pool_case(int32_t dtype, bool pairs) {
  const int64_t n = pick({1, 2, 40}), c = pick({1, 3}), h = pairs ? pick({2, 4, 7, 12}) : pick({4, 7, 12});
  const int64_t w = pairs ? pick({2, 3, 14, 15, 28, 32, 67}) : pick({5, 8, 13});
  int64_t kernel[2], stride[2], padding[2], dilation[2];
  for (int i = 0; i < 2; i++) {
    kernel[i] = pairs ? 2 : pick({1, 2, 3});
    stride[i] = pairs ? 2 : pick({1, 2, 3});
    padding[i] = !pairs && rng() % 2 ? kernel[i] / 2 : 0;
    dilation[i] = pairs ? 1 : pick({1, 1, 2});
    if ((i == 0 ? h : w) + 2 * padding[i] < dilation[i] * (kernel[i] - 1) + 1) dilation[i] = 1;
  }
  const bool ceil = rng() % 2 == 0, include = rng() % 2 == 0;
  auto list = [](std::vector<double> &to, const int64_t *v) {
    to.insert(to.end(), {2.0, static_cast<double>(v[0]), static_cast<double>(v[1])});
  };
  Tensor x(dtype, {n, c, h, w});
  x.randomise(rng);
  for (int64_t i = 0; i < x.count(); i++) x.set(i, std::round(x.get(i) * 4) / 4);  // ties
  if (rng() % 3 == 0) x.set(static_cast<int64_t>(rng() % static_cast<uint64_t>(x.count())), NAN);

  {
    const int64_t oh = pooled(h, kernel[0], stride[0], padding[0], dilation[0], ceil);
    const int64_t ow = pooled(w, kernel[1], stride[1], padding[1], dilation[1], ceil);
    std::vector<double> attrs;
    for (const int64_t *v : {kernel, stride, padding, dilation}) list(attrs, v);
    attrs.push_back(ceil);
    std::vector<double> y_want, i_want, dx_want(static_cast<size_t>(x.count()));
    Tensor dy(dtype, {n, c, oh, ow});
    dy.randomise(rng);
    for (int64_t p = 0; p < n * c; p++)
      for (int64_t oy = 0; oy < oh; oy++)
        for (int64_t ox = 0; ox < ow; ox++) {
          double best = -INFINITY;
          int64_t at = -1;
          for (int64_t i = 0; i < kernel[0]; i++)
            for (int64_t j = 0; j < kernel[1]; j++) {
              const int64_t iy = oy * stride[0] - padding[0] + i * dilation[0];
              const int64_t ix = ox * stride[1] - padding[1] + j * dilation[1];
              if (iy < 0 || iy >= h || ix < 0 || ix >= w) continue;
              const double v = x.get((p * h + iy) * w + ix);
              if (at < 0 || v > best || std::isnan(v)) best = v, at = iy * w + ix;
            }
          y_want.push_back(best);
          i_want.push_back(static_cast<double>(at));
          dx_want[static_cast<size_t>(p * h * w + at)] += dy.get(static_cast<int64_t>(y_want.size()) - 1);
        }
    Tensor dx1(dtype, {n, c, h, w});
    for (int threads : {1, 3}) {
      Tensor y(dtype, {n, c, oh, ow}), indices(GP_I32, {n, c, oh, ow}), dx(dtype, {n, c, h, w});
      set_thread_count(threads);
      expect("max_pool2d", launch(pool2d_rows, "max_pool2d", {&x}, {&y, &indices}, attrs), GP_OK);
      const std::vector<double> shape = {4, double(n), double(c), double(h), double(w)};
      expect("max_pool2d_backward",
             launch(pool2d_rows, "max_pool2d_backward", {&dy, &indices}, {threads == 1 ? &dx1 : &dx}, shape), GP_OK);
      compare("max_pool2d", y, y_want);
      for (size_t i = 0; i < i_want.size(); i++)
        if (indices.get(static_cast<int64_t>(i)) != i_want[i] && ++failures <= 20)
          printf("FAIL max_pool2d index %zu\n", i);
      if (threads != 1) same_bits("max_pool2d_backward", dx1, dx);
      if (threads == 1) continue;
      indices.set(1 % indices.count(), static_cast<double>(h * w));
      expect("an index beyond the plane", launch(pool2d_rows, "max_pool2d_backward", {&dy, &indices}, {&dx}, shape),
             GP_INDEX_OUT_OF_RANGE);
      expect("its position", static_cast<int32_t>(last_status.position), static_cast<int32_t>(1 % indices.count()));
    }
    compare("max_pool2d_backward", dx1, dx_want);
  }
  {
    const int64_t oh = pooled(h, kernel[0], stride[0], padding[0], 1, ceil);
    const int64_t ow = pooled(w, kernel[1], stride[1], padding[1], 1, ceil);
    std::vector<double> attrs, back = {4, double(n), double(c), double(h), double(w)};
    for (const int64_t *v : {kernel, stride, padding}) list(attrs, v);
    attrs.push_back(ceil);
    attrs.push_back(include);
    back.insert(back.end(), attrs.begin(), attrs.end());
    Tensor dy(dtype, {n, c, oh, ow});
    dy.randomise(rng);
    std::vector<double> y_want, dx_want(static_cast<size_t>(x.count()));
    for (int64_t p = 0; p < n * c; p++)
      for (int64_t oy = 0; oy < oh; oy++)
        for (int64_t ox = 0; ox < ow; ox++) {
          // PyTorch: windows end at the right padding; the divisor counts padding only when asked to
          const int64_t y0 = oy * stride[0] - padding[0], y1 = std::min(y0 + kernel[0], h + padding[0]);
          const int64_t x0 = ox * stride[1] - padding[1], x1 = std::min(x0 + kernel[1], w + padding[1]);
          double sum = 0, count = 0;
          for (int pass = 0; pass < 2; pass++) {
            const double divisor = include ? static_cast<double>((y1 - y0) * (x1 - x0)) : count;
            for (int64_t i = std::max<int64_t>(y0, 0); i < std::min(y1, h); i++)
              for (int64_t j = std::max<int64_t>(x0, 0); j < std::min(x1, w); j++) {
                const size_t at = static_cast<size_t>((p * h + i) * w + j);
                if (pass == 0) sum += x.get(static_cast<int64_t>(at)), count++;
                if (pass == 1) dx_want[at] += dy.get(static_cast<int64_t>(y_want.size())) / divisor;
              }
            if (pass == 1) y_want.push_back(count == 0 ? 0 : sum / divisor);
          }
        }
    Tensor dx1(dtype, {n, c, h, w});
    for (int threads : {1, 3}) {
      Tensor y(dtype, {n, c, oh, ow}), dx(dtype, {n, c, h, w});
      set_thread_count(threads);
      expect("avg_pool2d", launch(pool2d_rows, "avg_pool2d", {&x}, {&y}, attrs), GP_OK);
      expect("avg_pool2d_backward",
             launch(pool2d_rows, "avg_pool2d_backward", {&dy}, {threads == 1 ? &dx1 : &dx}, back), GP_OK);
      compare("avg_pool2d", y, y_want);
      if (threads != 1) same_bits("avg_pool2d_backward", dx1, dx);
    }
    compare("avg_pool2d_backward", dx1, dx_want);
  }
}

}  // namespace

int run_tests(int count) {
  for (int32_t dtype : {GP_F32, GP_F64, GP_F16, GP_BF16}) {
    for (int i = 0; i < count; i++) {
      conv_case(dtype, geometry());
      pool_case(dtype, i % 3 == 0);
    }
    for (int i = 0; i < count / 8; i++) conv_case(dtype, winograd_geometry());
    conv_case(dtype, large_geometry(98, 91, 8, 3, 1));    // the weight's sums are shared
    conv_case(dtype, large_geometry(170, 200, 8, 3, 1));  // and the points
    conv_case(dtype, large_geometry(70, 50, 8, 3, 1));
    conv_case(dtype, large_geometry(40, 130, 4, 3, 1));
    conv_case(dtype, large_geometry(90, 64, 9, 3, 2));
    conv_case(dtype, large_geometry(2, 40, 5, 41, 1));
    for (int64_t size : {8, 9, 20}) {  // strided, of even and odd size, lanes across images
      conv_case(dtype, large_geometry(70, 50, size, 1, 2));
      conv_case(dtype, large_geometry(64, 96, size, 3, 2));
      conv_case(dtype, large_geometry(40, 45, size, 5, 3));
    }
    for (int64_t channels : {1, 3}) {  // few channels: lanes along the rows
      conv_case(dtype, large_geometry(channels, 6, 28, 5, 1));
      conv_case(dtype, large_geometry(channels, 19, 33, 3, 1));
      conv_case(dtype, large_geometry(channels, 8, 31, 4, 2));
    }
  }
  printf("%s: %d cases, %d failures\n", GP_ISA_NAME, cases, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace gp::GP_ISA

int main(int argc, char **argv) {
  if (!gp::isa_runs_here()) {
    printf("skipped: this processor has no %s\n", GP_ISA_NAME);
    return 0;
  }
  const int code = gp::GP_ISA::run_tests(argc > 1 ? atoi(argv[1]) : 40);
  gp::shutdown_threads();
  return code;
}
