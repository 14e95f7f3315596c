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
// start with `floats_`, `lanes_sum_four`, and `tile_queries` and `tile_keys`: how many are multiplied at once.

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

/// 32 floats in the order of lanes, early and late, from the step's first column on.
INLINE void order_step(const float *step, int is_bf16, float *ordered) {
    for (int lane = 0; lane < 16; lane += floats_count) {
        floats early, late;
        if (is_bf16) {
            floats_unzip(floats_load(step + 2 * lane), floats_load(step + 2 * lane + floats_count), &early, &late);
        } else {
            early = floats_load(step + lane);
            late = floats_load(step + 16 + lane);
        }
        floats_store(ordered + lane, early);
        floats_store(ordered + 16 + lane, late);
    }
}

// MARK: Scores

/// A group's queries in the order of lanes: [steps][attention_group][32], with zeros behind the last column of a part.
INLINE void order_queries(const moed_attention *a, int64_t first, int64_t count, float *ordered) {
    for (int part = 0; part < a->part_count; part++) {
        int is_bf16 = a->keys[part].format != moed_f32;
        int64_t width = a->keys[part].width;
        for (int64_t q = 0; q < count; q++) {
            const float *query = query_at(a, part, first + q);
            float *place = ordered + q * attention_step;
            int64_t k = 0;
            for (; k + attention_step <= width; k += attention_step) {
                order_step(query + k, is_bf16, place + k * attention_group);
            }
            if (k < width) {
                float rest[attention_step] = {0};
                memcpy(rest, query + k, (size_t)(width - k) * sizeof(float));
                order_step(rest, is_bf16, place + k * attention_group);
            }
        }
        ordered += whole_steps(width) * attention_group;
    }
}

/// total[k · queries + q] += x[q] · y[k] over `count` columns, whole steps; x is ordered, and what `ahead` says is asked for.
INLINE void add_key_products(
    const float *x, int queries, const uint8_t *const *y, const uint8_t *const *ahead, int keys, int64_t count,
    int lane, int is_bf16, floats *total) {
    for (int64_t k = 0; k < count; k += attention_step) {
        floats early[8], late[8];
        for (int j = 0; j < keys; j++) {
            if (is_bf16 && lane == 0) __builtin_prefetch(ahead[j] + k * 2, 0, 2);
            load_step(y[j] + k * (is_bf16 ? 2 : 4), lane, is_bf16, early + j, late + j);
        }
        const float *columns = x + k * attention_group + lane;
        for (int i = 0; i < queries; i++) {
            floats query = floats_load(columns + i * attention_step);
            for (int j = 0; j < keys; j++) total[j * queries + i] = floats_fma(early[j], query, total[j * queries + i]);
        }
        for (int i = 0; i < queries; i++) {
            floats query = floats_load(columns + i * attention_step + 16);
            for (int j = 0; j < keys; j++) total[j * queries + i] = floats_fma(late[j], query, total[j * queries + i]);
        }
    }
}

/// The same for a part's whole width, of the keys at `positions`.
INLINE void add_part_products(
    const moed_attention *a, const moed_cached *cached, const float *x, int queries, const int64_t *positions, int keys,
    int lane, int is_bf16, floats *total) {
    int64_t size = is_bf16 ? 2 : 4, whole = cached->width / attention_step * attention_step;
    const uint8_t *rows[8], *ahead[8];
    for (int j = 0; j < keys; j++) {
        rows[j] = cached_row(cached, positions[j]);
        ahead[j] = cached_row(cached, lesser(positions[j] + attention_ahead, a->positions.end - 1));
    }
    add_key_products(x, queries, rows, ahead, keys, whole, lane, is_bf16, total);
    if (whole == cached->width) return;
    uint8_t ends[8][attention_step * sizeof(float)] = {{0}};
    for (int j = 0; j < keys; j++) {
        memcpy(ends[j], rows[j] + whole * size, (size_t)((cached->width - whole) * size));
        rows[j] = ends[j];
    }
    add_key_products(x + whole * attention_group, queries, rows, rows, keys, attention_step, lane, is_bf16, total);
}

