// Tiles are cut into a range for each thread. A range's word holds (generation, tiles left); a thread claims a tile by
// decrementing it with compare-and-swap, first its own, then those of others. So a worker that wakes late, in whatever
// generation, either claims a live tile or nothing: the join waits for tiles, never for threads, and a descheduled
// worker delays nobody unless it holds a tile. And the same part of every region falls to the same thread, which often
// finds what the region before left in its own cache.
#include "threads.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cpu.h"
#ifdef __linux__
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <condition_variable>
#endif

namespace gp {
namespace {

constexpr int kMaxThreads = 1024;
constexpr int64_t kColdSpin = 60'000;  // ns a worker spins for the next region before it sleeps
constexpr int64_t kHotSpin =
    1'000'000;                         // the same between step_begin and step_end: bounded, or a busy neighbour starves
constexpr int64_t kJoinSpin = 50'000;  // ns the caller spins for tiles that others hold
constexpr int64_t kStay = 1'000'000;   // ns between two moves of a worker to another processor

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

inline int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A word to sleep on: returns at once when the word is not `seen`, may wake spuriously.
class Doorbell {
 public:
  std::atomic<uint32_t> word{0};
  std::atomic<int32_t> sleepers{0};

  // `ready`: what it would be woken for has come already.
  template <class F>
  void sleep(uint32_t seen, const F &ready) {
    sleepers.fetch_add(1, std::memory_order_seq_cst);
#ifdef __linux__
    if (!ready() && word.load(std::memory_order_seq_cst) == seen)
      syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
#else
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return ready() || word.load(std::memory_order_seq_cst) != seen; });
#endif
    sleepers.fetch_sub(1, std::memory_order_relaxed);
  }

  // The word changes for everybody who spins on it.
  void ring(int count) {
    word.fetch_add(1, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) != 0) wake(count);
  }

  // For those alone who sleep and whose `ready` is true by now.
  void ring_sleepers(int count) {
    if (sleepers.load(std::memory_order_seq_cst) != 0) ring(count);
  }

 private:
  void wake(int count) {
#ifdef __linux__
    syscall(SYS_futex, reinterpret_cast<uint32_t *>(&word), FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
#else
    (void)count;
    { std::lock_guard<std::mutex> lock(mutex_); }
    changed_.notify_all();
#endif
  }

#ifndef __linux__
  std::mutex mutex_;
  std::condition_variable changed_;
#endif
};

using Body = void (*)(void *, int64_t, int);

// A busy machine may wake a worker on the processor where the caller runs, and leave it there for a long time: then one
// of them waits while the other works, and two threads are as slow as one.
#ifdef __linux__
inline int current_cpu() { return sched_getcpu(); }

// Has the system move this thread to another processor; it is free to go anywhere afterwards.
void leave_cpu(int cpu) {
  cpu_set_t all, rest;
  if (sched_getaffinity(0, sizeof all, &all) != 0) return;
  rest = all;
  CPU_CLR(static_cast<size_t>(cpu), &rest);
  if (CPU_COUNT(&rest) == 0 || sched_setaffinity(0, sizeof rest, &rest) != 0) return;
  sched_setaffinity(0, sizeof all, &all);
}
#else
inline int current_cpu() { return -1; }
void leave_cpu(int) {}
#endif

// A thread's claims of a region: those that begin at slot * claims / ranges.
struct alignas(128) Range {
  std::atomic<uint64_t> left{0};  // generation << 32 | claims left
};

struct Pool {
  // The region. Written under `serial` while no claim is left; but for the atomics read by a thread only after it
  // claimed. With the doorbell in one line: a worker that sees the bell has the region too.
  alignas(128) Body body = nullptr;
  void *arg = nullptr;
  int64_t tiles = 0;  // of the caller
  int64_t per = 1;    // the caller's tiles per claim: 1 unless they do not fit 31 bits
  uint32_t claims = 0;
  std::atomic<int> ranges{0};
  std::atomic<int> caller_cpu{-1};  // where the region was started
  Doorbell work;

