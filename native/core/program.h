// Captured programs: the blob of lib/native/addon.ts, decoded once into ready calls.
#pragma once
#include <atomic>
#include <memory>
#include <vector>

#include "call.h"

namespace gp {

class Program {
 public:
  // Null with words when the blob is not a program. `id` is written into the sequences of asynchronous devices.
  static std::unique_ptr<Program> decode(const double *blob, size_t length, int32_t id, int32_t *code);
  ~Program();

  Device *device() const { return device_; }
  size_t externals() const { return externals_.size(); }
  size_t outputs() const { return outputs_.size(); }
  size_t external_bytes(size_t i) const { return slots_[externals_[i]].bytes; }
  size_t output_bytes(size_t i) const { return slots_[outputs_[i]].bytes; }
  size_t arena_bytes() const { return arena_.bytes; }

  // Runs every instruction over the given memory. Stops at the first that fails: its code, and the details in `status`
  // with the instruction's index as the sequence. `cancel` is looked at between instructions.
  int32_t run(void *const *externals, void *const *outputs, const std::atomic<bool> &cancel, gp_status *status);

  void profile(bool on);
  const std::vector<double> &nanoseconds() const { return nanoseconds_; }
  double runs() const { return runs_; }

  int32_t in_flight = 0;  // asynchronous runs that are not settled
  bool released = false;  // goes when in_flight is 0

 private:
  enum Kind { kArena, kExternal, kOutput };
  struct Slot {
    Kind kind;
    size_t a, bytes;
    char *data;  // arena slots: for good; the others: as last bound
  };
  struct Instruction {
    const gp_kernel *kernel;
    gp_call call;
  };
  struct Patch {
    size_t view, slot;
    int64_t offset;  // bytes into the slot
  };
  struct Outcome {
    int32_t code;
    gp_status status;
  };

  Program() = default;
  int32_t read(const double *blob, size_t length, int32_t id);
  int32_t read_slots(const double **p, const double *end, size_t count, size_t externals, size_t outputs);
  int32_t read_instructions(const double *p, const double *end, size_t count, int32_t id);
  void find_groups();
  int32_t place_workspace();
  int32_t run_group(size_t first, size_t end, gp_status *status);
  int32_t failure(size_t instruction, int32_t code, const gp_status &cell, gp_status *status) const;
  void bind(size_t slot, void *data);
  static int32_t resolve_slot(void *program, Device *device, double name, Memory *out);

  Device *device_ = nullptr;
  Block arena_, workspace_;
  std::vector<Slot> slots_;
  std::vector<size_t> externals_, outputs_;  // their slots
  std::vector<Instruction> instructions_;
  std::vector<size_t> group_end_;  // of an instruction: the end of those that run beside it, from it on
  std::vector<Outcome> outcomes_;  // of a group
  size_t group_workspace_ = 0;     // bytes per thread
  std::vector<gp_view> views_;
  std::vector<int32_t> integers_;
  std::vector<double> attrs_;
  std::vector<Patch> patches_;       // ordered by slot
  std::vector<Patch> places_;        // the same by view
  std::vector<size_t> patch_first_;  // per slot, and the end
  gp_status status_{};
  int workspace_threads_ = 0;
  bool profiling_ = false;
  std::vector<double> nanoseconds_;
  double runs_ = 0;
};

// One run of a program, bound and ready.
struct Run {
  Program *program = nullptr;
  std::vector<void *> externals, outputs;
  std::vector<uint32_t> slots;  // of the externals
  std::vector<double> handles;  // of the outputs
};

}  // namespace gp
