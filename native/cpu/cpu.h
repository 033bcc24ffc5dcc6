// The CPU backend's face inside the addon: the backend itself and what is known about the processor.
#pragma once
#include "backend.h"

extern "C" const gp_backend *gp_cpu_backend();

// Which instruction set runs, and why. Texts are static or live for ever.
typedef struct gp_isa_info {
  const char *name;              // "base", "avx2", "avx512"
  const char *reason;            // "the best of this processor" or "GRADPROOF_ISA=avx2"
  const char *error;             // NULL, or why GRADPROOF_ISA cannot be honoured; open() fails with the same words
  const char *const *available;  // what this build and this processor have, worst first
  int32_t available_count;
  int32_t huge_pages;  // 1: allocations of 2 MiB and more ask for huge pages and the system grants them
} gp_isa_info;
extern "C" const gp_isa_info *gp_cpu_isa();

namespace gp {

// The kernels of the instruction set in use: one pointer per kernel file, each table ended by an empty row; NULL ends
// the list.
const gp_kernel *const *cpu_tables();

// Physical cores that this process may use: affinity mask and cgroup (v1, v2) quota considered; at least 1.
int usable_cores();

// The processor's name as it calls itself; empty when unknown.
const char *cpu_name();

}  // namespace gp