/// sums[k · queries + q] = x[q] · y[k] for the keys of the positions from `position` on; behind `last` that one again.
INLINE void score_tile(
    const moed_attention *a, const float *x, int queries, int keys, int64_t position, int64_t last, float *sums) {
    _Alignas(64) float space[16][16];
    int64_t positions[8];
    for (int j = 0; j < keys; j++) positions[j] = lesser(position + j, last);
    for (int lane = 0; lane < 16; lane += floats_count) {
        floats total[16];
        for (int i = 0; i < queries * keys; i++) total[i] = floats_set(0);
        const float *columns = x;
        for (int part = 0; part < a->part_count; part++) {
            const moed_cached *cached = &a->keys[part];
            if (cached->format == moed_f32) {
                add_part_products(a, cached, columns, queries, positions, keys, lane, 0, total);
            } else {
                add_part_products(a, cached, columns, queries, positions, keys, lane, 1, total);
            }
            columns += whole_steps(cached->width) * attention_group;
        }
        for (int i = 0; i < queries * keys; i++) floats_store(space[i] + lane, total[i]);
    }
    for (int i = 0; i < queries * keys; i += 4) {
        lanes_sum_four(
            lanes_load(space[i]), lanes_load(space[i + 1]), lanes_load(space[i + 2]), lanes_load(space[i + 3]),
            sums + i);
    }
}

/// A block's scores and then weights for a group of queries.
typedef struct {
    _Alignas(64) float weights[attention_block][attention_group];
    float rescaling[attention_group];
    /// Positions of the block that each query sees, begin ..< end; neither is ever less than the query's before.
    int64_t begin[attention_group];
    int64_t end[attention_group];
} block_weights;

/// weights[p][q] = query q · key p, for `queries` ordered queries from `q` on.
INLINE void score_queries(
    const moed_attention *a, const float *ordered, int64_t q, int queries, int keys, moed_range positions,
    block_weights *block) {
    for (int64_t p = positions.begin; p < positions.end; p += keys) {
        float sums[16];
        score_tile(a, ordered + q * attention_step, queries, keys, p, positions.end - 1, sums);
        float *place = block->weights[p - positions.begin] + q;
        // Behind the last position there is room for the rest of a tile.
        for (int j = 0; j < keys; j++) {
            memcpy(place + j * attention_group, sums + j * queries, (size_t)queries * sizeof(float));
        }
    }
}

static void score_block(
    const moed_attention *a, const float *ordered, int64_t count, moed_range positions, block_weights *block) {
    int64_t q = 0;
    for (; q + tile_queries <= count; q += tile_queries) {
        score_queries(a, ordered, q, tile_queries, tile_keys, positions, block);
    }
    for (; tile_queries > 4 && q + 4 <= count; q += 4) score_queries(a, ordered, q, 4, tile_keys, positions, block);
    for (; q < count; q++) score_queries(a, ordered, q, 1, 8, positions, block);
}

// MARK: Softmax

// 16 lanes are a group's queries at two positions.
INLINE void continue_softmax(const moed_attention *a, int64_t first, int64_t count, block_weights *block) {
    float *maxima = a->maxima + first, *sums = a->sums + first;
    float *weights = block->weights[0], lane[16], shift[16] = {0}, change[16] = {0};
    int64_t end = (block->end[count - 1] + 1) / 2 * 16;
    for (int64_t q = 0; q < count; q++) {
        for (int64_t p = 0; p < block->begin[q]; p++) block->weights[p][q] = -INFINITY;
        for (int64_t p = block->end[q]; p * attention_group < end; p++) block->weights[p][q] = -INFINITY;
    }
    lanes most = lanes_set(-INFINITY), total = lanes_set(0);
    for (int64_t k = 0; k < end; k += 16) {
        lanes scaled = lanes_mul(lanes_load(weights + k), lanes_set(a->scale));
        lanes_store(weights + k, scaled);
        most = lanes_max(scaled, most);
    }
    lanes_store(lane, most);
    for (int64_t q = 0; q < count; q++) {
        float here = lane[q] > lane[attention_group + q] ? lane[q] : lane[attention_group + q];
        float larger = here > maxima[q] ? here : maxima[q];
        shift[q] = shift[attention_group + q] = larger;
        change[q] = larger == maxima[q] ? 0 : maxima[q] - larger;
        maxima[q] = larger;
    }
    for (int64_t k = 0; k < end; k += 16) {
        lanes weight = exponential(lanes_sub(lanes_load(weights + k), lanes_load(shift)));
        lanes_store(weights + k, weight);
        total = lanes_add(total, weight);
    }
    lanes_store(lane, total);
    lanes_store(change, exponential(lanes_load(change)));
    for (int64_t q = 0; q < count; q++) {
        block->rescaling[q] = change[q];
        sums[q] = fmaf(sums[q], change[q], lane[q] + lane[attention_group + q]);
    }
}

