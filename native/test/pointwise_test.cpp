// The pointwise driver: any strides, sizes and alignments give the bits of the contiguous call; conversions between
// all dtypes; comparisons, selection, integers; in-place forms.
#include "kernels.h"

using namespace gp::test;

namespace {

const char *name_of(int dtype) {
  constexpr const char *names[] = {"f32", "f64", "f16", "bf16", "i64", "i32", "u8", "bool"};
  return names[dtype];
}

double widened(uint16_t h, int dtype) {
  if (dtype == GP_BF16) {
    uint32_t u = static_cast<uint32_t>(h) << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return static_cast<double>(f);
  }
  const int e = h >> 10 & 31, m = h & 1023;
  const double sign = h & 0x8000 ? -1 : 1;
  if (e == 31) return m != 0 ? NAN : sign * INFINITY;
  return sign * (e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25));
}

double get(const void *data, int dtype, int64_t i) {
  switch (dtype) {
    case GP_F32:
      return static_cast<double>(static_cast<const float *>(data)[i]);
    case GP_F64:
      return static_cast<const double *>(data)[i];
    case GP_F16:
    case GP_BF16:
      return widened(static_cast<const uint16_t *>(data)[i], dtype);
    case GP_I64:
      return static_cast<double>(static_cast<const int64_t *>(data)[i]);
    case GP_I32:
      return static_cast<const int32_t *>(data)[i];
    default:
      return static_cast<const uint8_t *>(data)[i];
  }
}
double get(Tensor &t, int64_t i) { return get(t.bytes.data(), t.view.dtype, i); }

void fill(Tensor &t, uint64_t seed) {
  Numbers r(seed);
  for (int64_t i = 0; i < t.numel(); i++) {
    const double v = r.between(-8, 8);
    switch (t.view.dtype) {
      case GP_F32:
        t.as<float>()[i] = static_cast<float>(v);
        break;
      case GP_F64:
        t.as<double>()[i] = v;
        break;
      case GP_F16:
        t.as<uint16_t>()[i] =
            static_cast<uint16_t>((r.next() < 0.5 ? 0x8000 : 0) | (0x2800 + static_cast<int>(r.next() * 0x2400)));
        break;
      case GP_BF16:
        t.as<uint16_t>()[i] =
            static_cast<uint16_t>((r.next() < 0.5 ? 0x8000 : 0) | (0x3d00 + static_cast<int>(r.next() * 0x400)));
        break;
      case GP_I64:
        t.as<int64_t>()[i] = static_cast<int64_t>(v * 100);
        break;
      case GP_I32:
        t.as<int32_t>()[i] = static_cast<int32_t>(v * 100);
        break;
      case GP_U8:
        t.as<uint8_t>()[i] = static_cast<uint8_t>(r.next() * 256);
        break;
      default:
        t.as<uint8_t>()[i] = r.next() < 0.5;
        break;
    }
  }
}

// A view of the shape over fresh memory with the given strides and an offset of `shift` elements.
struct Strided {
  Tensor memory;
  gp_view view;
  Strided(const Tensor &like, std::vector<int64_t> strides, int64_t shift)
      : memory(like.view.dtype, {extent(like, strides) + shift}), view(like.view) {
    view.data = memory.bytes.data() + static_cast<size_t>(shift) * size_of(view.dtype);
    for (size_t d = 0; d < strides.size(); d++) view.stride[d] = strides[d];
    each(like, true);
  }
  static int64_t extent(const Tensor &like, const std::vector<int64_t> &strides) {
    int64_t n = 1;
    for (int d = 0; d < like.view.ndim; d++) n += (like.view.shape[d] - 1) * strides[static_cast<size_t>(d)];
    return n;
  }
  int64_t at(int64_t i) const {
    int64_t o = 0;
    for (int d = view.ndim - 1; d >= 0; d--) o += i % view.shape[d] * view.stride[d], i /= view.shape[d];
    return o;
  }
  // Copies in from `t`, or compares with it.
  bool each(const Tensor &t, bool write) {
    const size_t size = size_of(view.dtype);
    for (int64_t i = 0; i < t.numel(); i++) {
      char *p = static_cast<char *>(view.data) + static_cast<size_t>(at(i)) * size;
      const unsigned char *q = t.bytes.data() + static_cast<size_t>(i) * size;
      if (write)
        std::memcpy(p, q, size);
      else if (std::memcmp(p, q, size) != 0)
        return false;
    }
    return true;
  }
};

