// The functions that JavaScript sees, by file: devices, memory, running.
#pragma once
#include <node_api.h>

#include "environment.h"

namespace gp {

// The arguments of one call; missing ones are undefined.
struct Arguments {
  static constexpr size_t kInline = 10;
  napi_value at[kInline];
  size_t given = kInline;
  napi_callback_info info;

  double number(napi_env env, size_t i) const {
    double v = -1;
    napi_get_value_double(env, at[i], &v);
    return v;
  }
  // Where there are more than kInline of them.
  void all(napi_env env, std::vector<napi_value> *out) const {
    size_t n = given;
    out->resize(n);
    napi_get_cb_info(env, info, &n, out->data(), nullptr, nullptr);
  }
};

struct Entry {
  const char *name;
  napi_value (*function)(Environment *e, napi_env env, const Arguments &a);
};

// Tables end with an empty entry.
extern const Entry device_entries[];
extern const Entry memory_entries[];
extern const Entry run_entries[];
extern const Entry program_entries[];

// ---- results and conversions
// ------------------------------------------------------------------------------------------

inline napi_value number(napi_env env, double v) {
  napi_value r;
  return napi_create_double(env, v, &r) == napi_ok ? r : nullptr;
}

inline napi_value integer(napi_env env, int32_t v) {
  napi_value r;
  return napi_create_int32(env, v, &r) == napi_ok ? r : nullptr;
}

inline napi_value text(napi_env env, const char *v) {
  napi_value r;
  return napi_create_string_utf8(env, v, NAPI_AUTO_LENGTH, &r) == napi_ok ? r : nullptr;
}

inline napi_value boolean(napi_env env, bool v) {
  napi_value r;
  return napi_get_boolean(env, v, &r) == napi_ok ? r : nullptr;
}

inline void set(napi_env env, napi_value object, const char *name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

// Throws a JavaScript Error with `code` and the words of last_error().
napi_value throw_error(napi_env env, const char *code);

struct Bytes {
  char *data;
  size_t length;
};
// The memory of a typed array, DataView or Buffer.
bool view_bytes(napi_env env, napi_value value, Bytes *out);
// The elements of a Float64Array.
bool doubles(napi_env env, napi_value value, double **data, size_t *length);
// undefined and null become nullptr.
napi_value owner_or_null(napi_env env, napi_value value);

// The device with that number; null with words.
Device *known_device(double number);

}  // namespace gp
