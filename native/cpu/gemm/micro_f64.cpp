#include "micro.h"

namespace gp::GP_ISA {

const MicroFn<double, double> kMicroF64[kReadings][3][kTileRows + 1] = GP_MICRO_TABLE(double);

}  // namespace gp::GP_ISA