struct Layout {
  std::vector<int64_t> shape, strides;
  int64_t shift;
};
const Layout layouts[] = {
    {{1}, {1}, 1},
    {{7}, {2}, 3},
    {{63}, {1}, 1},
    {{65}, {3}, 0},
    {{1000003}, {1}, 1},
    {{300, 200}, {1, 300}, 0},   // transposed
    {{300, 200}, {256, 1}, 5},   // sliced rows
    {{3, 5, 7}, {35, 1, 5}, 0},  // short rows
    {{40, 3, 500}, {1600, 500, 1}, 2},
    {{1000, 3}, {1, 1000}, 0},
    {{2, 3, 4, 5, 6}, {1, 2, 6, 24, 120}, 0},
    {{33, 70}, {140, 2}, 1},
};

void any_strides(const Isa &isa) {
  for (const Layout &l : layouts) {
    for (int dtype : {GP_F32, GP_F64, GP_F16, GP_BF16, GP_I64, GP_I32, GP_U8}) {
      Tensor a(dtype, l.shape), b(dtype, l.shape), y(dtype, l.shape), z(dtype, l.shape), m(GP_BOOL, l.shape),
          k(GP_BOOL, l.shape);
      fill(a, 1), fill(b, 2);
      Strided sa(a, l.strides, l.shift), sb(b, l.strides, l.shift);
      const bool floating = dtype <= GP_BF16;
      struct Op {
        const char *name;
        std::vector<double> attrs;
      };
      for (const Op &op :
           {Op{"add", {0.5}}, Op{"sub", {1}}, Op{"mul", {}}, Op{"maximum", {}}, Op{"silu_backward", {}}}) {
        if (!floating && std::strcmp(op.name, "silu_backward") == 0) continue;
        gp::set_thread_count(1);
        expect(run(isa, op.name, {a.at(), b.at()}, {y.at()}, op.attrs) == GP_OK, "%s runs", op.name);
        gp::set_thread_count(3);
        run(isa, op.name, {sa.view, b.at()}, {z.at()}, op.attrs);
        expect(y.same_bytes(z), "%s %s %s: strided a, shape[0] %lld", isa.name.c_str(), op.name, name_of(dtype),
               static_cast<long long>(l.shape[0]));
        run(isa, op.name, {sa.view, sb.view}, {z.at()}, op.attrs);
        expect(y.same_bytes(z), "%s %s %s: both strided, shape[0] %lld", isa.name.c_str(), op.name, name_of(dtype),
               static_cast<long long>(l.shape[0]));
      }
      run(isa, "lt", {a.at(), b.at()}, {m.at()});
      run(isa, "lt", {sa.view, sb.view}, {k.at()});
      bool right = true;
      for (int64_t i = 0; i < a.numel(); i++) right = right && m.as<uint8_t>()[i] == (get(a, i) < get(b, i));
      expect(right && m.same_bytes(k), "%s lt %s", isa.name.c_str(), name_of(dtype));
      Strided sm(m, l.strides, l.shift);
      run(isa, "where", {m.at(), a.at(), b.at()}, {y.at()});
      run(isa, "where", {sm.view, sa.view, sb.view}, {z.at()});
      for (int64_t i = 0; i < a.numel(); i++) right = right && get(y, i) == std::fmin(get(a, i), get(b, i));
      expect(right && y.same_bytes(z), "%s where %s", isa.name.c_str(), name_of(dtype));

      run(isa, "contiguous", {sa.view}, {y.at()});
      expect(sa.each(y, false) && y.margin_intact(), "%s contiguous %s shape[0] %lld", isa.name.c_str(), name_of(dtype),
             static_cast<long long>(l.shape[0]));

      // in place, through strides
      run(isa, "add", {a.at(), b.at()}, {y.at()}, {2});
      Strided target(a, l.strides, l.shift);
      run(isa, "add_", {target.view, sb.view}, {}, {2});
      expect(target.each(y, false), "%s add_ %s through strides, shape[0] %lld", isa.name.c_str(), name_of(dtype),
             static_cast<long long>(l.shape[0]));
      run(isa, "copy_", {target.view, b.at()}, {});
      expect(target.each(b, false), "%s copy_ %s through strides", isa.name.c_str(), name_of(dtype));
      run(isa, "fill_", {target.view}, {}, {3});
      for (int64_t i = 0; i < a.numel(); i++) right = right && get(target.view.data, dtype, target.at(i)) == 3;
      expect(right, "%s fill_ %s through strides", isa.name.c_str(), name_of(dtype));
      if (l.strides.size() == 1 && l.strides[0] > 1 && l.shape[0] > 1)
        expect(get(target.memory, l.shift + 1) != 3, "fill_ leaves the gaps alone");
    }
  }
}

