// createProgram, releaseProgram, runProgram, runProgramAsync, profileProgram.
#include <algorithm>
#include <string>

#include "entries.h"
#include "error.h"

namespace gp {

namespace {

constexpr size_t kPrograms = 1 << 24;

Program *find_program(Environment *e, double id) {
  if (id >= 1 && id <= static_cast<double>(e->programs.size())) {
    Program *p = e->programs[static_cast<size_t>(id) - 1].get();
    if (p != nullptr && !p->released) return p;
  }
  fail(kStaleHandle, "there is no program %.17g: it was released, or never made", id);
  return nullptr;
}

void drop_program(Environment *e, Program *p) {
  for (auto &held : e->programs) {
    if (held.get() != p) continue;
    e->table.count_arena(-static_cast<int64_t>(p->arena_bytes()));
    held.reset();
  }
}

napi_value create(Environment *e, napi_env env, const Arguments &a) {
  double *blob;
  size_t length;
  if (!doubles(env, a.at[0], &blob, &length))
    return integer(env, fail(GP_BAD_ARGUMENT, "createProgram needs a Float64Array"));
  auto place = std::find(e->programs.begin(), e->programs.end(), nullptr);
  size_t index = static_cast<size_t>(place - e->programs.begin());
  if (index >= kPrograms) return integer(env, fail(kOutOfHandles, "more than %zu programs are alive", kPrograms));
  int32_t code, id = static_cast<int32_t>(index + 1);
  std::unique_ptr<Program> p = Program::decode(blob, length, id, &code);
  if (p == nullptr) return integer(env, code);
  if (p->outputs() > e->block_length)
    return integer(env, fail(GP_BAD_ARGUMENT, "the program has more outputs than the call block has room"));
  e->table.count_arena(static_cast<int64_t>(p->arena_bytes()));
  if (place == e->programs.end()) {
    e->programs.push_back(std::move(p));
  } else {
    *place = std::move(p);
  }
  e->table.update_pool();
  return integer(env, id);
}

napi_value release(Environment *e, napi_env env, const Arguments &a) {
  Program *p = find_program(e, a.number(env, 0));
  if (p == nullptr) return nullptr;
  p->released = true;
  if (p->in_flight == 0) drop_program(e, p);
  return nullptr;
}

int32_t prepare(Environment *e, napi_env env, double id, napi_value externals, Run *run) {
  Program *p = find_program(e, id);
  if (p == nullptr) return kStaleHandle;
  double *handles;
  size_t n;
  if (!doubles(env, externals, &handles, &n) || n < p->externals())
    return fail(GP_BAD_ARGUMENT, "program %.17g needs a Float64Array of %zu externals", id, p->externals());
  run->program = p;
  run->externals.resize(p->externals());
  run->slots.resize(p->externals());
  for (size_t i = 0; i < p->externals(); i++) {
    Storage *s = e->table.find(handles[i]);
    if (s == nullptr) return kStaleHandle;
    if (s->device != p->device())
      return fail(GP_BAD_ARGUMENT, "external %zu of program %.17g lives on another device", i, id);
    if (s->block.bytes != p->external_bytes(i))
      return fail(GP_BAD_ARGUMENT, "external %zu of program %.17g must have %zu bytes, got %zu", i, id,
                  p->external_bytes(i), s->block.bytes);
    run->externals[i] = s->block.data;
    run->slots[i] = HandleTable::slot_of(handles[i]);
  }
  return GP_OK;
}

void release_outputs(Environment *e, const Run &run) {
  for (double handle : run.handles) e->table.release(e->env, handle);
}

int32_t allocate_outputs(Environment *e, napi_env env, const napi_value *owners, size_t n_owners, Run *run) {
  Program *p = run->program;
  Device *d = p->device();
  run->outputs.resize(p->outputs());
  run->handles.clear();
  for (size_t i = 0; i < p->outputs(); i++) {
    Block block;
    int32_t code = d->allocator->allocate(p->output_bytes(i), &block);
    if (code == GP_OK) {
      int32_t handle = e->table.insert(env, d, block, i < n_owners ? owner_or_null(env, owners[i]) : nullptr);
      if (handle != 0) {
        run->outputs[i] = block.data;
        run->handles.push_back(handle);
        continue;
      }
      d->allocator->release(block);
      code = kOutOfHandles;
    }
    release_outputs(e, *run);
    return code;
  }
  return GP_OK;
}

int32_t run_now(Environment *e, napi_env env, const napi_value *args, size_t n) {
  Run &run = e->run;
  double id = -1;
  if (n < 2) return e->answer(fail(GP_BAD_ARGUMENT, "runProgram needs a program and its externals"), gp_status{});
  if (e->block == nullptr) return fail(GP_BAD_ARGUMENT, "runProgram needs a bound call block");
  napi_get_value_double(env, args[0], &id);
  int32_t code = prepare(e, env, id, args[1], &run);
  if (code != GP_OK) return e->answer(code, gp_status{-1, code, 0, 0, 0});
  e->settle_device(run.program->device()->number);
  code = allocate_outputs(e, env, args + 2, n - 2, &run);
  if (code != GP_OK) return e->answer(code, gp_status{-1, code, 0, 0, 0});
  gp_status status{};
  code = run.program->run(run.externals.data(), run.outputs.data(), e->closing, &status);
  e->table.stats()[kLaunches] += 1;
  if (code != GP_OK) {
    release_outputs(e, run);
    return e->answer(code, status);
  }
  std::copy(run.handles.begin(), run.handles.end(), e->block);
  e->table.update_pool();
  return GP_OK;
}

napi_value run(Environment *e, napi_env env, const Arguments &a) {
  if (a.given <= Arguments::kInline) return integer(env, run_now(e, env, a.at, a.given));
  a.all(env, &e->arguments);
  return integer(env, run_now(e, env, e->arguments.data(), e->arguments.size()));
}

napi_value numbers(napi_env env, const double *from, size_t n) {
  void *data = nullptr;
  napi_value buffer, array;
  if (napi_create_arraybuffer(env, n * sizeof(double), &data, &buffer) != napi_ok) return nullptr;
  std::copy(from, from + n, static_cast<double *>(data));
  return napi_create_typedarray(env, napi_float64_array, n, buffer, 0, &array) == napi_ok ? array : nullptr;
}

struct RunJob final : Job {
  Run bound;
  std::vector<uint32_t> output_slots;
  const std::atomic<bool> *cancel;
  int32_t code = GP_OK;
  gp_status status{};
  std::string words;

