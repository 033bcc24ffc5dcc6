// Gathers the kernel files named in native/sources.json for one instruction set: the build writes kernels.inc, X(word)
// per file; a file's rows are <word>_rows in gp::GP_ISA.
#include "backend.h"

namespace gp::GP_ISA {

#define X(word) extern const gp_kernel word##_rows[];
#include "kernels.inc"
#undef X

extern const gp_kernel *const table[];
const gp_kernel *const table[] = {
#define X(word) word##_rows,
#include "kernels.inc"
#undef X
    nullptr};

}  // namespace gp::GP_ISA
