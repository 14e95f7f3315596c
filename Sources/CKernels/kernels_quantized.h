// Products of q4 and q8 matrices, written once over steps: as many panels as fill a vector, a lane for each row.
//
// A few tokens read the packed codes as they stand. Many tokens make it worth to expand a step into a tile that
// stays in the cache, and to multiply it by blocks of tokens. The file that includes this one has defined
//
// - `step_panels` (1 or 2), `block_tokens` (of a block, a power of two) and `tile_least_tokens`;
// - `row_ints` and `row_floats`, vectors with a lane for each row of a step, `no_rows`, zeros, `load_rows` and
//   `store_rows`, one token's results of a step;
// - `step_table` and `load_step_table`: what a q4 index stands for, as the products want it;
// - `step_scales`: a group's scales as floats;
// - `packed_products`: a group's integer sums for some tokens, from the packed codes;
// - `expand_group`, a group's codes in another form, and `multiply_tile`, tokens by a tile of them;
// - `fold`: total + float(sum) · (scale · input scale), rounded once.

/// Where to read in a step.
typedef struct {
    step at;
    int64_t group;
    /// What the next step begins with.
    const uint8_t *next_codes[2], *next_scales[2];
} stream;

/// What to prefetch: what follows in the same panels, or what the next step begins with.
enum { no_prefetch, prefetch_same, prefetch_next };

// Adds `count` groups of up to `block_tokens` tokens to their totals, from the packed codes.
INLINE void stream_groups(
    const moed_matrix *w, stream from, int64_t count, const moed_activations *x, int64_t token_count, int64_t token,
    int tokens, int prefetches, int kind, row_floats *totals) {
    step_table table = load_step_table(w, kind);
    int64_t place = from.group * token_count + token, end = from.group + count;
    const int8_t *inputs = x->codes + place * moed_group_size;
    const int32_t *corrections = x->corrections + place;
    const float *input_scales = x->scales + place;
#pragma clang loop unroll(disable)
    for (int64_t group = from.group; group < end; group++) {
        if (prefetches) {
            for (int p = 0; p < step_panels; p++) {
                if (prefetches == prefetch_same) {
                    const uint8_t *codes = from.at.panels[p] + w->code_offset + group * group_bytes_of(kind);
                    PREFETCH(codes + prefetch_distance, group_bytes_of(kind), into_first_cache);
                    continue;
                }
                PREFETCH(from.next_codes[p], group_bytes_of(kind), into_first_cache);
                __builtin_prefetch(from.next_scales[p], 0, into_first_cache);
                from.next_codes[p] += group_bytes_of(kind);
                from.next_scales[p] += 64;
            }
        }
        row_ints products[block_tokens];
        packed_products(w, from.at, group, table, inputs, corrections, tokens, kind, products);
        row_floats scales = step_scales(w, from.at, group);
        for (int t = 0; t < tokens; t++) totals[t] = fold(products[t], scales, input_scales[t], totals[t]);
        inputs += token_count * moed_group_size;
        corrections += token_count;
        input_scales += token_count;
    }
}

// Up to `block_tokens` tokens from the packed codes. What is prefetched is this step's rest and then the next one's
// beginning, so that reading goes on without a gap.
INLINE void stream_step(
    const moed_matrix *w, step at, const moed_activations *x, int64_t token_count, int64_t token, int tokens,
    int prefetches, int kind, results to) {
    row_floats totals[block_tokens];
    for (int t = 0; t < tokens; t++) totals[t] = no_rows();
    int64_t groups = w->columns / moed_group_size, size = group_bytes_of(kind);
    int64_t reach = prefetch_distance / size < groups ? prefetch_distance / size : groups;
    stream from = {.at = at};
    stream_groups(
        w, from, groups - reach, x, token_count, token, tokens, prefetches ? prefetch_same : no_prefetch, kind, totals);
    from.group = groups - reach;
    for (int p = 0; p < step_panels; p++) {
        from.next_scales[p] = at.panels[p] + at.next;
        from.next_codes[p] = from.next_scales[p] + w->code_offset;
    }
    stream_groups(
        w, from, reach, x, token_count, token, tokens, prefetches ? prefetch_next : no_prefetch, kind, totals);
    for (int t = 0; t < tokens; t++) store_rows(to, t, totals[t]);
}

