// Reads a call as lib/native/addon.ts lays it out, and launches it.
#pragma once
#include <vector>

#include "devices.h"
#include "storage.h"

namespace gp {

// Where a view's memory comes from: a storage of the handle table, or a slot of a program.
struct Memory {
  char *data;
  size_t bytes;
};

// One decoded call. The vectors only grow and are used again, so that decoding allocates nothing.
struct CallFrame {
  gp_call call{};
  const Row *row = nullptr;
  Device *device = nullptr;
  std::vector<gp_view> inputs, outputs;
  std::vector<double> input_source, output_source;  // handle or slot of every view
  std::vector<int32_t> first, count;                // inputs, then outputs
  struct Fresh {
    int32_t view;  // among the outputs
    size_t bytes;
  };
  std::vector<Fresh> fresh;  // outputs without a handle
  int32_t n_fresh = 0;
  int32_t n_input_views = 0, n_output_views = 0;
};

size_t dtype_bytes(int32_t dtype);

// Finds the memory behind a handle or slot: null with words otherwise. `state` is the table or the program.
using Resolve = int32_t (*)(void *state, Device *device, double name, Memory *out);

// Decodes and checks the call in [begin, end). Every number is checked: a malformed call is GP_BAD_ARGUMENT with words.
// With `fresh_allowed`, an output named 0 stays without memory and is listed in frame->fresh.
int32_t decode_call(const double *begin, const double *end, Resolve resolve, void *state, bool fresh_allowed,
                    CallFrame *frame);

// Resolve over a HandleTable.
int32_t resolve_handle(void *table, Device *device, double handle, Memory *out);

}  // namespace gp