// MARK: Values

/// Values from some column on, and where their sums go.
typedef struct {
    const uint8_t *rows;
    /// Bytes from one position to the next.
    int64_t stride;
    float *attended[attention_group];
} value_columns;

INLINE void load_attended(const float *attended, int lane, int is_bf16, floats *early, floats *late) {
    if (is_bf16) {
        const float *pairs = attended + 2 * lane;
        floats_unzip(floats_load(pairs), floats_load(pairs + floats_count), early, late);
    } else {
        load_step((const uint8_t *)attended, lane, 0, early, late);
    }
}

INLINE void store_attended(float *attended, int lane, int is_bf16, floats early, floats late) {
    if (is_bf16) {
        floats_zip(early, late, &early, &late);
        floats_store(attended + 2 * lane, early);
        floats_store(attended + 2 * lane + floats_count, late);
    } else {
        floats_store(attended + lane, early);
        floats_store(attended + 16 + lane, late);
    }
}

/// attended[q] = attended[q] · rescaling[q] + Σ weights[p][q] · values[p], for `steps` steps of columns.
INLINE void sum_tile(
    const block_weights *block, int64_t q, int queries, const value_columns *columns, int steps, int is_bf16) {
    int step_size = attention_step * (is_bf16 ? 2 : 4), last = (int)q + queries - 1;
    int64_t all_from = block->begin[last], all_to = block->end[q], end = block->end[last];
    for (int lane = 0; lane < 16; lane += floats_count) {
        floats early[8], late[8], x, y;
        for (int i = 0; i < queries; i++) {
            floats factor = floats_set(block->rescaling[q + i]);
            for (int s = 0; s < steps; s++) {
                load_attended(columns->attended[q + i] + s * attention_step, lane, is_bf16, &x, &y);
                early[i * steps + s] = floats_mul(x, factor);
                late[i * steps + s] = floats_mul(y, factor);
            }
        }
        for (int64_t p = block->begin[q]; p < end;) {
            const uint8_t *row = columns->rows + p * columns->stride;
            if (p >= all_from && p < all_to) {
                for (; p < all_to; p++, row += columns->stride) {
                    for (int s = 0; s < steps; s++) {
                        load_step(row + s * step_size, lane, is_bf16, &x, &y);
                        for (int i = 0; i < queries; i++) {
                            floats weight = floats_set(block->weights[p][q + i]);
                            early[i * steps + s] = floats_fma(x, weight, early[i * steps + s]);
                            late[i * steps + s] = floats_fma(y, weight, late[i * steps + s]);
                        }
                    }
                }
                continue;
            }
            for (int s = 0; s < steps; s++) {
                load_step(row + s * step_size, lane, is_bf16, &x, &y);
                for (int i = 0; i < queries; i++) {
                    if (p < block->begin[q + i] || p >= block->end[q + i]) continue;
                    floats weight = floats_set(block->weights[p][q + i]);
                    early[i * steps + s] = floats_fma(x, weight, early[i * steps + s]);
                    late[i * steps + s] = floats_fma(y, weight, late[i * steps + s]);
                }
            }
            p++;
        }
        for (int i = 0; i < queries; i++) {
            for (int s = 0; s < steps; s++) {
                store_attended(
                    columns->attended[q + i] + s * attention_step, lane, is_bf16, early[i * steps + s],
                    late[i * steps + s]);
            }
        }
    }
}

