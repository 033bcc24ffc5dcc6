#include "micro.h"

namespace gp::GP_ISA {

const MicroFn<double, double> kMicroF64[4][3][kTileRows + 1] = {
    {{}, GP_MICRO_ROWS(micro, double, 1, 0), GP_MICRO_ROWS(micro, double, 2, 0)},
    {{}, GP_MICRO_ROWS(micro, double, 1, 1), GP_MICRO_ROWS(micro, double, 2, 1)},
    {{}, GP_MICRO_ROWS(micro, double, 1, 2), GP_MICRO_ROWS(micro, double, 2, 2)},
    {{}, GP_MICRO_ROWS(micro, double, 1, 3), GP_MICRO_ROWS(micro, double, 2, 3)},
};

}  // namespace gp::GP_ISA
