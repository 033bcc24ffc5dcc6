// Work that runs beside the event loop: one thread per environment and device, first in, first out.
#pragma once
#include <node_api.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

namespace gp {

struct Environment;

struct Job {
  napi_deferred deferred = nullptr;
  virtual ~Job() = default;
  virtual void run() = 0;  // on the queue's thread
  virtual void settle(Environment *e,
                      bool resolve) = 0;  // on the JavaScript thread; resolve is false while tearing down
};

class Queue {
 public:
  explicit Queue(Environment *environment) : environment_(environment) {}
  ~Queue();

  void push(std::unique_ptr<Job> job);
  void wait_idle() {
    if (pending_.load(std::memory_order_acquire) != 0) wait_slowly();
  }
  // Drops what has not started, waits for what runs, ends the thread. The dropped jobs count as done.
  void stop();

 private:
  void work();
  void wait_slowly();

  Environment *environment_;
  std::mutex mutex_;
  std::condition_variable arrived_, idle_;
  std::deque<std::unique_ptr<Job>> jobs_;
  std::atomic<int> pending_{0};
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gp