void broadcast(const Isa &isa) {
  for (int64_t rows : {3, 300})
    for (int64_t columns : {5, 700}) {
      Tensor a(GP_F32, {rows, columns}), row(GP_F32, {columns}), column(GP_F32, {rows}), one(GP_F32, {1}),
          y(GP_F32, {rows, columns});
      fill(a, 3), fill(row, 4), fill(column, 5), fill(one, 6);
      gp_view r = a.view, c = a.view, o = a.view;
      r.data = row.bytes.data(), r.stride[0] = 0;
      c.data = column.bytes.data(), c.stride[0] = 1, c.stride[1] = 0;
      o.data = one.bytes.data(), o.stride[0] = o.stride[1] = 0;
      bool right = true;
      auto check = [&](const gp_view &b, auto other) {
        run(isa, "mul", {a.at(), b}, {y.at()});
        for (int64_t i = 0; i < rows * columns; i++)
          right = right && y.as<float>()[i] == a.as<float>()[i] * other(i / columns, i % columns);
      };
      check(r, [&](int64_t, int64_t j) { return row.as<float>()[j]; });
      check(c, [&](int64_t i, int64_t) { return column.as<float>()[i]; });
      check(o, [&](int64_t, int64_t) { return one.as<float>()[0]; });
      run(isa, "where",
          {[&] {
             gp_view m = o;
             m.dtype = GP_BOOL;
             return m;
           }(),
           r, c},
          {y.at()});
      expect(right, "%s: broadcast operands of %lld x %lld", isa.name.c_str(), static_cast<long long>(rows),
             static_cast<long long>(columns));
    }
}

// What a value becomes in a dtype; the house's rules for what C leaves undefined.
double converted(double v, int to) {
  const auto saturate = [&](double low, double high) {
    return std::isnan(v) ? 0 : v < low ? low : v > high ? high : std::trunc(v);
  };
  switch (to) {
    case GP_F32:
      return static_cast<double>(static_cast<float>(v));
    case GP_F64:
      return v;
    case GP_I64:
      return saturate(-0x1p63, 0x1p63);
    case GP_I32:
      return saturate(-2147483648.0, 2147483647.0);
    case GP_U8:
      return saturate(0, 255);
    default:
      return v != 0;
  }
}

