// Tiles of raised weights for `vpdpbusd`; see `products_vnni.h`.

#ifndef MOED_TILES_VNNI_H
#define MOED_TILES_VNNI_H

// Eight lines of raised weights.
INLINE void expand_group(
    const moed_matrix *w, step at, int64_t group, step_table table, int kind, int8_t *codes) {
    int64_t offset = w->code_offset + group * (kind == plain_q8 ? 256 : 128);
    if (kind == plain_q8) {
        for (int line = 0; line < 8; line++) {
            step_bytes weights = load_line(at, offset + line * 32);
            store_tile_line(codes + line * (int)sizeof(step_bytes), xor_bytes(weights, bytes_of((char)0x80)));
        }
        return;
    }
    for (int line = 0; line < 4; line++) {
        step_bytes packed = load_line(at, offset + line * 32);
        step_bytes low = low_nibbles(packed), high = high_nibbles(packed);
        if (kind == table_q4) {
            low = look_up(table, low);
            high = look_up(table, high);
        }
        store_tile_line(codes + line * (int)sizeof(step_bytes), low);
        store_tile_line(codes + (line + 4) * (int)sizeof(step_bytes), high);
    }
}

INLINE void tile_products(
    const int8_t *codes, const int8_t *inputs, const int32_t *corrections, int tokens, int kind, row_ints *products) {
    for (int t = 0; t < tokens; t++) products[t] = first_sum(corrections[t], kind);
    for (int line = 0; line < 8; line++) {
        step_bytes weights = load_tile_line(codes + line * (int)sizeof(step_bytes));
        for (int t = 0; t < tokens; t++) products[t] = add_products(products[t], weights, input_of(inputs, t, line));
    }
}

#include "tile_blocks.h"

#endif
