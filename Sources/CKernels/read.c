// Reading memory at its own speed.

#include "CKernels.h"
#include "vectors.h"

typedef uint64_t words8 __attribute__((ext_vector_type(8)));

uint64_t moed_read(const void *bytes, int64_t byte_count) {
    words8 sums[4] = {0};
    for (int64_t i = 0; i < byte_count; i += (int64_t)sizeof sums) {
        const words8 *block = (const words8 *)((const uint8_t *)bytes + i);
        for (int j = 0; j < 4; j++) sums[j] += block[j];
    }
    words8 all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++) sum += all[i];
    return sum;
}
