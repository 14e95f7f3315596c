// Attention with an online softmax (arXiv 1805.02867), written once over 16 lanes. Included by `kernels_float.h`.
//
// Positions are walked in blocks that begin at multiples of 64, and every query's sums run over a block's positions in
// ascending order. So what comes out for a query depends on its own positions alone, neither on the other queries of
// the call nor on how a prompt was cut.
//
// The file that includes this has defined `lanes_sum_four` and the tile sizes: `tile_queries` queries by `tile_keys`
// keys are multiplied at once, their product a multiple of four, and `tile_lanes` lanes of four queries are summed at once.

enum {
    attention_block = 64,
    /// Columns of a key that are summed together; the sums of a wider key's runs are added in order.
    attention_run = 512,
    /// Queries that share a block of widened keys.
    attention_group = 16,
    /// Keys that are widened together.
    attention_keys = 8,
    /// Positions that are asked for early: what comes from memory arrives sooner.
    attention_ahead = 24,
};

INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }

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
    return x->base + position * x->stride * element_size(x->format);
}

/// `count` values from column `column` on as floats: in place if they are floats already.
INLINE const float *widened(const moed_cached *x, int64_t position, int64_t column, int64_t count, float *space) {
    const uint8_t *row = cached_row(x, position);
    if (x->format == moed_f32) return (const float *)row + column;
    const uint16_t *values = (const uint16_t *)row + column;
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) {
        if (k % 32 == 0) __builtin_prefetch(values + attention_ahead * x->stride + k, 0, 2);
        lanes_store(space + k, lanes_load_bf16(values + k));
    }
    for (; k < count; k++) space[k] = bf16_to_f32(values[k]);
    return space;
}

/// sums[q · keys + k] = x[q] · y[k], in the order of `dot`; at most four keys.
INLINE void dot_tile(
    const float *const *x, int queries, const float *const *y, int keys, int64_t count, float *sums) {
    lanes total[tile_queries * tile_keys];
    for (int i = 0; i < queries * keys; i++) total[i] = lanes_set(0);
    int64_t k = 0;
    for (; k + 16 <= count; k += 16) {
        lanes key[4];
        for (int j = 0; j < keys; j++) key[j] = lanes_load(y[j] + k);
        for (int i = 0; i < queries; i++) {
            lanes query = lanes_load(x[i] + k);
            for (int j = 0; j < keys; j++) total[i * keys + j] = lanes_fma(key[j], query, total[i * keys + j]);
        }
    }
    if (k < count) {
        for (int i = 0; i < queries; i++) {
            lanes query = load_some(x[i] + k, count - k, 0);
            for (int j = 0; j < keys; j++) {
                total[i * keys + j] = lanes_fma(load_some(y[j] + k, count - k, 0), query, total[i * keys + j]);
            }
        }
    }
    for (int i = 0; i < queries * keys; i += 4) {
        lanes_sum_four(total[i], total[i + 1], total[i + 2], total[i + 3], sums + i);
    }
}

INLINE void add_scores(float scores[attention_block], const float *sums, int64_t count, int is_first) {
    for (int64_t i = 0; i < count; i++) scores[i] = is_first ? sums[i] : scores[i] + sums[i];
}

/// scores[q][p] = query q · key p, for `keys` widened keys that belong to the scores from `place` on.
INLINE void score_keys(
    const moed_attention *a, int part, int64_t column, int64_t run, int64_t first, int64_t count,
    const float *const *keys, int64_t place, int64_t key_count, float scores[][attention_block]) {
    int is_first = part == 0 && column == 0;
    const float *rows[attention_group];
    for (int64_t q = 0; q < count; q++) rows[q] = query_at(a, part, first + q) + column;
    int64_t q = 0;
    for (; q + tile_queries <= count; q += tile_queries) {
        for (int64_t k = 0; k < key_count; k += tile_keys) {
            float sums[tile_queries * tile_keys];
            dot_tile(rows + q, tile_queries, keys + k, tile_keys, run, sums);
            for (int i = 0; i < tile_queries; i++) {
                add_scores(scores[q + i] + place + k, sums + i * tile_keys, lesser(tile_keys, key_count - k), is_first);
            }
        }
    }
    for (; q < count; q++) {
        for (int64_t k = 0; k < key_count; k += 4) {
            float sums[4];
            dot_tile(rows + q, 1, keys + k, 4, run, sums);
            add_scores(scores[q] + place + k, sums, lesser(4, key_count - k), is_first);
        }
    }
}

static void score_block(
    const moed_attention *a, int64_t first, int64_t count, int64_t position, int64_t positions,
    float scores[][attention_block]) {
    _Alignas(64) float space[attention_keys][attention_run];
    for (int part = 0; part < a->part_count; part++) {
        const moed_cached *keys = &a->keys[part];
        for (int64_t column = 0; column < keys->width; column += attention_run) {
            int64_t run = lesser(attention_run, keys->width - column);
            for (int64_t p = 0; p < positions; p += attention_keys) {
                int64_t key_count = lesser(attention_keys, positions - p);
                const float *rows[attention_keys];
                for (int64_t k = 0; k < key_count; k++) {
                    rows[k] = widened(keys, position + p + k, column, run, space[k]);
                }
                // A tile is always whole; what it makes of a repeated key is thrown away.
                for (int64_t k = key_count; k < attention_keys; k++) rows[k] = rows[key_count - 1];
                score_keys(a, part, column, run, first, count, rows, p, key_count, scores);
            }
        }
    }
}

