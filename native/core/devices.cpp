#include "devices.h"

#include <atomic>
#include <cstring>
#include <mutex>

#include "../cpu/cpu.h"
#include "error.h"
#include "loader.h"

namespace gp {

namespace {

// Never destroyed: static destructors would race with threads that still run while the process exits.
struct Registry {
  std::mutex mutex;
  std::vector<Backend *> backends;
};
Registry &registry() {
  static Registry *r = new Registry;
  return *r;
}

std::atomic<Device *> opened[kMaxDevices];
std::atomic<int32_t> opened_count{0};

// Takes a checked table into the registry. The mutex is held.
int32_t adopt(const gp_backend *api, const char *path, Backend **out) {
  auto b = std::make_unique<Backend>();
  b->name = api->name;
  b->version = api->version;
  b->path = path;
  b->api = api;
  size_t count = 0;
  const gp_kernel *rows = api->kernels(&count);
  b->rows.resize(count);
  for (size_t i = 0; i < count; i++) {
    b->rows[i].kernel = &rows[i];
    if (!parse_signature(rows[i].signature, &b->rows[i].arity))
      return fail(GP_UNSUPPORTED, "the %s backend declares %s with a signature that cannot be read: '%s'", api->name,
                  rows[i].op, rows[i].signature);
    if (b->rows[i].arity.inputs.size() > 64)
      return fail(GP_UNSUPPORTED, "the %s backend declares %s with more than 64 inputs", api->name, rows[i].op);
  }
  registry().backends.push_back(b.get());
  *out = b.release();
  return GP_OK;
}

int32_t find_or_adopt_cpu(const char *name, Backend **out) {
  for (Backend *b : registry().backends) {
    if (b->name == name) {
      *out = b;
      return GP_OK;
    }
  }
  const gp_backend *cpu = gp_cpu_backend();
  if (cpu == nullptr) return fail(GP_DEVICE_ERROR, "the built-in CPU backend cannot be used on this machine");
  if (strcmp(cpu->name, name) == 0) {
    int32_t code = check_backend(cpu, "the built-in CPU backend");
    return code != GP_OK ? code : adopt(cpu, "", out);
  }
  return fail(GP_DEVICE_ERROR, "there is no backend '%s': load its library first", name);
}

void close_device(Device *d) {
  d->api->synchronize(d->context);
  d->allocator.reset();
  if (d->status != nullptr) d->api->pinned_release(d->context, d->status, sizeof(gp_status));
  d->api->close(d->context);
  delete d;
}

}  // namespace

Device *device(int32_t number) {
  if (number < 0 || number >= kMaxDevices) return nullptr;
  return opened[number].load(std::memory_order_acquire);
}

int32_t device_total() { return opened_count.load(std::memory_order_acquire); }

int32_t load_backend(const char *path, const Backend **out) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  for (const Backend *b : registry().backends) {
    if (b->path == path) {
      *out = b;
      return GP_OK;
    }
  }
  const gp_backend *api = find_backend(path);
  if (api == nullptr) return GP_UNSUPPORTED;
  for (const Backend *b : registry().backends) {
    if (b->name == api->name)
      return fail(GP_UNSUPPORTED,
                  "%s brings a backend named '%s', version %s, but one of that name is loaded already (%s, version %s)",
                  path, api->name, api->version, b->path.empty() ? "built in" : b->path.c_str(), b->version.c_str());
  }
  Backend *made = nullptr;
  int32_t code = adopt(api, path, &made);
  *out = made;
  return code;
}

std::vector<const Backend *> backends() {
  std::lock_guard<std::mutex> lock(registry().mutex);
  Backend *cpu = nullptr;
  find_or_adopt_cpu("cpu", &cpu);
  return {registry().backends.begin(), registry().backends.end()};
}

