// Which entries the processor can run.

#include "CKernels.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

const int8_t moed_code_tables[3][16] = {
    {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7},
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
};

const int8_t moed_refinement_bases[16] = {
    -127, -115, -93, -73, -56, -41, -28, -15, -4, 8, 20, 32, 46, 62, 80, 102,
};
const uint8_t moed_refinement_stretches[16] = {0, 7, 5, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 7, 11};

extern const moed_kernels moed_kernels_scalar;

typedef struct {
    const moed_kernels *kernels;
    int (*can_run)(void);
} entry;

static int always(void) { return 1; }

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const moed_kernels moed_kernels_avx2;
extern const moed_kernels moed_kernels_avxvnni;
extern const moed_kernels moed_kernels_avx512vnni;
extern const moed_kernels moed_kernels_amx;

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

// Leaf 7, subleaf 1, EAX bit 4. The system keeps its registers where it keeps AVX2's.
static int has_avxvnni(void) {
    unsigned a, b, c, d;
    return has_avx2() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1 << 4);
}

static int has_avx512vnni(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

// Leaf 7, EDX bits 24 (tiles) and 25 (their int8 products). Tiles are 8 KiB of registers, which Linux keeps only for
// processes that asked for them (Documentation/arch/x86/xstate.rst); all threads of this one may use them then.
static int has_amx(void) {
    enum { request_permission = 0x1023, tile_data = 18 };
    unsigned a, b, c, d;
    return has_avx512vnni() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & 1 << 24) && (d & 1 << 25)
        && syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

static const entry entries[] = {
    {&moed_kernels_scalar, always},
    {&moed_kernels_avx2, has_avx2},
    {&moed_kernels_avxvnni, has_avxvnni},
    {&moed_kernels_avx512vnni, has_avx512vnni},
    {&moed_kernels_amx, has_amx},
};

#elif defined(__aarch64__)

extern const moed_kernels moed_kernels_neon_dotprod;
extern const moed_kernels moed_kernels_neon_i8mm;

// HWCAP_ASIMDDP and HWCAP2_I8MM of <asm/hwcap.h>
enum { dot_product_capability = 1 << 20, matrix_product_capability = 1 << 13 };

static int has_dot_product(void) { return (getauxval(AT_HWCAP) & dot_product_capability) != 0; }

static int has_matrix_product(void) {
    return has_dot_product() && (getauxval(AT_HWCAP2) & matrix_product_capability) != 0;
}

static const entry entries[] = {
    {&moed_kernels_scalar, always},
    {&moed_kernels_neon_dotprod, has_dot_product},
    {&moed_kernels_neon_i8mm, has_matrix_product},
};

#else

static const entry entries[] = {{&moed_kernels_scalar, always}};

#endif

enum { entry_count = sizeof entries / sizeof *entries };

int32_t moed_kernels_count(void) {
    int32_t count = 0;
    for (int i = 0; i < entry_count; i++) count += entries[i].can_run();
    return count;
}

const moed_kernels *moed_kernels_at(int32_t index) {
    for (int i = 0; i < entry_count; i++) {
        if (entries[i].can_run() && index-- == 0) return entries[i].kernels;
    }
    return &moed_kernels_scalar;
}
