// The arithmetic of moed. See README.md beside this folder for the layouts and the order of every sum.

#ifndef MOED_CKERNELS_H
#define MOED_CKERNELS_H

#include <stdint.h>

#include "attend.h"
#include "closures.h"
#include "quantize.h"

/// Inputs that share one scale (`BlockFormat.groupSize`) and rows of a panel (`MatrixShape.panelRows`).
enum { moed_group_size = 32, moed_panel_rows = 8 };

/// The raw values of `BlockFormat`.
enum { moed_f32 = 1, moed_bf16 = 2, moed_f16 = 3, moed_q8 = 4, moed_q4 = 5 };

/// The raw values of `MatrixLayout`.
enum { moed_rows = 0, moed_panels = 1 };

/// The raw values of `ScaleFormat`.
enum { moed_f16_scales = 0, moed_bf16_scales = 1 };

/// The values that a q4 index stands for, by the raw value of `CodeTable`.
extern const int8_t moed_code_tables[3][16];

/// The q8 value that refinement r makes of code c with the non-linear table: bases[c] + r + (stretches[c] · r >> 4),
/// always −127 … 127. A base is the least whole number whose nearest entry is the code's; where more than sixteen are,
/// the stretch spreads the values over all of them.
extern const int8_t moed_refinement_bases[16];
extern const uint8_t moed_refinement_stretches[16];

/// A borrowed matrix of `rows` outputs by `columns` inputs.
typedef struct moed_matrix {
    const uint8_t *base;
    /// Bytes from one panel (or row) to the next.
    int64_t stride;
    /// Bytes from the start of a panel (or row) to its codes; 0 when unquantised.
    int64_t code_offset;
    int64_t rows;
    int64_t columns;
    uint8_t format;
    uint8_t layout;
    uint8_t table;
    uint8_t scale_format;
} moed_matrix;

/// Borrowed inputs, one row a token: as floats, and as int8 codes in groups of 32. The codes of a group stand together
/// for all tokens, so that a product finds the tokens that it takes together at fixed distances.
typedef struct moed_activations {
    /// [tokens, value_stride]
    const float *values;
    int64_t value_stride;
    /// [groups, token_count, 32]
    const int8_t *codes;
    /// [groups, token_count]
    const float *scales;
    /// [groups, token_count]: −8 · Σ codes, for products with weights that were raised by 8 (or, 16 times that, by 128).
    const int32_t *corrections;
    int64_t token_count;
} moed_activations;

/// What stands between gate and up, and down, where it isn't silu(g) · u:
/// g = min(gate + bias, limit), u = min(max(up + bias, −limit), limit), g / (1 + exp(−slope · g)) · (u + 1).
typedef struct moed_gating {
    float slope;
    float limit;
    /// [rows] of gate and of up; NULL without.
    const float *gate_biases;
    const float *up_biases;
} moed_gating;

