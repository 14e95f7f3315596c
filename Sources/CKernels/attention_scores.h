// Scores of a block of positions and their softmax. Included by `attention.h`.

INLINE void order_step(const float *step, int is_bf16, float *ordered) {
    for (int lane = 0; lane < 16; lane += floats_count) {
        floats early, late;
        load_ordered(step, lane, is_bf16, &early, &late);
        floats_store(ordered + lane, early);
        floats_store(ordered + 16 + lane, late);
    }
}

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
        const float *columns = x + k * attention_group + lane;
        floats early[8], late[8];
        for (int j = 0; j < keys; j++) {
            if (is_bf16 && lane == 0) __builtin_prefetch(ahead[j] + k * 2, 0, 2);
            load_step(y[j] + k * (is_bf16 ? 2 : 4), lane, is_bf16, early + j, late + j);
            if (queries > 1) continue;
            // Used at once, a key needs no register of its own.
            total[j] = floats_fma(early[j], floats_load(columns), total[j]);
            total[j] = floats_fma(late[j], floats_load(columns + 16), total[j]);
        }
        if (queries == 1) continue;
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

/// The same for a part's whole width, of the keys at the positions from `position` on, all of one block; behind `last`
/// that one again.
INLINE void add_part_products(
    const moed_attention *a, const moed_cached *cached, const float *x, int queries, int64_t position, int64_t last,
    int keys, int lane, int is_bf16, floats *total) {
    int64_t size = is_bf16 ? 2 : 4, whole = cached->width / attention_step * attention_step;
    int64_t stride = cached->stride * size;
    const uint8_t *row = cached_row(cached, position);
    const uint8_t *later = cached_row(cached, lesser(position + attention_ahead, a->positions.end - 1));
    const uint8_t *rows[8], *ahead[8];
    for (int j = 0; j < keys; j++) {
        rows[j] = row + lesser(j, last - position) * stride;
        ahead[j] = later + j * stride;
    }
    add_key_products(x, queries, rows, ahead, keys, whole, lane, is_bf16, total);
    if (whole == cached->width) return;
    _Alignas(64) uint8_t ends[8][attention_step * sizeof(float)] = {{0}};
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
    for (int lane = 0; lane < 16; lane += floats_count) {
        floats total[16];
        for (int i = 0; i < queries * keys; i++) total[i] = floats_set(0);
        const float *columns = x;
        for (int part = 0; part < a->part_count; part++) {
            const moed_cached *cached = &a->keys[part];
            if (cached->format == moed_f32) {
                add_part_products(a, cached, columns, queries, position, last, keys, lane, 0, total);
            } else {
                add_part_products(a, cached, columns, queries, position, last, keys, lane, 1, total);
            }
            columns += whole_steps(cached->width) * attention_group;
        }
        for (int i = 0; i < queries * keys; i++) floats_store(space[i] + lane, total[i]);
    }
    for (int i = 0; i < queries * keys; i += 8) {
        lanes eight[8];
        for (int j = 0; j < 8; j++) eight[j] = lanes_load(space[i + j]);
        lanes_sum_eight(eight, sums + i);
    }
}

/// A block's scores and then weights for a group of queries.
typedef struct {
    _Alignas(64) float weights[attention_block][attention_group];
    /// So far, for all of a group's queries: what other threads write stands beside these in memory.
    float maxima[attention_group];
    float sums[attention_group];
    float rescaling[attention_group];
    /// Positions of the block that each query sees, begin ..< end; neither is ever less than the query's before.
    int64_t begin[attention_group];
    int64_t end[attention_group];
} block_weights;

