#include "program.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "../cpu/threads.h"
#include "error.h"
#include "independent.h"

namespace gp {

namespace {

constexpr double kMost = 1 << 24;              // slots, instructions
constexpr double kBytes = 4503599627370496.0;  // 2^52

bool whole(double v, double low, double high, size_t *out) {
  if (!(v >= low && v <= high)) return false;
  *out = static_cast<size_t>(v);
  return static_cast<double>(*out) == v;
}

// Keeps the pool's workers awake between the instructions of one run.
struct Step {
  Step() { step_begin(); }
  ~Step() { step_end(); }
};

}  // namespace

std::unique_ptr<Program> Program::decode(const double *blob, size_t length, int32_t id, int32_t *code) {
  std::unique_ptr<Program> p(new Program);
  *code = p->read(blob, length, id);
  if (*code != GP_OK) return nullptr;
  return p;
}

Program::~Program() {
  if (device_ == nullptr) return;
  device_->allocator->release(arena_);
  device_->allocator->release(workspace_);
}

int32_t Program::read(const double *blob, size_t length, int32_t id) {
  size_t number, arena, slots, externals, outputs, instructions;
  if (length < 7 || blob[0] != 1)
    return fail(GP_BAD_ARGUMENT, "malformed program: it does not begin with version 1 and six numbers");
  if (!whole(blob[1], 0, kMaxDevices - 1, &number) || (device_ = gp::device(static_cast<int32_t>(number))) == nullptr)
    return fail(GP_BAD_ARGUMENT, "malformed program: its device is not open");
  if (!whole(blob[2], 0, kBytes, &arena) || !whole(blob[3], 0, kMost, &slots) ||
      !whole(blob[4], 0, kMost, &externals) || !whole(blob[5], 0, kMost, &outputs) ||
      !whole(blob[6], 0, kMost, &instructions))
    return fail(GP_BAD_ARGUMENT, "malformed program: the sizes in its head are not numbers");
  if (slots > length || instructions > length || externals > slots || outputs > slots)
    return fail(GP_BAD_ARGUMENT, "malformed program: it is shorter than its head says");
  if (arena > 0) {
    if (int32_t code = device_->allocator->allocate(arena, &arena_); code != GP_OK) return code;
  }
  const double *p = blob + 7, *end = blob + length;
  if (int32_t code = read_slots(&p, end, slots, externals, outputs); code != GP_OK) return code;
  if (int32_t code = read_instructions(p, end, instructions, id); code != GP_OK) return code;
  return place_workspace();
}

int32_t Program::read_slots(const double **p, const double *end, size_t count, size_t externals, size_t outputs) {
  constexpr size_t kNone = static_cast<size_t>(-1);
  if (static_cast<size_t>(end - *p) < 3 * count)
    return fail(GP_BAD_ARGUMENT, "malformed program: it ends within its slots");
  slots_.resize(count);
  externals_.assign(externals, kNone);
  outputs_.assign(outputs, kNone);
  for (size_t i = 0; i < count; i++, *p += 3) {
    size_t kind;
    Slot &s = slots_[i];
    if (!whole((*p)[0], 0, 2, &kind) || !whole((*p)[1], 0, kBytes, &s.a) || !whole((*p)[2], 0, kBytes, &s.bytes))
      return fail(GP_BAD_ARGUMENT, "malformed program: slot %zu has no kind, place and size", i);
    s.kind = static_cast<Kind>(kind);
    s.data = nullptr;
    if (s.kind == kArena) {
      if (s.a % 64 != 0 || s.a + s.bytes > arena_.bytes)
        return fail(GP_BAD_ARGUMENT,
                    "malformed program: slot %zu [%zu, +%zu) is not a 64-byte aligned part of the arena of %zu bytes",
                    i, s.a, s.bytes, arena_.bytes);
      // An empty slot may lie in an empty arena; its pointer is never followed.
      s.data = arena_.data != nullptr ? static_cast<char *>(arena_.data) + s.a : reinterpret_cast<char *>(64);
      continue;
    }
    auto &list = s.kind == kExternal ? externals_ : outputs_;
    if (s.a >= list.size() || list[s.a] != kNone)
      return fail(GP_BAD_ARGUMENT, "malformed program: slot %zu names place %zu among its %zu %s, or one that is taken",
                  i, s.a, list.size(), s.kind == kExternal ? "externals" : "outputs");
    list[s.a] = i;
  }
  for (size_t slot : externals_)
    if (slot == kNone) return fail(GP_BAD_ARGUMENT, "malformed program: an external has no slot");
  for (size_t slot : outputs_)
    if (slot == kNone) return fail(GP_BAD_ARGUMENT, "malformed program: an output has no slot");
  return GP_OK;
}

int32_t Program::resolve_slot(void *self, Device *device, double name, Memory *out) {
  auto *p = static_cast<Program *>(self);
  size_t slot;
  if (device != p->device_) return fail(GP_BAD_ARGUMENT, "malformed program: an instruction names another device");
  if (p->slots_.empty() || !whole(name, 0, static_cast<double>(p->slots_.size() - 1), &slot))
    return fail(GP_BAD_ARGUMENT, "malformed program: an instruction names slot %.17g of %zu", name, p->slots_.size());
  // Views are placed relative to zero here: bind() adds the slot's address.
  *out = {nullptr, p->slots_[slot].bytes};
  return GP_OK;
}

int32_t Program::read_instructions(const double *p, const double *end, size_t count, int32_t id) {
  CallFrame frame;
  struct Where {
    size_t views, integers, attrs;
  };
  std::vector<Where> where;
  for (size_t i = 0; i < count; i++) {
    size_t length;
    if (p == end || !whole(*p, 6, static_cast<double>(end - p), &length))
      return fail(GP_BAD_ARGUMENT, "malformed program: instruction %zu is longer than the program", i);
    int32_t code = decode_call(p + 1, p + length, &resolve_slot, this, false, &frame);
    if (code != GP_OK) return code;
    if (frame.device != device_)
      return fail(GP_BAD_ARGUMENT, "malformed program: instruction %zu names another device", i);
    const gp_call &c = frame.call;
    where.push_back({views_.size(), integers_.size(), attrs_.size()});
    auto keep = [&](const std::vector<gp_view> &views, const std::vector<double> &source, int32_t n) {
      for (size_t v = 0; v < static_cast<size_t>(n); v++) {
        patches_.push_back({views_.size(), static_cast<size_t>(source[v]),
                            static_cast<int64_t>(reinterpret_cast<intptr_t>(views[v].data))});
        views_.push_back(views[v]);
      }
    };
    keep(frame.inputs, frame.input_source, frame.n_input_views);
    keep(frame.outputs, frame.output_source, frame.n_output_views);
    for (int32_t k = 0; k < c.n_inputs + c.n_outputs; k++) integers_.push_back(frame.first[static_cast<size_t>(k)]);
    for (int32_t k = 0; k < c.n_inputs + c.n_outputs; k++) integers_.push_back(frame.count[static_cast<size_t>(k)]);
    attrs_.insert(attrs_.end(), c.attrs, c.attrs + c.n_attrs);
    instructions_.push_back({frame.row->kernel, c});
    instructions_.back().call.reserved = frame.n_input_views;  // until the views stand still, below
    p += length;
  }
  if (p != end) return fail(GP_BAD_ARGUMENT, "malformed program: %td numbers follow its last instruction", end - p);
  for (size_t i = 0; i < count; i++) {
    gp_call &c = instructions_[i].call;
    const int32_t *integers = integers_.data() + where[i].integers;
    c.inputs = views_.data() + where[i].views;
    c.outputs = c.inputs + c.reserved;
    c.reserved = 0;
    c.input_first = integers;
    c.output_first = integers + c.n_inputs;
    c.input_count = integers + c.n_inputs + c.n_outputs;
    c.output_count = c.input_count + c.n_inputs;
    c.attrs = attrs_.data() + where[i].attrs;
    c.status = device_->asynchronous ? device_->status : &status_;
    c.sequence = device_->asynchronous ? late_sequence(id, static_cast<int64_t>(i)) : static_cast<int64_t>(i);
  }
  places_ = patches_;
  std::stable_sort(patches_.begin(), patches_.end(), [](const Patch &a, const Patch &b) { return a.slot < b.slot; });
  patch_first_.assign(slots_.size() + 1, 0);
  for (const Patch &patch : patches_) patch_first_[patch.slot + 1]++;
  for (size_t s = 0; s < slots_.size(); s++) patch_first_[s + 1] += patch_first_[s];
  for (size_t s = 0; s < slots_.size(); s++) {
    char *data = slots_[s].data;
    slots_[s].data = nullptr;
    // Externals and outputs get an address that no run uses: a workspace may depend on whether an operand is there, and
    // a null pointer says that it is not.
    bind(s, data != nullptr ? data : reinterpret_cast<char *>(64));
  }
  nanoseconds_.assign(instructions_.size(), 0);
  return GP_OK;
}

// Neighbours that do the same to operands of the same shapes, none of which depends on another, run side by side, each
// on one thread: their serial parts too share the processors, and nobody waits between them. Not those that write
// through their inputs: none may run behind one that failed.
void Program::find_groups() {
  constexpr size_t kLeastBytes = 32 << 10, kMostBytes = 1 << 20;  // of an instruction's views; of its results
  constexpr size_t kMost = 256;
  const size_t n = instructions_.size(), threads = static_cast<size_t>(thread_count());
  group_end_.resize(n);
  std::iota(group_end_.begin(), group_end_.end(), size_t{1});
  if (device_->asynchronous || threads < 2) return;
  struct Views {
    const gp_view *from, *to, *outputs;
  };
  auto views = [&](size_t i) {
    const gp_view *next = i + 1 < n ? instructions_[i + 1].call.inputs : views_.data() + views_.size();
    return Views{instructions_[i].call.inputs, next, instructions_[i].call.outputs};
  };
  auto bytes = [](const gp_view *v, const gp_view *end) {
    size_t sum = 0;
    for (; v < end; v++) {
      size_t size = v->dtype == GP_NONE ? 0 : dtype_bytes(v->dtype);
      for (int d = 0; d < v->ndim; d++) size *= static_cast<size_t>(v->shape[d]);
      sum += size;
    }
    return sum;
  };
  auto alike = [&](const Views &a, const Views &b) {
    return std::equal(a.from, a.to, b.from, b.to, [](const gp_view &x, const gp_view &y) {
      return x.dtype == y.dtype && x.ndim == y.ndim && std::equal(x.shape, x.shape + x.ndim, y.shape);
    });
  };
  std::vector<Footprint> touched;
  // Adds those of an instruction, unless one of them stands in the way.
  auto joins = [&](const Views &v) {
    const size_t before = touched.size();
    for (const gp_view *view = v.from; view < v.to; view++) {
      if (view->dtype == GP_NONE) continue;
      const Patch &place = places_[static_cast<size_t>(view - views_.data())];
      const Slot &slot = slots_[place.slot];
      const bool arena = slot.kind == kArena;
      const Footprint f = footprint(*view, arena ? 0 : 1 + place.slot,
                                    place.offset + (arena ? static_cast<int64_t>(slot.a) : 0), view >= v.outputs);
      for (size_t i = 0; i < before; i++)
        if (!apart(touched[i], f)) return false;
      touched.push_back(f);
    }
    return true;
  };
  for (size_t i = 0; i < n; i = group_end_[i]) {
    const gp_kernel *kernel = instructions_[i].kernel;
    const Views first = views(i);
    if ((kernel->flags & GP_KERNEL_MUTATES) != 0 || bytes(first.from, first.to) < kLeastBytes ||
        bytes(first.outputs, first.to) > kMostBytes)
      continue;
    touched.clear();
    size_t end = i;
    while (end < n && end - i < kMost && instructions_[end].kernel == kernel && alike(first, views(end)) &&
           joins(views(end)))
      end++;
    const size_t count = end - i, rounds = (count + threads - 1) / threads;
    if (count >= 2 && rounds * threads * 8 <= count * 9) group_end_[i] = end;
    if (outcomes_.size() < count) outcomes_.resize(count);
  }
}

// One workspace for all: the instructions run one after the other, and those of a group have one per thread. Kernels
// keep scratch per thread, so it follows the number of threads.
int32_t Program::place_workspace() {
  size_t most = 0;
  workspace_threads_ = thread_count();
  find_groups();
  group_workspace_ = 0;
  for (size_t i = 0; i < instructions_.size();) {
    const size_t end = group_end_[i];
    for (const bool alone = end == i + 1; i < end; i++) {
      Instruction &it = instructions_[i];
      it.call.workspace_size = it.kernel->workspace != nullptr ? it.kernel->workspace(&it.call) : 0;
      size_t &size = alone ? most : group_workspace_;
      size = std::max(size, (it.call.workspace_size + 63) / 64 * 64);
    }
  }
  most = std::max(most, group_workspace_ * static_cast<size_t>(workspace_threads_));
  if (most > workspace_.bytes) {
    device_->allocator->release(workspace_);
    workspace_ = Block{};
    if (int32_t code = device_->allocator->allocate(most, &workspace_); code != GP_OK) {
      workspace_threads_ = 0;
      return code;
    }
  }
  for (Instruction &i : instructions_) i.call.workspace = i.call.workspace_size > 0 ? workspace_.data : nullptr;
  return GP_OK;
}

void Program::bind(size_t slot, void *data) {
  Slot &s = slots_[slot];
  if (s.data == data) return;
  s.data = static_cast<char *>(data);
  for (size_t i = patch_first_[slot]; i < patch_first_[slot + 1]; i++)
    views_[patches_[i].view].data = s.data + patches_[i].offset;
}

int32_t Program::run(void *const *externals, void *const *outputs, const std::atomic<bool> &cancel, gp_status *status) {
  using Clock = std::chrono::steady_clock;
  if (workspace_threads_ != thread_count()) {
    if (int32_t code = place_workspace(); code != GP_OK) {
      *status = gp_status{0, code, 0, 0, 0};
      return code;
    }
  }
  for (size_t i = 0; i < externals_.size(); i++) bind(externals_[i], externals[i]);
  for (size_t i = 0; i < outputs_.size(); i++) bind(outputs_[i], outputs[i]);
  status_ = gp_status{};
  Step step;
  for (size_t i = 0, end; i < instructions_.size(); i = end) {
    end = group_end_[i];
    if (cancel.load(std::memory_order_relaxed)) {
      *status = gp_status{static_cast<int64_t>(i), GP_DEVICE_ERROR, 0, 0, 0};
      return fail(GP_DEVICE_ERROR, "the environment is closing");
    }
    const Instruction &it = instructions_[i];
    Clock::time_point begin;
    if (profiling_) begin = Clock::now();
    const int32_t code =
        end > i + 1 ? run_group(i, end, status) : it.kernel->run(device_->context, it.kernel, &it.call);
    if (profiling_) {
      if (device_->asynchronous) device_->api->synchronize(device_->context);
      const auto spent = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - begin).count();
      for (size_t k = i; k < end; k++) nanoseconds_[k] += static_cast<double>(spent) / static_cast<double>(end - i);
    }
    if (end > i + 1) {
      if (code != GP_OK) return code;
      continue;
    }
    const bool reported = !device_->asynchronous && status_.code != GP_OK;
    if (reported || code != GP_OK) return failure(i, code, reported ? status_ : gp_status{}, status);
  }
  if (profiling_) runs_ += 1;
  return GP_OK;
}

