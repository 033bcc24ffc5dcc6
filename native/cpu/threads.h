// The process-wide thread pool: bounded spin, then futex; tiles are claimed one by one from an atomic counter.
//
// Nothing here decides *what* a tile computes: kernels cut their work into tiles whose number does not depend on the
// number of threads, so results have the same bits for every thread count.
#pragma once
#include <cstdint>

namespace gp {

// Threads that work on a parallel region, the caller included. Default: physical cores that the process may use
// (affinity and cgroup quota), or GRADPROOF_THREADS.
int thread_count();
void set_thread_count(int count);  // 1 or more; takes effect with the next region

// Runs body(arg, tile, slot) for every tile in [0, tiles), on the caller and on pool threads. `slot` is in
// [0, thread_count()): it numbers the thread within this region and selects its part of the scratch memory.
// Returns when all tiles are done. A region started inside a region runs on the calling thread alone (slot as given
// by the outer region is not passed on: the inner one sees slot 0). Regions started by different host threads are
// serialised. `body` must not throw.
void parallel_tiles(int64_t tiles, void (*body)(void *arg, int64_t tile, int slot), void *arg);

// Keeps workers spinning between the regions of one step (replayed programs call these); calls nest.
void step_begin();
void step_end();

// Ends and joins all workers; the pool starts again by itself when it is needed. Called from an environment clean-up
// hook so that process exit neither hangs nor crashes.
void shutdown_threads();

}  // namespace gp
