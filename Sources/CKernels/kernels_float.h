// What works on floats, written once over 16 lanes so that every instruction set sums in the same order.
//
// The file that includes this one has defined `lanes`, 16 floats, and the functions that start with `lanes_`, and
// `expand_q4`, `transpose_packed` and `transpose_group`; `kernels_scalar.c` says in plain C what each of them does. And it has defined
// `multiply_quantized` and `gate_and_up`, which takes `gated_panels` panels and `gated_tokens` tokens at most.

#include <math.h>

INLINE lanes load_elements(const uint8_t *row, int64_t k, int format) {
    switch (format) {
    case moed_f32: return lanes_load((const float *)row + k);
    case moed_bf16: return lanes_load_bf16((const uint16_t *)row + k);
    default: return lanes_load_f16((const uint16_t *)row + k);
    }
}

INLINE float load_element(const uint8_t *row, int64_t k, int format) {
    switch (format) {
    case moed_f32: return ((const float *)row)[k];
    case moed_bf16: return bf16_to_f32(((const uint16_t *)row)[k]);
    default: return f16_to_f32(((const uint16_t *)row)[k]);
    }
}

INLINE int64_t element_size(int format) { return format == moed_f32 ? 4 : 2; }

// The last `count % 16` products go to the lanes that they would have had in a whole step.
INLINE float finish_dot(lanes sum, const uint8_t *row, const float *x, int64_t done, int64_t count, int format) {
    if (done < count) {
        float lane[16];
        lanes_store(lane, sum);
        for (int64_t k = done; k < count; k++) {
            lane[k - done] = fmaf(load_element(row, k, format), x[k], lane[k - done]);
        }
        sum = lanes_load(lane);
    }
    return lanes_sum(sum);
}

INLINE float dot_elements(const uint8_t *row, const float *x, int64_t count, int format) {
    lanes sum = lanes_set(0);
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) sum = lanes_fma(load_elements(row, k, format), lanes_load(x + k), sum);
    return finish_dot(sum, row, x, k, count, format);
}

static float dot(const float *x, const float *y, int64_t count) {
    return dot_elements((const uint8_t *)x, y, count, moed_f32);
}

static float dot_bf16(const float *x, const uint16_t *y, int64_t count) {
    return dot_elements((const uint8_t *)y, x, count, moed_bf16);
}

// Four rows at a time hide the latency of the additions.
INLINE void dot_four_rows(const uint8_t *rows, int64_t stride, const float *x, int64_t count, int format, float *y) {
    lanes sum[4] = {lanes_set(0), lanes_set(0), lanes_set(0), lanes_set(0)};
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) {
        lanes input = lanes_load(x + k);
        for (int r = 0; r < 4; r++) sum[r] = lanes_fma(load_elements(rows + r * stride, k, format), input, sum[r]);
    }
    for (int r = 0; r < 4; r++) y[r] = finish_dot(sum[r], rows + r * stride, x, k, count, format);
}

// y begins at the first of the tokens and panels.
INLINE void multiply_floats(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y, int64_t y_stride,
    int format) {
    int64_t row_size = w->columns * element_size(format);
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
        const uint8_t *rows = w->base + panel * w->stride;
        int64_t left = w->rows - panel * moed_panel_rows;
        int64_t count = left < moed_panel_rows ? left : moed_panel_rows;
        for (int64_t t = tokens.begin; t < tokens.end; t++) {
            const float *input = x->values + t * x->value_stride;
            float result[moed_panel_rows];
            dot_four_rows(rows, row_size, input, w->columns, format, result);
            dot_four_rows(rows + 4 * row_size, row_size, input, w->columns, format, result + 4);
            float *place = y + (t - tokens.begin) * y_stride + (panel - panels.begin) * moed_panel_rows;
            memcpy(place, result, (size_t)count * sizeof(float));
        }
    }
}

INLINE void axpy_elements(float a, const uint8_t *x, int64_t count, float *y, int format) {
    lanes factor = lanes_set(a);
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) {
        lanes_store(y + k, lanes_fma(load_elements(x, k, format), factor, lanes_load(y + k)));
    }
    for (; k < count; k++) y[k] = fmaf(load_element(x, k, format), a, y[k]);
}

