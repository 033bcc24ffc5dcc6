// How many threads are worth starting: physical cores in the affinity mask, cut by the cgroup quota.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <thread>

#include "cpu.h"
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace gp {
namespace {

#ifdef __linux__
// The file's first bytes; empty when it cannot be read.
std::string slurp(const std::string &path) {
  std::string text;
  if (FILE *f = std::fopen(path.c_str(), "r")) {
    char buffer[4096];
    text.assign(buffer, std::fread(buffer, 1, sizeof buffer, f));
    std::fclose(f);
  }
  return text;
}

int affinity_cores() {
  int size = 1024;
  cpu_set_t *set = nullptr;
  for (; size <= (1 << 18); size *= 4) {  // the kernel refuses a mask smaller than its own
    set = CPU_ALLOC(size);
    CPU_ZERO_S(CPU_ALLOC_SIZE(size), set);
    if (sched_getaffinity(0, CPU_ALLOC_SIZE(size), set) == 0) break;
    CPU_FREE(set);
    set = nullptr;
  }
  if (set == nullptr) return 0;
  std::set<std::string> cores;  // CPUs that share a core name the same siblings
  for (int cpu = 0; cpu < size; cpu++) {
    if (!CPU_ISSET_S(cpu, CPU_ALLOC_SIZE(size), set)) continue;
    std::string dir = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::string siblings = slurp(dir + "core_cpus_list");
    if (siblings.empty()) siblings = slurp(dir + "thread_siblings_list");
    cores.insert(siblings.empty() ? "cpu" + std::to_string(cpu) : siblings);
  }
  CPU_FREE(set);
  return static_cast<int>(cores.size());
}

// Whole CPUs that quota/period allows, rounded up; 0: no limit.
int quota_cpus(double quota, double period) {
  if (!(quota > 0) || !(period > 0)) return 0;
  int n = static_cast<int>(quota / period + 0.999);
  return n < 1 ? 1 : n;
}

int tighter(int a, int b) { return a == 0 ? b : b == 0 ? a : a < b ? a : b; }

// The limits of a group and of all groups above it.
template <class Read>
int quota_upwards(const std::string &root, std::string group, Read read) {
  int limit = 0;
  for (;;) {
    limit = tighter(limit, read(root + (group == "/" ? "" : group)));
    size_t slash = group.rfind('/');
    if (group.empty() || slash == std::string::npos) return limit;
    group.resize(slash);
  }
}

int cgroup_cpus() {
  int limit = 0;
  std::string groups = slurp("/proc/self/cgroup");
  for (size_t at = 0; at < groups.size();) {  // lines "id:controllers:path"
    size_t end = groups.find('\n', at);
    if (end == std::string::npos) end = groups.size();
    std::string line = groups.substr(at, end - at);
    at = end + 1;
    size_t a = line.find(':'), b = a == std::string::npos ? a : line.find(':', a + 1);
    if (b == std::string::npos) continue;
    std::string controllers = line.substr(a + 1, b - a - 1), group = line.substr(b + 1);
    controllers.insert(size_t{0}, 1, ',').append(1, ',');
    if (controllers == ",,") {
      limit =
          tighter(limit, quota_upwards("/sys/fs/cgroup", group, [](const std::string &dir) {
                    double quota = 0, period = 0;
                    std::string text = slurp(dir + "/cpu.max");  // "max 100000" or "50000 100000"
                    return std::sscanf(text.c_str(), "%lf %lf", &quota, &period) == 2 ? quota_cpus(quota, period) : 0;
                  }));
    } else if (controllers.find(",cpu,") != std::string::npos) {
      for (const char *root : {"/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu"})
        limit = tighter(limit, quota_upwards(root, group, [](const std::string &dir) {
                          return quota_cpus(std::atof(slurp(dir + "/cpu.cfs_quota_us").c_str()),
                                            std::atof(slurp(dir + "/cpu.cfs_period_us").c_str()));
                        }));
    }
  }
  return limit;
}
#endif

}  // namespace

int usable_cores() {
  int cores = 0;
#if defined(__linux__)
  cores = tighter(affinity_cores(), cgroup_cpus());
#elif defined(__APPLE__)
  size_t size = sizeof cores;
  if (sysctlbyname("hw.perflevel0.physicalcpu", &cores, &size, nullptr, 0) != 0 || cores < 1) {
    size = sizeof cores;
    if (sysctlbyname("hw.physicalcpu", &cores, &size, nullptr, 0) != 0) cores = 0;
  }
#endif
  if (cores < 1) cores = static_cast<int>(std::thread::hardware_concurrency());
  return cores < 1 ? 1 : cores;
}

const char *cpu_name() {
  static const std::string *name = [] {
    auto *text = new std::string;  // never destroyed
#if defined(__linux__)
    std::string info = slurp("/proc/cpuinfo");
    for (const char *key : {"model name", "Model", "Hardware"}) {
      size_t at = info.find(key), colon = at == std::string::npos ? at : info.find(": ", at);
      if (colon == std::string::npos) continue;
      *text = info.substr(colon + 2, info.find('\n', colon) - colon - 2);
      break;
    }
#elif defined(__APPLE__)
    char buffer[128] = {};
    size_t size = sizeof buffer - 1;
    if (sysctlbyname("machdep.cpu.brand_string", buffer, &size, nullptr, 0) == 0) *text = buffer;
#endif
    return text;
  }();
  return name->c_str();
}

}  // namespace gp
