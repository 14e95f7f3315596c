// 16 float lanes and the vectors of 64 bytes, a register each. Included by files that may use AVX-512 F, BW and VL.

#ifndef MOED_LANES_AVX512_H
#define MOED_LANES_AVX512_H

#include "CKernels.h"
#include "numbers.h"
#include "vectors.h"
#include <immintrin.h>

#include "transpose_x86.h"

typedef __m512 lanes;

INLINE lanes lanes_set(float a) { return _mm512_set1_ps(a); }
INLINE lanes lanes_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void lanes_store(float *p, lanes a) { _mm512_storeu_ps(p, a); }

INLINE __m512 widen_16_bf16(__m256i values) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
}

INLINE __m512 widen_16_scales(__m256i scales, int is_bf16) {
    return is_bf16 ? widen_16_bf16(scales) : _mm512_cvtph_ps(scales);
}

INLINE lanes lanes_load_bf16(const uint16_t *p) { return widen_16_bf16(_mm256_loadu_si256((const __m256i *)p)); }

INLINE lanes lanes_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p)); }

INLINE lanes lanes_load_i8(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

/// A permutation by words looks at four bits of each, so a code's other neighbours in its word needn't be cleared.
INLINE void lanes_load_nibbles(const uint8_t *p, const int8_t *table, lanes *low, lanes *high) {
    __m512 values = lanes_load_i8(table);
    __m512i words = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
    *low = _mm512_permutexvar_ps(words, values);
    *high = _mm512_permutexvar_ps(_mm512_srli_epi32(words, 4), values);
}

INLINE lanes lanes_load_scales(const uint16_t *p, int is_bf16) {
    return widen_16_scales(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)), is_bf16);
}

INLINE lanes lanes_add(lanes a, lanes b) { return _mm512_add_ps(a, b); }
INLINE lanes lanes_sub(lanes a, lanes b) { return _mm512_sub_ps(a, b); }
INLINE lanes lanes_mul(lanes a, lanes b) { return _mm512_mul_ps(a, b); }
INLINE lanes lanes_div(lanes a, lanes b) { return _mm512_div_ps(a, b); }
INLINE lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm512_fmadd_ps(a, b, c); }
INLINE lanes lanes_max(lanes a, lanes b) { return _mm512_max_ps(a, b); }
INLINE lanes lanes_min(lanes a, lanes b) { return _mm512_min_ps(a, b); }

INLINE lanes lanes_shift_to_exponent(lanes a) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}

INLINE lanes lanes_keep_nan(lanes x, lanes result) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), result, x);
}

INLINE float lanes_sum(lanes a) {
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a), 1));
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE __m512 add_halves(__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}

// Eight lanes of each: a a b b and c c d d; then four: a b c d.
INLINE __m512 four_lanes_of_four(const lanes *x) {
    __m512 ab = add_halves(x[0], x[1]), cd = add_halves(x[2], x[3]);
    return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
}

/// sums[i] = `lanes_sum` of x[i].
INLINE void lanes_sum_eight(const lanes *x, float *sums) {
    // Two lanes of each: a e, b f, c g, d h.
    __m512d abcd = _mm512_castps_pd(four_lanes_of_four(x)), efgh = _mm512_castps_pd(four_lanes_of_four(x + 4));
    __m512 two = _mm512_add_ps(
        _mm512_castpd_ps(_mm512_unpacklo_pd(abcd, efgh)), _mm512_castpd_ps(_mm512_unpackhi_pd(abcd, efgh)));
    __m512 one = _mm512_add_ps(two, _mm512_permute_ps(two, 0xb1));
    __m512i order = _mm512_castsi256_si512(_mm256_setr_epi32(0, 4, 8, 12, 2, 6, 10, 14));
    _mm256_storeu_ps(sums, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, one)));
}

enum { transposed_block = 4 };

#include "floats_are_lanes.h"

enum { tile_queries = 8, tile_keys = 2 };

INLINE void floats_load_bf16_pairs(const uint16_t *p, floats *even, floats *odd) {
    __m512i words = _mm512_loadu_si512(p);
    *even = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
    *odd = _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32((int)0xffff0000)));
}

INLINE void floats_unzip(floats low, floats high, floats *even, floats *odd) {
    __m512i first = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(low, first, high);
    *odd = _mm512_permutex2var_ps(low, _mm512_add_epi32(first, _mm512_set1_epi32(1)), high);
}

INLINE void floats_zip(floats even, floats odd, floats *low, floats *high) {
    __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *low = _mm512_permutex2var_ps(even, first, odd);
    *high = _mm512_permutex2var_ps(even, _mm512_add_epi32(first, _mm512_set1_epi32(8)), odd);
}

INLINE uint32_t lanes_largest_magnitude(lanes a, lanes b) {
    __m512i mask = _mm512_set1_epi32(0x7fffffff);
    __m512i first = _mm512_and_si512(_mm512_castps_si512(a), mask);
    __m512i second = _mm512_and_si512(_mm512_castps_si512(b), mask);
    return _mm512_reduce_max_epu32(_mm512_max_epu32(first, second));
}

INLINE void lanes_store_rounded(int8_t *p, lanes a) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}

INLINE __m512i load_table(const int8_t *table) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)table));
}

INLINE __m512i low_nibbles(__m512i packed) { return _mm512_and_si512(packed, _mm512_set1_epi8(15)); }
INLINE __m512i high_nibbles(__m512i packed) { return low_nibbles(_mm512_srli_epi16(packed, 4)); }

INLINE void expand_q4(const uint8_t *packed, const int8_t *table, int8_t *codes) {
    __m512i values = load_table(table);
    for (int half = 0; half < 2; half++) {
        __m512i pair = _mm512_loadu_si512(packed + half * 64);
        _mm512_store_si512(codes + half * 64, _mm512_shuffle_epi8(values, low_nibbles(pair)));
        _mm512_store_si512(codes + 128 + half * 64, _mm512_shuffle_epi8(values, high_nibbles(pair)));
    }
}

INLINE words32 words_scaled(words32 x, words32 m) { return (words32)_mm512_mulhrs_epi16((__m512i)x, (__m512i)m); }
INLINE ints16 words_dot(words32 x, words32 y) { return (ints16)_mm512_madd_epi16((__m512i)x, (__m512i)y); }
INLINE bytes64 words_pack(words32 x, words32 y) { return (bytes64)_mm512_packs_epi16((__m512i)x, (__m512i)y); }

INLINE words32 bytes_low_words(bytes64 x) {
    return (words32)_mm512_srai_epi16(_mm512_unpacklo_epi8((__m512i)x, (__m512i)x), 8);
}

INLINE words32 bytes_high_words(bytes64 x) {
    return (words32)_mm512_srai_epi16(_mm512_unpackhi_epi8((__m512i)x, (__m512i)x), 8);
}

INLINE bytes64 bytes_lookup(bytes64 table, bytes64 index) {
    return (bytes64)_mm512_shuffle_epi8((__m512i)table, (__m512i)index);
}

#endif
