// about, bind, backends, devices, threads.
#include <string>

#include "../cpu/cpu.h"
#include "../cpu/threads.h"
#include "entries.h"
#include "error.h"

#ifndef GP_VERSION
#error "define GP_VERSION: the version in package.json"
#endif

namespace gp {

namespace {

// Of the sources, written by the build (native/stamp.js).
constexpr char kStamp[] =
#include "stamp.inc"
    ;

napi_value about(Environment *, napi_env env, const Arguments &) {
  const gp_isa_info *isa = gp_cpu_isa();
  napi_value o, list;
  napi_create_object(env, &o);
  uint32_t napi = 0, n = 0;
  napi_get_version(env, &napi);
  set(env, o, "version", text(env, GP_VERSION));
  set(env, o, "stamp", text(env, kStamp));
  set(env, o, "napi", number(env, napi));
#ifdef __clang__
  set(env, o, "compiler", text(env, "clang " __clang_version__));
#elif defined(__GNUC__)
  set(env, o, "compiler", text(env, "gcc " __VERSION__));
#else
  set(env, o, "compiler", text(env, "unknown"));
#endif
  set(env, o, "isa", text(env, isa->name));
  napi_create_array(env, &list);
  for (; n < static_cast<uint32_t>(isa->available_count); n++)
    napi_set_element(env, list, n, text(env, isa->available[n]));
  set(env, o, "isaAvailable", list);
  set(env, o, "threads", number(env, thread_count()));
  set(env, o, "hugePages", boolean(env, isa->huge_pages != 0));
  return o;
}

napi_value bind(Environment *e, napi_env env, const Arguments &a) {
  double *block, *stats;
  size_t block_length, stats_length;
  if (!doubles(env, a.at[0], &block, &block_length) || !doubles(env, a.at[1], &stats, &stats_length) ||
      block_length < 64 || stats_length < kStatLength) {
    fail(GP_BAD_ARGUMENT, "bind needs two Float64Arrays: a call block and %d counters", static_cast<int>(kStatLength));
    return throw_error(env, "ERR_NATIVE");
  }
  napi_ref refs[2];
  if (napi_create_reference(env, a.at[0], 1, &refs[0]) != napi_ok ||
      napi_create_reference(env, a.at[1], 1, &refs[1]) != napi_ok) {
    fail(GP_BAD_ARGUMENT, "bind cannot keep its arrays");
    return throw_error(env, "ERR_NATIVE");
  }
  e->table.bind_stats(stats);
  if (e->block_ref != nullptr) napi_delete_reference(env, e->block_ref);
  if (e->stats_ref != nullptr) napi_delete_reference(env, e->stats_ref);
  e->block = block;
  e->block_length = block_length;
  e->block_ref = refs[0];
  e->stats_ref = refs[1];
  return nullptr;
}

// A JavaScript string; false when it is something else.
bool string_of(napi_env env, napi_value value, std::string *out) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) return false;
  out->resize(length + 1);
  napi_get_value_string_utf8(env, value, out->data(), length + 1, &length);
  out->resize(length);
  return true;
}

napi_value load(Environment *, napi_env env, const Arguments &a) {
  std::string path;
  if (!string_of(env, a.at[0], &path) || path.empty()) {
    fail(GP_BAD_ARGUMENT, "loadBackend needs the path of a library");
    return throw_error(env, "ERR_BACKEND");
  }
  const Backend *b = nullptr;
  if (load_backend(path.c_str(), &b) != GP_OK) return throw_error(env, "ERR_BACKEND");
  before_exit();
  return text(env, b->name.c_str());
}

napi_value list_backends(Environment *, napi_env env, const Arguments &) {
  napi_value list;
  napi_create_array(env, &list);
  uint32_t n = 0;
  for (const Backend *b : backends()) {
    napi_value o;
    napi_create_object(env, &o);
    set(env, o, "name", text(env, b->name.c_str()));
    set(env, o, "version", text(env, b->version.c_str()));
    set(env, o, "path", text(env, b->path.c_str()));
    int32_t count = b->api->device_count();
    set(env, o, "devices", number(env, count < 0 ? 0 : count));
    napi_set_element(env, list, n++, o);
  }
  return list;
}