static void axpy(float a, const float *x, int64_t count, float *y) {
    axpy_elements(a, (const uint8_t *)x, count, y, moed_f32);
}

static void axpy_bf16(float a, const uint16_t *x, int64_t count, float *y) {
    axpy_elements(a, (const uint8_t *)x, count, y, moed_bf16);
}

static void multiply_transposed_floats(
    const moed_matrix *w, moed_range rows, const float *x, int64_t x_stride, int64_t tokens, float *y,
    int64_t y_stride) {
    int64_t row_size = w->columns * element_size(w->format);
    for (int64_t r = rows.begin; r < rows.end; r++) {
        const uint8_t *row = w->base + r / moed_panel_rows * w->stride + r % moed_panel_rows * row_size;
        for (int64_t t = 0; t < tokens; t++) {
            float factor = x[t * x_stride + r - rows.begin], *output = y + t * y_stride;
            switch (w->format) {
            case moed_f32: axpy_elements(factor, row, w->columns, output, moed_f32); break;
            case moed_bf16: axpy_elements(factor, row, w->columns, output, moed_bf16); break;
            default: axpy_elements(factor, row, w->columns, output, moed_f16); break;
            }
        }
    }
}

// A group's columns of the panel's rows low ..< high; x begins at row `low`. The sums stay in registers, and each
// weight is expanded once for all tokens.
INLINE void transposed_group(
    const moed_matrix *w, const uint8_t *panel, int64_t group, int64_t low, int64_t high, const float *x,
    int64_t x_stride, int tokens, float *y, int64_t y_stride) {
    _Alignas(64) uint8_t codes[256];
    const uint8_t *from = panel + w->code_offset;
    int is_q4 = w->format == moed_q4;
    if (is_q4) {
        transpose_packed(from + group * 128, codes);
    } else {
        transpose_group((const int8_t *)from + group * 256, (int8_t *)codes);
    }
    float scales[16], factors[transposed_block][moed_panel_rows];
    lanes_store(
        scales,
        lanes_load_scales(
            (const uint16_t *)panel + group * moed_panel_rows, w->scale_format == moed_bf16_scales));
    lanes first[transposed_block], second[transposed_block];
    for (int t = 0; t < tokens; t++) {
        for (int64_t r = low; r < high; r++) factors[t][r] = x[t * x_stride + r - low] * scales[r];
        first[t] = lanes_load(y + t * y_stride + group * moed_group_size);
        second[t] = lanes_load(y + t * y_stride + group * moed_group_size + 16);
    }
    for (int64_t r = low; r < high; r++) {
        lanes early, late;
        if (is_q4) {
            lanes_load_nibbles(codes + r * 16, moed_code_tables[w->table], &early, &late);
        } else {
            early = lanes_load_i8((const int8_t *)codes + r * 32);
            late = lanes_load_i8((const int8_t *)codes + r * 32 + 16);
        }
        for (int t = 0; t < tokens; t++) {
            lanes factor = lanes_set(factors[t][r]);
            first[t] = lanes_fma(early, factor, first[t]);
            second[t] = lanes_fma(late, factor, second[t]);
        }
    }
    for (int t = 0; t < tokens; t++) {
        lanes_store(y + t * y_stride + group * moed_group_size, first[t]);
        lanes_store(y + t * y_stride + group * moed_group_size + 16, second[t]);
    }
}

INLINE void transposed_tokens(
    const moed_matrix *w, const uint8_t *panel, int64_t low, int64_t high, const float *x, int64_t x_stride,
    int64_t tokens, float *y, int64_t y_stride) {
    int64_t t = 0;
    for (; t + transposed_block <= tokens; t += transposed_block) {
        for (int64_t group = 0; group < w->columns / moed_group_size; group++) {
            transposed_group(
                w, panel, group, low, high, x + t * x_stride, x_stride, transposed_block, y + t * y_stride, y_stride);
        }
    }
    for (; t < tokens; t++) {
        for (int64_t group = 0; group < w->columns / moed_group_size; group++) {
            transposed_group(w, panel, group, low, high, x + t * x_stride, 0, 1, y + t * y_stride, 0);
        }
    }
}

