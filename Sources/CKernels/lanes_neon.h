// 16 float lanes and the vectors of 64 bytes as four 16-byte registers.

#ifndef MOED_LANES_NEON_H
#define MOED_LANES_NEON_H

#include "CKernels.h"
#include "numbers.h"
#include "vectors.h"
#include <arm_neon.h>

typedef struct {
    float32x4_t v[4];
} lanes;

#define FOR_QUARTERS for (int i = 0; i < 4; i++)

INLINE lanes lanes_set(float a) {
    lanes r;
    FOR_QUARTERS r.v[i] = vdupq_n_f32(a);
    return r;
}

INLINE lanes lanes_load(const float *p) {
    lanes r;
    FOR_QUARTERS r.v[i] = vld1q_f32(p + i * 4);
    return r;
}

INLINE void lanes_store(float *p, lanes a) { FOR_QUARTERS vst1q_f32(p + i * 4, a.v[i]); }

INLINE float32x4_t load_4_f16(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }

INLINE float32x4_t load_4_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }

INLINE float32x4_t load_4_scales(const uint16_t *p, int is_bf16) { return is_bf16 ? load_4_bf16(p) : load_4_f16(p); }

INLINE lanes lanes_load_bf16(const uint16_t *p) {
    lanes r;
    FOR_QUARTERS r.v[i] = load_4_bf16(p + i * 4);
    return r;
}

INLINE lanes lanes_load_f16(const uint16_t *p) {
    lanes r;
    FOR_QUARTERS r.v[i] = load_4_f16(p + i * 4);
    return r;
}

INLINE lanes widen_16_i8(int8x16_t bytes) {
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    lanes r;
    r.v[0] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
    r.v[1] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
    r.v[2] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
    r.v[3] = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
    return r;
}

INLINE lanes lanes_load_i8(const int8_t *p) { return widen_16_i8(vld1q_s8(p)); }

INLINE lanes lanes_load_scales(const uint16_t *p, int is_bf16) {
    float32x4_t low = load_4_scales(p, is_bf16), high = load_4_scales(p + 4, is_bf16);
    return (lanes){{low, high, low, high}};
}

INLINE lanes lanes_add(lanes a, lanes b) {
    FOR_QUARTERS a.v[i] = vaddq_f32(a.v[i], b.v[i]);
    return a;
}

INLINE lanes lanes_sub(lanes a, lanes b) {
    FOR_QUARTERS a.v[i] = vsubq_f32(a.v[i], b.v[i]);
    return a;
}

INLINE lanes lanes_mul(lanes a, lanes b) {
    FOR_QUARTERS a.v[i] = vmulq_f32(a.v[i], b.v[i]);
    return a;
}

INLINE lanes lanes_div(lanes a, lanes b) {
    FOR_QUARTERS a.v[i] = vdivq_f32(a.v[i], b.v[i]);
    return a;
}

INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
    FOR_QUARTERS c.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
    return c;
}

INLINE lanes lanes_max(lanes a, lanes b) {
    FOR_QUARTERS a.v[i] = vbslq_f32(vcgtq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
    return a;
}

INLINE lanes lanes_min(lanes a, lanes b) {
    FOR_QUARTERS a.v[i] = vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]);
    return a;
}

INLINE lanes lanes_shift_to_exponent(lanes a) {
    FOR_QUARTERS a.v[i] = vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(a.v[i]), 23));
    return a;
}

INLINE lanes lanes_keep_nan(lanes x, lanes result) {
    FOR_QUARTERS result.v[i] = vbslq_f32(vceqq_f32(x.v[i], x.v[i]), result.v[i], x.v[i]);
    return result;
}

INLINE float lanes_sum(lanes a) {
    float32x4_t four = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

INLINE float32x4_t four_lanes(lanes a) {
    return vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
}

INLINE float32x4_t add_pairs(float32x4_t a, float32x4_t b) {
    float64x2_t x = vreinterpretq_f64_f32(a), y = vreinterpretq_f64_f32(b);
    return vaddq_f32(vreinterpretq_f32_f64(vzip1q_f64(x, y)), vreinterpretq_f32_f64(vzip2q_f64(x, y)));
}

/// sums[i] = `lanes_sum` of x[i].
INLINE void lanes_sum_eight(const lanes *x, float *sums) {
    for (int i = 0; i < 8; i += 4) {
        float32x4_t first = add_pairs(four_lanes(x[i]), four_lanes(x[i + 1]));
        float32x4_t second = add_pairs(four_lanes(x[i + 2]), four_lanes(x[i + 3]));
        vst1q_f32(sums + i, vpaddq_f32(first, second));
    }
}

enum { transposed_block = 2 };

typedef float32x4_t floats;

enum { floats_count = 4, tile_queries = 8, tile_keys = 2 };

INLINE floats floats_set(float a) { return vdupq_n_f32(a); }
INLINE floats floats_load(const float *p) { return vld1q_f32(p); }
INLINE void floats_store(float *p, floats a) { vst1q_f32(p, a); }
INLINE floats floats_mul(floats a, floats b) { return vmulq_f32(a, b); }
INLINE floats floats_fma(floats a, floats b, floats c) { return vfmaq_f32(c, a, b); }

INLINE void floats_load_bf16_pairs(const uint16_t *p, floats *even, floats *odd) {
    uint32x4_t words = vreinterpretq_u32_u16(vld1q_u16(p));
    *even = vreinterpretq_f32_u32(vshlq_n_u32(words, 16));
    *odd = vreinterpretq_f32_u32(vandq_u32(words, vdupq_n_u32(0xffff0000)));
}

INLINE void floats_unzip(floats low, floats high, floats *even, floats *odd) {
    *even = vuzp1q_f32(low, high);
    *odd = vuzp2q_f32(low, high);
}

INLINE void floats_zip(floats even, floats odd, floats *low, floats *high) {
    *low = vzip1q_f32(even, odd);
    *high = vzip2q_f32(even, odd);
}

INLINE uint32_t lanes_largest_magnitude(lanes a, lanes b) {
    uint32x4_t largest = vdupq_n_u32(0), mask = vdupq_n_u32(0x7fffffff);
    FOR_QUARTERS {
        largest = vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(a.v[i]), mask));
        largest = vmaxq_u32(largest, vandq_u32(vreinterpretq_u32_f32(b.v[i]), mask));
    }
    return vmaxvq_u32(largest);
}