napi_value open(Environment *, napi_env env, const Arguments &a) {
  std::string name;
  if (!string_of(env, a.at[0], &name)) {
    fail(GP_BAD_ARGUMENT, "openDevice needs the name of a backend");
    return throw_error(env, "ERR_DEVICE");
  }
  double index = a.number(env, 1);
  int32_t before = device_total();
  int32_t number = open_device(name.c_str(), index >= 0 && index < 1e9 ? static_cast<int32_t>(index) : -1);
  if (device_total() != before) before_exit();
  return number < 0 ? throw_error(env, "ERR_DEVICE") : integer(env, number);
}

napi_value device_info(Environment *, napi_env env, const Arguments &a) {
  Device *d = known_device(a.number(env, 0));
  if (d == nullptr) return throw_error(env, "ERR_DEVICE");
  gp_device_info now = d->info;
  d->api->device_info(d->index, &now);  // free memory changes
  napi_value o;
  napi_create_object(env, &o);
  set(env, o, "name", text(env, now.name));
  set(env, o, "detail", text(env, now.detail));
  set(env, o, "totalMemory", number(env, static_cast<double>(now.total_memory)));
  set(env, o, "freeMemory", number(env, static_cast<double>(now.free_memory)));
  set(env, o, "hostMemory", boolean(env, now.host_memory != 0));
  set(env, o, "asynchronous", boolean(env, now.asynchronous != 0));
  return o;
}

napi_value kernels(Environment *, napi_env env, const Arguments &a) {
  Device *d = known_device(a.number(env, 0));
  if (d == nullptr) return throw_error(env, "ERR_DEVICE");
  napi_value list;
  napi_create_array_with_length(env, d->backend->rows.size(), &list);
  for (uint32_t i = 0; i < d->backend->rows.size(); i++) {
    const gp_kernel *k = d->backend->rows[i].kernel;
    napi_value o;
    napi_create_object(env, &o);
    set(env, o, "id", number(env, i));
    set(env, o, "op", text(env, k->op));
    set(env, o, "signature", text(env, k->signature));
    set(env, o, "dtypes", number(env, k->dtypes));
    set(env, o, "flags", number(env, k->flags));
    set(env, o, "strided", number(env, static_cast<double>(k->strided & ((uint64_t{1} << 53) - 1))));
    napi_set_element(env, list, i, o);
  }
  return list;
}

napi_value synchronize_device(Environment *e, napi_env env, const Arguments &a) {
  Device *d = known_device(a.number(env, 0));
  if (d == nullptr) return integer(env, GP_BAD_ARGUMENT);
  e->settle_device(d->number);
  gp_status status{};
  int32_t code = synchronize(d, &status);
  return integer(env, code == GP_OK ? GP_OK : e->answer(code, status));
}

napi_value set_threads(Environment *, napi_env env, const Arguments &a) {
  double n = a.number(env, 0);
  if (!(n >= 1 && n <= 1024)) {
    fail(GP_BAD_ARGUMENT, "the number of threads must be in [1, 1024], got %.17g", n);
    return throw_error(env, "ERR_THREADS");
  }
  set_thread_count(static_cast<int>(n));
  return nullptr;
}

napi_value threads(Environment *, napi_env env, const Arguments &) { return integer(env, thread_count()); }

napi_value words(Environment *, napi_env env, const Arguments &) { return text(env, last_error()); }

}  // namespace

const Entry device_entries[] = {
    {"about", about},
    {"bind", bind},
    {"loadBackend", load},
    {"backends", list_backends},
    {"openDevice", open},
    {"deviceInfo", device_info},
    {"kernels", kernels},
    {"synchronize", synchronize_device},
    {"setThreads", set_threads},
    {"threads", threads},
    {"lastError", words},
    {nullptr, nullptr},
};

}  // namespace gp
