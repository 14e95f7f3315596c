// x86-64 with AVX-512 F, BW, VL and VNNI (and F16C).

#if defined(__x86_64__)

#include "CKernels.h"
#include "numbers.h"
#include "prefetch.h"
#include "vectors.h"
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni"))), apply_to = function)

#include "transpose_x86.h"

typedef __m512 lanes;

INLINE lanes lanes_set(float a) { return _mm512_set1_ps(a); }
INLINE lanes lanes_halves(float a, float b) { return _mm512_mask_blend_ps(0xff00, lanes_set(a), lanes_set(b)); }
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

INLINE lanes lanes_load_scales(const uint16_t *p, int is_bf16) {
    return widen_16_scales(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)p)), is_bf16);
}

INLINE lanes lanes_load_codes(const int8_t *p, int byte) {
    __m512i words = _mm512_loadu_si512(p);
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(words, (unsigned)(24 - 8 * byte)), 24));
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

// A line of two panels: the 8 rows of the first, then those of the second.
INLINE __m512i load_lines(const uint8_t *first, const uint8_t *second) {
    __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)first));
    return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i *)second), 1);
}

enum { linear_q4, table_q4, plain_q8 };

// `vpdpbusd` multiplies unsigned by signed bytes: the weights are raised by 2^shift (8 for the linear table, whose
// indices are the values raised by 8; else 128), and 2^shift · Σ input is taken off again.
INLINE void group_products(
    const uint8_t *first, const uint8_t *second, const int8_t *const *inputs, const int32_t *const *sums,
    int64_t group, __m512i table, int tokens, int kind, __m512i *products) {
    unsigned shift = kind == linear_q4 ? 3 : 7;
    for (int t = 0; t < tokens; t++) {
        __m512i excess = _mm512_slli_epi32(_mm512_set1_epi32(sums[t][group]), shift);
        products[t] = _mm512_sub_epi32(_mm512_setzero_si512(), excess);
    }
    if (kind == plain_q8) {
        for (int line = 0; line < 8; line++) {
            int64_t offset = group * 256 + line * 32;
            __m512i weights = load_lines(first + offset, second + offset);
            weights = _mm512_xor_si512(weights, _mm512_set1_epi8((char)0x80));
            for (int t = 0; t < tokens; t++) {
                const int8_t *input = inputs[t] + group * moed_group_size + line * 4;
                products[t] = _mm512_dpbusd_epi32(products[t], weights, _mm512_set1_epi32((int32_t)load_u32(input)));
            }
        }
        return;
    }
    for (int line = 0; line < 4; line++) {
        int64_t offset = group * 128 + line * 32;
        __m512i packed = load_lines(first + offset, second + offset);
        __m512i low = low_nibbles(packed), high = high_nibbles(packed);
        if (kind == table_q4) {
            low = _mm512_shuffle_epi8(table, low);
            high = _mm512_shuffle_epi8(table, high);
        }
        for (int t = 0; t < tokens; t++) {
            const int8_t *input = inputs[t] + group * moed_group_size + line * 4;
            __m512i near = _mm512_set1_epi32((int32_t)load_u32(input));
            __m512i far = _mm512_set1_epi32((int32_t)load_u32(input + 16));
            products[t] = _mm512_dpbusd_epi32(products[t], low, near);
            products[t] = _mm512_dpbusd_epi32(products[t], high, far);
        }
    }
}

// Two panels' codes are loaded and expanded once for up to eight tokens. A single panel is paired with itself.
// `ahead` is the panel whose two to prefetch meanwhile, or null.
INLINE void panels_tokens(
    const moed_matrix *w, const moed_activations *x, int64_t panel, int64_t panels, const uint8_t *ahead,
    int64_t token, int tokens, int kind, float *y, int64_t y_stride) {
    const uint8_t *first = w->base + panel * w->stride;
    const uint8_t *second = first + (panels - 1) * w->stride;
    const int8_t *inputs[8];
    const float *scales[8];
    const int32_t *sums[8];
    __m512 totals[8];
    for (int t = 0; t < tokens; t++) {
        inputs[t] = x->codes + (token + t) * x->code_stride;
        scales[t] = x->scales + (token + t) * x->group_stride;
        sums[t] = x->sums + (token + t) * x->group_stride;
        totals[t] = _mm512_setzero_ps();
    }
    __m512i raised = _mm512_xor_si512(load_table(moed_code_tables[w->table]), _mm512_set1_epi8((char)0x80));
    int64_t groups = w->columns / moed_group_size;
    int is_bf16 = w->scale_format == moed_bf16_scales;
    for (int64_t group = 0; group < groups; group++) {
        if (ahead != NULL) {
            prefetch_group(w, ahead, group, kind == plain_q8 ? 256 : 128);
            prefetch_group(w, ahead + w->stride, group, kind == plain_q8 ? 256 : 128);
        }
        __m128i low = _mm_loadu_si128((const __m128i *)first + group);
        __m128i high = _mm_loadu_si128((const __m128i *)second + group);
        __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
        __m512 weight_scales = widen_16_scales(both, is_bf16);
        __m512i products[8];
        group_products(
            first + w->code_offset, second + w->code_offset, inputs, sums, group, raised, tokens, kind, products);
        for (int t = 0; t < tokens; t++) {
            __m512 scale = _mm512_mul_ps(weight_scales, _mm512_set1_ps(scales[t][group]));
            totals[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(products[t]), scale, totals[t]);
        }
    }
    int64_t left = w->rows - panel * moed_panel_rows;
    int64_t count = left < panels * moed_panel_rows ? left : panels * moed_panel_rows;
    __mmask16 mask = (__mmask16)(0xffff >> (16 - count));
    for (int t = 0; t < tokens; t++) {
        _mm512_mask_storeu_ps(y + (token + t) * y_stride + panel * moed_panel_rows, mask, totals[t]);
    }
}

INLINE void multiply_quantized(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y, int64_t y_stride,
    int kind) {
    for (int64_t panel = panels.begin; panel < panels.end; panel += 2) {
        int64_t count = panels.end - panel < 2 ? 1 : 2;
        const uint8_t *ahead = panels.end - panel < 4 ? NULL : w->base + (panel + 2) * w->stride;
        int64_t t = tokens.begin;
        for (; t + 8 <= tokens.end; t += 8) {
            panels_tokens(w, x, panel, count, ahead, t, 8, kind, y, y_stride);
            ahead = NULL;
        }
        if (t + 4 <= tokens.end) {
            panels_tokens(w, x, panel, count, ahead, t, 4, kind, y, y_stride);
            ahead = NULL;
            t += 4;
        }
        if (t + 2 <= tokens.end) {
            panels_tokens(w, x, panel, count, ahead, t, 2, kind, y, y_stride);
            ahead = NULL;
            t += 2;
        }
        if (t < tokens.end) panels_tokens(w, x, panel, count, ahead, t, 1, kind, y, y_stride);
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

// Twelve chains hide the latency; the barrier keeps the compiler from computing ahead.
static int64_t spend_multiply_adds(int64_t rounds) {
    __m512i sums[12] = {0}, weights = _mm512_set1_epi8(3), input = _mm512_set1_epi8(5);
    for (int64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 12; i++) {
            __asm__ volatile("" : "+v"(weights));
            sums[i] = _mm512_dpbusd_epi32(sums[i], weights, input);
        }
    }
    for (int i = 0; i < 12; i++) __asm__ volatile("" : : "v"(sums[i]));
    return rounds * 12 * 64;
}

#include "quantize_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_avx512vnni = KERNEL_TABLE("avx512vnni");

#pragma clang attribute pop

#endif
