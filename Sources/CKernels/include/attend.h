// What attention reads and writes.

#ifndef MOED_ATTEND_H
#define MOED_ATTEND_H

#include <stdint.h>

/// Columns that the parts of a key have together at most, each rounded up to 32.
enum { moed_key_columns = 2048 };

/// `begin ..< end`
typedef struct moed_range {
    int64_t begin;
    int64_t end;
} moed_range;

/// Borrowed keys or values, one row a position, `stride` elements apart, of which the first `width` count.
typedef struct moed_cached {
    /// The first position's row; unused if there are blocks.
    const uint8_t *base;
    /// Where each 64 positions begin, or NULL: the rows stand in blocks, `offset` bytes from there.
    const uint8_t *const *blocks;
    int64_t offset;
    int64_t stride;
    int64_t width;
    /// `moed_f32` or `moed_bf16`
    uint8_t format;
} moed_cached;

/// Queries that share their keys and values: `heads` of each token, query = token · heads + head.
typedef struct moed_attention {
    /// A key may stand in two places; a query's parts go with them.
    int32_t part_count;
    moed_cached keys[2];
    const float *queries[2];
    int64_t query_token_stride[2];
    int64_t query_head_stride[2];
    moed_cached values;

    int64_t query_count;
    int64_t heads;
    /// The positions to go through; `begin` is a multiple of 64.
    moed_range positions;
    /// The first token sees positions below this, the next one also this, and so on.
    int64_t first_visible;
    /// How many of them each token sees, the last ones; 0: all.
    int64_t window;
    /// Multiplies the scores.
    float scale;

    /// [query_count] each: the largest score so far and the sum of the exponentials: -infinity and 0 at first, or a
    /// score that has no value (an attention sink) and 1.
    float *maxima;
    float *sums;
    /// The values' weighted sums (0 at first), to be divided by `sums` in the end.
    float *attended;
    int64_t attended_token_stride;
    int64_t attended_head_stride;
} moed_attention;

#endif
