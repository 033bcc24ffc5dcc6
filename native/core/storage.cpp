#include "storage.h"

#include <algorithm>
#include <cstring>

#include "error.h"

namespace gp {

void HandleTable::bind_stats(double *stats) {
  memcpy(stats, stats_, sizeof own_stats_);
  stats_ = stats;
}

int32_t HandleTable::insert(napi_env env, Device *device, const Block &block, napi_value owner) {
  uint32_t slot;
  if (free_count_ > kReserve || (slots_.size() > kSlotMask && free_count_ > 0)) {
    slot = first_free_;
    first_free_ = slots_[slot].next_free;
    free_count_--;
    // The next one has not been touched for thousands of allocations.
    const char *next = reinterpret_cast<const char *>(&slots_[first_free_]);
    __builtin_prefetch(next, 1);
    __builtin_prefetch(next + sizeof(Storage) - 1, 1);
  } else {
    if (slots_.size() > kSlotMask) {
      fail(kOutOfHandles, "more than %u storages are alive", kSlotMask);
      return 0;
    }
    slot = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
    owned_.reserve(slots_.capacity());
  }
  Storage &s = slots_[slot];
  s.block = block;
  s.device = device;
  s.owner = nullptr;
  s.pins = 0;
  s.state = Storage::kLive;
  double bytes = static_cast<double>(block.bytes);
  stats_[kLiveBytes] += bytes;
  stats_[kLiveObjects] += 1;
  stats_[kPeakBytes] = std::max(stats_[kPeakBytes], stats_[kLiveBytes]);
  stats_[kBytesSinceSweep] += bytes;
  stats_[kObjectsSinceSweep] += 1;
  stats_[kAllocations] += 1;
  if (owner != nullptr) set_owner(env, &s, owner);
  return static_cast<int32_t>(static_cast<uint32_t>(s.generation) << kSlotBits | slot);
}

Storage *HandleTable::find(double handle) {
  if (handle > 0 && handle < 2147483648.0) {
    uint32_t h = static_cast<uint32_t>(handle), slot = h & kSlotMask;
    if (slot != 0 && slot < slots_.size()) {
      Storage *s = &slots_[slot];
      if (s->state == Storage::kLive && s->generation == h >> kSlotBits && static_cast<double>(h) == handle) return s;
    }
  }
  fail(kStaleHandle, "handle %.17g names no storage: it was released, or never given out", handle);
  return nullptr;
}

int32_t HandleTable::set_owner(napi_env env, Storage *s, napi_value owner) {
  uint32_t slot = static_cast<uint32_t>(s - slots_.data());
  forget_owner(env, slot);
  if (owner == nullptr) return GP_OK;
  if (napi_create_reference(env, owner, 0, &s->owner) != napi_ok) {
    s->owner = nullptr;  // not an object: undefined and null mean "none"
    return GP_OK;
  }
  s->owned_at = static_cast<uint32_t>(owned_.size());
  owned_.push_back(slot);
  return GP_OK;
}

void HandleTable::forget_owner(napi_env env, uint32_t slot) {
  Storage &s = slots_[slot];
  if (s.owner == nullptr) return;
  napi_delete_reference(env, s.owner);
  s.owner = nullptr;
  uint32_t moved = owned_.back();
  owned_[s.owned_at] = moved;
  slots_[moved].owned_at = s.owned_at;
  owned_.pop_back();
}

void HandleTable::release(napi_env env, double handle) {
  if (find(handle) != nullptr) retire(env, slot_of(handle));
}

// The handle is stale from here on; the memory follows when nothing in flight holds it.
void HandleTable::retire(napi_env env, uint32_t slot) {
  Storage &s = slots_[slot];
  forget_owner(env, slot);
  s.generation = static_cast<uint16_t>((s.generation + 1) & kGenerationMask);
  if (s.pins > 0) {
    s.state = Storage::kDying;
  } else {
    free_slot(slot);
  }
}

void HandleTable::free_slot(uint32_t slot) {
  Storage &s = slots_[slot];
  s.device->allocator->release(s.block);
  stats_[kLiveBytes] -= static_cast<double>(s.block.bytes);
  stats_[kLiveObjects] -= 1;
  s.state = Storage::kFree;
  s.next_free = 0;
  if (free_count_ == 0) {
    first_free_ = slot;
  } else {
    slots_[last_free_].next_free = slot;
  }
  last_free_ = slot;
  free_count_++;
}

void HandleTable::unpin(uint32_t slot) {
  Storage &s = slots_[slot];
  if (--s.pins == 0 && s.state == Storage::kDying) free_slot(slot);
}

uint32_t HandleTable::sweep(napi_env env) {
  uint32_t released = 0, in_scope = 0;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return 0;
  for (size_t i = owned_.size(); i-- > 0;) {  // downwards: retire() moves the last one into the gap
    uint32_t slot = owned_[i];
    napi_value owner = nullptr;
    napi_get_reference_value(env, slots_[slot].owner, &owner);
    if (owner == nullptr) {
      retire(env, slot);
      released++;
    } else if (++in_scope == 512) {  // each look makes a local handle that would keep its object alive
      in_scope = 0;
      napi_close_handle_scope(env, scope);
      if (napi_open_handle_scope(env, &scope) != napi_ok) return released;
    }
  }
  napi_close_handle_scope(env, scope);
  return released;
}

void HandleTable::release_all(napi_env env) {
  for (uint32_t slot = 1; slot < slots_.size(); slot++) {
    slots_[slot].pins = 0;
    if (slots_[slot].state == Storage::kLive) {
      retire(env, slot);
    } else if (slots_[slot].state == Storage::kDying) {
      free_slot(slot);
    }
  }
}

void HandleTable::count_arena(int64_t bytes) {
  stats_[kArenaBytes] += static_cast<double>(bytes);
  stats_[kLiveBytes] += static_cast<double>(bytes);
  stats_[kPeakBytes] = std::max(stats_[kPeakBytes], stats_[kLiveBytes]);
}

}  // namespace gp
