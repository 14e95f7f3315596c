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

INLINE int64_t group_bytes_of(int kind) { return kind == plain_q8 ? 256 : 128; }

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

INLINE results from_token(results to, int64_t token) {
    to.rows[0] += token * to.stride;
    to.rows[1] += token * to.stride;
    return to;
}

INLINE int64_t rows_of(const moed_matrix *w, int64_t panel) {
    int64_t left = w->rows - panel * moed_panel_rows;
    return left < moed_panel_rows ? left : moed_panel_rows;
}

// `call` for all tokens from `begin` to `end`, `tokens` from `token` on at a time, at most `most` (up to 8): numbers that
// the compiler knows.
#define FOR_BLOCKS(most, begin, end, call)           \
    do {                                             \
        int64_t token = begin;                       \
        for (; token + most <= end; token += most) { \
            enum { tokens = most };                  \
            call;                                    \
        }                                            \
        if (most > 4 && token + 4 <= end) {          \
            enum { tokens = 4 };                     \
            call;                                    \
            token += 4;                              \
        }                                            \
        if (most > 2 && token + 2 <= end) {          \
            enum { tokens = 2 };                     \
            call;                                    \
            token += 2;                              \
        }                                            \
        if (token < end) {                           \
            enum { tokens = 1 };                     \
            call;                                    \
        }                                            \
    } while (0)

#endif
