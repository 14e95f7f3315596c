// Attention with an online softmax (arXiv 1805.02867), written once for registers of any width. Included by `kernels_float.h`.
//
// Positions are walked in blocks that begin at multiples of 64, and every query's sums run over a block's positions in
// ascending order. So what comes out for a query depends on its own positions alone, neither on the other queries of
// the call nor on how a prompt was cut.
//
// Columns go by steps of 32, of which each of 16 lanes has two: of floats lane i has column i and then 16 + i, of bf16
// 2i and then 2i + 1, because a shift and a mask make floats of both halves of a word. Queries and sums are brought into
// the same order once, which costs less than ordering every key and value.
//
// The file that includes this has defined `floats`, a register of `floats_count` of the 16 lanes, the functions that
// start with `floats_`, `lanes_sum_eight`, and `tile_queries` and `tile_keys`: how many are multiplied at once.

enum {
    attention_block = 64,
    attention_step = 32,
    /// Queries whose columns are kept at hand while keys pass by.
    attention_group = 8,
    /// Blocks whose keys stay in the second cache until all queries have seen them.
    attention_chunk = 4 * attention_block,
    /// Positions that are asked for early: what comes from memory arrives sooner.
    attention_ahead = 24,
};

INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t whole_steps(int64_t columns) { return (columns + attention_step - 1) / attention_step * attention_step; }

INLINE const float *query_at(const moed_attention *a, int part, int64_t query) {
    return a->queries[part] + query / a->heads * a->query_token_stride[part]
        + query % a->heads * a->query_head_stride[part];
}

INLINE float *attended_at(const moed_attention *a, int64_t query) {
    return a->attended + query / a->heads * a->attended_token_stride + query % a->heads * a->attended_head_stride;
}

/// The positions that a query sees end before this one.
INLINE int64_t visible_to(const moed_attention *a, int64_t query) { return a->first_visible + query / a->heads; }

/// The first position that a query sees.
INLINE int64_t seen_from(const moed_attention *a, int64_t query) {
    int64_t from = visible_to(a, query) - a->window;
    return a->window > 0 && from > 0 ? from : 0;
}

INLINE const uint8_t *cached_row(const moed_cached *x, int64_t position) {
    int64_t size = x->stride * element_size(x->format);
    if (x->blocks == NULL) return x->base + position * size;
    return x->blocks[position / attention_block] + x->offset + position % attention_block * size;
}

/// Columns of keys or values as lanes `lane` ..< `lane` + floats_count have them, from the step's first column on.
INLINE void load_step(const uint8_t *step, int lane, int is_bf16, floats *early, floats *late) {
    if (is_bf16) {
        floats_load_bf16_pairs((const uint16_t *)step + 2 * lane, early, late);
    } else {
        *early = floats_load((const float *)step + lane);
        *late = floats_load((const float *)step + 16 + lane);
    }
}

/// The same of floats that go with such columns.
INLINE void load_ordered(const float *step, int lane, int is_bf16, floats *early, floats *late) {
    if (is_bf16) {
        const float *pairs = step + 2 * lane;
        floats_unzip(floats_load(pairs), floats_load(pairs + floats_count), early, late);
    } else {
        load_step((const uint8_t *)step, lane, 0, early, late);
    }
}

#include "prefetch.h"

#include "attention_scores.h"

#include "attention_values.h"

/// Queries, of which `ordered` has the columns, over the positions of a block.
static void attend_block(
    const moed_attention *a, const float *ordered, int64_t first, int64_t count, moed_range positions,
    int asks_for_values, int64_t group, block_weights *block) {
    score_block(a, ordered, count, positions, asks_for_values, block);
    for (int64_t q = 0; q < count; q++) {
        int64_t from = seen_from(a, first + q) - positions.begin;
        block->begin[q] = from > 0 ? from : 0;
        block->end[q] = lesser(visible_to(a, first + q), positions.end) - positions.begin;
    }
    float *maxima = block->maxima + first - group, *sums = block->sums + first - group;
    if (count == 1) continue_softmax_of_one(a, maxima, sums, block);
    else continue_softmax(a, count, maxima, sums, block);
    sum_block(a, first, count, positions.begin, block);
}

/// The queries that see some of the positions.
INLINE moed_range seeing(const moed_attention *a, moed_range positions) {
    // Tokens before the positions don't see them, nor do those whose windows begin behind them.
    int64_t tokens_before = positions.begin - a->first_visible + 1;
    int64_t tokens_within = positions.end + a->window - a->first_visible;
    return (moed_range){
        tokens_before > 0 ? tokens_before * a->heads : 0,
        a->window > 0 ? lesser(a->query_count, tokens_within * a->heads) : a->query_count};
}

static void attend(const moed_attention *a) {
    _Alignas(64) float ordered[moed_key_columns * attention_group];
    block_weights weights = {0};
    int have_values_of_their_own = a->values.offset != a->keys[0].offset || a->values.base != a->keys[0].base;
    for (int64_t start = a->positions.begin; start < a->positions.end; start += attention_chunk) {
        moed_range chunk = {start, lesser(start + attention_chunk, a->positions.end)};
        moed_range queries = seeing(a, chunk);
        for (int64_t first = queries.begin; first < queries.end; first += attention_group) {
            int64_t end = lesser(first + attention_group, queries.end);
            order_queries(a, first, end - first, ordered);
            memcpy(weights.maxima, a->maxima + first, (size_t)(end - first) * sizeof(float));
            memcpy(weights.sums, a->sums + first, (size_t)(end - first) * sizeof(float));
            for (int64_t position = chunk.begin; position < chunk.end; position += attention_block) {
                moed_range block = {position, lesser(position + attention_block, chunk.end)};
                moed_range some = seeing(a, block);
                int64_t from = some.begin > first ? some.begin : first, to = lesser(some.end, end);
                if (from >= to) continue;
                attend_block(
                    a, ordered + (from - first) * attention_step, from, to - from, block,
                    have_values_of_their_own && first == queries.begin, first, &weights);
            }
            memcpy(a->maxima + first, weights.maxima, (size_t)(end - first) * sizeof(float));
            memcpy(a->sums + first, weights.sums, (size_t)(end - first) * sizeof(float));
        }
    }
}
