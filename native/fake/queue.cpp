#include "queue.h"

namespace gp_fake {

Queue::Queue() : thread_([this] { work(); }) {}

Queue::~Queue() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  wanted_.notify_one();
  thread_.join();
}

uint64_t Queue::push(std::function<void()> command) {
  std::lock_guard<std::mutex> lock(mutex_);
  commands_.push_back(std::move(command));
  pushed_++;
  if (pushed_ - finished_ > kDepth && wanted_up_to_ < pushed_) {
    wanted_up_to_ = pushed_;
    wanted_.notify_one();
  }
  return pushed_;
}

uint64_t Queue::last() {
  std::lock_guard<std::mutex> lock(mutex_);
  return pushed_;
}

void Queue::wait(uint64_t ticket) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (wanted_up_to_ < ticket) wanted_up_to_ = ticket;
  wanted_.notify_one();
  done_.wait(lock, [&] { return finished_ >= ticket; });
}

void Queue::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wanted_.wait(lock, [this] { return stopping_ || (finished_ < wanted_up_to_ && !commands_.empty()); });
    if (stopping_) return;
    std::function<void()> command = std::move(commands_.front());
    commands_.pop_front();
    lock.unlock();
    command();
    lock.lock();
    finished_++;
    done_.notify_all();
  }
}

}  // namespace gp_fake
