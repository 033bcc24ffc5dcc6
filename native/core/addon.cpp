// Registration: what JavaScript sees of the core. Nothing thrown in C++ crosses into V8.
#include <new>
#include <stdexcept>

#include "entries.h"
#include "error.h"

namespace gp {

napi_value throw_error(napi_env env, const char *code) {
  napi_throw_error(env, code, last_error());
  return nullptr;
}

bool view_bytes(napi_env env, napi_value value, Bytes *out) {
  bool is = false;
  void *data = nullptr;
  size_t length = 0;
  if (napi_is_typedarray(env, value, &is) == napi_ok && is) {
    napi_typedarray_type type;
    if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
    static constexpr uint8_t widths[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
    if (static_cast<size_t>(type) >= sizeof widths) return false;
    *out = {static_cast<char *>(data), length * widths[type]};
    return true;
  }
  if (napi_is_dataview(env, value, &is) == napi_ok && is) {
    if (napi_get_dataview_info(env, value, &length, &data, nullptr, nullptr) != napi_ok) return false;
    *out = {static_cast<char *>(data), length};
    return true;
  }
  return false;
}

bool doubles(napi_env env, napi_value value, double **data, size_t *length) {
  napi_typedarray_type type;
  void *start = nullptr;
  if (napi_get_typedarray_info(env, value, &type, length, &start, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array)
    return false;
  *data = static_cast<double *>(start);
  return true;
}

napi_value owner_or_null(napi_env env, napi_value value) {
  napi_valuetype type;
  return napi_typeof(env, value, &type) == napi_ok && (type == napi_object || type == napi_function) ? value : nullptr;
}

Device *known_device(double number) {
  Device *d = number >= 0 && number < kMaxDevices ? device(static_cast<int32_t>(number)) : nullptr;
  if (d == nullptr) fail(GP_BAD_ARGUMENT, "device %.17g is not open", number);
  return d;
}

namespace {

// What a function of JavaScript carries: the environment and the entry.
struct Bound {
  Environment *environment;
  const Entry *entry;
};

napi_value call_entry(napi_env env, napi_callback_info info) {
  try {
    void *data = nullptr;
    Arguments a;
    a.info = info;
    if (napi_get_cb_info(env, info, &a.given, a.at, nullptr, &data) != napi_ok) return nullptr;
    auto *bound = static_cast<Bound *>(data);
    return bound->entry->function(bound->environment, env, a);
  } catch (const std::bad_alloc &) {
    napi_throw_error(env, "ERR_OUT_OF_MEMORY", "the host has no memory left for bookkeeping");
  } catch (const std::exception &error) {
    napi_throw_error(env, "ERR_NATIVE", error.what());
  } catch (...) {
    napi_throw_error(env, "ERR_NATIVE", "unknown failure in the native core");
  }
  return nullptr;
}

void forget_bound(napi_env, void *data, void *) { delete[] static_cast<Bound *>(data); }

napi_value define_all(napi_env env, napi_value exports) {
  if (!read_memory_limit()) return throw_error(env, "ERR_MEMORY_LIMIT");
  Environment *e = create_environment(env);
  if (e == nullptr) {
    napi_throw_error(env, "ERR_NATIVE", "the native core cannot set up its environment");
    return nullptr;
  }
  const Entry *tables[] = {device_entries, memory_entries, run_entries, program_entries};
  size_t total = 0;
  for (const Entry *t : tables)
    for (; t->name != nullptr; t++) total++;
  auto *bound = new Bound[total];
  napi_set_instance_data(env, bound, &forget_bound, nullptr);
  for (const Entry *t : tables) {
    for (; t->name != nullptr; t++, bound++) {
      *bound = {e, t};
      napi_value f;
      if (napi_create_function(env, t->name, NAPI_AUTO_LENGTH, &call_entry, bound, &f) != napi_ok) return nullptr;
      set(env, exports, t->name, f);
    }
  }
  return exports;
}

}  // namespace
}  // namespace gp

NAPI_MODULE_INIT() {
  try {
    return gp::define_all(env, exports);
  } catch (const std::exception &error) {
    napi_throw_error(env, "ERR_NATIVE", error.what());
  } catch (...) {
    napi_throw_error(env, "ERR_NATIVE", "the native core failed while loading");
  }
  return nullptr;
}
