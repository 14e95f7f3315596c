// x86-64 with AVX2, FMA and F16C.

#if defined(__x86_64__)

#include "CKernels.h"
#include "numbers.h"
#include "prefetch.h"
#include "vectors.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "transpose_x86.h"

typedef struct {
    __m256 low, high;
} lanes;

INLINE lanes lanes_set(float a) { return (lanes){_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
INLINE lanes lanes_halves(float a, float b) { return (lanes){_mm256_set1_ps(a), _mm256_set1_ps(b)}; }
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

INLINE __m256 load_8_i8(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

INLINE __m256 load_8_codes(const int8_t *p, int byte) {
    __m256i words = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(words, 24 - 8 * byte), 24));
}

INLINE lanes lanes_load_bf16(const uint16_t *p) { return (lanes){load_8_bf16(p), load_8_bf16(p + 8)}; }
INLINE lanes lanes_load_f16(const uint16_t *p) { return (lanes){load_8_f16(p), load_8_f16(p + 8)}; }
INLINE lanes lanes_load_i8(const int8_t *p) { return (lanes){load_8_i8(p), load_8_i8(p + 8)}; }

INLINE lanes lanes_load_scales(const uint16_t *p, int is_bf16) {
    __m256 scales = load_8_scales(p, is_bf16);
    return (lanes){scales, scales};
}

INLINE lanes lanes_load_codes(const int8_t *p, int byte) {
    return (lanes){load_8_codes(p, byte), load_8_codes(p + 32, byte)};
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

INLINE __m256i broadcast_4(const int8_t *p) { return _mm256_set1_epi32((int32_t)load_u32(p)); }

// `vpmaddubsw` multiplies unsigned by signed bytes and saturates each pair's sum at 16 bits. With a weight's
// magnitude (≤ 128) and an input of at most 127 a pair reaches 32,512.
INLINE __m256i signed_products(__m256i weights, __m256i input) {
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(input, weights));
    return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

enum { linear_q4, table_q4, plain_q8 };

// The integer products of one group of a panel with each token: 8 rows a vector.
INLINE void group_products(
    const uint8_t *codes, const int8_t *const *inputs, const int32_t *const *sums, int64_t group, __m256i table,
    int tokens, int kind, __m256i *products) {
    for (int t = 0; t < tokens; t++) products[t] = _mm256_setzero_si256();
    if (kind == linear_q4) {
        // Indices 0…15 instead of −8…7, corrected by 8 · Σ input. A row's eight pairs reach 8 · 2 · 15 · 127 = 30,480,
        // so they are summed in 16 bits and widened once.
        for (int line = 0; line < 4; line++) {
            __m256i packed = _mm256_loadu_si256((const __m256i *)(codes + group * 128 + line * 32));
            __m256i low = low_nibbles(packed), high = high_nibbles(packed);
            for (int t = 0; t < tokens; t++) {
                const int8_t *input = inputs[t] + group * moed_group_size + line * 4;
                __m256i first = _mm256_maddubs_epi16(low, broadcast_4(input));
                __m256i second = _mm256_maddubs_epi16(high, broadcast_4(input + 16));
                products[t] = _mm256_add_epi16(products[t], _mm256_add_epi16(first, second));
            }
        }
        for (int t = 0; t < tokens; t++) {
            __m256i excess = _mm256_set1_epi32(8 * sums[t][group]);
            products[t] = _mm256_sub_epi32(_mm256_madd_epi16(products[t], _mm256_set1_epi16(1)), excess);
        }
    } else if (kind == table_q4) {
        for (int line = 0; line < 4; line++) {
            __m256i packed = _mm256_loadu_si256((const __m256i *)(codes + group * 128 + line * 32));
            __m256i low = _mm256_shuffle_epi8(table, low_nibbles(packed));
            __m256i high = _mm256_shuffle_epi8(table, high_nibbles(packed));
            for (int t = 0; t < tokens; t++) {
                const int8_t *input = inputs[t] + group * moed_group_size + line * 4;
                __m256i first = signed_products(low, broadcast_4(input));
                __m256i second = signed_products(high, broadcast_4(input + 16));
                products[t] = _mm256_add_epi32(products[t], _mm256_add_epi32(first, second));
            }
        }
    } else {
        for (int line = 0; line < 8; line++) {
            __m256i weights = _mm256_loadu_si256((const __m256i *)(codes + group * 256 + line * 32));
            for (int t = 0; t < tokens; t++) {
                const int8_t *input = inputs[t] + group * moed_group_size + line * 4;
                products[t] = _mm256_add_epi32(products[t], signed_products(weights, broadcast_4(input)));
            }
        }
    }
}

INLINE void store_rows(float *y, __m256 rows, int64_t count) {
    if (count >= moed_panel_rows) {
        _mm256_storeu_ps(y, rows);
    } else {
        float lane[moed_panel_rows];
        _mm256_storeu_ps(lane, rows);
        memcpy(y, lane, (size_t)count * sizeof(float));
    }
}

// A panel's codes are loaded and expanded once for up to four tokens. `ahead` is a panel to prefetch meanwhile, or null.
INLINE void panel_tokens(
    const moed_matrix *w, const moed_activations *x, int64_t panel, const uint8_t *ahead, int64_t token, int tokens,
    int kind, float *y, int64_t y_stride) {
    const uint8_t *base = w->base + panel * w->stride;
    const uint8_t *codes = base + w->code_offset;
    const int8_t *inputs[4];
    const float *scales[4];
    const int32_t *sums[4];
    __m256 totals[4];
    for (int t = 0; t < tokens; t++) {
        inputs[t] = x->codes + (token + t) * x->code_stride;
        scales[t] = x->scales + (token + t) * x->group_stride;
        sums[t] = x->sums + (token + t) * x->group_stride;
        totals[t] = _mm256_setzero_ps();
    }
    __m256i table = load_table(moed_code_tables[w->table]);
    int64_t groups = w->columns / moed_group_size;
    int is_bf16 = w->scale_format == moed_bf16_scales;
    for (int64_t group = 0; group < groups; group++) {
        if (ahead != NULL) prefetch_group(w, ahead, group, kind == plain_q8 ? 256 : 128);
        __m256 weight_scales = load_8_scales((const uint16_t *)base + group * moed_panel_rows, is_bf16);
        __m256i products[4];
        group_products(codes, inputs, sums, group, table, tokens, kind, products);
        for (int t = 0; t < tokens; t++) {
            __m256 scale = _mm256_mul_ps(weight_scales, _mm256_set1_ps(scales[t][group]));
            totals[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[t]), scale, totals[t]);
        }
    }
    for (int t = 0; t < tokens; t++) {
        int64_t first = panel * moed_panel_rows;
        store_rows(y + (token + t) * y_stride + first, totals[t], w->rows - first);
    }
}

INLINE void multiply_quantized(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y, int64_t y_stride,
    int kind) {
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
        const uint8_t *ahead = panels.end - panel < 3 ? NULL : w->base + (panel + 2) * w->stride;
        int64_t t = tokens.begin;
        for (; t + 4 <= tokens.end; t += 4) {
            panel_tokens(w, x, panel, ahead, t, 4, kind, y, y_stride);
            ahead = NULL;
        }
        if (t + 2 <= tokens.end) {
            panel_tokens(w, x, panel, ahead, t, 2, kind, y, y_stride);
            ahead = NULL;
            t += 2;
        }
        if (t < tokens.end) panel_tokens(w, x, panel, ahead, t, 1, kind, y, y_stride);
    }
}

static void multiply_q4(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    if (w->table == 0) {
        multiply_quantized(w, x, panels, tokens, y, y_stride, linear_q4);
    } else {
        multiply_quantized(w, x, panels, tokens, y, y_stride, table_q4);
    }
}

static void multiply_q8(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    multiply_quantized(w, x, panels, tokens, y, y_stride, plain_q8);
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

// Eight chains hide the latency; the barrier keeps the compiler from doing a product once for all of them.
static int64_t spend_multiply_adds(int64_t rounds) {
    __m256i sums[8] = {0}, weights = _mm256_set1_epi8(3), input = _mm256_set1_epi8(5), ones = _mm256_set1_epi16(1);
    for (int64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 8; i++) {
            __asm__ volatile("" : "+x"(weights));
            __m256i pairs = _mm256_maddubs_epi16(weights, input);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
        }
    }
    for (int i = 0; i < 8; i++) __asm__ volatile("" : : "x"(sums[i]));
    return rounds * 8 * 32;
}

#include "quantize_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_avx2 = KERNEL_TABLE("avx2");

#pragma clang attribute pop

#endif
