// A caching allocator, one per opened device and shared by all environments of the process.
//
// Small blocks (up to 32 KB) are carved from slabs, one size class per slab; bigger ones are cut from segments by best
// fit, split when more than an eighth would be wasted and joined again with free neighbours. Nothing goes back to the
// backend before trim(): fresh pages cost ten times DRAM. Device memory is never touched: all bookkeeping is host side.
#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <vector>

#include "../include/backend.h"

namespace gp {

struct Slab;
struct Chunk;

// A piece of device memory. Exactly one of slab and chunk is set.
struct Block {
  void *data = nullptr;
  size_t bytes = 0;     // as asked for: what the live counters count
  size_t capacity = 0;  // as handed out
  Slab *slab = nullptr;
  Chunk *chunk = nullptr;
};

// Counters over all devices of the process.
struct MemoryTotals {
  std::atomic<int64_t> live{0};   // bytes asked for and not released
  std::atomic<int64_t> pool{0};   // bytes taken from backends
  std::atomic<int64_t> limit{0};  // upper bound of `live`; 0: none
};
MemoryTotals &memory_totals();

// Reads GRADPROOF_MEMORY_LIMIT ("512M", "2G", plain bytes) once; returns false when it is set and not understood.
bool read_memory_limit();

class Allocator {
 public:
  Allocator(const gp_backend *backend, gp_context *context) : backend_(backend), context_(context) {}
  ~Allocator();
  Allocator(const Allocator &) = delete;
  Allocator &operator=(const Allocator &) = delete;

  // GP_OK, or GP_OUT_OF_MEMORY with words; then nothing has changed. 0 bytes is valid and gives a non-null pointer.
  int32_t allocate(size_t bytes, Block *out);
  void release(const Block &block);
  // Gives whole free segments back to the backend; the bytes given back.
  size_t trim();

 private:
  struct BySize {
    bool operator()(const Chunk *a, const Chunk *b) const;
  };

  bool reserve_live(size_t bytes);
  Chunk *take_chunk(size_t bytes);  // at most an eighth more than asked for
  Chunk *grow(size_t bytes);
  void give_chunk(Chunk *chunk);
  bool take_small(int size_class, Block *out);
  void drop_slab(Slab *slab);
  size_t trim_locked();

  static constexpr int kClasses = 56;  // classes of small blocks: see size_class() in allocator.cpp

  const gp_backend *backend_;
  gp_context *context_;
  std::mutex mutex_;
  std::set<Chunk *, BySize> free_;
  std::set<Chunk *> segments_;          // the first chunk of every segment
  std::vector<Slab *> open_[kClasses];  // slabs with room; the last one is used first
  std::set<Slab *> empty_;              // slabs without a live block; they also stand in open_
};

}  // namespace gp
