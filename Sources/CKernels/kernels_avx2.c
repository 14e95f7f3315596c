// x86-64 with AVX2, FMA and F16C.

#if defined(__x86_64__)

#include "CKernels.h"
#include "numbers.h"
#include "steps.h"
#include "vectors.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "lanes_avx2.h"
#include "steps_avx2.h"

enum { block_tokens = 4, tile_steps = 1, tile_tokens = 4, tile_least_tokens = 8 };

#include "tiles.h"

typedef __m256i step_table;

INLINE step_table load_step_table(const moed_matrix *w, int kind) {
    (void)kind;
    return load_table(moed_code_tables[w->table]);
}

// `vpmaddubsw` multiplies unsigned by signed bytes and saturates each pair's sum at 16 bits. With a weight's
// magnitude (≤ 128) and an input of at most 127 a pair reaches 32,512.
INLINE __m256i add_signed_products(__m256i sum, __m256i weights, __m256i input) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(input, weights));
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Linear q4 is multiplied by its indices 0…15, 8 too many. A row's eight pairs reach 8 · 2 · 15 · 127 = 30,480, so they
// are summed in 16 bits and widened once.
INLINE __m256i add_index_products(__m256i sum, __m256i indices, __m256i input) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(indices, input));
}

INLINE __m256i corrected(__m256i sum, int32_t correction) {
    __m256i whole = _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
    return _mm256_add_epi32(whole, _mm256_set1_epi32(correction));
}

INLINE void packed_products(
    const moed_matrix *w, step at, int64_t group, __m256i table, const int8_t *inputs, const int32_t *corrections,
    int tokens, int kind, __m256i *products) {
    const uint8_t *codes = at.panels[0] + w->code_offset;
    for (int t = 0; t < tokens; t++) products[t] = _mm256_setzero_si256();
    if (kind == plain_q8) {
        for (int line = 0; line < 8; line++) {
            __m256i weights = _mm256_loadu_si256((const __m256i *)(codes + group * 256 + line * 32));
            for (int t = 0; t < tokens; t++) {
                __m256i input = broadcast_4(inputs + t * 32 + line * 4);
                products[t] = add_signed_products(products[t], weights, input);
            }
        }
        return;
    }
    for (int line = 0; line < 4; line++) {
        __m256i packed = _mm256_loadu_si256((const __m256i *)(codes + group * 128 + line * 32));
        __m256i low = low_nibbles(packed), high = high_nibbles(packed);
        if (kind == table_q4) {
            low = _mm256_shuffle_epi8(table, low);
            high = _mm256_shuffle_epi8(table, high);
        }
        for (int t = 0; t < tokens; t++) {
            __m256i near = broadcast_4(inputs + t * 32 + line * 4), far = broadcast_4(inputs + t * 32 + 16 + line * 4);
            if (kind == table_q4) {
                products[t] = add_signed_products(products[t], low, near);
                products[t] = add_signed_products(products[t], high, far);
            } else {
                products[t] = add_index_products(products[t], low, near);
                products[t] = add_index_products(products[t], high, far);
            }
        }
    }
    if (kind == linear_q4) {
        for (int t = 0; t < tokens; t++) products[t] = corrected(products[t], corrections[t]);
    }
}

// The eight lines of the q8 form; of linear q4, indices instead of values.
INLINE void expand_group(
    const moed_matrix *w, step at, int64_t group, __m256i table, int kind, int8_t *codes) {
    const uint8_t *packed = at.panels[0] + w->code_offset + group * (kind == plain_q8 ? 256 : 128);
    if (kind == plain_q8) {
        memcpy(codes, packed, 256);
        return;
    }
    for (int line = 0; line < 4; line++) {
        __m256i pair = _mm256_loadu_si256((const __m256i *)(packed + line * 32));
        __m256i low = low_nibbles(pair), high = high_nibbles(pair);
        if (kind == table_q4) {
            low = _mm256_shuffle_epi8(table, low);
            high = _mm256_shuffle_epi8(table, high);
        }
        _mm256_store_si256((__m256i *)(codes + line * 32), low);
        _mm256_store_si256((__m256i *)(codes + 128 + line * 32), high);
    }
}

INLINE void tile_products(
    const int8_t *codes, int steps, const int8_t *inputs, const int32_t *corrections, int tokens, int kind,
    __m256i *products) {
    (void)steps;
    for (int t = 0; t < tokens; t++) products[t] = _mm256_setzero_si256();
    for (int line = 0; line < 8; line++) {
        __m256i weights = _mm256_load_si256((const __m256i *)(codes + line * 32));
        for (int t = 0; t < tokens; t++) {
            __m256i input = broadcast_4(inputs + t * 32 + line * 4);
            products[t] = kind == linear_q4 ? add_index_products(products[t], weights, input)
                                            : add_signed_products(products[t], weights, input);
        }
    }
    if (kind == linear_q4) {
        for (int t = 0; t < tokens; t++) products[t] = corrected(products[t], corrections[t]);
    }
}

#include "tile_blocks.h"

#include "kernels_quantized.h"

// The multiplying instruction alone, though sums of signed products take two more. The barrier keeps the compiler from
// doing a product once for all of them.
static int64_t spend_multiply_adds(int64_t rounds) {
    __m256i weights = _mm256_set1_epi8(3), input = _mm256_set1_epi8(5);
    for (int64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 8; i++) {
            __asm__ volatile("" : "+x"(weights));
            __m256i pairs = _mm256_maddubs_epi16(weights, input);
            __asm__ volatile("" : : "x"(pairs));
        }
    }
    return rounds * 8 * 32;
}

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_avx2 = KERNEL_TABLE("avx2", multiply, multiply_gated);

#pragma clang attribute pop

#endif
