// The test backend's own address space: what callers hold are addresses that fault when the host touches them; the
// queue's thread translates them into a hidden mapping.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

namespace gp_fake {

class Memory {
 public:
  explicit Memory(size_t size);
  ~Memory();
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;

  bool ok() const { return device_ != nullptr; }
  size_t size() const { return size_; }
  size_t used();
  // 64-byte aligned device address, or null.
  void *take(size_t bytes);
  void give(void *device, size_t bytes);
  // The hidden address of [device, device + bytes), or null when that is not device memory.
  void *translate(const void *device, size_t bytes) const;

 private:
  char *device_ = nullptr;  // PROT_NONE
  char *hidden_ = nullptr;
  size_t size_;
  std::mutex mutex_;
  std::map<size_t, size_t> free_;  // offset -> bytes
  size_t used_ = 0;
};

}  // namespace gp_fake
