// aarch64 with the dot product instructions of ARMv8.2.

#if defined(__aarch64__)

#include "CKernels.h"
#include "numbers.h"
#include "spend_multiply_adds.h"
#include "steps.h"
#include "vectors.h"
#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#include "lanes_neon.h"
#include "steps_neon.h"

enum { tile_steps = 1, tile_tokens = 4, tile_least_tokens = 8 };

INLINE void expand_group(
    const moed_matrix *w, step at, int64_t group, step_table table, int kind, int8_t *codes) {
    (void)table;
    expand_lines(w, at, group, kind, codes);
}

INLINE void tile_products(
    const int8_t *codes, int steps, const int8_t *inputs, const int32_t *corrections, int tokens, int kind,
    row_ints *products) {
    (void)steps;
    (void)corrections;
    (void)kind;
    line_products(codes, inputs, tokens, products);
}

#include "tile_blocks.h"

#include "kernels_quantized.h"

DEFINE_SPEND_MULTIPLY_ADDS(int32x4_t, int8x16_t, "w", vdupq_n_s8, vdotq_s32, 16)

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_neon_dotprod = KERNEL_TABLE("neon-dotprod", multiply, multiply_gated);

#pragma clang attribute pop

#endif
