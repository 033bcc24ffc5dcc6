// Backends (the built-in CPU and the loaded libraries) and the devices opened on them: process-wide.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "../include/backend.h"
#include "allocator.h"

namespace gp {

// What a row's signature says about the form of a call: "x weight? xs[] -> y | rstd ; eps dims[]".
struct Arity {
  enum Kind : uint8_t { kOne, kOptional, kList };
  std::vector<Kind> inputs, outputs;  // auxiliary outputs included
  std::vector<Kind> attrs;            // kOne: one double; kList: a length and its elements
};

// False when the text is not a signature.
bool parse_signature(const char *signature, Arity *out);

struct Row {
  const gp_kernel *kernel;
  Arity arity;
};

struct Backend {
  std::string name, version, path;  // path: empty for the built-in one
  const gp_backend *api = nullptr;
  std::vector<Row> rows;
};

struct Device {
  const Backend *backend = nullptr;
  const gp_backend *api = nullptr;
  int32_t index = 0;   // among the backend's devices
  int32_t number = 0;  // among the opened devices
  gp_context *context = nullptr;
  gp_device_info info{};
  bool asynchronous = false;
  gp_status *status = nullptr;  // asynchronous devices: one cell, host-visible; launches write it late
  std::unique_ptr<Allocator> allocator;
};

constexpr int kMaxDevices = 64;

// Lock-free on purpose: every call looks its device up.
Device *device(int32_t number);
int32_t device_total();

// Opens a device once. Returns its number, or a negative code with words. The CPU's first device is number 0.
int32_t open_device(const char *backend, int32_t index);

// Loads a backend library. GP_OK, or a negative code with words naming the path, the reason and both versions.
int32_t load_backend(const char *path, const Backend **out);
std::vector<const Backend *> backends();

// Launches of programs on asynchronous devices carry both numbers in one negative sequence.
inline int64_t late_sequence(int32_t program, int64_t index) {
  return -((static_cast<int64_t>(program) << 24 | index) + 1);
}

// Reads and clears the cell of an asynchronous device after something that waited for it. GP_OK, or the failure with
// words; `out->reserved` is the program's number (0: an eager launch), `out->sequence` its instruction or the launch.
int32_t collect_status(Device *device, gp_status *out);
// Waits for the device; a failure comes as from collect_status.
int32_t synchronize(Device *device, gp_status *out);
// Reads device memory, after everything enqueued; a failure comes as from collect_status.
int32_t fetch(Device *device, void *host, const void *from, size_t bytes, gp_status *out);

// Ends with the last environment: returns all memory and closes every context. Devices open again when asked for.
void close_devices();

}  // namespace gp
