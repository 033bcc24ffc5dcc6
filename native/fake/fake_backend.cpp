// A test backend that is shaped like a GPU: its own address space, a queue that runs late on its own thread, events,
// errors that are known only when somebody waits. Its mathematics is borrowed from the CPU's kernels.
//
// It also plays faults, chosen by the environment:
//   GRADPROOF_FAKE_FAULT   abi | size | null | entry | nodevice | open: what goes wrong while loading or opening
//   GRADPROOF_FAKE_OOM     n or n:count: allocations n … n+count-1 of the backend find no memory (the core retries
//   once) GRADPROOF_FAKE_FAIL    op or op:n: the n-th launch of op fails, late, with GP_DEVICE_ERROR
//   GRADPROOF_FAKE_MEMORY  bytes of a device's memory (default 64 GiB of addresses)
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "backend.h"
#include "launch.h"
#include "memory.h"
#include "queue.h"

struct gp_context {
  gp_fake::Memory memory;
  std::atomic<int32_t> failure{GP_OK};  // of a launch, until somebody synchronises
  gp_fake::Queue queue;                 // last: its thread ends before the memory goes
  explicit gp_context(size_t bytes) : memory(bytes) {}
};

struct gp_event {
  uint64_t ticket;
};

namespace gp_fake {
namespace {

constexpr int32_t kDevices = 2;

const gp_kernel *borrowed = nullptr;  // the CPU's rows
std::vector<gp_kernel> rows;          // ours, in the same order
thread_local char words[256] = "";

// Counts down to the n-th event of "n" or "n:count"; true while it should fail.
class Countdown {
 public:
  void set(const char *text) {
    char *rest = nullptr;
    first_ = text != nullptr ? strtoll(text, &rest, 10) : 0;
    count_ = rest != nullptr && *rest == ':' ? strtoll(rest + 1, nullptr, 10) : 1;
    seen_ = 0;
  }
  bool hit() {
    if (first_ == 0) return false;
    int64_t n = ++seen_;
    return n >= first_ && n < first_ + count_;
  }

