#include "call.h"

#include "error.h"

namespace gp {

namespace {

constexpr double kExact = 9007199254740992.0;  // 2^53: integers up to here are exact in a double

struct Reader {
  const double *p, *end;

  bool has(ptrdiff_t n) const { return end - p >= n; }
  // The next number, which must be an integer in [low, high].
  bool integer(double low, double high, int64_t *out) {
    if (p == end) return false;
    double v = *p;
    if (!(v >= low && v <= high)) return false;
    *out = static_cast<int64_t>(v);
    if (static_cast<double>(*out) != v) return false;
    p++;
    return true;
  }
};

int32_t malformed(const Row *row, const char *what) {
  return fail(GP_BAD_ARGUMENT, "malformed call%s%s: %s", row != nullptr ? " of " : "",
              row != nullptr ? row->kernel->op : "", what);
}

template <class T>
void need(std::vector<T> &v, size_t n) {
  if (v.size() < n) v.resize(n < 16 ? 16 : n * 2);
}

struct ViewFacts {
  double numel, low, high;  // element range relative to the offset
  int64_t offset;
  bool contiguous;
};

// dtype, ndim, offset, shape…, stride…
bool read_view(Reader *r, gp_view *view, ViewFacts *facts) {
  int64_t dtype, ndim;
  if (!r->integer(0, GP_BOOL, &dtype) || !r->integer(0, GP_MAX_DIMS, &ndim) || !r->integer(0, kExact, &facts->offset))
    return false;
  if (!r->has(2 * ndim)) return false;
  view->dtype = static_cast<int32_t>(dtype);
  view->ndim = static_cast<int32_t>(ndim);
  const double *shape = r->p, *stride = r->p + ndim;
  double numel = 1, low = 0, high = 0;
  bool contiguous = true;
  for (int64_t d = ndim; d-- > 0;) {
    double s = shape[d], t = stride[d];
    if (!(s >= 0 && s <= kExact && t >= -kExact && t <= kExact)) return false;
    int64_t size = static_cast<int64_t>(s), step = static_cast<int64_t>(t);
    if (static_cast<double>(size) != s || static_cast<double>(step) != t) return false;
    view->shape[d] = size;
    view->stride[d] = step;
    if (size != 1) {
      contiguous = contiguous && t == numel;
      (t > 0 ? high : low) += (s - 1) * t;
    }
    numel *= s;
    // Size 0 must not hide a huge product that a kernel might form on its way.
    if (numel > kExact) return false;
  }
  r->p += 2 * ndim;
  *facts = {numel, low, high, facts->offset, contiguous || numel == 0};
  return true;
}

bool count_fits(Arity::Kind kind, int64_t count) {
  return kind == Arity::kList || count == 1 || (kind == Arity::kOptional && count == 0);
}

struct Decoder {
  Reader r;
  Resolve resolve;
  void *state;
  bool fresh_allowed;
  CallFrame *f;

