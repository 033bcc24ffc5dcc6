// Reads signatures: "x weight? xs[] -> y | rstd ; eps dims[]".
#include <cstring>

#include "devices.h"

namespace gp {

bool parse_signature(const char *text, Arity *out) {
  enum { kInputs, kOutputs, kAux, kAttrs } part = kInputs;
  const char *p = text;
  bool arrow = false;
  while (true) {
    while (*p == ' ') p++;
    if (*p == 0) return arrow;
    size_t n = strcspn(p, " ");
    if (n == 2 && p[0] == '-' && p[1] == '>') {
      if (part != kInputs) return false;
      part = kOutputs;
      arrow = true;
    } else if (n == 1 && *p == '|') {
      if (part != kOutputs) return false;
      part = kAux;
    } else if (n == 1 && *p == ';') {
      if (part != kOutputs && part != kAux) return false;
      part = kAttrs;
    } else {
      Arity::Kind kind = Arity::kOne;
      const char *type = static_cast<const char *>(memchr(p, ':', n));  // "x:T": the type is for people
      size_t name = type != nullptr ? static_cast<size_t>(type - p) : n;
      if (name > 0 && p[name - 1] == '?') kind = Arity::kOptional;
      if (name > 1 && p[name - 1] == ']' && p[name - 2] == '[') kind = Arity::kList;
      (part == kInputs ? out->inputs : part == kAttrs ? out->attrs : out->outputs).push_back(kind);
    }
    p += n;
  }
}

}  // namespace gp