 private:
  int64_t first_ = 0, count_ = 1;
  std::atomic<int64_t> seen_{0};
};
Countdown out_of_memory, failing_launch;
std::string failing_op;

bool fault(const char *name) {
  const char *chosen = getenv("GRADPROOF_FAKE_FAULT");
  return chosen != nullptr && strcmp(chosen, name) == 0;
}

int32_t say(int32_t code, const char *text) {
  snprintf(words, sizeof words, "%s", text);
  return code;
}

size_t memory_size() {
  const char *text = getenv("GRADPROOF_FAKE_MEMORY");
  long long bytes = text != nullptr ? atoll(text) : 0;
  return bytes > 0 ? static_cast<size_t>(bytes) : size_t{64} << 30;
}

int32_t device_count() { return fault("nodevice") ? say(GP_DEVICE_ERROR, "no fake device is plugged in") : kDevices; }

int32_t device_info(int32_t device, gp_device_info *out) {
  if (device < 0 || device >= kDevices) return say(GP_BAD_ARGUMENT, "there are two fake devices");
  *out = gp_device_info{};
  snprintf(out->name, sizeof out->name, "fake device %d", device);
  snprintf(out->detail, sizeof out->detail, "host-untouchable memory, late queue, kernels of the CPU");
  out->total_memory = out->free_memory = static_cast<int64_t>(memory_size());
  out->asynchronous = 1;
  return GP_OK;
}

gp_context *open(int32_t device) {
  if (fault("open") || device < 0 || device >= kDevices) {
    say(GP_DEVICE_ERROR, "the fake device does not answer");
    return nullptr;
  }
  auto c = std::make_unique<gp_context>(memory_size());
  if (!c->memory.ok()) {
    say(GP_OUT_OF_MEMORY, "the system has no such address space");
    return nullptr;
  }
  return c.release();
}

void close(gp_context *c) { delete c; }

const char *last_error() { return words; }

int32_t wait(gp_context *c) {
  c->queue.wait(c->queue.last());
  return GP_OK;
}

void *alloc(gp_context *c, size_t bytes) {
  void *p = nullptr;
  if (!out_of_memory.hit()) {
    p = c->memory.take(bytes);
    if (p == nullptr) {  // releases may stand in the queue
      wait(c);
      p = c->memory.take(bytes);
    }
  }
  if (p == nullptr) say(GP_OUT_OF_MEMORY, "the fake device is full");
  return p;
}

// Only when the queue has come this far: a launch that stands in it may still use the memory.
void release(gp_context *c, void *data, size_t bytes) {
  c->queue.push([c, data, bytes] { c->memory.give(data, bytes); });
}

// The failure of a launch since somebody last waited.
int32_t take_failure(gp_context *c) {
  int32_t code = c->failure.exchange(GP_OK);
  return code == GP_OK ? code : say(code, "a launch failed before this wait");
}

int32_t upload(gp_context *c, void *device, const void *host, size_t bytes) {
  void *to = c->memory.translate(device, bytes);
  if (to == nullptr) return say(GP_BAD_ARGUMENT, "upload: not device memory");
  auto copy = std::make_shared<std::string>(static_cast<const char *>(host), bytes);
  c->queue.push([to, copy] { memcpy(to, copy->data(), copy->size()); });
  return GP_OK;
}

int32_t download(gp_context *c, void *host, const void *device, size_t bytes) {
  void *from = c->memory.translate(device, bytes);
  if (from == nullptr) return say(GP_BAD_ARGUMENT, "download: not device memory");
  wait(c);
  memcpy(host, from, bytes);
  return take_failure(c);
}

int32_t fill(gp_context *c, void *device, int32_t byte, size_t bytes) {
  void *to = c->memory.translate(device, bytes);
  if (to == nullptr) return say(GP_BAD_ARGUMENT, "fill: not device memory");
  c->queue.push([to, byte, bytes] { memset(to, byte, bytes); });
  return GP_OK;
}

int32_t copy(gp_context *c, void *to, const void *from, size_t bytes) {
  void *t = c->memory.translate(to, bytes), *f = c->memory.translate(from, bytes);
  if (t == nullptr || f == nullptr) return say(GP_BAD_ARGUMENT, "copy: not device memory");
  c->queue.push([t, f, bytes] { memmove(t, f, bytes); });
  return GP_OK;
}

void *pinned_alloc(gp_context *, size_t bytes) { return malloc(bytes); }

// Launches that stand in the queue may still write there.
void pinned_release(gp_context *c, void *host, size_t) {
  wait(c);
  free(host);
}

int32_t run(gp_context *c, const gp_kernel *self, const gp_call *call) {
  auto launch = std::make_shared<Launch>(borrowed + (self - rows.data()), call);
  bool fails = !failing_op.empty() && failing_op == self->op && failing_launch.hit();
  gp_status *cell = call->status;
  int64_t sequence = call->sequence;
  c->queue.push([c, launch, fails, cell, sequence] {
    if (fails && cell->code == GP_OK) *cell = gp_status{sequence, GP_DEVICE_ERROR, 0, 0, 0};
    int32_t code = fails ? static_cast<int32_t>(GP_DEVICE_ERROR) : launch->run(c->memory);
    if (code != GP_OK && c->failure == GP_OK) c->failure = code;
  });
  return GP_OK;
}

const gp_kernel *kernels(size_t *count) {
  *count = rows.size();
  return rows.data();
}

int32_t synchronize(gp_context *c) {
  wait(c);
  return take_failure(c);
}

gp_event *event_record(gp_context *c) { return new gp_event{c->queue.last()}; }

int32_t event_wait(gp_context *c, gp_event *event) {
  c->queue.wait(event->ticket);
  return GP_OK;
}

void event_release(gp_event *event) { delete event; }

gp_backend table = {
    .abi = GP_ABI_VERSION,
    .size = sizeof(gp_backend),
    .name = "fake",
    .version = "1",
    .device_count = device_count,
    .device_info = device_info,
    .open = open,
    .close = close,
    .last_error = last_error,
    .alloc = alloc,
    .release = release,
    .upload = upload,
    .download = download,
    .fill = fill,
    .copy = copy,
    .pinned_alloc = pinned_alloc,
    .pinned_release = pinned_release,
    .kernels = kernels,
    .synchronize = synchronize,
    .event_record = event_record,
    .event_wait = event_wait,
    .event_release = event_release,
    .graph_begin = nullptr,
    .graph_end = nullptr,
    .graph_launch = nullptr,
    .graph_release = nullptr,
};

}  // namespace
}  // namespace gp_fake

extern "C" __attribute__((visibility("default"))) const gp_backend *gp_backend_entry(uint32_t abi,
                                                                                     const gp_host *host) {
  using namespace gp_fake;
  if (abi != GP_ABI_VERSION || host == nullptr || host->size != sizeof(gp_host) || fault("entry")) return nullptr;
  size_t count = 0;
  borrowed = host->cpu->kernels(&count);
  rows.assign(borrowed, borrowed + count);
  for (gp_kernel &row : rows) row.run = run;
  out_of_memory.set(getenv("GRADPROOF_FAKE_OOM"));
  if (const char *fail = getenv("GRADPROOF_FAKE_FAIL")) {
    const char *colon = strchr(fail, ':');
    failing_op.assign(fail, colon != nullptr ? static_cast<size_t>(colon - fail) : strlen(fail));
    failing_launch.set(colon != nullptr ? colon + 1 : "1");
  }
  if (fault("abi")) table.abi = GP_ABI_VERSION + 1;
  if (fault("size")) table.size -= 8;
  if (fault("null")) table.upload = nullptr;
  return &table;
}
