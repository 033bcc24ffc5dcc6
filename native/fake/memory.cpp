#include "memory.h"

#include <sys/mman.h>

namespace gp_fake {

namespace {
size_t rounded(size_t bytes) { return bytes < 64 ? 64 : (bytes + 63) / 64 * 64; }
}  // namespace

Memory::Memory(size_t size) : size_(size) {
  constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *device = mmap(nullptr, size, PROT_NONE, flags, -1, 0);
  void *hidden = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (device == MAP_FAILED || hidden == MAP_FAILED) {
    if (device != MAP_FAILED) munmap(device, size);
    if (hidden != MAP_FAILED) munmap(hidden, size);
    return;
  }
  device_ = static_cast<char *>(device);
  hidden_ = static_cast<char *>(hidden);
  free_[0] = size;
}

Memory::~Memory() {
  if (device_ == nullptr) return;
  munmap(device_, size_);
  munmap(hidden_, size_);
}

size_t Memory::used() {
  std::lock_guard<std::mutex> lock(mutex_);
  return used_;
}

void *Memory::take(size_t bytes) {
  size_t need = rounded(bytes);
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto it = free_.begin(); it != free_.end(); ++it) {  // first fit: the core's pool asks rarely
    if (it->second < need) continue;
    size_t offset = it->first, rest = it->second - need;
    free_.erase(it);
    if (rest > 0) free_[offset + need] = rest;
    used_ += need;
    return device_ + offset;
  }
  return nullptr;
}

void Memory::give(void *device, size_t bytes) {
  size_t offset = static_cast<size_t>(static_cast<char *>(device) - device_), size = rounded(bytes);
  size_t first = (offset + 4095) / 4096 * 4096, last = (offset + size) / 4096 * 4096;
  if (last > first) madvise(hidden_ + first, last - first, MADV_DONTNEED);
  std::lock_guard<std::mutex> lock(mutex_);
  used_ -= size;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + size == next->first) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    auto previous = std::prev(next);
    if (previous->first + previous->second == offset) {
      previous->second += size;
      return;
    }
  }
  free_[offset] = size;
}

void *Memory::translate(const void *device, size_t bytes) const {
  const char *p = static_cast<const char *>(device);
  if (p < device_ || p > device_ + size_ || bytes > static_cast<size_t>(device_ + size_ - p)) return nullptr;
  return hidden_ + (p - device_);
}

}  // namespace gp_fake
