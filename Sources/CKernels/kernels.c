// Which entries the processor can run.

#include "CKernels.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

const int8_t moed_code_tables[2][16] = {
    {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7},
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
};

extern const moed_kernels moed_kernels_scalar;

#if defined(__x86_64__)

extern const moed_kernels moed_kernels_avx2;
extern const moed_kernels moed_kernels_avx512vnni;

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

static int has_avx512vnni(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

int32_t moed_kernels_count(void) { return has_avx512vnni() ? 3 : has_avx2() ? 2 : 1; }

const moed_kernels *moed_kernels_at(int32_t index) {
    const moed_kernels *entries[] = {&moed_kernels_scalar, &moed_kernels_avx2, &moed_kernels_avx512vnni};
    return entries[index];
}

#elif defined(__aarch64__)

extern const moed_kernels moed_kernels_neon_dotprod;

// HWCAP_ASIMDDP of <asm/hwcap.h>
enum { dot_product_capability = 1 << 20 };

int32_t moed_kernels_count(void) { return getauxval(AT_HWCAP) & dot_product_capability ? 2 : 1; }

const moed_kernels *moed_kernels_at(int32_t index) {
    return index == 0 ? &moed_kernels_scalar : &moed_kernels_neon_dotprod;
}

#else

int32_t moed_kernels_count(void) { return 1; }

const moed_kernels *moed_kernels_at(int32_t index) { return &moed_kernels_scalar; }

#endif
