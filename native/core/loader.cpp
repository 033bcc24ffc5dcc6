// Finds a backend in a shared library and checks that both sides mean the same interface.
#include "loader.h"

#include <string>

#include "../cpu/cpu.h"
#include "error.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace gp {

namespace {

#ifdef _WIN32
std::string loader_words() {
  char text[512];
  DWORD n = FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr, GetLastError(), 0, text,
                           sizeof text, nullptr);
  return std::string(text, n);
}
void *open_library(const char *path) { return reinterpret_cast<void *>(LoadLibraryA(path)); }
void *find_symbol(void *library, const char *name) {
  return reinterpret_cast<void *>(GetProcAddress(reinterpret_cast<HMODULE>(library), name));
}
void close_library(void *library) { FreeLibrary(reinterpret_cast<HMODULE>(library)); }
#else
std::string loader_words() {
  const char *words = dlerror();
  return words != nullptr ? words : "no reason given";
}
void *open_library(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
void *find_symbol(void *library, const char *name) { return dlsym(library, name); }
void close_library(void *library) { dlclose(library); }
#endif

// The name of the first required function that is missing, or null.
const char *missing_function(const gp_backend *b) {
#define GP_REQUIRE(f) \
  if (b->f == nullptr) return #f;
  GP_REQUIRE(name)
  GP_REQUIRE(version)
  GP_REQUIRE(device_count)
  GP_REQUIRE(device_info)
  GP_REQUIRE(open)
  GP_REQUIRE(close)
  GP_REQUIRE(last_error)
  GP_REQUIRE(alloc)
  GP_REQUIRE(release)
  GP_REQUIRE(upload)
  GP_REQUIRE(download)
  GP_REQUIRE(fill)
  GP_REQUIRE(copy)
  GP_REQUIRE(pinned_alloc)
  GP_REQUIRE(pinned_release)
  GP_REQUIRE(kernels)
  GP_REQUIRE(synchronize)
#undef GP_REQUIRE
  if ((b->event_record == nullptr) != (b->event_wait == nullptr)) return "event_record or event_wait";
  if ((b->graph_begin == nullptr) != (b->graph_launch == nullptr)) return "graph_begin or graph_launch";
  return nullptr;
}

}  // namespace

int32_t check_backend(const gp_backend *b, const char *where) {
  if (b->abi != GP_ABI_VERSION)
    return fail(GP_UNSUPPORTED, "%s was built for interface version %u, this gradproof speaks version %u", where,
                b->abi, GP_ABI_VERSION);
  if (b->size != sizeof(gp_backend))
    return fail(GP_UNSUPPORTED,
                "%s has an interface table of %u bytes, this gradproof expects %zu (both say version %u: one was built "
                "from a changed header)",
                where, b->size, sizeof(gp_backend), GP_ABI_VERSION);
  if (const char *name = missing_function(b))
    return fail(GP_UNSUPPORTED, "%s lacks %s in its interface table (version %u)", where, name, b->abi);
  size_t count = 0;
  const gp_kernel *rows = b->kernels(&count);
  if (rows == nullptr && count > 0)
    return fail(GP_UNSUPPORTED, "%s announces %zu kernels and gives none", where, count);
  for (size_t i = 0; i < count; i++) {
    if (rows[i].op == nullptr || rows[i].signature == nullptr || rows[i].run == nullptr)
      return fail(GP_UNSUPPORTED, "%s: kernel row %zu (%s) lacks its op, signature or run", where, i,
                  rows[i].op != nullptr ? rows[i].op : "no name");
  }
  return GP_OK;
}

const gp_backend *find_backend(const char *path) {
  void *library = open_library(path);
  if (library == nullptr) {
    fail(GP_UNSUPPORTED, "cannot load the backend library %s: %s", path, loader_words().c_str());
    return nullptr;
  }
  auto entry = reinterpret_cast<gp_backend_entry_fn>(find_symbol(library, GP_BACKEND_ENTRY));
  if (entry == nullptr) {
    fail(GP_UNSUPPORTED, "%s is not a gradproof backend: it does not export %s", path, GP_BACKEND_ENTRY);
    close_library(library);
    return nullptr;
  }
  static const gp_host host = {GP_ABI_VERSION, sizeof(gp_host), gp_cpu_backend()};
  const gp_backend *b = entry(GP_ABI_VERSION, &host);
  if (b == nullptr) {
    fail(GP_UNSUPPORTED, "the backend %s does not speak interface version %u (it returned no table)", path,
         GP_ABI_VERSION);
    close_library(library);
    return nullptr;
  }
  if (check_backend(b, path) != GP_OK) {
    close_library(library);
    return nullptr;
  }
  return b;  // stays loaded: its kernels are referred to for the rest of the process
}

void pin_this_library() {
#ifndef _WIN32
  // Worker environments may unload the addon while a loaded backend still points into it.
  Dl_info info;
  if (dladdr(reinterpret_cast<void *>(&pin_this_library), &info) != 0 && info.dli_fname != nullptr) {
    void *self = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
    if (self != nullptr) dlclose(self);
  }
#else
  HMODULE self;
  GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCSTR>(&pin_this_library), &self);
#endif
}

}  // namespace gp