void casts(const Isa &isa) {
  const double edge[] = {0,    -0.0, 1,     -1,    1.5,      -1.5,      2.9, 127,        128,          255,
                         256,  300,  -129,  65504, 65519.9,  65520,     1e5, 2147483647, 2147483648.0, -2147483649.0,
                         1e10, 1e19, -1e19, 1e300, INFINITY, -INFINITY, NAN, 6e-8,       2.98e-8,      6.2e-5};
  const int64_t n = sizeof edge / sizeof *edge;
  Tensor x(GP_F64, {n});
  for (int64_t i = 0; i < n; i++) x.as<double>()[i] = edge[i];
  for (int to : {GP_F32, GP_I64, GP_I32, GP_U8, GP_BOOL}) {
    Tensor y(to, {n});
    run(isa, "cast", {x.at()}, {y.at()}, {static_cast<double>(to)});
    for (int64_t i = 0; i < n; i++) {
      const double got = get(y, i), want = converted(edge[i], to);
      expect(got == want || (std::isnan(got) && std::isnan(want)), "%s cast f64 %g to %s: %g, expected %g",
             isa.name.c_str(), edge[i], name_of(to), got, want);
    }
  }
  // Every half value survives a trip through every wider type; every float rounds to the nearest half, ties to even.
  for (int half : {GP_F16, GP_BF16}) {
    Tensor h(half, {65536}), back(half, {65536});
    for (int i = 0; i < 65536; i++) h.as<uint16_t>()[i] = static_cast<uint16_t>(i);
    for (int wide : {GP_F32, GP_F64}) {
      Tensor w(wide, {65536});
      run(isa, "cast", {h.at()}, {w.at()}, {static_cast<double>(wide)});
      run(isa, "cast", {w.at()}, {back.at()}, {static_cast<double>(half)});
      bool right = true;
      for (int i = 0; i < 65536; i++) {
        const double v = widened(static_cast<uint16_t>(i), half);
        if (std::isnan(v))
          right = right && std::isnan(get(w, i)) && std::isnan(get(back, i));
        else
          right = right && get(w, i) == v && back.as<uint16_t>()[i] == i;
      }
      expect(right, "%s: %s through %s", isa.name.c_str(), name_of(half), name_of(wide));
    }
    Tensor f(GP_F32, {65534 * 3}), g(half, {65534 * 3});
    int64_t count = 0;
    for (int i = 0; i < 0x7f00; i++) {  // halfway between neighbours, and just beside
      const double a = widened(static_cast<uint16_t>(i), half), b = widened(static_cast<uint16_t>(i + 1), half);
      if (!std::isfinite(a) || !std::isfinite(b)) continue;
      const float middle = static_cast<float>((a + b) / 2);
      f.as<float>()[count++] = middle;
      f.as<float>()[count++] = std::nextafterf(middle, 0);
      f.as<float>()[count++] = std::nextafterf(middle, INFINITY);
    }
    f.view.shape[0] = g.view.shape[0] = count;
    run(isa, "cast", {f.at()}, {g.at()}, {static_cast<double>(half)});
    bool right = true;
    for (int64_t i = 0; i < count; i += 3) {
      const uint16_t low = static_cast<uint16_t>(i / 3), even = static_cast<uint16_t>(low + (low & 1));
      const double a = widened(low, half), middle = static_cast<double>(f.as<float>()[i]);
      if (middle != (a + widened(static_cast<uint16_t>(low + 1), half)) / 2) continue;  // below float's own range
      right =
          right && g.as<uint16_t>()[i] == even && g.as<uint16_t>()[i + 1] == low && g.as<uint16_t>()[i + 2] == low + 1;
    }
    expect(right, "%s: to %s rounds to nearest, ties to even", isa.name.c_str(), name_of(half));
  }
}

