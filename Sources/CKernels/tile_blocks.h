// Products of tiles by vectors: `tile_products`, a group's integer sums of each step for some tokens, whose totals stay in
// registers.

#ifndef MOED_TILE_BLOCKS_H
#define MOED_TILE_BLOCKS_H

#include "tiles.h"

// Up to `tile_tokens` tokens by a tile of `count` groups, the first of which is group `first` of the matrix.
INLINE void multiply_tile_block(
    const tile *weights, int steps, int64_t first, int64_t count, const moed_activations *x, int64_t token,
    int64_t place_in_results, int tokens, int kind, const results *to) {
    row_floats totals[tile_steps * tile_tokens];
    for (int s = 0; s < steps; s++) {
        results from = from_token(to[s], place_in_results);
        for (int t = 0; t < tokens; t++) totals[s * tokens + t] = first == 0 ? no_rows() : load_rows(from, t);
    }
    const int8_t *codes = weights->codes;
    const row_floats *scales = weights->scales;
    int64_t place = first * x->token_count + token;
    for (int64_t group = 0; group < count; group++) {
        row_ints products[tile_steps * tile_tokens];
        const float *input_scales = x->scales + place;
        tile_products(
            codes, steps, x->codes + place * moed_group_size, x->corrections + place, tokens, kind, products);
        for (int s = 0; s < steps; s++) {
            for (int t = 0; t < tokens; t++) {
                int i = s * tokens + t;
                totals[i] = fold(products[i], scales[s], input_scales[t], totals[i]);
            }
        }
        place += x->token_count;
        codes += steps * step_bytes_of_group;
        scales += steps;
    }
    for (int s = 0; s < steps; s++) {
        results into = from_token(to[s], place_in_results);
        for (int t = 0; t < tokens; t++) store_rows(into, t, totals[s * tokens + t]);
    }
}

// All tokens of the range; `to`, one for each step, begins at the first of them.
INLINE void multiply_tile(
    const tile *weights, int steps, int64_t first, int64_t count, const moed_activations *x, moed_range range,
    int kind, const results *to) {
    FOR_BLOCKS(
        tile_tokens, range.begin, range.end,
        multiply_tile_block(weights, steps, first, count, x, token, token - range.begin, tokens, kind, to));
}

#endif