  alignas(128) std::atomic<uint32_t> done{0};  // claims finished in this generation
  alignas(128) Doorbell joined;
  std::atomic<int32_t> hot{0};
  std::atomic<bool> stop{false};
  uint64_t generation = 0;  // under `serial`
  Range range[kMaxThreads];

  std::mutex serial;  // one region at a time; also guards everything below
  std::vector<std::thread> workers;

  std::atomic<int> wanted{0};  // threads including the caller; 0: not decided yet
};

// Allocated once and never destroyed: a static destructor would run while threads still use it.
std::atomic<Pool *> the_pool{nullptr};

Pool &pool() {
  Pool *p = the_pool.load(std::memory_order_acquire);
  if (p != nullptr) return *p;
  Pool *fresh = new Pool;
  if (the_pool.compare_exchange_strong(p, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *p;
}

thread_local bool in_region = false;

int default_threads() {
  if (const char *text = std::getenv("GRADPROOF_THREADS")) {
    char *end = nullptr;
    long n = std::strtol(text, &end, 10);
    if (end != text && *end == 0 && n >= 1) return n < kMaxThreads ? static_cast<int>(n) : kMaxThreads;
  }
  int n = usable_cores();
  return n < kMaxThreads ? n : kMaxThreads;
}

// Claims and runs the tiles of one range until none is left. Returns how many claims.
uint32_t work_off(Pool &p, int from, int slot) {
  std::atomic<uint64_t> &range = p.range[from].left;
  uint32_t finished = 0;
  uint64_t t = range.load(std::memory_order_acquire);
  for (;;) {
    const uint32_t left = static_cast<uint32_t>(t);
    if (left == 0) return finished;
    if (!range.compare_exchange_weak(t, t - 1, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
    const int64_t ranges = p.ranges.load(std::memory_order_relaxed), claims = p.claims;
    const int64_t begin = ((from + 1) * claims / ranges - left) * p.per;
    const int64_t end = begin + p.per < p.tiles ? begin + p.per : p.tiles;
    const Body body = p.body;
    void *arg = p.arg;
    for (int64_t i = begin; i < end; i++) body(arg, i, slot);
    finished++;
    t--;  // probably: nobody else claims here before the end
  }
}

// The same with all ranges, a thread's own first. True if it finished the region's last claim. What is finished is
// counted before it looks around, which takes long beside many threads.
bool work_off(Pool &p, int slot) {
  // Perhaps of a region before or after: it says no more than where to look.
  const int ranges = p.ranges.load(std::memory_order_relaxed);
  for (int i = 0; i < ranges; i++) {
    const uint32_t finished = work_off(p, (slot + i) % ranges, slot);
    if (finished == 0) continue;
    const uint32_t claims = p.claims;  // the region stands until these are counted
    if (p.done.fetch_add(finished, std::memory_order_seq_cst) + finished == claims) return true;
  }
  return false;
}

void worker(Pool &p, int slot) {
  in_region = true;  // a region started by a tile runs on its thread alone
  int64_t left = 0;  // when this thread last changed its processor
  for (;;) {
    uint32_t seen = p.work.word.load(std::memory_order_seq_cst);
    if (p.stop.load(std::memory_order_acquire)) return;
    const int cpu = current_cpu();
    if (cpu >= 0 && cpu == p.caller_cpu.load(std::memory_order_relaxed)) {
      if (int64_t t = now(); t - left > kStay) {
        leave_cpu(cpu);
        left = t;
      }
    }
    if (work_off(p, slot)) p.joined.ring_sleepers(1);
    int64_t start = 0;
    for (int n = 1; p.work.word.load(std::memory_order_acquire) == seen; n++) {
      pause();
      if (n % 64 != 0) continue;
      int64_t t = now();
      if (start == 0) start = t;
      int64_t limit = p.hot.load(std::memory_order_relaxed) > 0 ? kHotSpin : kColdSpin;
      if (t - start > limit) {
        p.work.sleep(seen, [] { return false; });
        break;
      }
    }
  }
}

void end_workers(Pool &p) {
  if (p.workers.empty()) return;
  p.stop.store(true, std::memory_order_release);
  p.work.ring(kMaxThreads);
  for (std::thread &t : p.workers) t.join();
  p.workers.clear();
  p.stop.store(false, std::memory_order_release);
}

void fit_workers(Pool &p) {
  size_t want = static_cast<size_t>(thread_count() - 1);
  if (p.workers.size() == want) return;
  if (p.workers.size() > want) end_workers(p);
  try {
    while (p.workers.size() < want) {
      int slot = static_cast<int>(p.workers.size()) + 1;
      p.workers.emplace_back([&p, slot] { worker(p, slot); });
    }
  } catch (const std::system_error &) {
    p.wanted = static_cast<int>(p.workers.size()) + 1;  // the system gives no more threads: go on with these
  }
}

void join(Pool &p) {
  const auto ready = [&p] { return p.done.load(std::memory_order_seq_cst) == p.claims; };
  int64_t start = 0;
  for (int n = 1;; n++) {
    uint32_t seen = p.joined.word.load(std::memory_order_seq_cst);
    if (ready()) return;
    pause();
    if (n % 64 != 0) continue;
    int64_t t = now();
    if (start == 0) start = t;
    if (t - start > kJoinSpin) p.joined.sleep(seen, ready);
  }
}

}  // namespace

// Without the lock: tiles ask too, while the region's caller holds it.
int thread_count() {
  std::atomic<int> &wanted = pool().wanted;
  int count = wanted.load(std::memory_order_relaxed);
  if (count != 0) return count;
  int none = 0;
  count = default_threads();
  return wanted.compare_exchange_strong(none, count, std::memory_order_relaxed) ? count : none;
}

void set_thread_count(int count) {
  Pool &p = pool();
  std::lock_guard<std::mutex> lock(p.serial);
  p.wanted = count < 1 ? 1 : count < kMaxThreads ? count : kMaxThreads;
}

void parallel_tiles(int64_t tiles, void (*body)(void *arg, int64_t tile, int slot), void *arg) {
  if (tiles <= 0) return;
  if (tiles == 1 || in_region) {
    for (int64_t i = 0; i < tiles; i++) body(arg, i, 0);
    return;
  }
  Pool &p = pool();
  std::lock_guard<std::mutex> lock(p.serial);
  fit_workers(p);
  in_region = true;
  if (p.workers.empty()) {
    for (int64_t i = 0; i < tiles; i++) body(arg, i, 0);
  } else {
    constexpr int64_t most = 0x7fffffff;
    p.body = body;
    p.arg = arg;
    p.tiles = tiles;
    p.per = (tiles + most - 1) / most;
    p.claims = static_cast<uint32_t>((tiles + p.per - 1) / p.per);
    p.done.store(0, std::memory_order_relaxed);
    p.caller_cpu.store(current_cpu(), std::memory_order_relaxed);
    const int helpers = static_cast<int>(p.workers.size());
    const int ranges = static_cast<int64_t>(p.claims) < helpers + 1 ? static_cast<int>(p.claims) : helpers + 1;
    p.ranges.store(ranges, std::memory_order_relaxed);
    p.generation++;
    for (int64_t r = 0; r < ranges; r++) {
      const int64_t claims = (r + 1) * p.claims / ranges - r * p.claims / ranges;
      p.range[r].left.store(p.generation << 32 | static_cast<uint64_t>(claims), std::memory_order_release);
    }
    p.work.ring(static_cast<int64_t>(p.claims) - 1 < helpers ? static_cast<int>(p.claims) - 1 : helpers);
    work_off(p, 0);
    join(p);
  }
  in_region = false;
}

void step_begin() { pool().hot.fetch_add(1, std::memory_order_relaxed); }
void step_end() { pool().hot.fetch_sub(1, std::memory_order_relaxed); }

void shutdown_threads() {
  Pool *p = the_pool.load(std::memory_order_acquire);
  if (p == nullptr) return;
  std::lock_guard<std::mutex> lock(p->serial);
  end_workers(*p);
}

}  // namespace gp
