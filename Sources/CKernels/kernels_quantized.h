// Products of q4 and q8 matrices, written once over steps: as many panels as fill a vector, a lane for each row.
//
// A few tokens read the packed codes as they stand. Many tokens make it worth to expand a step into a tile that
// stays in the cache, and to multiply it by blocks of tokens. The file that includes this one has defined
//
// - `step_panels` (1 or 2), `block_tokens` (at once from packed codes, a power of two), `tile_least_tokens`, and how many
//   tokens and steps are multiplied at once in a tile, `tile_tokens` and `tile_steps` (1 or 2);
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

// `steps` steps, known to the compiler, by all tokens of the range.
INLINE void multiply_by_tiles_of(
    const moed_matrix *w, const step *at, int steps, const moed_activations *x, moed_range range, int kind,
    const results *to) {
    tile weights;
    int64_t groups = w->columns / moed_group_size, size = group_bytes_of(kind);
    step_table table = load_step_table(w, kind);
    for (int64_t first = 0; first < groups; first += tile_groups) {
        int64_t count = groups - first < tile_groups ? groups - first : tile_groups;
        for (int64_t i = 0; i < count * steps; i++) {
            int64_t group = first + i / steps;
            step from = at[i % steps];
            for (int p = 0; p < step_panels; p++) {
                const uint8_t *next = from.panels[p] + from.next;
                PREFETCH(next + w->code_offset + group * size, size, into_second_cache);
                if (group % 4 == 0) PREFETCH(next + group * 16, 64, into_second_cache);
            }
            expand_group(w, from, group, table, kind, weights.codes + i * step_bytes_of_group);
            weights.scales[i] = step_scales(w, from, group);
        }
        multiply_tile(&weights, steps, first, count, x, range, kind, to);
    }
}

INLINE int is_tiled(moed_range tokens) { return tokens.end - tokens.begin >= tile_least_tokens; }

INLINE void multiply_steps_of(
    const moed_matrix *w, const step *at, int steps, const moed_activations *x, moed_range range, int kind,
    const results *to) {
    if (is_tiled(range)) {
        if (tile_steps > 1 && steps == tile_steps) multiply_by_tiles_of(w, at, tile_steps, x, range, kind, to);
        else multiply_by_tiles_of(w, at, 1, x, range, kind, to);
        return;
    }
    for (int s = 0; s < steps; s++) {
        if (x->token_count == 1) {
            // Decoding: everything that a number known to the compiler saves is saved.
            moed_matrix known = *w;
            if (w->scale_format == moed_bf16_scales) {
                known.scale_format = moed_bf16_scales;
                stream_step(&known, at[s], x, 1, 0, 1, 1, kind, to[s]);
            } else {
                known.scale_format = moed_f16_scales;
                stream_step(&known, at[s], x, 1, 0, 1, 1, kind, to[s]);
            }
            continue;
        }
        FOR_BLOCKS(
            block_tokens, range.begin, range.end,
            stream_step(
                w, at[s], x, x->token_count, token, tokens, token == range.begin, kind,
                from_token(to[s], token - range.begin)));
    }
}

static void multiply_linear_q4(
    const moed_matrix *w, const step *at, int steps, const moed_activations *x, moed_range range, const results *to) {
    multiply_steps_of(w, at, steps, x, range, linear_q4, to);
}

static void multiply_table_q4(
    const moed_matrix *w, const step *at, int steps, const moed_activations *x, moed_range range, const results *to) {
    multiply_steps_of(w, at, steps, x, range, table_q4, to);
}

static void multiply_plain_q8(
    const moed_matrix *w, const step *at, int steps, const moed_activations *x, moed_range range, const results *to) {
    multiply_steps_of(w, at, steps, x, range, plain_q8, to);
}

// One step or `tile_steps` of them by all tokens of the range; `to`, one for each, begins at the first of them.
INLINE void multiply_steps(
    const moed_matrix *w, const step *at, int steps, const moed_activations *x, moed_range range, const results *to) {
    switch (kind_of(w)) {
    case linear_q4: multiply_linear_q4(w, at, steps, x, range, to); break;
    case table_q4: multiply_table_q4(w, at, steps, x, range, to); break;
    default: multiply_plain_q8(w, at, steps, x, range, to); break;
    }
}

// y begins at the first of the tokens and panels.
static void multiply_quantized(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    int64_t together = is_tiled(tokens) ? tile_steps : 1;
    for (int64_t panel = panels.begin; panel < panels.end;) {
        step at[tile_steps];
        results to[tile_steps];
        int64_t left = panels.end - panel, reach = together * step_panels;
        int steps = left >= reach ? (int)together : 1;
        int64_t next = left > steps * step_panels ? steps * step_panels * w->stride : 0;
        for (int s = 0; s < steps; s++, panel += step_panels) {
            const uint8_t *first = w->base + panel * w->stride;
            int has_second = step_panels == 2 && panel + 1 < panels.end;
            float *rows = y + (panel - panels.begin) * moed_panel_rows;
            at[s] = (step){{first, has_second ? first + w->stride : first}, next};
            to[s] = (results){
                {rows, rows + moed_panel_rows}, y_stride, {rows_of(w, panel), has_second ? rows_of(w, panel + 1) : 0}};
        }
        multiply_steps(w, at, steps, x, tokens, to);
    }
}

enum {
    /// Panels of gate and up that are multiplied at once at most.
    gated_panels = step_panels * tile_steps > 2 ? step_panels * tile_steps / 2 : 1,
    /// Tokens whose gates and ups are computed before they meet.
    gated_tokens = 64,
};

// Up to `gated_panels` panels, before panel `end`, of two matrices of the same shape and encoding, which stand in memory
// one after the other or alternate: in one step where a vector has room for both. A panel's results are [gated_tokens, 8].
static void gate_and_up(
    const moed_matrix *gate, const moed_matrix *up, const moed_activations *x, moed_range panels, int64_t end,
    moed_range tokens, float *gates, float *ups) {
    step at[2 * gated_panels];
    results to[2 * gated_panels];
    int steps = 0, are_tiled = is_tiled(tokens);
    for (int64_t panel = panels.begin; panel < panels.end; panel++) {
        const uint8_t *first = gate->base + panel * gate->stride, *second = up->base + panel * up->stride;
        int64_t further = are_tiled ? panels.end - panels.begin : 1;
        int64_t next = panel + further < end ? further * gate->stride : 0;
        int64_t place = (panel - panels.begin) * gated_tokens * moed_panel_rows;
        if (step_panels == 2) {
            at[steps] = (step){{first, second}, next};
            to[steps++] = (results){{gates + place, ups + place}, moed_panel_rows, {moed_panel_rows, moed_panel_rows}};
            continue;
        }
        int are_together = are_tiled && tile_steps == 2;
        at[steps] = (step){{first, first}, are_together ? next : second - first};
        to[steps++] = (results){{gates + place, gates + place}, moed_panel_rows, {moed_panel_rows, 0}};
        at[steps] = (step){{second, second}, are_together ? next : next > 0 ? first + next - second : 0};
        to[steps++] = (results){{ups + place, ups + place}, moed_panel_rows, {moed_panel_rows, 0}};
    }
    for (int s = 0; s < steps;) {
        int some = steps - s >= tile_steps ? tile_steps : 1;
        multiply_steps(gate, at + s, some, x, tokens, to + s);
        s += some;
    }
}
