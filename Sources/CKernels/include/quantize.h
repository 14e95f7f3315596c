// The search for the scales of groups, which only the quantiser needs.

#ifndef MOED_QUANTIZE_H
#define MOED_QUANTIZE_H

#include <stdint.h>

/// How scales are found.
enum {
    /// The largest magnitude / 7 or / 127, linear codes: what "round to nearest" means in publications.
    moed_plain_rounding = 0,
    /// The scale of least weighted squared error among many.
    moed_scale_search = 1
};

/// What an encoding lost: Σ (x − x̂)² and Σ x², and both with every column's weight.
typedef struct moed_loss {
    double error;
    double energy;
    double weighted_error;
    double weighted_energy;
    /// Σ (x − x̂)² of the refined codes; 0 where none were wanted.
    double refined_error;
} moed_loss;

/// Up to eight rows of whole groups.
typedef struct moed_encoding {
    /// moed_q8 or moed_q4, and for the latter the raw value of `CodeTable`.
    uint8_t format;
    uint8_t table;
    /// moed_plain_rounding or moed_scale_search. Plain rounding of q4 needs the linear table.
    uint8_t method;
    int64_t rows;
    /// Groups of a row.
    int64_t groups;
    /// 32 · groups finite floats a row, rows `row_stride` apart.
    const float *x;
    int64_t row_stride;
    /// How much an error counts, one finite number ≥ 0 a column; null: 1 everywhere.
    const float *weights;
    /// An f16 a group, [rows, groups].
    uint16_t *scales;
    /// q8 values or q4 indices, [rows, 32 · groups].
    uint8_t *codes;
    /// Of q4 codes with the non-linear table, found by search: 0 … 15, in the codes' places. Null: none are wanted, and the
    /// scales needn't be such that refined codes hold every value.
    uint8_t *refinements;
} moed_encoding;

/// One group of up to sixteen rows, whose columns make up for the errors of those before them.
typedef struct moed_group_encoding {
    /// As in `moed_encoding`.
    uint8_t format;
    uint8_t table;
    uint8_t method;
    int64_t rows;
    /// 32 finite floats a row.
    const float *x;
    /// For each of them Σ e_i R_ik over the errors e of earlier groups.
    const float *drift;
    /// R of H = R Rᵀ within the group, [32, 32]; only its upper triangle is read. The diagonal is positive.
    const float *factor;
    /// q8 values or q4 indices.
    uint8_t *codes;
    /// From one row of x, drift and codes to the next.
    int64_t stride;
    /// An f16 a row.
    uint16_t *scales;
    int64_t scale_stride;
    /// x less what it became, [rows, 32].
    float *errors;
} moed_group_encoding;

#endif
