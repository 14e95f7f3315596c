// 16 float lanes and the vectors of 64 bytes as pairs of 32-byte registers. Included by files that may use AVX2, FMA and F16C.

#ifndef MOED_LANES_AVX2_H
#define MOED_LANES_AVX2_H

#include "CKernels.h"
#include "numbers.h"
#include "vectors.h"
#include <immintrin.h>

#include "transpose_x86.h"

typedef struct {
    __m256 low, high;
} lanes;

INLINE lanes lanes_set(float a) { return (lanes){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
INLINE lanes lanes_load(const float *p) { return (lanes){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }

INLINE void lanes_store(float *p, lanes a) {
    _mm256_storeu_ps(p, a.low);
    _mm256_storeu_ps(p + 8, a.high);
}

INLINE __m256 load_8_bf16(const uint16_t *p) {
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

INLINE __m256 load_8_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }

INLINE __m256 load_8_scales(const uint16_t *p, int is_bf16) { return is_bf16 ? load_8_bf16(p) : load_8_f16(p); }

INLINE __m256 widen_8_i8(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }

INLINE __m256 load_8_i8(const int8_t *p) { return widen_8_i8(_mm_loadl_epi64((const __m128i *)p)); }

INLINE lanes lanes_load_bf16(const uint16_t *p) { return (lanes){load_8_bf16(p), load_8_bf16(p + 8)}; }
INLINE lanes lanes_load_f16(const uint16_t *p) { return (lanes){load_8_f16(p), load_8_f16(p + 8)}; }
INLINE lanes lanes_load_i8(const int8_t *p) { return (lanes){load_8_i8(p), load_8_i8(p + 8)}; }

INLINE lanes widen_16_i8(__m128i bytes) {
    return (lanes){widen_8_i8(bytes), widen_8_i8(_mm_unpackhi_epi64(bytes, bytes))};
}

INLINE void lanes_load_nibbles(const uint8_t *p, const int8_t *table, lanes *low, lanes *high) {
    __m128i packed = _mm_loadu_si128((const __m128i *)p), values = _mm_loadu_si128((const __m128i *)table);
    __m128i mask = _mm_set1_epi8(15);
    *low = widen_16_i8(_mm_shuffle_epi8(values, _mm_and_si128(packed, mask)));
    *high = widen_16_i8(_mm_shuffle_epi8(values, _mm_and_si128(_mm_srli_epi16(packed, 4), mask)));
}

INLINE lanes lanes_load_scales(const uint16_t *p, int is_bf16) {
    __m256 scales = load_8_scales(p, is_bf16);
    return (lanes){scales, scales};
}

INLINE lanes lanes_add(lanes a, lanes b) {
    return (lanes){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

INLINE lanes lanes_sub(lanes a, lanes b) {
    return (lanes){_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}

INLINE lanes lanes_mul(lanes a, lanes b) {
    return (lanes){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

INLINE lanes lanes_div(lanes a, lanes b) {
    return (lanes){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}

INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
    return (lanes){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

INLINE lanes lanes_max(lanes a, lanes b) {
    return (lanes){_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

INLINE lanes lanes_min(lanes a, lanes b) {
    return (lanes){_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}

INLINE __m256 shift_8_to_exponent(__m256 a) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}

INLINE lanes lanes_shift_to_exponent(lanes a) {
    return (lanes){shift_8_to_exponent(a.low), shift_8_to_exponent(a.high)};
}

INLINE __m256 keep_8_nan(__m256 x, __m256 result) {
    return _mm256_blendv_ps(result, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

INLINE lanes lanes_keep_nan(lanes x, lanes result) {
    return (lanes){keep_8_nan(x.low, result.low), keep_8_nan(x.high, result.high)};
}

INLINE float lanes_sum(lanes a) {
    __m256 eight = _mm256_add_ps(a.low, a.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Two lanes of each: a a c c | b b d d.
INLINE __m256 two_lanes_of_four(const lanes *x) {
    __m256 a = _mm256_add_ps(x[0].low, x[0].high), b = _mm256_add_ps(x[1].low, x[1].high);
    __m256 c = _mm256_add_ps(x[2].low, x[2].high), d = _mm256_add_ps(x[3].low, x[3].high);
    // Four lanes of each: a | b and c | d.
    __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
    __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
    return _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
}

/// sums[i] = `lanes_sum` of x[i].
INLINE void lanes_sum_eight(const lanes *x, float *sums) {
    // a c e g | b d f h, and then in order.
    __m256 one = _mm256_hadd_ps(two_lanes_of_four(x), two_lanes_of_four(x + 4));
    __m128 even = _mm256_castps256_ps128(one), odd = _mm256_extractf128_ps(one, 1);
    _mm_storeu_ps(sums, _mm_unpacklo_ps(even, odd));
    _mm_storeu_ps(sums + 4, _mm_unpackhi_ps(even, odd));
}

enum { transposed_block = 2 };

typedef __m256 floats;

enum { floats_count = 8, tile_queries = 4, tile_keys = 2 };

INLINE floats floats_set(float a) { return _mm256_set1_ps(a); }
INLINE floats floats_load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void floats_store(float *p, floats a) { _mm256_storeu_ps(p, a); }
INLINE floats floats_mul(floats a, floats b) { return _mm256_mul_ps(a, b); }
INLINE floats floats_fma(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }

INLINE void floats_load_bf16_pairs(const uint16_t *p, floats *even, floats *odd) {
    __m256i words = _mm256_loadu_si256((const __m256i *)p);
    *even = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
    *odd = _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32((int)0xffff0000)));
}

INLINE __m256 middle_swapped(__m256 a) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), 0xd8));
}

INLINE void floats_unzip(floats low, floats high, floats *even, floats *odd) {
    *even = middle_swapped(_mm256_shuffle_ps(low, high, 0x88));
    *odd = middle_swapped(_mm256_shuffle_ps(low, high, 0xdd));
}

INLINE void floats_zip(floats even, floats odd, floats *low, floats *high) {
    __m256 first = _mm256_unpacklo_ps(even, odd), second = _mm256_unpackhi_ps(even, odd);
    *low = _mm256_permute2f128_ps(first, second, 0x20);
    *high = _mm256_permute2f128_ps(first, second, 0x31);
}

INLINE __m256i magnitudes(__m256 a) {
    return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff));
}

INLINE uint32_t lanes_largest_magnitude(lanes a, lanes b) {
    __m256i first = _mm256_max_epi32(magnitudes(a.low), magnitudes(a.high));
    __m256i second = _mm256_max_epi32(magnitudes(b.low), magnitudes(b.high));
    __m256i eight = _mm256_max_epi32(first, second);
    __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 0x55)));
}

INLINE void lanes_store_rounded(int8_t *p, lanes a) {
    __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high));
    words = _mm256_permute4x64_epi64(words, 0xd8);
    __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((__m128i *)p, bytes);
}

INLINE __m256i load_table(const int8_t *table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}

INLINE __m256i low_nibbles(__m256i packed) { return _mm256_and_si256(packed, _mm256_set1_epi8(15)); }
INLINE __m256i high_nibbles(__m256i packed) { return low_nibbles(_mm256_srli_epi16(packed, 4)); }

INLINE void expand_q4(const uint8_t *packed, const int8_t *table, int8_t *codes) {
    __m256i values = load_table(table);
    for (int line = 0; line < 4; line++) {
        __m256i pair = _mm256_loadu_si256((const __m256i *)(packed + line * 32));
        _mm256_store_si256((__m256i *)(codes + line * 32), _mm256_shuffle_epi8(values, low_nibbles(pair)));
        _mm256_store_si256((__m256i *)(codes + 128 + line * 32), _mm256_shuffle_epi8(values, high_nibbles(pair)));
    }
}

typedef union {
    words32 words;
    ints16 ints;
    bytes64 bytes;
    __m256i halves[2];
} halved;

#define FOR_HALVES for (int i = 0; i < 2; i++)

INLINE words32 words_scaled(words32 x, words32 m) {
    halved a = {.words = x}, b = {.words = m}, r;
    FOR_HALVES r.halves[i] = _mm256_mulhrs_epi16(a.halves[i], b.halves[i]);
    return r.words;
}

INLINE ints16 words_dot(words32 x, words32 y) {
    halved a = {.words = x}, b = {.words = y}, r;
    FOR_HALVES r.halves[i] = _mm256_madd_epi16(a.halves[i], b.halves[i]);
    return r.ints;
}

INLINE bytes64 words_pack(words32 x, words32 y) {
    halved a = {.words = x}, b = {.words = y}, r;
    FOR_HALVES r.halves[i] = _mm256_packs_epi16(a.halves[i], b.halves[i]);
    return r.bytes;
}

INLINE words32 bytes_low_words(bytes64 x) {
    halved a = {.bytes = x}, r;
    FOR_HALVES r.halves[i] = _mm256_srai_epi16(_mm256_unpacklo_epi8(a.halves[i], a.halves[i]), 8);
    return r.words;
}

INLINE words32 bytes_high_words(bytes64 x) {
    halved a = {.bytes = x}, r;
    FOR_HALVES r.halves[i] = _mm256_srai_epi16(_mm256_unpackhi_epi8(a.halves[i], a.halves[i]), 8);
    return r.words;
}

INLINE bytes64 bytes_lookup(bytes64 table, bytes64 index) {
    halved a = {.bytes = table}, b = {.bytes = index}, r;
    FOR_HALVES r.halves[i] = _mm256_shuffle_epi8(a.halves[i], b.halves[i]);
    return r.bytes;
}

#endif
