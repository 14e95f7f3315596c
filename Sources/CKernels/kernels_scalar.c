// The reference: plain C that says what every other file does. `fmaf` rounds once, as the vector instructions do.

#include "CKernels.h"
#include "numbers.h"
#include "vectors.h"
#include <math.h>

typedef struct {
    float v[16];
} lanes;

#define FOR_LANES for (int i = 0; i < 16; i++)

INLINE lanes lanes_set(float a) {
    lanes r;
    FOR_LANES r.v[i] = a;
    return r;
}

INLINE lanes lanes_load(const float *p) {
    lanes r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}

INLINE void lanes_store(float *p, lanes a) { memcpy(p, a.v, sizeof a.v); }

INLINE lanes lanes_load_bf16(const uint16_t *p) {
    lanes r;
    FOR_LANES r.v[i] = bf16_to_f32(p[i]);
    return r;
}

INLINE lanes lanes_load_f16(const uint16_t *p) {
    lanes r;
    FOR_LANES r.v[i] = f16_to_f32(p[i]);
    return r;
}

INLINE lanes lanes_load_i8(const int8_t *p) {
    lanes r;
    FOR_LANES r.v[i] = (float)p[i];
    return r;
}

/// What 16 bytes stand for, a low and a high nibble each.
INLINE void lanes_load_nibbles(const uint8_t *p, const int8_t *table, lanes *low, lanes *high) {
    FOR_LANES {
        low->v[i] = (float)table[p[i] & 15];
        high->v[i] = (float)table[p[i] >> 4];
    }
}

/// The scales of a panel's 8 rows, twice.
INLINE lanes lanes_load_scales(const uint16_t *p, int is_bf16) {
    lanes r;
    FOR_LANES r.v[i] = scale_to_f32(p[i % 8], is_bf16);
    return r;
}

INLINE lanes lanes_add(lanes a, lanes b) {
    FOR_LANES a.v[i] += b.v[i];
    return a;
}

INLINE lanes lanes_sub(lanes a, lanes b) {
    FOR_LANES a.v[i] -= b.v[i];
    return a;
}

INLINE lanes lanes_mul(lanes a, lanes b) {
    FOR_LANES a.v[i] *= b.v[i];
    return a;
}

INLINE lanes lanes_div(lanes a, lanes b) {
    FOR_LANES a.v[i] /= b.v[i];
    return a;
}

/// a · b + c, rounded once.
INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
    FOR_LANES c.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return c;
}

/// The second operand where one is NaN.
INLINE lanes lanes_max(lanes a, lanes b) {
    FOR_LANES a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}

INLINE lanes lanes_min(lanes a, lanes b) {
    FOR_LANES a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}

/// The bits moved 23 places up: the low integer becomes an exponent.
INLINE lanes lanes_shift_to_exponent(lanes a) {
    FOR_LANES a.v[i] = float_of(bits_of(a.v[i]) << 23);
    return a;
}

/// x where it is NaN, else result.
INLINE lanes lanes_keep_nan(lanes x, lanes result) {
    FOR_LANES result.v[i] = x.v[i] != x.v[i] ? x.v[i] : result.v[i];
    return result;
}

/// The tree: halves are added to each other until one value is left.
INLINE float lanes_sum(lanes a) {
    for (int half = 8; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) a.v[i] += a.v[i + half];
    }
    return a.v[0];
}

/// The bits of the largest magnitude; those of an infinity or a NaN are larger than any finite one's.
INLINE uint32_t lanes_largest_magnitude(lanes a, lanes b) {
    uint32_t largest = 0;
    FOR_LANES {
        uint32_t x = bits_of(a.v[i]) & 0x7fffffff, y = bits_of(b.v[i]) & 0x7fffffff;
        if (x > largest) largest = x;
        if (y > largest) largest = y;
    }
    return largest;
}

/// Four sums at once.
INLINE void lanes_sum_eight(const lanes *x, float *sums) {
    for (int i = 0; i < 8; i++) sums[i] = lanes_sum(x[i]);
}

