// allocate, release, own, bytes, write, read, readAsync, copy, sweep, trim, setMemoryLimit.
#include <cstring>

#include "entries.h"
#include "error.h"

namespace gp {

namespace {

napi_value allocate(Environment *e, napi_env env, const Arguments &a) {
  Device *d = known_device(a.number(env, 0));
  double bytes = a.number(env, 1);
  bool zero = false;
  napi_get_value_bool(env, a.at[3], &zero);
  if (d == nullptr) return integer(env, GP_BAD_ARGUMENT);
  if (!(bytes >= 0 && bytes <= 9007199254740992.0))
    return integer(env, fail(GP_BAD_ARGUMENT, "the size of a storage must be a number of bytes, got %.17g", bytes));
  Block block;
  if (int32_t code = d->allocator->allocate(static_cast<size_t>(bytes), &block); code != GP_OK)
    return integer(env, code);
  if (zero && block.bytes > 0) {
    if (int32_t code = d->api->fill(d->context, block.data, 0, block.bytes); code != GP_OK) {
      d->allocator->release(block);
      return integer(env, fail(code, "a new storage cannot be filled: %s", d->api->last_error()));
    }
  }
  int32_t handle = e->table.insert(env, d, block, owner_or_null(env, a.at[2]));
  if (handle == 0) {
    d->allocator->release(block);
    return integer(env, kOutOfHandles);
  }
  e->table.update_pool();
  return integer(env, handle);
}

napi_value release(Environment *e, napi_env env, const Arguments &a) {
  e->table.release(env, a.number(env, 0));
  return nullptr;
}

napi_value own(Environment *e, napi_env env, const Arguments &a) {
  Storage *s = e->table.find(a.number(env, 0));
  if (s == nullptr) return integer(env, kStaleHandle);
  return integer(env, e->table.set_owner(env, s, owner_or_null(env, a.at[1])));
}

napi_value bytes(Environment *e, napi_env env, const Arguments &a) {
  Storage *s = e->table.find(a.number(env, 0));
  return s == nullptr ? integer(env, kStaleHandle) : number(env, static_cast<double>(s->block.bytes));
}

// A range of a storage: GP_OK, or a code with words.
int32_t range(Environment *e, double handle, double offset, double length, Storage **out) {
  Storage *s = e->table.find(handle);
  if (s == nullptr) return kStaleHandle;
  if (!(offset >= 0 && offset <= 9007199254740992.0 && offset + length <= static_cast<double>(s->block.bytes)) ||
      offset != static_cast<double>(static_cast<int64_t>(offset)))
    return fail(GP_BAD_ARGUMENT, "bytes [%.17g, +%.17g) lie outside a storage of %zu bytes", offset, length,
                s->block.bytes);
  *out = s;
  return GP_OK;
}

char *at(Storage *s, double offset) { return static_cast<char *>(s->block.data) + static_cast<size_t>(offset); }

napi_value write(Environment *e, napi_env env, const Arguments &a) {
  Bytes source;
  Storage *s = nullptr;
  if (!view_bytes(env, a.at[2], &source)) return integer(env, fail(GP_BAD_ARGUMENT, "write needs a typed array"));
  double offset = a.number(env, 1);
  if (int32_t code = range(e, a.number(env, 0), offset, static_cast<double>(source.length), &s); code != GP_OK)
    return integer(env, code);
  if (source.length == 0) return integer(env, GP_OK);
  Device *d = s->device;
  e->settle_device(d->number);
  int32_t code = d->api->upload(d->context, at(s, offset), source.data, source.length);
  return integer(env, code == GP_OK ? GP_OK : fail(code, "upload failed: %s", d->api->last_error()));
}

napi_value read(Environment *e, napi_env env, const Arguments &a) {
  Bytes target;
  Storage *s = nullptr;
  if (!view_bytes(env, a.at[2], &target)) return integer(env, fail(GP_BAD_ARGUMENT, "read needs a typed array"));
  double offset = a.number(env, 1);
  if (int32_t code = range(e, a.number(env, 0), offset, static_cast<double>(target.length), &s); code != GP_OK)
    return integer(env, code);
  Device *d = s->device;
  e->settle_device(d->number);
  gp_status status{};
  int32_t code = fetch(d, target.data, at(s, offset), target.length, &status);
  if (code != GP_OK) return integer(env, e->answer(code, status));
  return integer(env, GP_OK);
}

// Downloads into memory of its own: the target's buffer could be detached while the job waits.
struct ReadJob final : Job {
  Device *device;
  uint32_t slot;
  const char *from;
  std::vector<char> bytes;
  napi_ref target = nullptr;
  int32_t code = GP_OK;
  gp_status status{};
  std::string words;

  void run() override {
    code = fetch(device, bytes.data(), from, bytes.size(), &status);
    if (code != GP_OK) words = last_error();
  }

