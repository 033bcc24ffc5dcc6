// The handle table of one environment: which storages exist, who owns them, which are in flight.
//
// A handle is 22 bits of slot and 9 bits of generation, a small integer in JavaScript. Freed slots are reused first in,
// first out, and not before kReserve of them wait: a stale handle is recognised for at least 2 million allocations.
// Everything here belongs to the environment's JavaScript thread.
#pragma once
#include <node_api.h>

#include <cstdint>
#include <vector>

#include "devices.h"

namespace gp {

struct Storage {
  Block block;
  Device *device = nullptr;
  napi_ref owner = nullptr;  // weak; null: lives until released
  uint32_t owned_at = 0;     // position in the list of owned slots
  uint32_t pins = 0;         // programs and reads in flight
  uint32_t next_free = 0;
  uint16_t generation = 0;
  enum State : uint8_t { kFree, kLive, kDying } state = kFree;  // kDying: released while pinned
};

// Mirrors Stat of lib/native/addon.ts.
enum StatIndex {
  kLiveBytes,
  kLiveObjects,
  kPeakBytes,
  kBytesSinceSweep,
  kObjectsSinceSweep,
  kPoolBytes,
  kAllocations,
  kLaunches,
  kInFlight,
  kArenaBytes,
  kStatLength = 16
};

class HandleTable {
 public:
  HandleTable() : slots_(1) {}

  // Where the counters are kept: the array that JavaScript sees, or a private one before it is bound.
  double *stats() { return stats_; }
  void bind_stats(double *stats);

  // A new handle for a block; 0 when all slots are taken (then the block is still the caller's).
  int32_t insert(napi_env env, Device *device, const Block &block, napi_value owner);
  // Null when the handle is stale, with words.
  Storage *find(double handle);
  Storage *at(uint32_t slot) { return &slots_[slot]; }
  static uint32_t slot_of(double handle) { return static_cast<uint32_t>(handle) & kSlotMask; }

  int32_t set_owner(napi_env env, Storage *storage, napi_value owner);
  // Stale handles are ignored.
  void release(napi_env env, double handle);
  uint32_t sweep(napi_env env);
  void release_all(napi_env env);

  void pin(uint32_t slot) { slots_[slot].pins++; }
  void unpin(uint32_t slot);

  void count_arena(int64_t bytes);  // program memory: live, but no storage
  void update_pool() { stats_[kPoolBytes] = static_cast<double>(memory_totals().pool.load(std::memory_order_relaxed)); }

 private:
  static constexpr uint32_t kSlotBits = 22, kSlotMask = (1u << kSlotBits) - 1, kGenerationMask = 511;
  static constexpr uint32_t kReserve = 4096;

  void retire(napi_env env, uint32_t slot);
  void free_slot(uint32_t slot);
  void forget_owner(napi_env env, uint32_t slot);

  std::vector<Storage> slots_;   // slot 0 is never used: handle 0 means none
  std::vector<uint32_t> owned_;  // slots with an owner, in no order
  uint32_t first_free_ = 0, last_free_ = 0, free_count_ = 0;
  double own_stats_[kStatLength] = {};
  double *stats_ = own_stats_;
};

}  // namespace gp