static int32_t open_locked(const char *name, int32_t index) {
  Backend *b = nullptr;
  if (int32_t code = find_or_adopt_cpu(name, &b); code != GP_OK) return code;
  for (int32_t i = 0; i < opened_count; i++) {
    Device *d = opened[i];
    if (d->backend == b && d->index == index) return i;
  }
  if (opened_count == kMaxDevices) return fail(GP_UNSUPPORTED, "more than %d devices are open", kMaxDevices);
  int32_t count = b->api->device_count();
  if (count < 0) return fail(GP_DEVICE_ERROR, "the %s backend finds no device: %s", name, b->api->last_error());
  if (index < 0 || index >= count)
    return fail(GP_DEVICE_ERROR, "the %s backend has %d device(s), got index %d", name, count, index);
  auto d = std::make_unique<Device>();
  d->backend = b;
  d->api = b->api;
  d->index = index;
  d->number = opened_count;
  if (b->api->device_info(index, &d->info) != GP_OK)
    return fail(GP_DEVICE_ERROR, "%s:%d cannot be described: %s", name, index, b->api->last_error());
  d->asynchronous = d->info.asynchronous != 0;
  d->context = b->api->open(index);
  if (d->context == nullptr)
    return fail(GP_DEVICE_ERROR, "%s:%d cannot be opened: %s", name, index, b->api->last_error());
  if (d->asynchronous) {
    d->status = static_cast<gp_status *>(b->api->pinned_alloc(d->context, sizeof(gp_status)));
    if (d->status == nullptr) {
      b->api->close(d->context);
      return fail(GP_DEVICE_ERROR, "%s:%d has no host-visible memory: %s", name, index, b->api->last_error());
    }
    *d->status = gp_status{};
  }
  d->allocator = std::make_unique<Allocator>(b->api, d->context);
  int32_t number = d->number;
  opened[number].store(d.release(), std::memory_order_release);
  opened_count.store(number + 1, std::memory_order_release);
  return number;
}

int32_t open_device(const char *name, int32_t index) {
  std::lock_guard<std::mutex> lock(registry().mutex);
  if (opened_count == 0 && (strcmp(name, "cpu") != 0 || index != 0)) {  // the CPU is always device 0
    if (int32_t code = open_locked("cpu", 0); code < 0) return code;
  }
  return open_locked(name, index);
}

int32_t collect_status(Device *d, gp_status *out) {
  if (d->status == nullptr) return GP_OK;
  int32_t code = __atomic_load_n(&d->status->code, __ATOMIC_ACQUIRE);
  if (code == GP_OK) return GP_OK;
  *out = *d->status;
  *d->status = gp_status{};
  auto position = static_cast<long long>(out->position);
  if (out->sequence < 0) {
    int64_t packed = -(out->sequence + 1);
    out->reserved = static_cast<int32_t>(packed >> 24);
    out->sequence = packed & ((1 << 24) - 1);
    return fail(code, "%s:%d: instruction %lld of program %d failed at position %lld with value %.17g",
                d->backend->name.c_str(), d->index, static_cast<long long>(out->sequence), out->reserved, position,
                out->value);
  }
  return fail(code, "%s:%d: launch %lld failed at position %lld with value %.17g", d->backend->name.c_str(), d->index,
              static_cast<long long>(out->sequence), position, out->value);
}

// The cell says more than the code, so it goes first.
static int32_t settle(Device *d, int32_t code, const char *what, gp_status *out) {
  if (int32_t reported = collect_status(d, out); reported != GP_OK) return reported;
  if (code == GP_OK) return GP_OK;
  *out = gp_status{0, code, 0, 0, 0};
  return fail(code, "%s:%d: %s failed: %s", d->backend->name.c_str(), d->index, what, d->api->last_error());
}

int32_t synchronize(Device *d, gp_status *out) {
  return settle(d, d->api->synchronize(d->context), "synchronisation", out);
}

int32_t fetch(Device *d, void *host, const void *from, size_t bytes, gp_status *out) {
  return settle(d, bytes == 0 ? static_cast<int32_t>(GP_OK) : d->api->download(d->context, host, from, bytes),
                "download", out);
}

void close_devices() {
  std::lock_guard<std::mutex> lock(registry().mutex);
  int32_t count = opened_count.exchange(0);
  for (int32_t i = 0; i < count; i++) close_device(opened[i].exchange(nullptr));
}

}  // namespace gp