  void settle(Environment *e, bool resolve) override {
    e->table.unpin(slot);
    napi_value value = nullptr;
    if (resolve) {
      Bytes now;
      napi_get_reference_value(e->env, target, &value);
      if (code == GP_OK && value != nullptr) {
        if (view_bytes(e->env, value, &now) && now.length == bytes.size()) {
          if (!bytes.empty()) memcpy(now.data, bytes.data(), bytes.size());
        } else {
          code = fail(GP_BAD_ARGUMENT, "the target of readAsync was detached or resized meanwhile");
        }
      } else if (code != GP_OK) {
        fail(code, "%s", words.c_str());
        e->answer(code, status);
      }
      napi_resolve_deferred(e->env, deferred, integer(e->env, code));
    }
    napi_delete_reference(e->env, target);
  }
};

napi_value read_async(Environment *e, napi_env env, const Arguments &a) {
  Bytes target;
  Storage *s = nullptr;
  double offset = a.number(env, 1), handle = a.number(env, 0);
  int32_t code = view_bytes(env, a.at[2], &target) ? range(e, handle, offset, static_cast<double>(target.length), &s)
                                                   : fail(GP_BAD_ARGUMENT, "readAsync needs a typed array");
  auto job = std::make_unique<ReadJob>();
  napi_value promise;
  if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) return nullptr;
  if (code == GP_OK && napi_create_reference(env, a.at[2], 1, &job->target) != napi_ok)
    code = fail(GP_BAD_ARGUMENT, "readAsync cannot keep its target");
  if (code != GP_OK) {
    napi_resolve_deferred(env, job->deferred, integer(env, code));
    return promise;
  }
  job->device = s->device;
  job->slot = HandleTable::slot_of(handle);
  job->from = at(s, offset);
  job->bytes.resize(target.length);
  int32_t number = s->device->number;
  e->table.pin(job->slot);
  e->submit(number, std::move(job));
  return promise;
}

napi_value copy(Environment *e, napi_env env, const Arguments &a) {
  double to_offset = a.number(env, 1), from_offset = a.number(env, 3), length = a.number(env, 4);
  Storage *to = nullptr, *from = nullptr;
  if (!(length >= 0) || length != static_cast<double>(static_cast<int64_t>(length)))
    return integer(env, fail(GP_BAD_ARGUMENT, "a length in bytes must be a whole number, got %.17g", length));
  if (int32_t code = range(e, a.number(env, 0), to_offset, length, &to); code != GP_OK) return integer(env, code);
  if (int32_t code = range(e, a.number(env, 2), from_offset, length, &from); code != GP_OK) return integer(env, code);
  size_t n = static_cast<size_t>(length);
  char *target = at(to, to_offset), *source = at(from, from_offset);
  if (n == 0 || target == source) return integer(env, GP_OK);
  Device *d = to->device, *s = from->device;
  e->settle_device(d->number);
  e->settle_device(s->number);
  bool overlap = to == from && target < source + n && source < target + n;
  int32_t code = GP_OK;
  if (d == s && !overlap) {
    code = d->api->copy(d->context, target, source, n);
    return integer(env, code == GP_OK ? GP_OK : fail(code, "copy failed: %s", d->api->last_error()));
  }
  std::vector<char> host(n);
  gp_status status{};
  code = fetch(s, host.data(), source, n, &status);
  if (code != GP_OK) return integer(env, e->answer(code, status));
  code = d->api->upload(d->context, target, host.data(), n);
  return integer(env, code == GP_OK ? GP_OK : fail(code, "upload failed: %s", d->api->last_error()));
}

napi_value sweep(Environment *e, napi_env env, const Arguments &) {
  return integer(env, static_cast<int32_t>(e->table.sweep(env)));
}

napi_value trim(Environment *e, napi_env env, const Arguments &) {
  size_t given = 0;
  for (int32_t i = 0; i < device_total(); i++) given += device(i)->allocator->trim();
  e->table.update_pool();
  return number(env, static_cast<double>(given));
}

napi_value set_memory_limit(Environment *, napi_env env, const Arguments &a) {
  double limit = a.number(env, 0);
  if (!(limit >= 0 && limit <= 9007199254740992.0)) {
    fail(GP_BAD_ARGUMENT, "the memory limit must be a number of bytes (0: none), got %.17g", limit);
    return throw_error(env, "ERR_MEMORY_LIMIT");
  }
  memory_totals().limit = static_cast<int64_t>(limit);
  return nullptr;
}

}  // namespace

const Entry memory_entries[] = {
    {"allocate", allocate},
    {"release", release},
    {"own", own},
    {"bytes", bytes},
    {"write", write},
    {"read", read},
    {"readAsync", read_async},
    {"copy", copy},
    {"sweep", sweep},
    {"trim", trim},
    {"setMemoryLimit", set_memory_limit},
    {nullptr, nullptr},
};

}  // namespace gp
