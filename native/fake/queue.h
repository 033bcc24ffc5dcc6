// The test backend's queue: as late as it can be. Nothing runs before somebody waits for it (or kDepth commands stand
// in line), so a caller that forgets to wait sees old memory every time, not once in a thousand runs.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace gp_fake {

class Queue {
 public:
  Queue();
  ~Queue();  // what has not run by now is dropped

  // Returns the command's ticket: 1, 2, 3…
  uint64_t push(std::function<void()> command);
  uint64_t last();
  void wait(uint64_t ticket);

 private:
  static constexpr uint64_t kDepth = 256;
  void work();

  std::mutex mutex_;
  std::condition_variable wanted_, done_;
  std::deque<std::function<void()>> commands_;
  uint64_t pushed_ = 0, wanted_up_to_ = 0, finished_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gp_fake
