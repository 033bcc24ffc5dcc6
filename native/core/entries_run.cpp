// run: one call from the block.
#include <algorithm>

#include "entries.h"
#include "error.h"

namespace gp {

namespace {

// Releases what a failing call has allocated.
struct FreshBlocks {
  Device *device;
  std::vector<Block> *blocks;
  size_t count = 0;
  bool keep = false;
  ~FreshBlocks() {
    if (!keep)
      for (size_t i = 0; i < count; i++) device->allocator->release((*blocks)[i]);
  }
};

int32_t failed(Environment *e, int32_t code, int64_t sequence = 0) {
  return e->answer(code, gp_status{sequence, code, 0, 0, 0});
}

// Launches the decoded call with its scratch memory.
int32_t launch(Environment *e, CallFrame *f) {
  Device *d = f->device;
  const gp_kernel *k = f->row->kernel;
  gp_call &c = f->call;
  Block scratch;
  if (k->workspace != nullptr) {
    size_t bytes = k->workspace(&c);
    if (bytes > 0) {
      if (int32_t code = d->allocator->allocate(bytes, &scratch); code != GP_OK) return failed(e, code);
      c.workspace = scratch.data;
      c.workspace_size = bytes;
    }
  }
  e->status.code = GP_OK;
  c.status = d->asynchronous ? d->status : &e->status;
  c.sequence = static_cast<int64_t>(e->table.stats()[kLaunches] += 1);
  int32_t code = k->run(d->context, k, &c);
  // Asynchronous devices order the release with their queue: whoever gets this block next runs after this launch.
  if (scratch.data != nullptr) d->allocator->release(scratch);
  if (!d->asynchronous && e->status.code != GP_OK) {
    fail(e->status.code, "[%s] failed at position %lld with value %.17g", k->op,
         static_cast<long long>(e->status.position), e->status.value);
    return e->answer(e->status.code, e->status);
  }
  if (code != GP_OK) {
    fail(code, "[%s] failed: %s", k->op, d->api->last_error());
    return failed(e, code, c.sequence);
  }
  return GP_OK;
}

int32_t run_block(Environment *e, napi_env env, const napi_value *owners, size_t n_owners) {
  CallFrame *f = &e->frame;
  if (e->block == nullptr) return fail(GP_BAD_ARGUMENT, "run needs a bound call block");
  int32_t code = decode_call(e->block, e->block + e->block_length, &resolve_handle, &e->table, true, f);
  if (code != GP_OK) return failed(e, code);
  Device *d = f->device;
  e->settle_device(d->number);
  size_t n = static_cast<size_t>(f->n_fresh);
  if (e->fresh.size() < n) e->fresh.resize(n);
  FreshBlocks fresh{d, &e->fresh};
  for (size_t i = 0; i < n; i++) {
    code = d->allocator->allocate(f->fresh[i].bytes, &e->fresh[i]);
    if (code != GP_OK) return failed(e, code);
    fresh.count++;
    f->outputs[static_cast<size_t>(f->fresh[i].view)].data = e->fresh[i].data;
  }
  code = launch(e, f);
  if (code != GP_OK) return code;
  for (size_t i = 0; i < n; i++) {
    napi_value owner = i < n_owners ? owner_or_null(env, owners[i]) : nullptr;
    int32_t handle = e->table.insert(env, d, e->fresh[i], owner);
    if (handle == 0) {
      for (size_t k = 0; k < i; k++) e->table.release(env, e->block[k]);
      for (size_t k = i; k < n; k++) d->allocator->release(e->fresh[k]);
      fresh.keep = true;
      return failed(e, kOutOfHandles);
    }
    e->block[i] = handle;
  }
  fresh.keep = true;
  e->table.update_pool();
  return GP_OK;
}

napi_value run(Environment *e, napi_env env, const Arguments &a) {
  if (a.given <= Arguments::kInline) return integer(env, run_block(e, env, a.at, a.given));
  a.all(env, &e->arguments);
  return integer(env, run_block(e, env, e->arguments.data(), e->arguments.size()));
}

}  // namespace

const Entry run_entries[] = {{"run", run}, {nullptr, nullptr}};

}  // namespace gp
