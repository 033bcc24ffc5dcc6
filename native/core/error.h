// The words of the last failure on this thread. Codes travel as gp_code and the few more of lib/native/addon.ts.
#pragma once
#include <cstdint>

#include "../include/backend.h"

namespace gp {

// Continues gp_code where the core itself can fail.
enum : int32_t { kStaleHandle = -7, kOutOfHandles = -8 };

// printf-like; returns `code`, so that a failure is one statement: return fail(GP_BAD_ARGUMENT, "...", ...).
__attribute__((format(printf, 2, 3))) int32_t fail(int32_t code, const char *format, ...);

// Never null; empty when nothing has failed on this thread yet.
const char *last_error();

}  // namespace gp
