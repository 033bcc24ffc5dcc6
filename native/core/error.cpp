#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace gp {

namespace {
// A plain array, not a std::string: thread-local destructors must not run while a worker environment is torn down.
thread_local char words[1024];
}  // namespace

int32_t fail(int32_t code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(words, sizeof words, format, args);
  va_end(args);
  return code;
}

const char *last_error() { return words; }

}  // namespace gp