INLINE void lanes_store_rounded(int8_t *p, lanes a) {
    int16x4_t words[4];
    FOR_QUARTERS words[i] = vmovn_s32(vcvtnq_s32_f32(a.v[i]));
    int8x8_t low = vmovn_s16(vcombine_s16(words[0], words[1]));
    vst1q_s8(p, vcombine_s8(low, vmovn_s16(vcombine_s16(words[2], words[3]))));
}

INLINE int8x16_t low_codes(int8x16_t table, uint8x16_t packed) {
    return vqtbl1q_s8(table, vandq_u8(packed, vdupq_n_u8(15)));
}

INLINE int8x16_t high_codes(int8x16_t table, uint8x16_t packed) {
    return vqtbl1q_s8(table, vshrq_n_u8(packed, 4));
}

INLINE void lanes_load_nibbles(const uint8_t *p, const int8_t *table, lanes *low, lanes *high) {
    *low = widen_16_i8(low_codes(vld1q_s8(table), vld1q_u8(p)));
    *high = widen_16_i8(high_codes(vld1q_s8(table), vld1q_u8(p)));
}

INLINE void expand_q4(const uint8_t *packed, const int8_t *table, int8_t *codes) {
    int8x16_t values = vld1q_s8(table);
    for (int i = 0; i < 128; i += 16) {
        uint8x16_t pair = vld1q_u8(packed + i);
        vst1q_s8(codes + i, low_codes(values, pair));
        vst1q_s8(codes + 128 + i, high_codes(values, pair));
    }
}

INLINE void transpose_packed(const uint8_t *packed, uint8_t *rows) {
    for (int row = 0; row < 8; row += 4) {
        // Stored as structures of four words, four lines of four rows change places.
        uint32x4x4_t four;
        FOR_QUARTERS four.val[i] = vreinterpretq_u32_u8(vld1q_u8(packed + i * 32 + row * 4));
        vst4q_u32((uint32_t *)(rows + row * 16), four);
    }
}

INLINE void transpose_group(const int8_t *codes, int8_t *rows) {
    for (int line = 0; line < 8; line += 4) {
        for (int row = 0; row < 8; row += 4) {
            // Stored as structures of four words, four lines of four rows change places.
            int32x4x4_t four;
            FOR_QUARTERS four.val[i] = vreinterpretq_s32_s8(vld1q_s8(codes + (line + i) * 32 + row * 4));
            int32_t words[16];
            vst4q_s32(words, four);
            FOR_QUARTERS memcpy(rows + (row + i) * 32 + line * 4, words + i * 4, 16);
        }
    }
}

typedef union {
    words32 words;
    ints16 ints;
    bytes64 bytes;
    int16x8_t words_of[4];
    int32x4_t ints_of[4];
    int8x16_t bytes_of[4];
} quartered;

INLINE words32 words_scaled(words32 x, words32 m) {
    quartered a = {.words = x}, b = {.words = m}, r;
    FOR_QUARTERS r.words_of[i] = vqrdmulhq_s16(a.words_of[i], b.words_of[i]);
    return r.words;
}

INLINE ints16 words_dot(words32 x, words32 y) {
    quartered a = {.words = x}, b = {.words = y}, r;
    FOR_QUARTERS {
        int32x4_t low = vmull_s16(vget_low_s16(a.words_of[i]), vget_low_s16(b.words_of[i]));
        r.ints_of[i] = vpaddq_s32(low, vmull_high_s16(a.words_of[i], b.words_of[i]));
    }
    return r.ints;
}

INLINE bytes64 words_pack(words32 x, words32 y) {
    quartered a = {.words = x}, b = {.words = y}, r;
    FOR_QUARTERS r.bytes_of[i] = vqmovn_high_s16(vqmovn_s16(a.words_of[i]), b.words_of[i]);
    return r.bytes;
}

INLINE words32 bytes_low_words(bytes64 x) {
    quartered a = {.bytes = x}, r;
    FOR_QUARTERS r.words_of[i] = vmovl_s8(vget_low_s8(a.bytes_of[i]));
    return r.words;
}

INLINE words32 bytes_high_words(bytes64 x) {
    quartered a = {.bytes = x}, r;
    FOR_QUARTERS r.words_of[i] = vmovl_high_s8(a.bytes_of[i]);
    return r.words;
}

INLINE bytes64 bytes_lookup(bytes64 table, bytes64 index) {
    quartered a = {.bytes = table}, b = {.bytes = index}, r;
    FOR_QUARTERS r.bytes_of[i] = vqtbl1q_s8(a.bytes_of[i], vreinterpretq_u8_s8(b.bytes_of[i]));
    return r.bytes;
}

#endif
