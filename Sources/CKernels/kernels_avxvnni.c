// x86-64 with AVX2, FMA, F16C and AVX-VNNI: processors that have `vpdpbusd` but not AVX-512.

#if defined(__x86_64__)

#include "CKernels.h"
#include "numbers.h"
#include "spend_multiply_adds.h"
#include "steps.h"
#include "vectors.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)

#include "lanes_avx2.h"
#include "steps_avx2.h"

enum { block_tokens = 8, tile_steps = 2, tile_tokens = 4, tile_least_tokens = 16 };

typedef __m256i step_bytes;
typedef __m256i step_table;

INLINE __m256i bytes_of(char value) { return _mm256_set1_epi8(value); }
INLINE __m256i words_of(int32_t value) { return _mm256_set1_epi32(value); }
INLINE __m256i and_bytes(__m256i a, __m256i b) { return _mm256_and_si256(a, b); }
INLINE __m256i xor_bytes(__m256i a, __m256i b) { return _mm256_xor_si256(a, b); }
INLINE __m256i look_up(__m256i table, __m256i index) { return _mm256_shuffle_epi8(table, index); }
INLINE __m256i add_words(__m256i a, __m256i b) { return _mm256_add_epi32(a, b); }
INLINE __m256i sixteenth(__m256i a) { return _mm256_srai_epi32(a, 4); }
INLINE __m256i add_products(__m256i sum, __m256i weights, __m256i input) {
    return _mm256_dpbusd_avx_epi32(sum, weights, input);
}
INLINE __m256i load_line(step at, int64_t offset) {
    return _mm256_loadu_si256((const __m256i *)(at.panels[0] + offset));
}
INLINE __m256i load_tile_line(const int8_t *p) { return _mm256_load_si256((const __m256i *)p); }
INLINE void store_tile_line(int8_t *p, __m256i line) { _mm256_store_si256((__m256i *)p, line); }

#include "products_vnni.h"
#include "tiles_vnni.h"

#include "kernels_quantized.h"

DEFINE_SPEND_MULTIPLY_ADDS(__m256i, __m256i, "x", _mm256_set1_epi8, _mm256_dpbusd_avx_epi32, 32)

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_avxvnni = KERNEL_TABLE("avxvnni", multiply, multiply_gated);

#pragma clang attribute pop

#endif