/// Turns a block's scores into exp(scale · score − maximum) and returns by what earlier results are multiplied.
INLINE float continue_softmax(float *scores, int64_t count, float factor, float *largest, float *total) {
    scale(factor, count, scores);
    float before = *largest, here = maximum(scores, count);
    float larger = here > before ? here : before;
    shifted_exponentials(scores, larger, count, scores);
    float rescaling = 1;
    if (larger != before) {
        float lane[16];
        lanes_store(lane, exponential(lanes_set(before - larger)));
        rescaling = lane[0];
    }
    *largest = larger;
    *total = fmaf(*total, rescaling, sum(scores, count));
    return rescaling;
}

/// A block's weights for a group of queries.
typedef struct {
    float weights[attention_group][attention_block];
    float rescaling[attention_group];
    /// Positions of the block that each query sees, begin ..< end; neither is ever less than the query's before.
    int64_t begin[attention_group];
    int64_t end[attention_group];
} block_weights;

/// attended[q][k] = attended[q][k] · rescaling[q] + Σ weights[q][p] · values[p][k]
INLINE void sum_tile(
    const moed_attention *a, int64_t first, const block_weights *block, int64_t q, int queries, const float *values,
    int64_t stride, int64_t column, int width, int64_t count) {
    lanes total[4][tile_lanes];
    float *output[4];
    for (int i = 0; i < queries; i++) {
        output[i] = attended_at(a, first + q + i) + column;
        lanes factor = lanes_set(block->rescaling[q + i]);
        for (int j = 0; j < width; j++) {
            total[i][j] = lanes_mul(load_some(output[i] + j * 16, count - j * 16, 0), factor);
        }
    }
    int last = (int)q + queries - 1;
    int64_t p = block->begin[q], all_from = block->begin[last], all_to = block->end[q];
    while (p < block->end[last]) {
        if (p >= all_from && p < all_to) {
            for (; p < all_to; p++) {
                for (int j = 0; j < width; j++) {
                    lanes value = lanes_load(values + p * stride + j * 16);
                    for (int i = 0; i < queries; i++) {
                        total[i][j] = lanes_fma(value, lanes_set(block->weights[q + i][p]), total[i][j]);
                    }
                }
            }
            continue;
        }
        for (int i = 0; i < queries; i++) {
            if (p < block->begin[q + i] || p >= block->end[q + i]) continue;
            lanes weight = lanes_set(block->weights[q + i][p]);
            for (int j = 0; j < width; j++) {
                total[i][j] = lanes_fma(lanes_load(values + p * stride + j * 16), weight, total[i][j]);
            }
        }
        p++;
    }
    for (int i = 0; i < queries; i++) {
        for (int j = 0; j < width; j++) store_some(output[i] + j * 16, total[i][j], count - j * 16);
    }
}

INLINE void sum_columns(
    const moed_attention *a, int64_t first, int64_t queries, int64_t position, const block_weights *block,
    int64_t column, int width, int64_t count) {
    _Alignas(64) float space[attention_block * tile_lanes * 16];
    const moed_cached *x = &a->values;
    int64_t stride = x->stride;
    const float *values = (const float *)cached_row(x, position) + column;
    if (x->format != moed_f32 || count < width * 16) {
        stride = width * 16;
        for (int64_t p = block->begin[0]; p < block->end[queries - 1]; p++) {
            float *row = space + p * stride;
            const float *from = widened(x, position + p, column, count, row);
            if (from != row) memcpy(row, from, (size_t)count * sizeof(float));
            for (int64_t k = count; k < stride; k++) row[k] = 0;
        }
        values = space;
    }
    int64_t q = 0;
    for (; q + 4 <= queries; q += 4) sum_tile(a, first, block, q, 4, values, stride, column, width, count);
    for (; q < queries; q++) sum_tile(a, first, block, q, 1, values, stride, column, width, count);
}

static void sum_block(
    const moed_attention *a, int64_t first, int64_t queries, int64_t position, const block_weights *block) {
    int64_t column = 0;
    for (; column + tile_lanes * 16 <= a->values.width; column += tile_lanes * 16) {
        sum_columns(a, first, queries, position, block, column, tile_lanes, tile_lanes * 16);
    }
    for (; column < a->values.width; column += 16) {
        sum_columns(a, first, queries, position, block, column, 1, lesser(16, a->values.width - column));
    }
}

static void attend(const moed_attention *a) {
    block_weights block;
    for (int64_t position = a->positions.begin; position < a->positions.end;) {
        int64_t end = lesser((position / attention_block + 1) * attention_block, a->positions.end);
        // Tokens before this block don't see it.
        int64_t tokens_before = position - a->first_visible + 1;
        int64_t first = tokens_before > 0 ? tokens_before * a->heads : 0;
        // Nor do those whose windows begin behind it.
        int64_t tokens_within = end + a->window - a->first_visible;
        int64_t last = a->window > 0 ? lesser(a->query_count, tokens_within * a->heads) : a->query_count;
        for (; first < last; first += attention_group) {
            int64_t queries = lesser(attention_group, last - first);
            score_block(a, first, queries, position, end - position, block.weights);
            for (int64_t q = 0; q < queries; q++) {
                int64_t from = seen_from(a, first + q) - position;
                block.begin[q] = from > 0 ? from : 0;
                block.end[q] = lesser(visible_to(a, first + q), end) - position;
                block.rescaling[q] = continue_softmax(
                    block.weights[q] + block.begin[q], block.end[q] - block.begin[q], a->scale, a->maxima + first + q,
                    a->sums + first + q);
            }
            sum_block(a, first, queries, position, &block);
        }
        position = end;
    }
}
