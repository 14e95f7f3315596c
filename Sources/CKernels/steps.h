// What the products of quantised matrices are given: panels to read and rows to write.

#ifndef MOED_STEPS_H
#define MOED_STEPS_H

#include "CKernels.h"
#include "numbers.h"
#include "prefetch.h"

/// How a matrix's codes are multiplied.
enum { linear_q4, table_q4, plain_q8 };

INLINE int kind_of(const moed_matrix *w) {
    return w->format == moed_q8 ? plain_q8 : w->table == 0 ? linear_q4 : table_q4;
}

/// The panels that are computed together.
typedef struct {
    /// The second is the first again where there is none.
    const uint8_t *panels[2];
    /// Bytes to the panels that are read after these, to prefetch; 0 for none.
    int64_t next;
} step;

/// Where a step's results go: row r of panel p of token t to `rows[p][t · stride + r]`.
typedef struct {
    float *rows[2];
    int64_t stride;
    /// Rows of each panel that there are, at most 8.
    int64_t counts[2];
} results;

INLINE int64_t rows_of(const moed_matrix *w, int64_t panel) {
    int64_t left = w->rows - panel * moed_panel_rows;
    return left < moed_panel_rows ? left : moed_panel_rows;
}

#endif
