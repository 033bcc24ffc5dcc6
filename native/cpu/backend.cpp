// The built-in backend: host memory, synchronous launches, the kernels of the chosen instruction set.
#include "backend.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "cpu.h"
#include "threads.h"
#ifdef _WIN32
#include <malloc.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

struct gp_context {
  int32_t device;
};

namespace gp {
namespace {

constexpr size_t kHuge = size_t{2} << 20;

thread_local const char *last = "";

int32_t device_count() { return 1; }
const char *last_error() { return last; }

int32_t device_info(int32_t device, gp_device_info *out) {
  if (device != 0) {
    last = "the CPU backend has one device, number 0";
    return GP_BAD_ARGUMENT;
  }
  std::memset(out, 0, sizeof *out);
  const gp_isa_info *isa = gp_cpu_isa();
  std::snprintf(out->name, sizeof out->name, "%s", cpu_name()[0] != 0 ? cpu_name() : "CPU");
  std::snprintf(out->detail, sizeof out->detail, "%s (%s), %d threads, huge pages %s", isa->name, isa->reason,
                thread_count(), isa->huge_pages ? "on" : "off");
#ifdef _SC_PHYS_PAGES
  out->total_memory = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
#endif
#ifdef __linux__
  if (FILE *f = std::fopen("/proc/meminfo", "r")) {  // MemAvailable counts what the page cache would give back
    char line[256];
    long long kib = 0;
    while (std::fgets(line, sizeof line, f) != nullptr)
      if (std::sscanf(line, "MemAvailable: %lld kB", &kib) == 1) break;
    out->free_memory = kib * 1024;
    std::fclose(f);
  }
#endif
  out->host_memory = 1;
  out->asynchronous = 0;
  return GP_OK;
}

gp_context *open(int32_t device) {
  if (device != 0) {
    last = "the CPU backend has one device, number 0";
    return nullptr;
  }
  if (gp_cpu_isa()->error != nullptr) {
    last = gp_cpu_isa()->error;
    return nullptr;
  }
  auto *context = static_cast<gp_context *>(std::malloc(sizeof(gp_context)));
  if (context == nullptr)
    last = "out of memory";
  else
    context->device = device;
  return context;
}

void close(gp_context *context) { std::free(context); }

// From kHuge on: own mapping, aligned to and backed by huge pages (fresh small pages cost ten times DRAM).
void *alloc(gp_context *, size_t bytes) {
  if (bytes == 0) bytes = 64;
#ifdef _WIN32
  return _aligned_malloc(bytes, 64);
#else
  if (bytes < kHuge) {
    void *p = nullptr;
    return posix_memalign(&p, 64, bytes) == 0 ? p : nullptr;
  }
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  if (bytes > SIZE_MAX - 2 * kHuge) return nullptr;
  const size_t size = (bytes + page - 1) & ~(page - 1), reserve = size + kHuge;
  void *raw = mmap(nullptr, reserve, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char *base = static_cast<char *>(raw);
  char *data = base + (kHuge - reinterpret_cast<uintptr_t>(base) % kHuge) % kHuge;
  if (data != base) munmap(base, static_cast<size_t>(data - base));
  const size_t tail = reserve - static_cast<size_t>(data - base) - size;
  if (tail > 0) munmap(data + size, tail);
#ifdef MADV_HUGEPAGE
  madvise(data, size, MADV_HUGEPAGE);
#endif
  return data;
#endif
}

void release(gp_context *, void *data, size_t bytes) {
  if (data == nullptr) return;
#ifdef _WIN32
  (void)bytes;
  _aligned_free(data);
#else
  if (bytes < kHuge) {
    std::free(data);
    return;
  }
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  munmap(data, (bytes + page - 1) & ~(page - 1));
#endif
}

int32_t move_bytes(gp_context *, void *to, const void *from, size_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
  return GP_OK;
}

int32_t fill(gp_context *, void *device, int32_t byte, size_t bytes) {
  if (bytes > 0) std::memset(device, byte, bytes);
  return GP_OK;
}

const gp_kernel *kernels(size_t *count) {
  struct Rows {
    gp_kernel *rows;
    size_t count;
  };
  static const Rows all = [] {
    Rows r{nullptr, 0};
    for (const gp_kernel *const *t = cpu_tables(); *t != nullptr; t++)
      for (const gp_kernel *row = *t; row->op != nullptr; row++) r.count++;
    r.rows = new gp_kernel[r.count + 1]();  // lives for ever
    size_t i = 0;
    for (const gp_kernel *const *t = cpu_tables(); *t != nullptr; t++)
      for (const gp_kernel *row = *t; row->op != nullptr; row++) r.rows[i++] = *row;
    return r;
  }();
  *count = all.count;
  return all.rows;
}

int32_t synchronize(gp_context *) { return GP_OK; }

// Every launch is over when run() returns, so every event has already happened.
char happened;
gp_event *event_record(gp_context *) { return reinterpret_cast<gp_event *>(&happened); }
int32_t event_wait(gp_context *, gp_event *) { return GP_OK; }
void event_release(gp_event *) {}

}  // namespace
}  // namespace gp

extern "C" const gp_backend *gp_cpu_backend() {
  using namespace gp;
  static const gp_backend backend = {
      .abi = GP_ABI_VERSION,
      .size = sizeof(gp_backend),
      .name = "cpu",
      .version = "1",
      .device_count = device_count,
      .device_info = device_info,
      .open = open,
      .close = close,
      .last_error = last_error,
      .alloc = alloc,
      .release = release,
      .upload = move_bytes,
      .download = move_bytes,
      .fill = fill,
      .copy = move_bytes,
      .pinned_alloc = alloc,
      .pinned_release = release,
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
  return &backend;
}