enum { transposed_block = 2 };

#include "floats_are_lanes.h"

enum { tile_queries = 4, tile_keys = 2 };

/// Every other value from p on, and those between.
INLINE void floats_load_bf16_pairs(const uint16_t *p, floats *even, floats *odd) {
    FOR_LANES {
        even->v[i] = bf16_to_f32(p[2 * i]);
        odd->v[i] = bf16_to_f32(p[2 * i + 1]);
    }
}

/// Two registers as one row: every other value of it, and those between.
INLINE void floats_unzip(floats low, floats high, floats *even, floats *odd) {
    float row[32];
    floats_store(row, low);
    floats_store(row + 16, high);
    FOR_LANES {
        even->v[i] = row[2 * i];
        odd->v[i] = row[2 * i + 1];
    }
}

/// The row again.
INLINE void floats_zip(floats even, floats odd, floats *low, floats *high) {
    float row[32];
    FOR_LANES {
        row[2 * i] = even.v[i];
        row[2 * i + 1] = odd.v[i];
    }
    *low = floats_load(row);
    *high = floats_load(row + 16);
}

/// Rounds to nearest even; every magnitude is at most 127.
INLINE void lanes_store_rounded(int8_t *p, lanes a) {
    const float magic = 0x1.8p23f;
    FOR_LANES p[i] = (int8_t)((a.v[i] + magic) - magic);
}

/// A q4 group of a panel (128 bytes) as a q8 group (256 bytes): low nibbles are lines 0…3, high ones lines 4…7.
INLINE void expand_q4(const uint8_t *packed, const int8_t *table, int8_t *codes) {
    for (int i = 0; i < 128; i++) {
        codes[i] = table[packed[i] & 15];
        codes[128 + i] = table[packed[i] >> 4];
    }
}

/// A q8 group of a panel, 8 lines of 8 rows of 4 bytes, as 8 rows of 32 bytes.
INLINE void transpose_group(const int8_t *codes, int8_t *rows) {
    for (int line = 0; line < 8; line++) {
        for (int row = 0; row < 8; row++) memcpy(rows + row * 32 + line * 4, codes + line * 32 + row * 4, 4);
    }
}

/// A q4 group of a panel, 4 lines of 8 rows of 4 bytes, as 8 rows of 16 bytes.
INLINE void transpose_packed(const uint8_t *packed, uint8_t *rows) {
    for (int line = 0; line < 4; line++) {
        for (int row = 0; row < 8; row++) memcpy(rows + row * 16 + line * 4, packed + line * 32 + row * 4, 4);
    }
}

// sum[row] = fma(float(Σ code · activation), weight scale · activation scale, sum[row]), group by group. y begins at the
// first of the tokens and panels.
static void multiply_quantized(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    int is_bf16 = w->scale_format == moed_bf16_scales;
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
        const uint8_t *base = w->base + panel * w->stride;
        int64_t left = w->rows - panel * moed_panel_rows;
        int64_t count = left < moed_panel_rows ? left : moed_panel_rows;
        for (int64_t t = tokens.begin; t < tokens.end; t++) {
            float result[moed_panel_rows] = {0};
            for (int64_t group = 0; group < w->columns / moed_group_size; group++) {
                int8_t space[256];
                const int8_t *codes = (const int8_t *)base + w->code_offset + group * 256;
                if (w->format == moed_q4) {
                    expand_q4(base + w->code_offset + group * 128, moed_code_tables[w->table], space);
                    codes = space;
                }
                int64_t place = group * x->token_count + t;
                const int8_t *input = x->codes + place * moed_group_size;
                for (int r = 0; r < moed_panel_rows; r++) {
                    int32_t sum = 0;
                    for (int k = 0; k < 32; k++) sum += codes[k / 4 * 32 + r * 4 + k % 4] * input[k];
                    uint16_t bits = ((const uint16_t *)base)[group * moed_panel_rows + r];
                    float weight_scale = scale_to_f32(bits, is_bf16);
                    result[r] = fmaf((float)sum, weight_scale * x->scales[place], result[r]);
                }
            }
            float *place = y + (t - tokens.begin) * y_stride + (panel - panels.begin) * moed_panel_rows;
            memcpy(place, result, (size_t)count * sizeof(float));
        }
    }
}