/// One instruction set's functions. All entries give the same bits for the same inputs (NaN payloads excepted).
typedef struct moed_kernels {
    const char *name;

    /// Groups of 32 of one token to int8: scale = largest magnitude / 127, codes rounded to nearest even. A group's
    /// codes, scale and correction go `token_count` places behind those of the group before.
    void (*quantize)(
        const float *x, int64_t columns, int64_t token_count, int8_t *codes, float *scales, int32_t *corrections);
    /// y[t · y_stride + r] for the rows of `panels` and the tokens of `tokens`; quantised formats use the codes.
    void (*multiply)(
        const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
        int64_t y_stride);
    /// y[t · y_stride + r] = g / (1 + exp(−g)) · u, where g and u are what `multiply` gives for `gate` and `up`; or what
    /// `gating` says, unless it is NULL.
    void (*multiply_gated)(
        const moed_matrix *gate, const moed_matrix *up, const moed_gating *gating, const moed_activations *x,
        moed_range panels, moed_range tokens, float *y, int64_t y_stride);
    /// y[t · y_stride + c] += Σ x[t · x_stride + r − rows.begin] · w[r][c] from float inputs whatever the format, rows in
    /// ascending order; x is [tokens, x_stride].
    void (*multiply_transposed)(
        const moed_matrix *w, moed_range rows, const float *x, int64_t x_stride, int64_t tokens, float *y,
        int64_t y_stride);
    /// One row as floats, from either layout.
    void (*dequantize_row)(const moed_matrix *w, int64_t row, float *y);

    float (*dot)(const float *x, const float *y, int64_t count);
    float (*dot_bf16)(const float *x, const uint16_t *y, int64_t count);
    /// y += a · x
    void (*axpy)(float a, const float *x, int64_t count, float *y);
    void (*axpy_bf16)(float a, const uint16_t *x, int64_t count, float *y);
    void (*scale)(float a, int64_t count, float *x);
    /// y += x
    void (*add)(const float *x, int64_t count, float *y);
    /// y = x / sqrt(mean(x²) + epsilon) · weight
    void (*rms_norm)(const float *x, const float *weight, float epsilon, int64_t count, float *y);
    /// y = gate / (1 + exp(−gate)) · up
    void (*silu_multiply)(const float *gate, const float *up, int64_t count, float *y);
    /// What `moed_gating` says, without biases.
    void (*clamped_multiply)(
        float slope, float limit, const float *gate, const float *up, int64_t count, float *y);
    /// x = max(0, x); a NaN stays.
    void (*relu)(int64_t count, float *x);
    /// y = 1 / (1 + exp(−x))
    void (*sigmoid)(const float *x, int64_t count, float *y);
    void (*exponentials)(const float *x, int64_t count, float *y);
    float (*maximum)(const float *x, int64_t count);
    float (*sum)(const float *x, int64_t count);
    void (*softmax)(int64_t count, float *x);

    /// Continues an online softmax over a range of positions.
    void (*attend)(const moed_attention *attention);

    /// q4 codes with the non-linear table and their refinements, 128 bytes a group and plane in the order of panels, into
    /// q8 codes, 256 bytes a group.
    void (*refine)(const uint8_t *codes, const uint8_t *refinements, int64_t groups, uint8_t *y);

    /// Quantises rows and says what it lost. Returns 0, or 1 if a value is too large for an f16 scale.
    int32_t (*encode)(const moed_encoding *encoding, moed_loss *loss);
    /// The same for one group with second-order error compensation; the weighted error is e H eᵀ.
    int32_t (*encode_group)(const moed_group_encoding *encoding, moed_loss *loss);

    /// Multiplies and adds bytes in registers, by the instructions of `multiply`, as fast as they can be issued, and
    /// returns how many multiply-adds it did: what the entry's products can be measured against.
    int64_t (*spend_multiply_adds)(int64_t rounds);
} moed_kernels;

/// Entries that this processor can run, the scalar one first and the fastest last.
int32_t moed_kernels_count(void);
const moed_kernels *moed_kernels_at(int32_t index);

// Conversions in bulk, to nearest even. A NaN stays a (quiet) NaN; a magnitude out of f16's range becomes infinity.

void moed_f16_to_f32(const uint16_t *x, int64_t count, float *y);
void moed_f32_to_f16(const float *x, int64_t count, uint16_t *y);
void moed_bf16_to_f32(const uint16_t *x, int64_t count, float *y);
void moed_f32_to_bf16(const float *x, int64_t count, uint16_t *y);
/// FP8 e4m3 without infinities (0x7f and 0xff are NaN).
void moed_f8e4m3_to_f32(const uint8_t *x, int64_t count, float *y);

/// Reads every byte once and returns a sum of them all; `byte_count` is a multiple of 256.
uint64_t moed_read(const void *bytes, int64_t byte_count);

/// Tells the processor that this is a spinning wait.
static inline void moed_spin_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

#endif