static void multiply_transposed(
    const moed_matrix *w, moed_range rows, const float *x, int64_t x_stride, int64_t tokens, float *y,
    int64_t y_stride) {
    if (w->format != moed_q4 && w->format != moed_q8) {
        multiply_transposed_floats(w, rows, x, x_stride, tokens, y, y_stride);
        return;
    }
    int64_t last = (rows.end + moed_panel_rows - 1) / moed_panel_rows;
    for (int64_t panel = rows.begin / moed_panel_rows; panel < last; panel++) {
        int64_t first = panel * moed_panel_rows;
        int64_t low = rows.begin > first ? rows.begin - first : 0;
        int64_t high = rows.end - first < moed_panel_rows ? rows.end - first : moed_panel_rows;
        const uint8_t *base = w->base + panel * w->stride;
        const float *input = x + first + low - rows.begin;
        // What a number known to the compiler saves is worth the text twice.
        if (low == 0 && high == moed_panel_rows) {
            transposed_tokens(w, base, 0, moed_panel_rows, input, x_stride, tokens, y, y_stride);
        } else {
            transposed_tokens(w, base, low, high, input, x_stride, tokens, y, y_stride);
        }
    }
}

static void dequantize_row(const moed_matrix *w, int64_t row, float *y) {
    int panels = w->layout == moed_panels;
    int64_t r = panels ? row % moed_panel_rows : 0;
    const uint8_t *base = w->base + (panels ? row / moed_panel_rows : row) * w->stride;
    if (w->format != moed_q4 && w->format != moed_q8) {
        base += r * w->columns * element_size(w->format);
        for (int64_t k = 0; k < w->columns; k++) y[k] = load_element(base, k, w->format);
        return;
    }
    const uint16_t *scales = (const uint16_t *)base;
    for (int64_t group = 0; group < w->columns / moed_group_size; group++) {
        _Alignas(64) int8_t space[256], codes[32];
        if (panels) {
            const int8_t *from = (const int8_t *)base + w->code_offset + group * 256;
            if (w->format == moed_q4) {
                expand_q4(base + w->code_offset + group * 128, moed_code_tables[w->table], space);
                from = space;
            }
            for (int l = 0; l < 8; l++) memcpy(codes + l * 4, from + l * 32 + r * 4, 4);
        } else if (w->format == moed_q8) {
            memcpy(codes, base + w->code_offset + group * 32, 32);
        } else {
            const int8_t *table = moed_code_tables[w->table];
            const uint8_t *from = base + w->code_offset + group * 16;
            for (int i = 0; i < 16; i++) {
                codes[i] = table[from[i] & 15];
                codes[16 + i] = table[from[i] >> 4];
            }
        }
        uint16_t bits = scales[panels ? group * moed_panel_rows + r : group];
        lanes scale = lanes_set(scale_to_f32(bits, w->scale_format == moed_bf16_scales));
        lanes_store(y + group * 32, lanes_mul(lanes_load_i8(codes), scale));
        lanes_store(y + group * 32 + 16, lanes_mul(lanes_load_i8(codes + 16), scale));
    }
}

// MARK: Activations

static void quantize(
    const float *x, int64_t columns, int64_t token_count, int8_t *codes, float *scales, int32_t *corrections) {
    for (int64_t group = 0; group < columns / moed_group_size; group++, x += moed_group_size) {
        lanes low = lanes_load(x), high = lanes_load(x + 16);
        uint32_t bits = lanes_largest_magnitude(low, high);
        float largest = float_of(bits);
        int32_t sum = 0;
        // An infinity or NaN makes every product with this group NaN, so that it can't pass unseen.
        // Below 1e-30 the reciprocal would overflow; such a group counts as zero.
        if (bits >= 0x7f800000 || largest < 1e-30f) {
            memset(codes, 0, moed_group_size);
            *scales = bits >= 0x7f800000 ? float_of(0x7fc00000) : 0;
        } else {
            lanes inverse = lanes_set(127.0f / largest);
            lanes_store_rounded(codes, lanes_mul(low, inverse));
            lanes_store_rounded(codes + 16, lanes_mul(high, inverse));
            *scales = largest / 127.0f;
            for (int i = 0; i < moed_group_size; i++) sum += codes[i];
        }
        *corrections = -8 * sum;
        codes += token_count * moed_group_size;
        scales += token_count;
        corrections += token_count;
    }
}