INLINE void tile_step(
    const moed_matrix *w, step at, const moed_activations *x, moed_range range, int kind, results to) {
    tile weights;
    int64_t groups = w->columns / moed_group_size, size = group_bytes_of(kind);
    step_table table = load_step_table(w, kind);
    for (int64_t first = 0; first < groups; first += tile_groups) {
        int64_t count = groups - first < tile_groups ? groups - first : tile_groups;
        for (int64_t group = 0; group < count; group++) {
            for (int p = 0; p < step_panels; p++) {
                const uint8_t *next = at.panels[p] + at.next;
                PREFETCH(next + w->code_offset + (first + group) * size, size, into_second_cache);
                if ((first + group) % 4 == 0) PREFETCH(next + (first + group) * 16, 64, into_second_cache);
            }
            expand_group(w, at, first + group, table, kind, weights.codes + group * step_panels * 256);
            weights.scales[group] = step_scales(w, at, first + group);
        }
        multiply_tile(&weights, first, count, x, range, kind, to);
    }
}

INLINE void multiply_step_of(
    const moed_matrix *w, step at, const moed_activations *x, moed_range range, int kind, results to) {
    if (range.end - range.begin >= tile_least_tokens) {
        tile_step(w, at, x, range, kind, to);
        return;
    }
    if (x->token_count == 1) {
        // Decoding: everything that a number known to the compiler saves is saved.
        moed_matrix known = *w;
        if (w->scale_format == moed_bf16_scales) {
            known.scale_format = moed_bf16_scales;
            stream_step(&known, at, x, 1, 0, 1, 1, kind, to);
        } else {
            known.scale_format = moed_f16_scales;
            stream_step(&known, at, x, 1, 0, 1, 1, kind, to);
        }
        return;
    }
    FOR_BLOCKS(
        range.begin, range.end,
        stream_step(
            w, at, x, x->token_count, token, tokens, token == range.begin, kind,
            from_token(to, token - range.begin)));
}

static void multiply_linear_q4(
    const moed_matrix *w, step at, const moed_activations *x, moed_range range, results to) {
    multiply_step_of(w, at, x, range, linear_q4, to);
}

static void multiply_table_q4(
    const moed_matrix *w, step at, const moed_activations *x, moed_range range, results to) {
    multiply_step_of(w, at, x, range, table_q4, to);
}

static void multiply_plain_q8(
    const moed_matrix *w, step at, const moed_activations *x, moed_range range, results to) {
    multiply_step_of(w, at, x, range, plain_q8, to);
}

// One step by all tokens of the range; `to` begins at the first of them.
INLINE void multiply_step(const moed_matrix *w, step at, const moed_activations *x, moed_range range, results to) {
    switch (kind_of(w)) {
    case linear_q4: multiply_linear_q4(w, at, x, range, to); break;
    case table_q4: multiply_table_q4(w, at, x, range, to); break;
    default: multiply_plain_q8(w, at, x, range, to); break;
    }
}

// y begins at the first of the tokens and panels.
static void multiply_quantized(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    for (int64_t panel = panels.begin; panel < panels.end; panel += step_panels) {
        const uint8_t *first = w->base + panel * w->stride;
        int64_t left = panels.end - panel;
        int has_second = step_panels == 2 && left > 1;
        step at = {{first, has_second ? first + w->stride : first}, left > step_panels ? step_panels * w->stride : 0};
        float *rows = y + (panel - panels.begin) * moed_panel_rows;
        results to = {
            {rows, rows + moed_panel_rows}, y_stride, {rows_of(w, panel), has_second ? rows_of(w, panel + 1) : 0}};
        multiply_step(w, at, x, tokens, to);
    }
}

// One panel of two matrices of the same shape and encoding, which stand in memory one after the other or alternate:
// in one step where a vector has room for both.
static void gate_and_up(
    const moed_matrix *gate, const moed_matrix *up, const moed_activations *x, int64_t panel, int is_last,
    moed_range tokens, float *gates, float *ups) {
    const uint8_t *first = gate->base + panel * gate->stride, *second = up->base + panel * up->stride;
    int64_t next = is_last ? 0 : gate->stride;
    if (step_panels == 2) {
        results to = {{gates, ups}, moed_panel_rows, {moed_panel_rows, moed_panel_rows}};
        multiply_step(gate, (step){{first, second}, next}, x, tokens, to);
    } else {
        results to_gates = {{gates, gates}, moed_panel_rows, {moed_panel_rows, 0}};
        results to_ups = {{ups, ups}, moed_panel_rows, {moed_panel_rows, 0}};
        multiply_step(gate, (step){{first, first}, second - first}, x, tokens, to_gates);
        multiply_step(up, (step){{second, second}, is_last ? 0 : first + next - second}, x, tokens, to_ups);
    }
}
