// Products of tiles by vectors: `tile_products`, a group's integer sums for some tokens, whose totals stay in registers.

#ifndef MOED_TILE_BLOCKS_H
#define MOED_TILE_BLOCKS_H

#include "tiles.h"

// Up to `block_tokens` tokens by a tile of `count` groups, the first of which is group `first` of the matrix.
INLINE void multiply_tile_block(
    const tile *weights, int64_t first, int64_t count, const moed_activations *x, int64_t token, int tokens, int kind,
    results to) {
    row_floats totals[block_tokens];
    for (int t = 0; t < tokens; t++) totals[t] = first == 0 ? no_rows() : load_rows(to, t);
    const int8_t *codes = weights->codes;
    int64_t place = first * x->token_count + token;
    for (int64_t group = 0; group < count; group++, place += x->token_count, codes += step_panels * 256) {
        row_ints products[block_tokens];
        tile_products(codes, x->codes + place * moed_group_size, x->corrections + place, tokens, kind, products);
        row_floats scales = weights->scales[group];
        for (int t = 0; t < tokens; t++) totals[t] = fold(products[t], scales, x->scales[place + t], totals[t]);
    }
    for (int t = 0; t < tokens; t++) store_rows(to, t, totals[t]);
}

// All tokens of the range; `to` begins at the first of them.
INLINE void multiply_tile(
    const tile *weights, int64_t first, int64_t count, const moed_activations *x, moed_range range, int kind,
    results to) {
    FOR_BLOCKS(
        range.begin, range.end,
        multiply_tile_block(weights, first, count, x, token, tokens, kind, from_token(to, token - range.begin)));
}

#endif
