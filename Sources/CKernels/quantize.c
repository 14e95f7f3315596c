// The search for a group's scale. Eight rows at once, a row a lane, so that no sum crosses lanes and every
// processor adds in the same order.

#include "CKernels.h"
#include "quantize.h"

#include <string.h>

// The vectors are wider than the least x86-64 passes in registers, and no function takes one without being inlined.
#pragma clang diagnostic ignored "-Wpsabi"

typedef float v8 __attribute__((ext_vector_type(8)));
typedef int32_t i8 __attribute__((ext_vector_type(8)));

#define inline_always static inline __attribute__((always_inline))

inline_always v8 splat(float x) { return (v8)(x); }

inline_always v8 absolute(v8 x) { return (v8)((i8)x & 0x7fffffff); }

/// To the nearest integer, ties to even, for |x| < 2^22: the sum's last bit is worth 1.
inline_always v8 rounded(v8 x) { return (x + splat(12582912.0f)) - splat(12582912.0f); }

inline_always v8 clamped(v8 x, float least, float greatest) {
    v8 low = splat(least), high = splat(greatest);
    x = x < low ? low : x;
    return x > high ? high : x;
}

/// To the nearest f16, as a float. Beyond the largest f16 it becomes the largest; the caller has excluded that.
inline_always v8 to_half(v8 x) {
    v8 magnitude = absolute(x);
    i8 sign = (i8)x & (int32_t)0x80000000;
    // A normal number keeps 10 bits behind the point: add half of the last kept one, less one to make ties even.
    i8 bits = (i8)magnitude;
    i8 normal = (bits + 0xfff + ((bits >> 13) & 1)) & (int32_t)0xffffe000;
    // A subnormal one is a multiple of 2^-24: next to 0.5 a float's last bit is worth just that.
    v8 subnormal = (magnitude + splat(0.5f)) - splat(0.5f);
    v8 result = magnitude < splat(6.103515625e-05f) ? subnormal : (v8)normal;
    result = result > splat(65504.0f) ? splat(65504.0f) : result;
    return (v8)((i8)result | sign);
}

/// The bits of a float that is an f16.
static uint16_t half_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude < 0x38800000) {
        float positive;
        memcpy(&positive, &magnitude, sizeof positive);
        return (uint16_t)(sign | (uint16_t)(positive * 16777216.0f));
    }
    return (uint16_t)(sign | (uint16_t)((magnitude - 0x38000000) >> 13));
}

/// A reciprocal that turns a scale of nothing into codes of nothing. Next to nothing would become infinity.
inline_always v8 reciprocal(v8 scale) {
    v8 inverse = splat(1.0f) / scale;
    return absolute(scale) > splat(0x1p-120f) ? inverse : splat(0.0f);
}

typedef struct search {
    const v8 *x;
    float least, greatest;
    /// The best scale so far, as it will be stored, and its squared error.
    v8 scale, error;
} search;

/// Σ x·q / Σ q² for the codes that an inverse scale gives: the best scale for them. `gain` is how much squared error
/// it saves against all zeros.
inline_always v8 fitted(const search *s, v8 inverse, v8 *gain) {
    v8 xq = splat(0.0f), qq = splat(0.0f);
    for (int k = 0; k < 32; k++) {
        v8 q = clamped(rounded(s->x[k] * inverse), s->least, s->greatest);
        xq += s->x[k] * q;
        qq += q * q;
    }
    v8 scale = qq > splat(0.0f) ? xq / qq : splat(0.0f);
    *gain = xq * scale;
    return scale;
}

/// Takes a scale, rounded to its stored form, if the codes derived from that form are better than the best.
inline_always void offer(search *s, v8 scale) {
    scale = to_half(scale);
    v8 inverse = reciprocal(scale), error = splat(0.0f);
    for (int k = 0; k < 32; k++) {
        v8 q = clamped(rounded(s->x[k] * inverse), s->least, s->greatest);
        v8 difference = s->x[k] - q * scale;
        error += difference * difference;
    }
    i8 better = error < s->error;
    s->scale = better ? scale : s->scale;
    s->error = better ? error : s->error;
}

/// Where the extreme value may land: small whole numbers make data of few distinct values exact, the close steps trade
/// clipping of the extreme for finer steps of the rest. The linear table reaches −8 but only +7, so which side the
/// extreme lands on matters beyond 7.5.
static const float q4_extremes[] = {
    1.0f,  2.0f,  3.0f,  4.0f,  5.0f,  6.0f,  6.5f,  7.0f,  7.2f,  7.4f,  -7.6f, -7.8f, -8.0f,
    -8.2f, -8.4f, -8.6f, -8.8f, -9.0f, -9.3f, -9.6f, 7.6f,  7.8f,  8.0f,  8.2f,  8.5f,  8.8f,
};

