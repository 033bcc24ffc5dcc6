// Loading of backend libraries: open, find the entry, shake hands.
#pragma once
#include "../include/backend.h"

namespace gp {

// The backend in a shared library, checked; null with words otherwise.
const gp_backend *find_backend(const char *path);
// GP_OK when the table is one that this core can use; `where` names it in the words.
int32_t check_backend(const gp_backend *backend, const char *where);
// Keeps this addon mapped until the process ends.
void pin_this_library();

}  // namespace gp
