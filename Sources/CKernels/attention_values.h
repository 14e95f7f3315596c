// Weighted sums of a block's values. Included by `attention.h`.

/// Values from some column on, and where their sums go.
typedef struct {
    const uint8_t *rows;
    /// Bytes from one position to the next.
    int64_t stride;
    float *attended[attention_group];
} value_columns;

INLINE void store_ordered(float *attended, int lane, int is_bf16, floats early, floats late) {
    if (is_bf16) {
        floats_zip(early, late, &early, &late);
        floats_store(attended + 2 * lane, early);
        floats_store(attended + 2 * lane + floats_count, late);
    } else {
        floats_store(attended + lane, early);
        floats_store(attended + 16 + lane, late);
    }
}

/// Adds a position's values, of all queries or of those that see it.
INLINE void add_values(
    const block_weights *block, int64_t q, int queries, int64_t p, int is_for_all, const uint8_t *row, int steps,
    int lane, int is_bf16, floats *early, floats *late) {
    for (int s = 0; s < steps; s++) {
        floats x, y;
        load_step(row + s * attention_step * (is_bf16 ? 2 : 4), lane, is_bf16, &x, &y);
        for (int i = 0; i < queries; i++) {
            if (!is_for_all && (p < block->begin[q + i] || p >= block->end[q + i])) continue;
            floats weight = floats_set(block->weights[p][q + i]);
            early[i * steps + s] = floats_fma(x, weight, early[i * steps + s]);
            late[i * steps + s] = floats_fma(y, weight, late[i * steps + s]);
        }
    }
}

/// attended[q] = attended[q] · rescaling[q] + Σ weights[p][q] · values[p], for `steps` steps of columns.
INLINE void sum_tile(
    const block_weights *block, int64_t q, int queries, const value_columns *columns, int steps, int is_bf16) {
    int64_t last = q + queries - 1, all_from = block->begin[last], all_to = block->end[q];
    for (int lane = 0; lane < 16; lane += floats_count) {
        floats early[8], late[8];
        for (int i = 0; i < queries; i++) {
            floats factor = floats_set(block->rescaling[q + i]);
            for (int s = 0; s < steps; s++) {
                floats *x = early + i * steps + s, *y = late + i * steps + s;
                load_ordered(columns->attended[q + i] + s * attention_step, lane, is_bf16, x, y);
                *x = floats_mul(*x, factor);
                *y = floats_mul(*y, factor);
            }
        }
        int64_t p = block->begin[q];
        const uint8_t *row = columns->rows + p * columns->stride;
        while (p < block->end[last]) {
            for (; p >= all_from && p < all_to; p++, row += columns->stride) {
                add_values(block, q, queries, p, 1, row, steps, lane, is_bf16, early, late);
            }
            if (p >= block->end[last]) break;
            add_values(block, q, queries, p, 0, row, steps, lane, is_bf16, early, late);
            p++;
            row += columns->stride;
        }
        for (int i = 0; i < queries; i++) {
            for (int s = 0; s < steps; s++) {
                store_ordered(
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
    _Alignas(64) uint8_t rows[attention_block][attention_step * sizeof(float)] = {{0}};
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