// MARK: Vectors

// e^x = 2^n · e^r with |r| ≤ ln 2 / 2, e^r by the polynomial of Cephes' `expf`; within one unit in the last place.
// 2^n is multiplied in two halves, so that results reach down into the subnormals and up to infinity.
INLINE lanes exponential(lanes x) {
    const float magic = 0x1.8p23f;  // adding it rounds to an integer in the low bits
    lanes limited = lanes_max(lanes_min(x, lanes_set(89.0f)), lanes_set(-104.0f));
    lanes n = lanes_sub(lanes_fma(limited, lanes_set(0x1.715476p0f), lanes_set(magic)), lanes_set(magic));
    lanes r = lanes_fma(n, lanes_set(-0x1.62e400p-1f), limited);
    r = lanes_fma(n, lanes_set(-0x1.7f7d1cp-20f), r);
    lanes p = lanes_set(1.9875691500e-4f);
    p = lanes_fma(p, r, lanes_set(1.3981999507e-3f));
    p = lanes_fma(p, r, lanes_set(8.3334519073e-3f));
    p = lanes_fma(p, r, lanes_set(4.1665795894e-2f));
    p = lanes_fma(p, r, lanes_set(1.6666665459e-1f));
    p = lanes_fma(p, r, lanes_set(5.0000001201e-1f));
    p = lanes_add(lanes_fma(p, lanes_mul(r, r), r), lanes_set(1.0f));
    lanes half = lanes_sub(lanes_fma(n, lanes_set(0.5f), lanes_set(magic)), lanes_set(magic));
    lanes rest = lanes_sub(n, half);
    lanes bias = lanes_set(magic + 127);
    p = lanes_mul(p, lanes_shift_to_exponent(lanes_add(half, bias)));
    p = lanes_mul(p, lanes_shift_to_exponent(lanes_add(rest, bias)));
    return lanes_keep_nan(x, p);
}

INLINE lanes sigmoid_of(lanes x) {
    lanes one = lanes_set(1);
    return lanes_div(one, lanes_add(one, exponential(lanes_sub(lanes_set(0), x))));
}

INLINE lanes silu_of(lanes x) {
    return lanes_div(x, lanes_add(lanes_set(1), exponential(lanes_sub(lanes_set(0), x))));
}

// The last step of a vector whose length 16 doesn't divide: `count` values, the other lanes are `fill`.
INLINE lanes load_some(const float *x, int64_t count, float fill) {
    if (count >= 16) return lanes_load(x);
    float lane[16];
    lanes_store(lane, lanes_set(fill));
    memcpy(lane, x, (size_t)count * sizeof(float));
    return lanes_load(lane);
}

INLINE void store_some(float *y, lanes values, int64_t count) {
    if (count >= 16) {
        lanes_store(y, values);
    } else {
        float lane[16];
        lanes_store(lane, values);
        memcpy(y, lane, (size_t)count * sizeof(float));
    }
}

static void scale(float a, int64_t count, float *x) {
    for (int64_t k = 0; k < count; k += 16) {
        store_some(x + k, lanes_mul(load_some(x + k, count - k, 0), lanes_set(a)), count - k);
    }
}

static void add(const float *x, int64_t count, float *y) {
    for (int64_t k = 0; k < count; k += 16) {
        store_some(y + k, lanes_add(load_some(y + k, count - k, 0), load_some(x + k, count - k, 0)), count - k);
    }
}

