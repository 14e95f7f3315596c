// aarch64 with the dot product instructions of ARMv8.2 and the matrix product instructions of ARMv8.6.

#if defined(__aarch64__)

#include "CKernels.h"
#include "numbers.h"
#include "spend_multiply_adds.h"
#include "steps.h"
#include "vectors.h"
#include <arm_neon.h>

#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)

#include "lanes_neon.h"
#include "steps_neon.h"

enum { tile_steps = 1, tile_tokens = 4, tile_least_tokens = 4 };

// `smmla` multiplies two rows of eight codes by two tokens' eight inputs. For every eight inputs a tile has four pairs of
// rows, which are two lines with their words taken in turn.
INLINE void expand_group(
    const moed_matrix *w, step at, int64_t group, step_table table, int kind, int8_t *codes) {
    (void)table;
    _Alignas(16) int8_t lines[256];
    expand_lines(w, at, group, kind, lines);
    for (int eight = 0; eight < 4; eight++) {
        for (int half = 0; half < 2; half++) {
            int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(lines + eight * 64 + half * 16));
            int32x4_t second = vreinterpretq_s32_s8(vld1q_s8(lines + eight * 64 + 32 + half * 16));
            int8_t *pairs = codes + eight * 64 + half * 32;
            vst1q_s8(pairs, vreinterpretq_s8_s32(vzip1q_s32(first, second)));
            vst1q_s8(pairs + 16, vreinterpretq_s8_s32(vzip2q_s32(first, second)));
        }
    }
}

INLINE int8x16_t first_halves(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s64(vzip1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

INLINE int8x16_t second_halves(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s64(vzip2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

INLINE int32x4_t first_token(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}

INLINE int32x4_t second_token(int32x4_t a, int32x4_t b) {
    return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
}

INLINE void tile_products(
    const int8_t *codes, int steps, const int8_t *inputs, const int32_t *corrections, int tokens, int kind,
    row_ints *products) {
    (void)steps;
    (void)corrections;
    (void)kind;
    // The inputs of two tokens, eight of each at a time; an odd one is its own neighbour.
    int8x16_t both[block_tokens / 2][4];
    int32x4_t sums[block_tokens / 2][4];
    for (int t = 0; t < tokens; t += 2) {
        const int8_t *first = inputs + t * moed_group_size;
        const int8_t *second = t + 1 < tokens ? first + moed_group_size : first;
        for (int half = 0; half < 2; half++) {
            int8x16_t a = vld1q_s8(first + half * 16), b = vld1q_s8(second + half * 16);
            both[t / 2][half * 2] = first_halves(a, b);
            both[t / 2][half * 2 + 1] = second_halves(a, b);
        }
        for (int pair = 0; pair < 4; pair++) sums[t / 2][pair] = vdupq_n_s32(0);
    }
    for (int eight = 0; eight < 4; eight++) {
        for (int pair = 0; pair < 4; pair++) {
            int8x16_t weights = vld1q_s8(codes + eight * 64 + pair * 16);
            for (int t = 0; t < tokens; t += 2) {
                sums[t / 2][pair] = vmmlaq_s32(sums[t / 2][pair], both[t / 2][eight], weights);
            }
        }
    }
    for (int t = 0; t < tokens; t += 2) {
        int32x4_t *of = sums[t / 2];
        products[t] = (row_ints){first_token(of[0], of[1]), first_token(of[2], of[3])};
        if (t + 1 < tokens) products[t + 1] = (row_ints){second_token(of[0], of[1]), second_token(of[2], of[3])};
    }
}

#include "tile_blocks.h"

#include "kernels_quantized.h"

DEFINE_SPEND_MULTIPLY_ADDS(int32x4_t, int8x16_t, "w", vdupq_n_s8, vmmlaq_s32, 32)

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_neon_i8mm = KERNEL_TABLE("neon-i8mm", multiply, multiply_gated);

#pragma clang attribute pop

#endif
