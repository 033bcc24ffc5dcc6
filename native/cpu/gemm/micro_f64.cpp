#include "micro.h"

namespace gp::GP_ISA {

const MicroFn<double, double> kMicroF64[2][3][kTileRows + 1] = {
    {{}, GP_MICRO_ROWS(micro, double, 1, false), GP_MICRO_ROWS(micro, double, 2, false)},
    {{}, GP_MICRO_ROWS(micro, double, 1, true), GP_MICRO_ROWS(micro, double, 2, true)},
};

}  // namespace gp::GP_ISA