static void rms_norm(const float *x, const float *weight, float epsilon, int64_t count, float *y) {
    lanes factor = lanes_set(1.0f / sqrtf(dot(x, x, count) / (float)count + epsilon));
    for (int64_t k = 0; k < count; k += 16) {
        lanes normal = lanes_mul(load_some(x + k, count - k, 0), factor);
        store_some(y + k, lanes_mul(normal, load_some(weight + k, count - k, 0)), count - k);
    }
}

static void silu_multiply(const float *gate, const float *up, int64_t count, float *y) {
    for (int64_t k = 0; k < count; k += 16) {
        lanes active = silu_of(load_some(gate + k, count - k, 0));
        store_some(y + k, lanes_mul(active, load_some(up + k, count - k, 0)), count - k);
    }
}

static void clamped_multiply(
    float slope, float limit, const float *gate, const float *up, int64_t count, float *y) {
    lanes most = lanes_set(limit), least = lanes_set(-limit), one = lanes_set(1), factor = lanes_set(slope);
    for (int64_t k = 0; k < count; k += 16) {
        lanes g = lanes_min(most, load_some(gate + k, count - k, 0));
        lanes u = lanes_max(least, lanes_min(most, load_some(up + k, count - k, 0)));
        lanes active = lanes_div(g, lanes_add(one, exponential(lanes_sub(lanes_set(0), lanes_mul(factor, g)))));
        store_some(y + k, lanes_mul(active, lanes_add(u, one)), count - k);
    }
}

static void relu(int64_t count, float *x) {
    for (int64_t k = 0; k < count; k += 16) {
        store_some(x + k, lanes_max(lanes_set(0), load_some(x + k, count - k, 0)), count - k);
    }
}

static void sigmoid(const float *x, int64_t count, float *y) {
    for (int64_t k = 0; k < count; k += 16) {
        store_some(y + k, sigmoid_of(load_some(x + k, count - k, 0)), count - k);
    }
}

// y = exp(x − shift)
INLINE void shifted_exponentials(const float *x, float shift, int64_t count, float *y) {
    for (int64_t k = 0; k < count; k += 16) {
        lanes shifted = lanes_sub(load_some(x + k, count - k, 0), lanes_set(shift));
        store_some(y + k, exponential(shifted), count - k);
    }
}

static void exponentials(const float *x, int64_t count, float *y) { shifted_exponentials(x, 0, count, y); }

static float maximum(const float *x, int64_t count) {
    lanes largest = lanes_set(-INFINITY);
    for (int64_t k = 0; k < count; k += 16) largest = lanes_max(load_some(x + k, count - k, -INFINITY), largest);
    float lane[16];
    lanes_store(lane, largest);
    float result = lane[0];
    for (int i = 1; i < 16; i++) result = lane[i] > result ? lane[i] : result;
    return result;
}

static float sum(const float *x, int64_t count) {
    lanes total = lanes_set(0);
    for (int64_t k = 0; k < count; k += 16) total = lanes_add(total, load_some(x + k, count - k, 0));
    return lanes_sum(total);
}

static void softmax(int64_t count, float *x) {
    shifted_exponentials(x, maximum(x, count), count, x);
    scale(1.0f / sum(x, count), count, x);
}

// MARK: Attention

#include "attention.h"

// MARK: The table

// y begins at the first of the tokens and panels.
static void multiply_any(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    switch (w->format) {
    case moed_f32: multiply_floats(w, x, panels, tokens, y, y_stride, moed_f32); break;
    case moed_bf16: multiply_floats(w, x, panels, tokens, y, y_stride, moed_bf16); break;
    case moed_f16: multiply_floats(w, x, panels, tokens, y, y_stride, moed_f16); break;
    default: multiply_quantized(w, x, panels, tokens, y, y_stride); break;
    }
}

static void multiply(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    float *first = y + tokens.begin * y_stride + panels.begin * moed_panel_rows;
    multiply_any(w, x, panels, tokens, first, y_stride);
}

/// rows[t][r] += biases[r] for the rows of a panel that there are.
INLINE void add_biases(const float *biases, int64_t row_count, int64_t tokens, float *rows) {
    if (biases == NULL) return;
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t r = 0; r < row_count; r++) rows[t * moed_panel_rows + r] += biases[r];
    }
}

