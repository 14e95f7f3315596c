// A step of two panels: their 16 rows are the lanes of a 64-byte register.

#ifndef MOED_STEPS_AVX512_H
#define MOED_STEPS_AVX512_H

enum { step_panels = 2 };

typedef __m512i row_ints;
typedef __m512 row_floats;

INLINE __m512 no_rows(void) { return _mm512_setzero_ps(); }

INLINE __m512 step_scales(const moed_matrix *w, step at, int64_t group) {
    __m128i first = _mm_loadu_si128((const __m128i *)at.panels[0] + group);
    __m128i second = _mm_loadu_si128((const __m128i *)at.panels[1] + group);
    __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    return widen_16_scales(both, w->scale_format == moed_bf16_scales);
}

INLINE __m512 fold(__m512i products, __m512 scales, float input_scale, __m512 total) {
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(products), _mm512_mul_ps(scales, _mm512_set1_ps(input_scale)), total);
}

/// A line of both panels.
INLINE __m512i load_line(step at, int64_t offset) {
    __m512i first = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(at.panels[0] + offset)));
    return _mm512_inserti64x4(first, _mm256_loadu_si256((const __m256i *)(at.panels[1] + offset)), 1);
}

INLINE __mmask8 rows_mask(int64_t count) { return (__mmask8)(0xff >> (8 - count)); }

INLINE __m512 load_rows(results from, int64_t token) {
    int64_t place = token * from.stride;
    __m256 first = _mm256_maskz_loadu_ps(rows_mask(from.counts[0]), from.rows[0] + place);
    __m256 second = _mm256_maskz_loadu_ps(rows_mask(from.counts[1]), from.rows[1] + place);
    return _mm512_castpd_ps(
        _mm512_insertf64x4(_mm512_castps_pd(_mm512_castps256_ps512(first)), _mm256_castps_pd(second), 1));
}

INLINE void store_rows(results to, int64_t token, __m512 rows) {
    int64_t place = token * to.stride;
    __m256 second = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(rows), 1));
    _mm256_mask_storeu_ps(to.rows[0] + place, rows_mask(to.counts[0]), _mm512_castps512_ps256(rows));
    _mm256_mask_storeu_ps(to.rows[1] + place, rows_mask(to.counts[1]), second);
}

#endif