void integers(const Isa &isa) {
  Tensor a(GP_I64, {6}), b(GP_I64, {6}), y(GP_I64, {6});
  const int64_t p[] = {7, -7, 7, -7, INT64_MIN, 6}, q[] = {2, 2, -2, -2, -1, 3};
  const int64_t quotient[] = {3, -4, -4, 3, INT64_MIN, 2}, rest[] = {1, 1, -1, -1, 0, 0};
  std::memcpy(a.as<int64_t>(), p, sizeof p);
  std::memcpy(b.as<int64_t>(), q, sizeof q);
  run(isa, "floor_divide", {a.at(), b.at()}, {y.at()});
  expect(std::memcmp(y.as<int64_t>(), quotient, sizeof quotient) == 0, "integer floor_divide");
  run(isa, "remainder", {a.at(), b.at()}, {y.at()});
  expect(std::memcmp(y.as<int64_t>(), rest, sizeof rest) == 0, "integer remainder");
  b.as<int64_t>()[4] = 0;
  gp_status status{};
  expect(run(isa, "remainder", {a.at(), b.at()}, {y.at()}, {}, &status) == GP_BAD_VALUE && status.position == 4,
         "a zero divisor is reported with its position, got %lld", static_cast<long long>(status.position));
  Tensor f(GP_F32, {5}), g(GP_F32, {5}), z(GP_F32, {5});
  const float u[] = {5.5f, -5.5f, 5.5f, -5.5f, 1.0f}, v[] = {2, 2, -2, -2, 0}, floors[] = {2, -3, -3, 2, INFINITY},
              rests[] = {1.5f, 0.5f, -0.5f, -1.5f, NAN};
  std::memcpy(f.as<float>(), u, sizeof u);
  std::memcpy(g.as<float>(), v, sizeof v);
  run(isa, "floor_divide", {f.at(), g.at()}, {z.at()});
  for (int i = 0; i < 5; i++)
    expect(z.as<float>()[i] == floors[i], "floor_divide(%g, %g)", static_cast<double>(u[i]), static_cast<double>(v[i]));
  run(isa, "remainder", {f.at(), g.at()}, {z.at()});
  for (int i = 0; i < 4; i++)
    expect(z.as<float>()[i] == rests[i], "remainder(%g, %g)", static_cast<double>(u[i]), static_cast<double>(v[i]));
  expect(std::isnan(z.as<float>()[4]), "remainder by zero is NaN");
}

void made(const Isa &isa) {
  Tensor y(GP_F32, {100}), k(GP_I64, {70001});
  run(isa, "full", {}, {y.at()}, {1, 100, 2.5, 0});
  run(isa, "arange", {}, {k.at()}, {-5, 3, 70001, 4});
  bool right = true;
  for (int i = 0; i < 100; i++) right = right && y.as<float>()[i] == 2.5f;
  for (int64_t i = 0; i < 70001; i++) right = right && k.as<int64_t>()[i] == -5 + 3 * i;
  expect(right && y.margin_intact() && k.margin_intact(), "full and arange");
}

// df of every activation against a central difference of f, in double.
void derivatives(const Isa &isa) {
  struct Pair {
    const char *forward, *backward;
    std::vector<double> attrs;
    bool of_result;
  };
  const int64_t n = 1001;
  const double h = 1e-6;
  for (const Pair &p : {Pair{"tanh", "tanh_backward", {}, true}, Pair{"sigmoid", "sigmoid_backward", {}, true},
                        Pair{"relu", "relu_backward", {}, true}, Pair{"silu", "silu_backward", {}, false},
                        Pair{"gelu", "gelu_backward", {0}, false}, Pair{"gelu", "gelu_backward", {1}, false}}) {
    Tensor x(GP_F64, {n}), up(GP_F64, {n}), down(GP_F64, {n}), y(GP_F64, {n}), dy(GP_F64, {n}), dx(GP_F64, {n});
    for (int64_t i = 0; i < n; i++) {
      x.as<double>()[i] = -6 + 12 * (static_cast<double>(i) + 0.25) / static_cast<double>(n);
      dy.as<double>()[i] = 1.5;
    }
    auto at = [&](double d, Tensor &to) {
      Tensor moved = x;
      for (int64_t i = 0; i < n; i++) moved.as<double>()[i] += d;
      run(isa, p.forward, {moved.at()}, {to.at()}, p.attrs);
    };
    at(h, up), at(-h, down), at(0, y);
    run(isa, p.backward, {dy.at(), p.of_result ? y.at() : x.at()}, {dx.at()}, p.attrs);
    for (int64_t i = 0; i < n; i++) {
      const double numeric = 1.5 * (up.as<double>()[i] - down.as<double>()[i]) / (2 * h);
      expect(std::fabs(dx.as<double>()[i] - numeric) < 1e-8, "%s at %g: %g, difference %g", p.backward,
             x.as<double>()[i], dx.as<double>()[i], numeric);
    }
  }
}

}  // namespace

int main() {
  for (const Isa &isa : isas()) {
    any_strides(isa);
    broadcast(isa);
    casts(isa);
    integers(isa);
    made(isa);
    derivatives(isa);
  }
  return report();
}
