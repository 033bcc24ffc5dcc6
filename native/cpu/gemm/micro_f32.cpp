#include "micro.h"

namespace gp::GP_ISA {

const MicroFn<float, float> kMicroF32[kReadings][3][kTileRows + 1] = GP_MICRO_TABLE(float);

}  // namespace gp::GP_ISA
