// Everything that belongs to one JavaScript environment (the main thread or a worker thread).
#pragma once
#include <node_api.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "call.h"
#include "program.h"
#include "queue.h"
#include "storage.h"

namespace gp {

struct Environment {
  napi_env env = nullptr;
  HandleTable table;

  double *block = nullptr;  // the call block; null until bound
  size_t block_length = 0;
  napi_ref block_ref = nullptr, stats_ref = nullptr;

  CallFrame frame;
  std::vector<Block> fresh;           // outputs of the call at hand
  std::vector<napi_value> arguments;  // of a call with more than fit Arguments
  gp_status status{};                 // synchronous devices: the cell of eager calls
  std::vector<std::unique_ptr<Program>> programs;
  Run run;  // of the synchronous run at hand: its vectors are used again

  std::unique_ptr<Queue> queues[kMaxDevices];
  napi_threadsafe_function wake = nullptr;
  std::mutex done_mutex;
  std::vector<Job *> done;  // finished on a queue's thread, to be settled here
  int32_t in_flight = 0;    // jobs submitted and not settled
  std::atomic<bool> closing{false};

  // Waits until nothing of this environment runs on the device's queue.
  void settle_device(int32_t number) {
    if (queues[number] != nullptr) queues[number]->wait_idle();
  }
  // The queue of a device, started when first needed.
  Queue *queue(int32_t number);
  // Submits a job; takes ownership. Resolved through `wake`.
  void submit(int32_t number, std::unique_ptr<Job> job);
  // JavaScript thread: resolves what is done.
  void settle_done();

  // Writes a failure where JavaScript looks for it; returns `code`.
  int32_t answer(int32_t code, const gp_status &status);
};

// Asks for an orderly end before anything that has registered itself so far is torn down. Called again after every
// backend and device that was loaded, because handlers run in reverse order; the first one that runs does the work.
void before_exit();

// Creates the environment's data, its thread-safe function and its clean-up hook.
Environment *create_environment(napi_env env);

}  // namespace gp