  int32_t run();
  int32_t views(bool output, const std::vector<Arity::Kind> &kinds, int32_t base);
  int32_t place(gp_view *view, const ViewFacts &facts, double name);
  bool attrs_fit(int64_t n) const;
};

int32_t Decoder::place(gp_view *view, const ViewFacts &facts, double name) {
  Memory memory{};
  if (int32_t code = resolve(state, f->device, name, &memory); code != GP_OK) return code;
  double width = static_cast<double>(dtype_bytes(view->dtype)), offset = static_cast<double>(facts.offset);
  bool inside = facts.numel == 0
                    ? offset * width <= static_cast<double>(memory.bytes)
                    : offset + facts.low >= 0 && (offset + facts.high + 1) * width <= static_cast<double>(memory.bytes);
  if (!inside)
    return fail(GP_BAD_ARGUMENT, "malformed call of %s: a view reaches outside its storage of %zu bytes",
                f->row->kernel->op, memory.bytes);
  // Not pointer arithmetic: programs place their views relative to address 0.
  view->data =
      reinterpret_cast<void *>(reinterpret_cast<intptr_t>(memory.data) + facts.offset * static_cast<int64_t>(width));
  return GP_OK;
}

int32_t Decoder::views(bool output, const std::vector<Arity::Kind> &kinds, int32_t base) {
  auto &all = output ? f->outputs : f->inputs;
  auto &source = output ? f->output_source : f->input_source;
  uint64_t strided = (f->row->kernel->flags & GP_KERNEL_ANY_STRIDE) != 0 ? ~uint64_t{0} : f->row->kernel->strided;
  size_t total = 0;
  for (size_t i = 0; i < kinds.size(); i++) {
    int64_t count;
    if (!r.integer(0, 65536, &count) || !count_fits(kinds[i], count))
      return malformed(f->row, output ? "an output's count does not fit the signature"
                                      : "an input's count does not fit the signature");
    need(all, total + static_cast<size_t>(count));
    need(source, total + static_cast<size_t>(count));
    f->first[static_cast<size_t>(base) + i] = static_cast<int32_t>(total);
    f->count[static_cast<size_t>(base) + i] = static_cast<int32_t>(count);
    for (int64_t k = 0; k < count; k++, total++) {
      if (!r.has(4)) return malformed(f->row, "the block ends within a view");
      double name = *r.p++;
      gp_view *view = &all[total];
      ViewFacts facts{};
      if (!read_view(&r, view, &facts))
        return malformed(f->row, "a view's dtype, rank, offset, shape or stride is not one");
      source[total] = name;
      const bool placed = output && !fresh_allowed && (f->row->kernel->flags & GP_KERNEL_STRIDED_OUTPUT) != 0 &&
                          view->ndim == all[0].ndim;
      if ((output ? !placed : (strided >> i & 1) == 0) && !facts.contiguous)
        return malformed(f->row,
                         output ? "an output is not contiguous" : "an input that must be contiguous is strided");
      if (output && fresh_allowed && name == 0) {
        if (facts.offset != 0) return malformed(f->row, "an output to be allocated has an offset");
        need(f->fresh, static_cast<size_t>(f->n_fresh) + 1);
        size_t bytes = static_cast<size_t>(facts.numel) * dtype_bytes(view->dtype);
        f->fresh[static_cast<size_t>(f->n_fresh++)] = {static_cast<int32_t>(total), bytes};
        view->data = nullptr;
      } else if (int32_t code = place(view, facts, name); code != GP_OK) {
        return code;
      }
    }
  }
  (output ? f->n_output_views : f->n_input_views) = static_cast<int32_t>(total);
  return GP_OK;
}

// A list states its own length: a wrong one would send the kernel out of the block.
bool Decoder::attrs_fit(int64_t n) const {
  const double *p = r.p, *end = r.p + n;
  for (Arity::Kind kind : f->row->arity.attrs) {
    if (p == end) return false;
    double length = *p++;
    if (kind != Arity::kList) continue;
    if (!(length >= 0 && length <= static_cast<double>(end - p)) ||
        length != static_cast<double>(static_cast<int64_t>(length)))
      return false;
    p += static_cast<int64_t>(length);
  }
  return true;
}

int32_t Decoder::run() {
  int64_t number, kernel, n_inputs, n_outputs, n_attrs;
  f->row = nullptr;
  f->n_fresh = 0;
  if (!r.integer(0, kMaxDevices - 1, &number)) return malformed(nullptr, "the device is not a number of an open one");
  f->device = device(static_cast<int32_t>(number));
  if (f->device == nullptr) return fail(GP_BAD_ARGUMENT, "device %d is not open", static_cast<int>(number));
  const std::vector<Row> &rows = f->device->backend->rows;
  if (rows.empty() || !r.integer(0, static_cast<double>(rows.size() - 1), &kernel))
    return malformed(nullptr, "the kernel id names no kernel");
  f->row = &rows[static_cast<size_t>(kernel)];
  const Arity &arity = f->row->arity;
  if (!r.integer(0, 65536, &n_inputs) || !r.integer(0, 65536, &n_outputs) || !r.integer(0, 65536, &n_attrs))
    return malformed(f->row, "the header's counts are not numbers");
  if (static_cast<size_t>(n_inputs) != arity.inputs.size() || static_cast<size_t>(n_outputs) != arity.outputs.size())
    return fail(GP_BAD_ARGUMENT, "malformed call of %s: %d inputs and %d outputs do not fit its signature '%s'",
                f->row->kernel->op, static_cast<int>(n_inputs), static_cast<int>(n_outputs), f->row->kernel->signature);
  need(f->first, arity.inputs.size() + arity.outputs.size());
  need(f->count, arity.inputs.size() + arity.outputs.size());
  if (int32_t code = views(false, arity.inputs, 0); code != GP_OK) return code;
  if (int32_t code = views(true, arity.outputs, static_cast<int32_t>(n_inputs)); code != GP_OK) return code;
  if (!r.has(n_attrs) || !attrs_fit(n_attrs)) return malformed(f->row, "the attributes do not fit the signature");
  // Which operand's dtype keys the op is the declaration's business; a call in which none fits is refused here.
  const uint32_t dtypes = f->row->kernel->dtypes;
  bool fits = f->n_input_views + f->n_output_views == 0;
  for (int32_t i = 0; i < f->n_input_views; i++) fits |= (dtypes & GP_DT(f->inputs[i].dtype)) != 0;
  for (int32_t i = 0; i < f->n_output_views; i++) fits |= (dtypes & GP_DT(f->outputs[i].dtype)) != 0;
  if (!fits)
    return fail(GP_UNSUPPORTED, "%s on %s has no kernel for these dtypes", f->row->kernel->op,
                f->device->backend->name.c_str());
  gp_call &c = f->call;
  c.inputs = f->inputs.data();
  c.outputs = f->outputs.data();
  c.input_first = f->first.data();
  c.input_count = f->count.data();
  c.output_first = f->first.data() + n_inputs;
  c.output_count = f->count.data() + n_inputs;
  c.attrs = r.p;
  c.n_inputs = static_cast<int32_t>(n_inputs);
  c.n_outputs = static_cast<int32_t>(n_outputs);
  c.n_attrs = static_cast<int32_t>(n_attrs);
  c.reserved = 0;
  c.workspace = nullptr;
  c.workspace_size = 0;
  return GP_OK;
}

}  // namespace

size_t dtype_bytes(int32_t dtype) {
  static constexpr uint8_t widths[] = {4, 8, 2, 2, 8, 4, 1, 1};
  return widths[dtype];
}

int32_t resolve_handle(void *table, Device *device, double handle, Memory *out) {
  Storage *s = static_cast<HandleTable *>(table)->find(handle);
  if (s == nullptr) return kStaleHandle;
  if (s->device != device)
    return fail(GP_BAD_ARGUMENT, "a storage of device %d stands in a call on device %d", s->device->number,
                device->number);
  *out = {static_cast<char *>(s->block.data), s->block.bytes};
  return GP_OK;
}

int32_t decode_call(const double *begin, const double *end, Resolve resolve, void *state, bool fresh_allowed,
                    CallFrame *frame) {
  return Decoder{{begin, end}, resolve, state, fresh_allowed, frame}.run();
}

}  // namespace gp