  void run() override {
    Device *d = bound.program->device();
    code = bound.program->run(bound.externals.data(), bound.outputs.data(), *cancel, &status);
    if (code == GP_OK && d->asynchronous) code = synchronize(d, &status);
    if (code != GP_OK) words = last_error();
  }

  void settle(Environment *e, bool resolve) override {
    Program *p = bound.program;
    if (--p->in_flight == 0 && p->released) drop_program(e, p);
    for (uint32_t slot : bound.slots) e->table.unpin(slot);
    for (uint32_t slot : output_slots) e->table.unpin(slot);
    if (!resolve) return;
    napi_value answer;
    if (code == GP_OK) {
      answer = numbers(e->env, bound.handles.data(), bound.handles.size());
    } else {
      release_outputs(e, bound);
      fail(code, "%s", words.c_str());
      double failure[] = {static_cast<double>(code), static_cast<double>(status.sequence),
                          static_cast<double>(status.position), status.value};
      answer = numbers(e->env, failure, 4);
    }
    napi_resolve_deferred(e->env, deferred, answer);
  }
};

napi_value run_async(Environment *e, napi_env env, const Arguments &a) {
  auto job = std::make_unique<RunJob>();
  napi_value promise;
  if (napi_create_promise(env, &job->deferred, &promise) != napi_ok) return nullptr;
  uint32_t n = 0;
  std::vector<napi_value> owners;
  if (napi_get_array_length(env, a.at[2], &n) != napi_ok) n = 0;
  owners.resize(n);
  for (uint32_t i = 0; i < n; i++) napi_get_element(env, a.at[2], i, &owners[i]);
  int32_t code = prepare(e, env, a.number(env, 0), a.at[1], &job->bound);
  if (code == GP_OK) code = allocate_outputs(e, env, owners.data(), n, &job->bound);
  if (code != GP_OK) {
    double failure[] = {static_cast<double>(code), -1, 0, 0};
    napi_resolve_deferred(env, job->deferred, numbers(env, failure, 4));
    return promise;
  }
  for (uint32_t slot : job->bound.slots) e->table.pin(slot);
  for (double handle : job->bound.handles) {
    job->output_slots.push_back(HandleTable::slot_of(handle));
    e->table.pin(job->output_slots.back());
  }
  job->cancel = &e->closing;
  job->bound.program->in_flight++;
  e->table.stats()[kLaunches] += 1;
  int32_t number = job->bound.program->device()->number;
  e->submit(number, std::move(job));
  return promise;
}

napi_value profile(Environment *e, napi_env env, const Arguments &a) {
  Program *p = find_program(e, a.number(env, 0));
  if (p == nullptr) return numbers(env, nullptr, 0);
  bool on = false;
  napi_get_value_bool(env, a.at[1], &on);
  e->settle_device(p->device()->number);
  std::vector<double> sums = p->nanoseconds();
  sums.push_back(p->runs());
  p->profile(on);
  return numbers(env, sums.data(), sums.size());
}

}  // namespace

const Entry program_entries[] = {
    {"createProgram", create},      {"releaseProgram", release}, {"runProgram", run},
    {"runProgramAsync", run_async}, {"profileProgram", profile}, {nullptr, nullptr},
};

}  // namespace gp