// What a failed launch leaves in `status`; `cell` has a code where it reported one itself.
int32_t Program::failure(size_t i, int32_t code, const gp_status &cell, gp_status *status) const {
  const char *op = instructions_[i].kernel->op;
  if (cell.code != GP_OK) {
    *status = cell;
    return fail(cell.code, "[%s] failed at position %lld with value %.17g (instruction %zu)", op,
                static_cast<long long>(cell.position), cell.value, i);
  }
  *status = gp_status{static_cast<int64_t>(i), code, 0, 0, 0};
  return fail(code, "[%s] failed: %s (instruction %zu)", op, device_->api->last_error(), i);
}

// The first that fails counts, as if they had run one after the other.
int32_t Program::run_group(size_t first, size_t end, gp_status *status) {
  auto body = [&](int64_t k, int slot) {
    const Instruction &it = instructions_[first + static_cast<size_t>(k)];
    Outcome &outcome = outcomes_[static_cast<size_t>(k)];
    outcome.status = gp_status{};
    gp_call call = it.call;
    call.status = &outcome.status;
    if (call.workspace != nullptr)
      call.workspace = static_cast<char *>(call.workspace) + static_cast<size_t>(slot) * group_workspace_;
    outcome.code = it.kernel->run(device_->context, it.kernel, &call);
  };
  parallel_tiles(
      static_cast<int64_t>(end - first),
      [](void *arg, int64_t k, int slot) { (*static_cast<decltype(body) *>(arg))(k, slot); }, &body);
  for (size_t i = first; i < end; i++) {
    const Outcome &o = outcomes_[i - first];
    if (o.code != GP_OK || o.status.code != GP_OK) return failure(i, o.code, o.status, status);
  }
  return GP_OK;
}

void Program::profile(bool on) {
  profiling_ = on;
  if (!on) return;
  std::fill(nanoseconds_.begin(), nanoseconds_.end(), 0.0);
  runs_ = 0;
}

}  // namespace gp
