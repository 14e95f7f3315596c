// A step of one panel: its 8 rows are the lanes of a 32-byte register.

#ifndef MOED_STEPS_AVX2_H
#define MOED_STEPS_AVX2_H

enum { step_panels = 1 };

typedef __m256i row_ints;
typedef __m256 row_floats;

INLINE __m256 no_rows(void) { return _mm256_setzero_ps(); }

INLINE __m256i broadcast_4(const int8_t *p) { return _mm256_set1_epi32((int32_t)load_u32(p)); }

INLINE __m256 step_scales(const moed_matrix *w, step at, int64_t group) {
    return load_8_scales((const uint16_t *)at.panels[0] + group * moed_panel_rows, w->scale_format == moed_bf16_scales);
}

INLINE __m256 fold(__m256i products, __m256 scales, float input_scale, __m256 total) {
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_mul_ps(scales, _mm256_set1_ps(input_scale)), total);
}

INLINE __m256 load_rows(results from, int64_t token) {
    const float *y = from.rows[0] + token * from.stride;
    if (from.counts[0] >= moed_panel_rows) return _mm256_loadu_ps(y);
    float lane[moed_panel_rows] = {0};
    memcpy(lane, y, (size_t)from.counts[0] * sizeof(float));
    return _mm256_loadu_ps(lane);
}

INLINE void store_rows(results to, int64_t token, __m256 rows) {
    float *y = to.rows[0] + token * to.stride;
    if (to.counts[0] >= moed_panel_rows) {
        _mm256_storeu_ps(y, rows);
    } else {
        float lane[moed_panel_rows];
        _mm256_storeu_ps(lane, rows);
        memcpy(y, lane, (size_t)to.counts[0] * sizeof(float));
    }
}

#endif
