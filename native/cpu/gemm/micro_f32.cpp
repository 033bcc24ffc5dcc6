#include "micro.h"

namespace gp::GP_ISA {

const MicroFn<float, float> kMicroF32[4][3][kTileRows + 1] = {
    {{}, GP_MICRO_ROWS(micro, float, 1, 0), GP_MICRO_ROWS(micro, float, 2, 0)},
    {{}, GP_MICRO_ROWS(micro, float, 1, 1), GP_MICRO_ROWS(micro, float, 2, 1)},
    {{}, GP_MICRO_ROWS(micro, float, 1, 2), GP_MICRO_ROWS(micro, float, 2, 2)},
    {{}, GP_MICRO_ROWS(micro, float, 1, 3), GP_MICRO_ROWS(micro, float, 2, 3)},
};

}  // namespace gp::GP_ISA