enum { gated_panels = 1, gated_tokens = 64 };

/// What one panel of each matrix gives: [tokens, 8] both.
static void gate_and_up(
    const moed_matrix *gate, const moed_matrix *up, const moed_activations *x, moed_range panel, int64_t end,
    moed_range tokens, float *gates, float *ups) {
    (void)end;
    multiply_quantized(gate, x, panel, tokens, gates, moed_panel_rows);
    multiply_quantized(up, x, panel, tokens, ups, moed_panel_rows);
}

// Through arrays: an element of a vector by a variable's number is slow to reach.
#define AS_ARRAY(type, count, name, vector) \
    type name[count];                       \
    memcpy(name, &(vector), 64)
#define FROM_ARRAY(type, name)        \
    type vector_of_##name;            \
    memcpy(&vector_of_##name, name, 64); \
    return vector_of_##name

INLINE words32 words_scaled(words32 x, words32 m) {
    AS_ARRAY(int16_t, 32, a, x);
    AS_ARRAY(int16_t, 32, b, m);
    for (int i = 0; i < 32; i++) a[i] = (int16_t)((a[i] * b[i] + 0x4000) >> 15);
    FROM_ARRAY(words32, a);
}

INLINE ints16 words_dot(words32 x, words32 y) {
    AS_ARRAY(int16_t, 32, a, x);
    AS_ARRAY(int16_t, 32, b, y);
    int32_t r[16];
    FOR_LANES r[i] = a[2 * i] * b[2 * i] + a[2 * i + 1] * b[2 * i + 1];
    FROM_ARRAY(ints16, r);
}

INLINE bytes64 words_pack(words32 x, words32 y) {
    AS_ARRAY(int16_t, 32, a, x);
    AS_ARRAY(int16_t, 32, b, y);
    int8_t r[64];
    for (int i = 0; i < 64; i++) {
        int16_t word = i < 32 ? a[i] : b[i - 32];
        r[i] = (int8_t)(word < -128 ? -128 : word > 127 ? 127 : word);
    }
    FROM_ARRAY(bytes64, r);
}

INLINE words32 bytes_low_words(bytes64 x) {
    AS_ARRAY(int8_t, 64, a, x);
    int16_t r[32];
    for (int i = 0; i < 32; i++) r[i] = a[i];
    FROM_ARRAY(words32, r);
}

INLINE words32 bytes_high_words(bytes64 x) {
    AS_ARRAY(int8_t, 64, a, x);
    int16_t r[32];
    for (int i = 0; i < 32; i++) r[i] = a[i + 32];
    FROM_ARRAY(words32, r);
}

INLINE bytes64 bytes_lookup(bytes64 table, bytes64 index) {
    AS_ARRAY(int8_t, 64, a, table);
    AS_ARRAY(int8_t, 64, b, index);
    int8_t r[64];
    for (int i = 0; i < 64; i++) r[i] = a[b[i] & 15];
    FROM_ARRAY(bytes64, r);
}

// Eight chains hide the latency; the barrier keeps the compiler from doing a product once for all of them.
static int64_t spend_multiply_adds(int64_t rounds) {
    int32_t sums[8] = {0}, weight = 3, input = 5;
    for (int64_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 8; i++) {
            __asm__ volatile("" : "+r"(weight));
            sums[i] += weight * input;
        }
    }
    for (int i = 0; i < 8; i++) __asm__ volatile("" : : "r"(sums[i]));
    return rounds * 8;
}

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

const moed_kernels moed_kernels_scalar = KERNEL_TABLE("scalar", multiply, multiply_gated);