/// weights[p][q] = query q · key p, for `queries` ordered queries from `q` on and `keys` positions from `p` on.
INLINE void score_queries(
    const moed_attention *a, const float *ordered, int64_t q, int queries, int keys, moed_range positions, int64_t p,
    block_weights *block) {
    float sums[16];
    score_tile(a, ordered + q * attention_step, queries, keys, p, positions.end - 1, sums);
    float *place = block->weights[p - positions.begin] + q;
    // Behind the last position there is room for the rest of a tile.
    for (int j = 0; j < keys; j++) {
        memcpy(place + j * attention_group, sums + j * queries, (size_t)queries * sizeof(float));
    }
}

/// Asks for the values of some positions of a block.
INLINE void ask_for_values(const moed_attention *a, int64_t p, int count) {
    const uint8_t *rows = cached_row(&a->values, p);
    PREFETCH(rows, count * a->values.stride * element_size(a->values.format), into_second_cache);
}

static void score_block(
    const moed_attention *a, const float *ordered, int64_t count, moed_range positions, int asks_for_values,
    block_weights *block) {
    int64_t tiled = count / 4 * 4;
    for (int64_t p = positions.begin; tiled > 0 && p < positions.end; p += tile_keys) {
        if (asks_for_values) ask_for_values(a, p, tile_keys);
        // All queries see a key while it is in the first cache.
        int64_t q = 0;
        for (; q + tile_queries <= tiled; q += tile_queries) {
            score_queries(a, ordered, q, tile_queries, tile_keys, positions, p, block);
        }
        if (tile_queries > 4 && q < tiled) score_queries(a, ordered, q, 4, tile_keys, positions, p, block);
    }
    for (int64_t q = tiled; q < count; q++) {
        for (int64_t p = positions.begin; p < positions.end; p += 8) {
            if (asks_for_values && q == 0) ask_for_values(a, p, 8);
            score_queries(a, ordered, q, 1, 8, positions, p, block);
        }
    }
}

// MARK: Softmax

/// Takes a block's largest score into account, and returns what the sums so far are to be multiplied by, as a logarithm.
INLINE float raise_maximum(float here, float *maximum) {
    float before = *maximum, larger = here > before ? here : before;
    *maximum = larger;
    return larger == before ? 0 : before - larger;
}

// 16 lanes are a group's queries at two positions.
INLINE void continue_softmax(const moed_attention *a, int64_t count, float *maxima, float *sums, block_weights *block) {
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
        float other = lane[attention_group + q];
        change[q] = raise_maximum(lane[q] > other ? lane[q] : other, maxima + q);
        shift[q] = shift[attention_group + q] = maxima[q];
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

// The same for one query, where 16 lanes are 16 positions.
INLINE void continue_softmax_of_one(const moed_attention *a, float *maximum, float *sum, block_weights *block) {
    _Alignas(64) float weights[attention_block];
    float lane[16], totals[2] = {0};
    int64_t begin = block->begin[0], end = block->end[0], seen = (end + 1) / 2 * 2;
    for (int64_t p = 0; p < attention_block; p++) {
        weights[p] = p < begin || p >= end ? -INFINITY : block->weights[p][0];
    }
    lanes most = lanes_set(-INFINITY);
    for (int64_t k = 0; k < seen; k += 16) {
        lanes scaled = lanes_mul(lanes_load(weights + k), lanes_set(a->scale));
        lanes_store(weights + k, scaled);
        most = lanes_max(scaled, most);
    }
    lanes_store(lane, most);
    float here = lane[0];
    for (int i = 1; i < 16; i++) here = lane[i] > here ? lane[i] : here;
    lanes change = lanes_set(raise_maximum(here, maximum)), shift = lanes_set(*maximum);
    for (int64_t k = 0; k < seen; k += 16) {
        lanes_store(weights + k, exponential(lanes_sub(lanes_load(weights + k), shift)));
    }
    for (int64_t p = 0; p < seen; p++) {
        block->weights[p][0] = weights[p];
        totals[p % 2] += weights[p];
    }
    lanes_store(lane, exponential(change));
    block->rescaling[0] = lane[0];
    *sum = fmaf(*sum, lane[0], totals[0] + totals[1]);
}