INLINE void sum_queries(
    const block_weights *block, int64_t queries, const value_columns *columns, int steps, int is_bf16) {
    int64_t q = 0;
    if (steps == 1) {
        for (; q + tile_queries <= queries; q += tile_queries) {
            sum_tile(block, q, tile_queries, columns, steps, is_bf16);
        }
        for (; tile_queries > 4 && q + 4 <= queries; q += 4) sum_tile(block, q, 4, columns, steps, is_bf16);
    }
    for (; q < queries; q++) sum_tile(block, q, 1, columns, steps, is_bf16);
}

INLINE void sum_columns(
    const block_weights *block, int64_t queries, int64_t width, value_columns columns, int is_bf16) {
    int size = is_bf16 ? 2 : 4;
    int64_t column = 0;
    while (column + attention_step <= width) {
        // One query's sums of several steps don't wait for each other.
        int is_wide = queries == 1 && column + 4 * attention_step <= width;
        if (is_wide) {
            sum_queries(block, 1, &columns, 4, is_bf16);
        } else {
            sum_queries(block, queries, &columns, 1, is_bf16);
        }
        int64_t done = is_wide ? 4 * attention_step : attention_step;
        column += done;
        columns.rows += done * size;
        for (int64_t q = 0; q < queries; q++) columns.attended[q] += done;
    }
    if (column == width) return;
    int64_t rest = width - column;
    uint8_t rows[attention_block][attention_step * sizeof(float)] = {{0}};
    float attended[attention_group][attention_step] = {{0}};
    for (int64_t p = block->begin[0]; p < block->end[queries - 1]; p++) {
        memcpy(rows[p], columns.rows + p * columns.stride, (size_t)(rest * size));
    }
    value_columns ends = {rows[0], sizeof rows[0], {0}};
    for (int64_t q = 0; q < queries; q++) {
        memcpy(attended[q], columns.attended[q], (size_t)rest * sizeof(float));
        ends.attended[q] = attended[q];
    }
    sum_queries(block, queries, &ends, 1, is_bf16);
    for (int64_t q = 0; q < queries; q++) memcpy(columns.attended[q], attended[q], (size_t)rest * sizeof(float));
}

static void sum_block(
    const moed_attention *a, int64_t first, int64_t queries, int64_t position, const block_weights *block) {
    const moed_cached *values = &a->values;
    value_columns columns = {cached_row(values, position), values->stride * element_size(values->format), {0}};
    for (int64_t q = 0; q < queries; q++) columns.attended[q] = attended_at(a, first + q);
    if (values->format == moed_f32) {
        sum_columns(block, queries, values->width, columns, 0);
    } else {
        sum_columns(block, queries, values->width, columns, 1);
    }
}

/// Queries, of which `ordered` has the columns, over the positions of a block.
static void attend_block(
    const moed_attention *a, const float *ordered, int64_t first, int64_t count, moed_range positions,
    block_weights *block) {
    score_block(a, ordered, count, positions, block);
    for (int64_t q = 0; q < count; q++) {
        int64_t from = seen_from(a, first + q) - positions.begin;
        block->begin[q] = from > 0 ? from : 0;
        block->end[q] = lesser(visible_to(a, first + q), positions.end) - positions.begin;
    }
    continue_softmax(a, first, count, block);
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
    for (int64_t start = a->positions.begin; start < a->positions.end; start += attention_chunk) {
        moed_range chunk = {start, lesser(start + attention_chunk, a->positions.end)};
        moed_range queries = seeing(a, chunk);
        for (int64_t first = queries.begin; first < queries.end; first += attention_group) {
            int64_t end = lesser(first + attention_group, queries.end);
            order_queries(a, first, end - first, ordered);
            for (int64_t position = chunk.begin; position < chunk.end; position += attention_block) {
                moed_range block = {position, lesser(position + attention_block, chunk.end)};
                moed_range some = seeing(a, block);
                int64_t from = some.begin > first ? some.begin : first, to = lesser(some.end, end);
                if (from >= to) continue;
                attend_block(a, ordered + (from - first) * attention_step, from, to - from, block, &weights);
            }
        }
    }
}
