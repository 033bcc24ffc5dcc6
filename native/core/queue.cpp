#include "queue.h"

#include "environment.h"

namespace gp {

Queue::~Queue() { stop(); }

void Queue::push(std::unique_ptr<Job> job) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  jobs_.push_back(std::move(job));
  pending_.fetch_add(1, std::memory_order_release);
  arrived_.notify_one();
}

void Queue::wait_slowly() {
  std::unique_lock<std::mutex> lock(mutex_);
  idle_.wait(lock, [this] { return pending_.load() == 0; });
}

void Queue::stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    arrived_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  std::lock_guard<std::mutex> done(environment_->done_mutex);
  for (auto &job : jobs_) environment_->done.push_back(job.release());
  jobs_.clear();
  pending_ = 0;
}

void Queue::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    if (stopping_) return;
    std::unique_ptr<Job> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job->run();
    {
      std::lock_guard<std::mutex> done(environment_->done_mutex);
      environment_->done.push_back(job.release());
    }
    // Before the thread-safe function is torn down the clean-up hook joins this thread, so the call is always valid.
    // Nobody would hear it once the environment closes.
    if (!environment_->closing) napi_call_threadsafe_function(environment_->wake, nullptr, napi_tsfn_nonblocking);
    lock.lock();
    if (pending_.fetch_sub(1) == 1) idle_.notify_all();
  }
}

}  // namespace gp
