// The pool: every tile once, from several host threads, nested, with changing thread counts, beside busy threads, after
// a shutdown; and what a region costs (printed, not judged: the machine may be busy).
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "kernels.h"

using namespace gp::test;

namespace {

using Clock = std::chrono::steady_clock;
double microseconds(Clock::time_point from) {
  return std::chrono::duration<double, std::micro>(Clock::now() - from).count();
}

struct Counted {
  std::vector<std::atomic<int>> seen;
  std::atomic<int> bad_slot{0};
  int threads;
  Counted(int64_t n, int t) : seen(static_cast<size_t>(n)), threads(t) {}
  static void body(void *arg, int64_t tile, int slot) {
    auto *c = static_cast<Counted *>(arg);
    c->seen[static_cast<size_t>(tile)]++;
    if (slot < 0 || slot >= c->threads) c->bad_slot++;
  }
  bool complete() const {
    for (const auto &s : seen)
      if (s != 1) return false;
    return bad_slot == 0;
  }
};

bool region(int64_t n, int threads) {
  Counted c(n, threads);
  gp::parallel_tiles(n, Counted::body, &c);
  return c.complete();
}

void every_tile_once() {
  for (int threads : {1, 2, 3, 8}) {
    gp::set_thread_count(threads);
    expect(gp::thread_count() == threads, "thread_count() is what was set");
    for (int64_t n : {0, 1, 2, 3, 7, 64, 1000, 100003})
      expect(region(n, threads), "%d threads, %lld tiles", threads, static_cast<long long>(n));
    for (int i = 0; i < 20000; i++)
      if (!region(3, threads)) expect(false, "%d threads, small region %d", threads, i);
  }
}

void host_threads() {
  gp::set_thread_count(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> hosts;
  for (int h = 0; h < 4; h++)
    hosts.emplace_back([&wrong] {
      for (int i = 0; i < 3000; i++) wrong += !region(1 + i % 17, 8);
    });
  for (int i = 0; i < 200; i++) gp::set_thread_count(1 + i % 4);
  for (std::thread &t : hosts) t.join();
  expect(wrong == 0, "regions of four host threads: %d wrong", wrong.load());
}

void nested() {
  gp::set_thread_count(4);
  std::atomic<int> wrong{0}, inner{0};
  struct Arg {
    std::atomic<int> *wrong, *inner;
  } arg{&wrong, &inner};
  gp::parallel_tiles(
      64,
      [](void *a, int64_t, int) {
        auto *outer = static_cast<Arg *>(a);
        gp::parallel_tiles(
            10,
            [](void *b, int64_t, int slot) {
              auto *in = static_cast<Arg *>(b);
              (*in->inner)++;
              *in->wrong += slot != 0 || gp::thread_count() != 4;
            },
            outer);
      },
      &arg);
  expect(
      inner == 640 && wrong == 0,
      "a region inside a region runs all its tiles on its thread with slot 0, and may ask for the number of threads");
}

void restart() {
  gp::set_thread_count(4);
  for (int i = 0; i < 50; i++) {
    expect(region(100, 4), "region %d", i);
    gp::shutdown_threads();
  }
  expect(region(100, 4), "the pool starts again after a shutdown");
}

void sleeping_tiles() {  // a tile that sleeps: the others are not lost, the join waits
  gp::set_thread_count(3);
  std::atomic<int> done{0};
  gp::parallel_tiles(
      6,
      [](void *a, int64_t tile, int) {
        if (tile % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        (*static_cast<std::atomic<int> *>(a))++;
      },
      &done);
  expect(done == 6, "the join waits for tiles that sleep");
}

void stealing() {  // a tile that waits for all others, those of its own thread's range too
  for (int threads : {2, 3, 7}) {
    gp::set_thread_count(threads);
    for (int waiting : {0, 20, 39}) {
      struct Arg {
        std::atomic<int> others{0};
        int waiting;
        bool all = false;
      } arg;
      arg.waiting = waiting;
      gp::parallel_tiles(
          40,
          [](void *a, int64_t tile, int) {
            auto *x = static_cast<Arg *>(a);
            if (tile != x->waiting) {
              x->others++;
              return;
            }
            const auto start = Clock::now();
            while (x->others < 39 && microseconds(start) < 5e6) std::this_thread::yield();
            x->all = x->others == 39;
          },
          &arg);
      expect(arg.all, "%d threads: the others do all tiles beside tile %d", threads, waiting);
    }
  }
}

void cost(const char *what, int busy) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> neighbours;
  for (int i = 0; i < busy; i++)
    neighbours.emplace_back([&stop] {
      while (!stop) {
      }
    });
  gp::set_thread_count(2);
  std::vector<double> t;
  gp::step_begin();
  for (int i = 0; i < 3000; i++) {
    auto start = Clock::now();
    gp::parallel_tiles(
        2, [](void *, int64_t, int) {}, nullptr);
    t.push_back(microseconds(start));
  }
  gp::step_end();
  stop = true;
  for (std::thread &n : neighbours) n.join();
  std::sort(t.begin(), t.end());
  std::printf("%s: an empty region of 2 tiles: median %.2f us, p90 %.2f, p99 %.2f\n", what, t[t.size() / 2],
              t[t.size() * 9 / 10], t[t.size() * 99 / 100]);
  // A pool whose join waits for descheduled workers takes time slices of milliseconds here.
  expect(t[t.size() / 2] < 1000, "%s: the median region takes %.0f us", what, t[t.size() / 2]);
}

}  // namespace

int main() {
  std::printf("usable cores: %d\n", gp::usable_cores());
  expect(gp::usable_cores() >= 1, "at least one core");
  every_tile_once();
  host_threads();
  nested();
  sleeping_tiles();
  stealing();
  restart();
  cost("alone", 0);
  cost("two busy neighbours per two threads", 4);
  gp::shutdown_threads();
  return report();
}
