#include "allocator.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "error.h"

namespace gp {

// A run of bytes within a segment; neighbours in address order are linked.
struct Chunk {
  char *data;
  size_t bytes;
  Chunk *before;
  Chunk *after;
  bool free;
};

// A chunk cut into equal small blocks.
struct Slab {
  Chunk *chunk;
  int size_class;
  uint32_t block_bytes;
  uint32_t count;
  size_t position;               // in open_[size_class]; npos when full
  std::vector<uint32_t> vacant;  // indices of free blocks
};

namespace {

constexpr size_t kAlign = 64;
constexpr size_t kSmall = 32 << 10;
constexpr size_t kHuge = 2 << 20;
constexpr size_t kSegment = 16 << 20;
constexpr size_t kNowhere = static_cast<size_t>(-1);

size_t round_up(size_t value, size_t to) { return (value + to - 1) / to * to; }

// 64-byte steps up to 512, then eight classes per doubling: at most 12.5 % is wasted above 512 bytes.
int size_class(size_t bytes) {
  if (bytes <= 512) return bytes == 0 ? 0 : static_cast<int>((bytes - 1) / 64);
  int log = 63 - __builtin_clzll(bytes - 1);
  return 8 + (log - 9) * 8 + static_cast<int>(((bytes - 1) >> (log - 3)) & 7);
}

size_t class_bytes(int c) {
  if (c < 8) return static_cast<size_t>(c + 1) * 64;
  int log = 9 + (c - 8) / 8, step = (c - 8) % 8;
  return (size_t{1} << log) + (static_cast<size_t>(step) + 1) * (size_t{1} << (log - 3));
}

}  // namespace

MemoryTotals &memory_totals() {
  static MemoryTotals totals;
  return totals;
}

namespace {

const char *skip_spaces(const char *p) {
  while (*p == ' ' || *p == '\t') p++;
  return p;
}

// Bytes of a text such as "2G", "512 MiB" or "1e9"; -1 when it is not one. strtod alone would take inf, 0x10 and -1
// too.
int64_t parse_bytes(const char *text) {
  text = skip_spaces(text);
  if (!(*text >= '0' && *text <= '9') && *text != '.') return -1;
  if (*text == '0' && (text[1] | 0x20) == 'x') return -1;
  char *end = nullptr;
  double value = strtod(text, &end);
  if (end == text) return -1;
  const char *p = skip_spaces(end);
  int exponent = 0;
  constexpr char kUnits[] = "kmgt";
  for (int i = 0; kUnits[i] != 0; i++)
    if ((*p | 0x20) == kUnits[i]) exponent = i + 1;
  if (exponent > 0) {
    p++;
    if (*p == 'i') p++;
  }
  if ((*p | 0x20) == 'b') p++;
  if (*skip_spaces(p) != 0) return -1;
  for (; exponent > 0; exponent--) value *= 1024;
  return value >= 1 && value <= 9e15 ? static_cast<int64_t>(value) : -1;
}

}  // namespace

bool read_memory_limit() {
  static const int64_t parsed = [] {
    const char *text = getenv("GRADPROOF_MEMORY_LIMIT");
    return text == nullptr || *text == 0 ? int64_t{0} : parse_bytes(text);
  }();
  if (parsed < 0) {
    fail(GP_BAD_ARGUMENT, "GRADPROOF_MEMORY_LIMIT must be a number of bytes such as 2G or 512M, got '%.40s'",
         getenv("GRADPROOF_MEMORY_LIMIT"));
    return false;
  }
  static const bool applied = [] {
    if (parsed > 0) memory_totals().limit = parsed;
    return true;
  }();
  return applied;
}

bool Allocator::BySize::operator()(const Chunk *a, const Chunk *b) const {
  return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data;
}

Allocator::~Allocator() { trim(); }

bool Allocator::reserve_live(size_t bytes) {
  MemoryTotals &totals = memory_totals();
  int64_t live = totals.live.fetch_add(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  int64_t limit = totals.limit.load(std::memory_order_relaxed);
  if (limit == 0 || live + static_cast<int64_t>(bytes) <= limit) return true;
  totals.live.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  fail(GP_OUT_OF_MEMORY, "%zu bytes do not fit: %lld bytes are live and the limit is %lld", bytes,
       static_cast<long long>(live), static_cast<long long>(limit));
  return false;
}

int32_t Allocator::allocate(size_t bytes, Block *out) {
  if (bytes > (size_t{1} << 52)) return fail(GP_OUT_OF_MEMORY, "%zu bytes are more than any device has", bytes);
  if (!reserve_live(bytes)) return GP_OUT_OF_MEMORY;
  *out = Block{};
  out->bytes = bytes;
  bool found = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    try {
      if (bytes <= kSmall) {
        found = take_small(size_class(bytes), out);
      } else if (Chunk *chunk = take_chunk(bytes)) {
        *out = Block{chunk->data, bytes, chunk->bytes, nullptr, chunk};
        found = true;
      }
    } catch (const std::bad_alloc &) {
      found = false;
    }
  }
  if (found) return GP_OK;
  memory_totals().live.fetch_sub(static_cast<int64_t>(bytes), std::memory_order_relaxed);
  const char *words = backend_->last_error();
  return fail(GP_OUT_OF_MEMORY, "the %s backend has no room for %zu bytes (%lld bytes are live, %lld in the pool)%s%s",
              backend_->name, bytes, static_cast<long long>(memory_totals().live.load()),
              static_cast<long long>(memory_totals().pool.load()), *words ? ": " : "", words);
}

bool Allocator::take_small(int c, Block *out) {
  if (open_[c].empty()) {
    size_t each = class_bytes(c), whole = std::clamp(each * 64, size_t{64} << 10, size_t{1} << 20);
    Chunk *chunk = take_chunk(whole);
    if (chunk == nullptr) return false;
    Slab *slab = new (std::nothrow) Slab{};
    if (slab == nullptr) {
      give_chunk(chunk);
      return false;
    }
    slab->chunk = chunk;
    slab->size_class = c;
    slab->block_bytes = static_cast<uint32_t>(each);
    slab->count = static_cast<uint32_t>(chunk->bytes / each);
    slab->position = 0;
    slab->vacant.reserve(slab->count);  // so that release() never allocates
    for (uint32_t i = slab->count; i-- > 0;) slab->vacant.push_back(i);
    open_[c].push_back(slab);
    empty_.insert(slab);
  }
  Slab *slab = open_[c].back();
  if (slab->vacant.size() == slab->count) empty_.erase(slab);
  uint32_t index = slab->vacant.back();
  slab->vacant.pop_back();
  if (slab->vacant.empty()) {
    slab->position = kNowhere;
    open_[c].pop_back();
  }
  out->data = slab->chunk->data + static_cast<size_t>(index) * slab->block_bytes;
  out->capacity = slab->block_bytes;
  out->slab = slab;
  return true;
}

Chunk *Allocator::take_chunk(size_t asked) {
  size_t bytes = round_up(asked, 4096);
  Chunk key{nullptr, bytes, nullptr, nullptr, true};
  auto best = free_.lower_bound(&key);
  Chunk *chunk = best != free_.end() ? *best : grow(bytes);
  if (chunk == nullptr) return nullptr;
  Chunk *rest = nullptr;
  if (chunk->bytes > bytes && chunk->bytes - asked > asked / 8)
    rest = new Chunk{chunk->data + bytes, chunk->bytes - bytes, chunk, chunk->after, true};
  free_.erase(chunk);
  chunk->free = false;
  if (rest != nullptr) {
    if (rest->after != nullptr) rest->after->before = rest;
    chunk->after = rest;
    chunk->bytes = bytes;
    free_.insert(rest);
  }
  return chunk;
}

// A new segment as one free chunk.
Chunk *Allocator::grow(size_t bytes) {
  MemoryTotals &totals = memory_totals();
  size_t whole = bytes <= kSegment ? kSegment : round_up(bytes, kHuge);
  int64_t limit = totals.limit.load(std::memory_order_relaxed);
  if (limit != 0 && totals.pool.load() + static_cast<int64_t>(whole) > limit) {
    trim_locked();  // cached blocks must not push the process over the limit
    int64_t room = limit - totals.pool.load();
    if (room < static_cast<int64_t>(whole)) whole = round_up(bytes, kAlign);
  }
  void *data = backend_->alloc(context_, whole);
  if (data == nullptr) {
    trim_locked();
    data = backend_->alloc(context_, whole);
    if (data == nullptr && whole > bytes) {
      whole = bytes;
      data = backend_->alloc(context_, whole);
    }
    if (data == nullptr) return nullptr;
  }
  Chunk *chunk = nullptr;
  try {
    chunk = new Chunk{static_cast<char *>(data), whole, nullptr, nullptr, true};
    segments_.insert(chunk);
    free_.insert(chunk);
  } catch (const std::bad_alloc &) {
    segments_.erase(chunk);
    delete chunk;
    backend_->release(context_, data, whole);
    return nullptr;
  }
  totals.pool.fetch_add(static_cast<int64_t>(whole));
  return chunk;
}

void Allocator::release(const Block &block) {
  if (block.data == nullptr) return;
  memory_totals().live.fetch_sub(static_cast<int64_t>(block.bytes), std::memory_order_relaxed);
  std::lock_guard<std::mutex> lock(mutex_);
  if (block.chunk != nullptr) {
    give_chunk(block.chunk);
    return;
  }
  Slab *slab = block.slab;
  auto &open = open_[slab->size_class];
  slab->vacant.push_back(
      static_cast<uint32_t>((static_cast<char *>(block.data) - slab->chunk->data) / slab->block_bytes));
  if (slab->position == kNowhere) {
    slab->position = open.size();
    open.push_back(slab);
  }
  if (slab->vacant.size() == slab->count) empty_.insert(slab);
}

void Allocator::give_chunk(Chunk *chunk) {
  chunk->free = true;
  if (Chunk *next = chunk->after; next != nullptr && next->free) {
    free_.erase(next);
    chunk->bytes += next->bytes;
    chunk->after = next->after;
    if (chunk->after != nullptr) chunk->after->before = chunk;
    delete next;
  }
  if (Chunk *previous = chunk->before; previous != nullptr && previous->free) {
    free_.erase(previous);
    previous->bytes += chunk->bytes;
    previous->after = chunk->after;
    if (previous->after != nullptr) previous->after->before = previous;
    delete chunk;
    chunk = previous;
  }
  free_.insert(chunk);
}

void Allocator::drop_slab(Slab *slab) {
  auto &open = open_[slab->size_class];
  open.back()->position = slab->position;
  open[slab->position] = open.back();
  open.pop_back();
  give_chunk(slab->chunk);
  delete slab;
}

size_t Allocator::trim() {
  std::lock_guard<std::mutex> lock(mutex_);
  return trim_locked();
}

size_t Allocator::trim_locked() {
  for (Slab *slab : empty_) drop_slab(slab);
  empty_.clear();
  size_t given = 0;
  bool waited = false;
  for (auto it = segments_.begin(); it != segments_.end();) {
    Chunk *chunk = *it;
    if (!chunk->free || chunk->after != nullptr) {
      ++it;
      continue;
    }
    // Launches that still read this memory may stand in the queue.
    if (!waited) backend_->synchronize(context_);
    waited = true;
    free_.erase(chunk);
    it = segments_.erase(it);
    backend_->release(context_, chunk->data, chunk->bytes);
    given += chunk->bytes;
    delete chunk;
  }
  memory_totals().pool.fetch_sub(static_cast<int64_t>(given));
  return given;
}

}  // namespace gp