inline_always void search_q4(search *s, v8 extreme) {
    v8 toward = reciprocal(extreme), best = splat(0.0f), best_gain = splat(-1.0f);
    for (unsigned c = 0; c < sizeof q4_extremes / sizeof *q4_extremes; c++) {
        v8 gain, scale = fitted(s, toward * q4_extremes[c], &gain);
        // By more than rounding: of scales that do equally well the one of the fewest levels is likely to be exact.
        i8 better = gain > best_gain * splat(1.0f + 0x1p-18f);
        best = better ? scale : best;
        best_gain = better ? gain : best_gain;
    }
    offer(s, best);
    // Once more from the codes of the stored scale, then the plain choices, which may win by luck of the rounding.
    v8 gain;
    offer(s, fitted(s, reciprocal(s->scale), &gain));
    offer(s, extreme * splat(1.0f / 7.0f));
    offer(s, extreme * splat(-1.0f / 8.0f));
}

inline_always void search_q8(search *s, v8 extreme) {
    static const float steps[] = {127.0f, 127.2f, 126.7f, 126.4f, 126.0f};
    for (unsigned c = 0; c < sizeof steps / sizeof *steps; c++) offer(s, extreme / steps[c]);
    v8 gain;
    offer(s, fitted(s, reciprocal(s->scale), &gain));
}

inline_always int32_t quantize_group(
    uint8_t format, const float *x, int64_t row_stride, int64_t rows, uint16_t *scales, int64_t scale_stride,
    uint8_t *codes, int64_t code_stride, float *error, float *energy) {
    int is_q4 = format == moed_q4;
    v8 values[32], extreme = splat(0.0f), total = splat(0.0f);
    for (int k = 0; k < 32; k++) {
        v8 value = splat(0.0f);
        for (int64_t row = 0; row < rows; row++) value[row] = x[row * row_stride + k];
        values[k] = value;
        extreme = absolute(value) > absolute(extreme) ? value : extreme;
        total += value * value;
    }
    for (int row = 0; row < 8; row++)
        if (!(absolute(extreme)[row] <= (is_q4 ? 7.0f : 127.0f) * 65504.0f)) return 1;

    search s = {values, is_q4 ? -8.0f : -127.0f, is_q4 ? 7.0f : 127.0f, splat(0.0f), total};
    if (is_q4) search_q4(&s, extreme); else search_q8(&s, extreme);

    v8 inverse = reciprocal(s.scale);
    for (int k = 0; k < 32; k++) {
        i8 code = __builtin_convertvector(clamped(rounded(values[k] * inverse), s.least, s.greatest), i8);
        if (is_q4) code += 8;
        for (int64_t row = 0; row < rows; row++) codes[row * code_stride + k] = (uint8_t)code[row];
    }
    for (int64_t row = 0; row < rows; row++) {
        scales[row * scale_stride] = half_bits(s.scale[row]);
        error[row] = s.error[row];
        energy[row] = total[row];
    }
    return 0;
}

static int32_t quantize_group_baseline(
    uint8_t format, const float *x, int64_t row_stride, int64_t rows, uint16_t *scales, int64_t scale_stride,
    uint8_t *codes, int64_t code_stride, float *error, float *energy) {
    return quantize_group(format, x, row_stride, rows, scales, scale_stride, codes, code_stride, error, energy);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static int32_t quantize_group_avx2(
    uint8_t format, const float *x, int64_t row_stride, int64_t rows, uint16_t *scales, int64_t scale_stride,
    uint8_t *codes, int64_t code_stride, float *error, float *energy) {
    return quantize_group(format, x, row_stride, rows, scales, scale_stride, codes, code_stride, error, energy);
}
#endif

int32_t moed_quantize_group(
    uint8_t format, const float *x, int64_t row_stride, int64_t rows, uint16_t *scales, int64_t scale_stride,
    uint8_t *codes, int64_t code_stride, float *error, float *energy) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return quantize_group_avx2(
            format, x, row_stride, rows, scales, scale_stride, codes, code_stride, error, energy);
#endif
    return quantize_group_baseline(format, x, row_stride, rows, scales, scale_stride, codes, code_stride, error, energy);
}
