#include "micro.h"

namespace gp::GP_ISA {

const MicroFn<float, float> kMicroF32[2][3][kTileRows + 1] = {
    {{}, GP_MICRO_ROWS(micro, float, 1, false), GP_MICRO_ROWS(micro, float, 2, false)},
    {{}, GP_MICRO_ROWS(micro, float, 1, true), GP_MICRO_ROWS(micro, float, 2, true)},
};

}  // namespace gp::GP_ISA