/// gates = what stands between gate and up, and down, for one panel: [tokens, 8] both.
INLINE void join_gated(
    const moed_gating *gating, int64_t first_row, int64_t row_count, int64_t tokens, float *gates, float *ups) {
    int64_t count = tokens * moed_panel_rows;
    if (gating == NULL) {
        silu_multiply(gates, ups, count, gates);
        return;
    }
    add_biases(gating->gate_biases ? gating->gate_biases + first_row : NULL, row_count, tokens, gates);
    add_biases(gating->up_biases ? gating->up_biases + first_row : NULL, row_count, tokens, ups);
    clamped_multiply(gating->slope, gating->limit, gates, ups, count, gates);
}

static void multiply_gated(
    const moed_matrix *gate, const moed_matrix *up, const moed_gating *gating, const moed_activations *x,
    moed_range panels, moed_range tokens, float *y, int64_t y_stride) {
    int is_quantized = gate->format == moed_q4 || gate->format == moed_q8;
    int are_alike = gate->format == up->format && gate->table == up->table && gate->stride == up->stride
        && gate->scale_format == up->scale_format;
    enum { panel_results = gated_tokens * moed_panel_rows };
    _Alignas(64) float gates[gated_panels * panel_results], ups[gated_panels * panel_results];
    for (int64_t panel = panels.begin; panel < panels.end; panel += gated_panels) {
        moed_range some_panels = {panel, panels.end - panel < gated_panels ? panels.end : panel + gated_panels};
        for (int64_t first = tokens.begin; first < tokens.end; first += gated_tokens) {
            int64_t end = tokens.end - first < gated_tokens ? tokens.end : first + gated_tokens;
            moed_range some = {first, end};
            if (is_quantized && are_alike) gate_and_up(gate, up, x, some_panels, panels.end, some, gates, ups);
            for (int64_t p = some_panels.begin; p < some_panels.end; p++) {
                float *gate_rows = gates + (p - panel) * panel_results, *up_rows = ups + (p - panel) * panel_results;
                if (!is_quantized || !are_alike) {
                    multiply_any(gate, x, (moed_range){p, p + 1}, some, gate_rows, moed_panel_rows);
                    multiply_any(up, x, (moed_range){p, p + 1}, some, up_rows, moed_panel_rows);
                }
                int64_t left = gate->rows - p * moed_panel_rows;
                int64_t count = left < moed_panel_rows ? left : moed_panel_rows;
                join_gated(gating, p * moed_panel_rows, count, end - first, gate_rows, up_rows);
                for (int64_t t = first; t < end; t++) {
                    const float *row = gate_rows + (t - first) * moed_panel_rows;
                    memcpy(y + t * y_stride + p * moed_panel_rows, row, (size_t)count * sizeof(float));
                }
            }
        }
    }
}

// With the functions that multiply quantised matrices, which an entry may have its own of.
#define KERNEL_TABLE(instruction_set, products, gated_products) \
    {                                                           \
        .name = instruction_set,                                \
        .quantize = quantize,                                   \
        .multiply = products,                                   \
        .multiply_gated = gated_products,                       \
        .multiply_transposed = multiply_transposed,             \
        .dequantize_row = dequantize_row,                       \
        .dot = dot,                                             \
        .dot_bf16 = dot_bf16,                                   \
        .axpy = axpy,                                           \
        .axpy_bf16 = axpy_bf16,                                 \
        .scale = scale,                                         \
        .add = add,                                             \
        .rms_norm = rms_norm,                                   \
        .silu_multiply = silu_multiply,                         \
        .clamped_multiply = clamped_multiply,                   \
        .relu = relu,                                           \
        .sigmoid = sigmoid,                                     \
        .exponentials = exponentials,                           \
        .maximum = maximum,                                     \
        .sum = sum,                                             \
        .softmax = softmax,                                     \
        .attend = attend,                                       \
        .refine = refine,                                       \
        .encode = encode,                                       \
        .encode_group = encode_group,                           \
        .spend_multiply_adds = spend_multiply_adds,             \
    }
