#include "environment.h"

#include <algorithm>
#include <cstdlib>

#include "../cpu/threads.h"
#include "error.h"
#include "loader.h"

namespace gp {

namespace {

// Never destroyed, like everything static here: at_exit() needs it late.
struct Environments {
  std::mutex mutex;
  std::vector<Environment *> all;
};
Environments &environments() {
  static Environments *e = new Environments;
  return *e;
}

void stop_queues(Environment *e) {
  e->closing = true;
  for (auto &queue : e->queues)
    if (queue != nullptr) queue->stop();
}

// process.exit() ends the process without clean-up hooks on the main thread: threads that still compute must be gone
// before static objects are destroyed. What is live stays live; the system takes it back.
void at_exit() {
  std::lock_guard<std::mutex> lock(environments().mutex);
  if (environments().all.empty()) return;
  for (Environment *e : environments().all) stop_queues(e);
  environments().all.clear();
  close_devices();
  shutdown_threads();
}

void call_js(napi_env env, napi_value, void *context, void *) {
  if (env == nullptr) return;  // the environment is going: the clean-up hook has settled everything
  static_cast<Environment *>(context)->settle_done();
}

// Runs before Node closes the thread-safe function, because it was registered after it (hooks run in reverse order).
void clean_up(void *data) {
  auto *e = static_cast<Environment *>(data);
  stop_queues(e);
  for (Job *job : e->done) {
    job->settle(e, false);
    delete job;
  }
  e->done.clear();
  for (auto &queue : e->queues) queue.reset();
  e->programs.clear();
  e->table.release_all(e->env);
  if (e->block_ref != nullptr) napi_delete_reference(e->env, e->block_ref);
  if (e->stats_ref != nullptr) napi_delete_reference(e->env, e->stats_ref);
  std::lock_guard<std::mutex> lock(environments().mutex);
  auto &all = environments().all;
  all.erase(std::remove(all.begin(), all.end(), e), all.end());
  delete e;
  if (!all.empty()) return;
  close_devices();  // what stands in their queues still runs, with the pool's help
  shutdown_threads();
}

}  // namespace

void before_exit() { std::atexit(&at_exit); }

Environment *create_environment(napi_env env) {
  auto e = std::make_unique<Environment>();
  e->env = env;
  napi_value name;
  if (napi_create_string_utf8(env, "gradproof", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, e.get(), &call_js,
                                      &e->wake) != napi_ok ||
      napi_unref_threadsafe_function(env, e->wake) != napi_ok ||
      napi_add_env_cleanup_hook(env, &clean_up, e.get()) != napi_ok)
    return nullptr;
  std::lock_guard<std::mutex> lock(environments().mutex);
  if (environments().all.empty()) {
    pin_this_library();
    before_exit();
  }
  environments().all.push_back(e.get());
  return e.release();
}

Queue *Environment::queue(int32_t number) {
  if (queues[number] == nullptr) queues[number] = std::make_unique<Queue>(this);
  return queues[number].get();
}

void Environment::submit(int32_t number, std::unique_ptr<Job> job) {
  queue(number)->push(std::move(job));
  if (in_flight++ == 0) napi_ref_threadsafe_function(env, wake);  // a pending promise keeps the process alive
  table.stats()[kInFlight] = 1;
}

void Environment::settle_done() {
  std::vector<Job *> ready;
  {
    std::lock_guard<std::mutex> lock(done_mutex);
    ready.swap(done);
  }
  for (Job *job : ready) {
    if (--in_flight == 0) {
      table.stats()[kInFlight] = 0;
      napi_unref_threadsafe_function(env, wake);
    }
    job->settle(this, true);
    delete job;
  }
}

int32_t Environment::answer(int32_t code, const gp_status &s) {
  if (block == nullptr) return code;
  block[0] = code;
  block[1] = static_cast<double>(s.sequence);
  block[2] = static_cast<double>(s.position);
  block[3] = s.value;
  block[4] = s.reserved;
  return code;
}

}  // namespace gp
