#include "micro.h"

namespace gp::GP_ISA {

#define GP_BOTH(rows, reading) \
  { {}, rows(micro, float, 1, reading), rows(micro, float, 2, reading) }

const MicroFn<float, float> kMicroF32[kReadings][3][kTileRows + 1] = {
    GP_BOTH(GP_MICRO_ROWS, kColumnsOfA | kStridedB),
    GP_BOTH(GP_MICRO_ROWS, kRowsOfA | kStridedB),
    GP_BOTH(GP_MICRO_ROWS, kColumnsOfA | kPackedB),
    GP_BOTH(GP_MICRO_ROWS, kRowsOfA | kPackedB),
    GP_BOTH(GP_MICRO_TALL, kColumnsOfA | kStridedB | kCopyB),
    GP_BOTH(GP_MICRO_TALL, kRowsOfA | kStridedB | kCopyB),
    {},
    {},
    {},
    {},
    {{}, {}, GP_MICRO_TALL(micro, float, 2, kColumnsOfA | kPackedB | kCopyA)},
    {},
    {{}, {}, GP_MICRO_TALL(micro, float, 2, kColumnsOfA | kStridedB | kCopyA | kCopyB)},
};

}  // namespace gp::GP_ISA
