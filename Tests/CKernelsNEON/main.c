// Every entry that this processor can run against the scalar one, bit for bit. `.ci/neon` runs it on emulated
// processors that the Swift tests can't reach.
//
// usage: kernels EXPECTED    where EXPECTED is the entry that the processor should choose

#include "CKernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 0x9e3779b97f4a7c15;
static int failures = 0;
static int checks = 0;

static uint32_t random_bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

static float random_float(void) { return (float)random_bits() / 2147483648.0f - 1.0f; }

static void *allocate(int64_t byte_count) {
    int64_t padded = (byte_count + 127) / 64 * 64;
    void *memory = aligned_alloc(64, (size_t)padded);
    if (memory == NULL) exit(2);
    memset(memory, 0, (size_t)padded);
    return memory;
}

static int same(float a, float b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static void expect_same(const char *entry, const char *what, const float *found, const float *expected, int64_t count) {
    checks++;
    for (int64_t i = 0; i < count; i++) {
        if (same(found[i], expected[i])) continue;
        printf("%s, %s: element %lld is %a, the scalar one %a\n", entry, what, (long long)i, found[i], expected[i]);
        failures++;
        return;
    }
}

/// What the random data look like.
enum { ordinary, least_codes, greatest_codes, large, extremes, broken, kinds_of_data };

static const char *const data_names[] = {"ordinary", "least codes", "greatest codes", "1e5", "extremes", "infinities"};

static void fill_inputs(float *x, int64_t count, int kind) {
    for (int64_t i = 0; i < count; i++) {
        x[i] = random_float();
        if (kind == large) x[i] *= 1e5f;
        if (kind == extremes) x[i] = random_bits() & 1 ? 127.0f : -127.0f;
        if (kind == broken && random_bits() % 97 == 0) x[i] = random_bits() & 1 ? INFINITY : NAN;
    }
}

typedef struct {
    int format, table, scale_format;
} encoding;

static moed_matrix make_matrix(encoding how, int64_t rows, int64_t columns, int kind) {
    int format = how.format;
    int64_t panels = (rows + 7) / 8, groups = columns / 32;
    moed_matrix w = {.rows = rows, .columns = columns, .format = (uint8_t)format, .layout = moed_panels};
    w.table = (uint8_t)how.table;
    w.scale_format = (uint8_t)how.scale_format;
    int quantized = format == moed_q4 || format == moed_q8;
    int64_t size = columns * 8 * (format == moed_f32 ? 4 : 2);
    if (quantized) {
        w.code_offset = (groups * 16 + 63) / 64 * 64;
        size = w.code_offset + (columns * (format == moed_q8 ? 8 : 4) + 63) / 64 * 64;
    }
    w.stride = (size + 63) / 64 * 64;
    uint8_t *base = allocate(panels * w.stride);
    for (int64_t panel = 0; panel < panels; panel++) {
        uint8_t *p = base + panel * w.stride;
        if (quantized) {
            for (int64_t i = 0; i < groups * 8; i++) {
                float scale = random_float() * 0.1f;
                if (how.scale_format == moed_bf16_scales) {
                    moed_f32_to_bf16(&scale, 1, (uint16_t *)p + i);
                } else {
                    moed_f32_to_f16(&scale, 1, (uint16_t *)p + i);
                }
            }
            for (int64_t i = w.code_offset; i < w.stride; i++) {
                p[i] = (uint8_t)random_bits();
                if (kind == least_codes) p[i] = format == moed_q8 ? 0x80 : 0;
                if (kind == greatest_codes) p[i] = format == moed_q8 ? 0x7f : 0xff;
                if (kind == extremes) p[i] = format == moed_q8 ? (random_bits() & 1 ? 0x80 : 0x7f) : 0xf0;
            }
        } else {
            for (int64_t i = 0; i < columns * 8; i++) {
                float value = random_float();
                if (format == moed_f32) ((float *)p)[i] = value;
                if (format == moed_bf16) moed_f32_to_bf16(&value, 1, (uint16_t *)p + i);
                if (format == moed_f16) moed_f32_to_f16(&value, 1, (uint16_t *)p + i);
            }
        }
    }
    w.base = base;
    return w;
}

static moed_activations make_activations(const moed_kernels *kernels, const float *x, int64_t tokens, int64_t columns) {
    int64_t groups = columns / 32;
    int8_t *codes = allocate(tokens * columns);
    float *scales = allocate(tokens * groups * 4);
    int32_t *corrections = allocate(tokens * groups * 4);
    for (int64_t t = 0; t < tokens; t++) {
        kernels->quantize(x + t * columns, columns, tokens, codes + t * 32, scales + t, corrections + t);
    }
    return (moed_activations){x, columns, codes, scales, corrections, tokens};
}

static void release(moed_activations x) {
    free((void *)x.codes);
    free((void *)x.scales);
    free((void *)x.corrections);
}

static void check_matrix(
    const moed_kernels *entry, const moed_kernels *scalar, encoding how, int64_t rows, int64_t columns,
    int64_t tokens, int kind) {
    char what[160];
    snprintf(
        what, sizeof what, "format %d table %d scales %d %lldx%lld, %lld tokens, %s", how.format, how.table,
        how.scale_format, (long long)rows, (long long)columns, (long long)tokens, data_names[kind]);
    moed_matrix w = make_matrix(how, rows, columns, kind);
    float *x = allocate(tokens * columns * 4);
    fill_inputs(x, tokens * columns, kind);
    moed_activations inputs = make_activations(entry, x, tokens, columns);
    moed_activations expected_inputs = make_activations(scalar, x, tokens, columns);
    int64_t groups = columns / 32;
    expect_same(entry->name, "scales of inputs", inputs.scales, expected_inputs.scales, tokens * groups);
    if (memcmp(inputs.codes, expected_inputs.codes, (size_t)(tokens * columns)) != 0
        || memcmp(inputs.corrections, expected_inputs.corrections, (size_t)(tokens * groups * 4)) != 0) {
        printf("%s, %s: other codes of inputs\n", entry->name, what);
        failures++;
    }

    moed_range panels = {0, (rows + 7) / 8};
    // One element more than there is, to see that nothing is written behind the end.
    int64_t stride = rows + 1, count = tokens * stride;
    float *found = allocate(count * 4), *expected = allocate(count * 4);
    for (int64_t i = 0; i < count; i++) found[i] = expected[i] = -1;
    entry->multiply(&w, &inputs, panels, (moed_range){0, tokens}, found, stride);
    for (int64_t t = 0; t < tokens; t++) {
        // The reference goes token by token and panel by panel.
        for (int64_t p = 0; p < panels.end; p++) {
            scalar->multiply(&w, &expected_inputs, (moed_range){p, p + 1}, (moed_range){t, t + 1}, expected, stride);
        }
    }
    expect_same(entry->name, what, found, expected, count);

    moed_matrix other = make_matrix(how, rows, columns, ordinary);
    float *biases = allocate(2 * rows * 4);
    fill_inputs(biases, 2 * rows, ordinary);
    moed_gating clamped = {1.702f, 7.0f, biases, biases + rows};
    for (int i = 0; i < 2; i++) {
        const moed_gating *gating = i == 0 ? NULL : &clamped;
        entry->multiply_gated(&w, &other, gating, &inputs, panels, (moed_range){0, tokens}, found, stride);
        for (int64_t t = 0; t < tokens; t++) {
            moed_range one = {t, t + 1};
            scalar->multiply_gated(&w, &other, gating, &expected_inputs, panels, one, expected, stride);
        }
        expect_same(entry->name, what, found, expected, count);
    }
    free(biases);
    free((void *)other.base);

    // Rows that begin and end inside a panel.
    moed_range some = {rows / 3, rows - rows / 4};
    float *sums = allocate(tokens * columns * 4), *expected_sums = allocate(tokens * columns * 4);
    float *factors = allocate(tokens * rows * 4);
    fill_inputs(factors, tokens * rows, ordinary);
    entry->multiply_transposed(&w, some, factors, rows, tokens, sums, columns);
    for (int64_t t = 0; t < tokens; t++) {
        scalar->multiply_transposed(&w, some, factors + t * rows, 0, 1, expected_sums + t * columns, 0);
    }
    expect_same(entry->name, what, sums, expected_sums, tokens * columns);
    for (int64_t r = 0; r < rows; r++) {
        entry->dequantize_row(&w, r, sums);
        scalar->dequantize_row(&w, r, expected_sums);
        expect_same(entry->name, what, sums, expected_sums, columns);
    }
    free((void *)w.base);
    free(x);
    release(inputs);
    release(expected_inputs);
    free(found);
    free(expected);
    free(sums);
    free(expected_sums);
    free(factors);
}

#define CHECK_VALUE(call)                                              \
    do {                                                               \
        float a = entry->call, b = scalar->call;                       \
        expect_same(entry->name, #call, &a, &b, 1);                    \
    } while (0)

#define CHECK_VECTOR(before, function, after)                          \
    do {                                                               \
        memcpy(found, y, (size_t)count * 4);                           \
        memcpy(expected, y, (size_t)count * 4);                        \
        { float *out = found; entry->function after; }                 \
        { float *out = expected; scalar->function after; }             \
        expect_same(entry->name, #function, found, expected, count);   \
    } while (0)

static void check_vectors(const moed_kernels *entry, const moed_kernels *scalar, int64_t count, int kind) {
    float *x = allocate(count * 4), *y = allocate(count * 4);
    float *found = allocate(count * 4), *expected = allocate(count * 4);
    uint16_t *half = allocate(count * 2);
    fill_inputs(x, count, kind);
    fill_inputs(y, count, kind);
    moed_f32_to_bf16(x, count, half);
    CHECK_VALUE(dot(x, y, count));
    CHECK_VALUE(dot_bf16(y, half, count));
    CHECK_VALUE(maximum(x, count));
    CHECK_VALUE(sum(x, count));
    CHECK_VECTOR(y, axpy, (0.3f, x, count, out));
    CHECK_VECTOR(y, axpy_bf16, (0.3f, half, count, out));
    CHECK_VECTOR(y, scale, (0.3f, count, out));
    CHECK_VECTOR(y, add, (x, count, out));
    CHECK_VECTOR(y, rms_norm, (x, y, 1e-6f, count, out));
    CHECK_VECTOR(y, silu_multiply, (x, y, count, out));
    CHECK_VECTOR(y, clamped_multiply, (1.702f, 0.7f, x, y, count, out));
    CHECK_VECTOR(y, relu, (count, out));
    CHECK_VECTOR(y, sigmoid, (x, count, out));
    CHECK_VECTOR(y, exponentials, (x, count, out));
    CHECK_VECTOR(y, softmax, (count, out));
    for (int64_t i = 0; i < count; i++) x[i] = random_float() * 120;
    CHECK_VECTOR(y, exponentials, (x, count, out));
    CHECK_VECTOR(y, silu_multiply, (x, y, count, out));
    free(x);
    free(y);
    free(found);
    free(expected);
    free(half);
}

/// Some tokens of several heads over positions of which the later tokens see more.
typedef struct {
    int64_t tokens, heads, width, second_width, value_width, positions, first_visible, window;
    int format;
} attention_shape;

static moed_cached cached_rows(const uint8_t *base, int64_t stride, int64_t width, int format) {
    return (moed_cached){.base = base, .stride = stride, .width = width, .format = (uint8_t)format};
}

static void attend_once(
    const moed_kernels *kernels, const attention_shape *shape, const float *queries, const void *cached, float *sums) {
    int64_t queries_of_all = shape->tokens * shape->heads, width = shape->width + shape->second_width;
    int64_t stride = width + shape->value_width;
    int64_t element = shape->format == moed_f32 ? 4 : 2;
    const uint8_t *base = cached;
    float *attended = sums + 2 * queries_of_all;
    for (int64_t q = 0; q < queries_of_all; q++) sums[q] = -INFINITY;
    memset(sums + queries_of_all, 0, (size_t)(queries_of_all * (1 + shape->value_width)) * sizeof(float));
    moed_attention attention = {
        .part_count = shape->second_width > 0 ? 2 : 1,
        .keys = {cached_rows(base, stride, shape->width, shape->format),
                 cached_rows(base + shape->width * element, stride, shape->second_width, shape->format)},
        .queries = {queries, queries + shape->width},
        .query_token_stride = {width * shape->heads, width * shape->heads},
        .query_head_stride = {width, width},
        .values = cached_rows(base + width * element, stride, shape->value_width, shape->format),
        .query_count = queries_of_all,
        .heads = shape->heads,
        .positions = {0, shape->positions},
        .first_visible = shape->first_visible,
        .window = shape->window,
        .scale = 0.125f,
        .maxima = sums,
        .sums = sums + queries_of_all,
        .attended = attended,
        .attended_token_stride = shape->heads * shape->value_width,
        .attended_head_stride = shape->value_width,
    };
    kernels->attend(&attention);
}

static void check_attention(const moed_kernels *entry, const moed_kernels *scalar, attention_shape shape, int kind) {
    int64_t queries = shape.tokens * shape.heads, stride = shape.width + shape.second_width + shape.value_width;
    int64_t cached = shape.positions * stride, results = queries * (2 + shape.value_width);
    float *x = allocate(queries * stride * 4), *y = allocate(cached * 4);
    float *found = allocate(results * 4), *expected = allocate(results * 4);
    uint16_t *half = allocate(cached * 2);
    fill_inputs(x, queries * stride, kind);
    fill_inputs(y, cached, kind);
    moed_f32_to_bf16(y, cached, half);
    const void *rows = shape.format == moed_f32 ? (const void *)y : (const void *)half;
    attend_once(entry, &shape, x, rows, found);
    attend_once(scalar, &shape, x, rows, expected);
    expect_same(entry->name, "attend", found, expected, results);
    free(x);
    free(y);
    free(found);
    free(expected);
    free(half);
}

/// Two planes of any bytes, put together.
static void check_planes(const moed_kernels *entry, const moed_kernels *scalar) {
    enum { groups = 37 };
    uint8_t codes[groups * 128], refinements[groups * 128], found[groups * 256], expected[groups * 256];
    for (int i = 0; i < groups * 128; i++) {
        codes[i] = (uint8_t)random_bits();
        refinements[i] = (uint8_t)random_bits();
    }
    scalar->refine(codes, refinements, groups, expected);
    entry->refine(codes, refinements, groups, found);
    checks++;
    if (memcmp(found, expected, sizeof found) == 0) return;
    printf("%s: refine differs\n", entry->name);
    failures++;
}

static void check_entry(const moed_kernels *entry, const moed_kernels *scalar, int kinds) {
    check_planes(entry, scalar);
    static const encoding encodings[] = {
        {moed_f32, 0, 0}, {moed_bf16, 0, 0}, {moed_f16, 0, 0}, {moed_q8, 0, moed_f16_scales},
        {moed_q8, 0, moed_bf16_scales}, {moed_q4, 0, moed_f16_scales}, {moed_q4, 0, moed_bf16_scales},
        {moed_q4, 1, moed_f16_scales}, {moed_q4, 1, moed_bf16_scales}, {moed_q4, 2, moed_bf16_scales},
    };
    enum { encoding_count = sizeof encodings / sizeof *encodings };
    // The last ones have enough tokens for tiles and blocks of every size, and more columns than a tile.
    static const int64_t shapes[][3] = {{8, 32, 1},   {1, 32, 9},    {16, 64, 2},  {24, 96, 3},
                                        {37, 256, 7}, {8, 1408, 5}, {20, 64, 71}, {11, 2144, 19}};
    enum { shape_count = sizeof shapes / sizeof *shapes };
    for (int kind = 0; kind < kinds; kind++) {
        for (int e = 0; e < encoding_count; e++) {
            for (int s = 0; s < shape_count; s++) {
                check_matrix(entry, scalar, encodings[e], shapes[s][0], shapes[s][1], shapes[s][2], kind);
            }
        }
        for (int64_t count = 1; count < 70; count++) check_vectors(entry, scalar, count, kind);
    }
    static const attention_shape attentions[] = {
        {1, 1, 64, 0, 64, 1, 1, 0, 0},   {1, 16, 512, 64, 512, 130, 130, 0, 0}, {1, 5, 600, 8, 72, 64, 64, 0, 0},
        {9, 3, 24, 8, 20, 70, 62, 0, 0}, {70, 1, 128, 64, 128, 64, -6, 0, 0},   {33, 2, 16, 0, 16, 64, 40, 0, 0},
        {70, 3, 24, 0, 20, 140, 71, 9, 0}, {1, 4, 64, 0, 64, 130, 130, 128, 0}, {33, 2, 16, 0, 16, 64, 80, 20, 0},
    };
    enum { attention_count = sizeof attentions / sizeof *attentions };
    for (int kind = 0; kind < kinds; kind++) {
        for (int i = 0; i < 2 * attention_count; i++) {
            attention_shape shape = attentions[i / 2];
            shape.format = i % 2 == 0 ? moed_f32 : moed_bf16;
            check_attention(entry, scalar, shape, kind);
        }
    }
    // Rows that 32 and 16 don't divide exist only unquantised.
    for (int e = 0; e < 3; e++) check_matrix(entry, scalar, encodings[e], 11, 45, 3, ordinary);
}

int main(int count, char **arguments) {
    int32_t entries = moed_kernels_count();
    const char *chosen = moed_kernels_at(entries - 1)->name;
    if (count > 1 && strcmp(arguments[1], chosen) != 0) {
        printf("the processor chooses %s, not %s\n", chosen, arguments[1]);
        return 1;
    }
    // What a processor of this kind runs in full beside the emulation needs it only for instructions that it lacks.
    int kinds = count > 2 && strcmp(arguments[2], "ordinary") == 0 ? ordinary + 1 : kinds_of_data;
    for (int32_t i = 0; i < entries; i++) check_entry(moed_kernels_at(i), moed_kernels_at(0), kinds);
    printf("%s is chosen; %d entries, %d comparisons, %d differences\n", chosen, entries, checks, failures);
    return failures == 0 ? 0 : 1;
}
