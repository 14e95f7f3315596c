// Tiles of raised weights for `vpdpbusd`; see `products_vnni.h`.

#ifndef MOED_TILES_VNNI_H
#define MOED_TILES_VNNI_H

#include "tiles.h"

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

// An input that was brought into a register meets the rows of all steps.
INLINE void tile_products(
    const int8_t *codes, int steps, const int8_t *inputs, const int32_t *corrections, int tokens, int kind,
    row_ints *products) {
    for (int t = 0; t < tokens; t++) {
        for (int s = 0; s < steps; s++) products[s * tokens + t] = first_sum(corrections[t], kind);
    }
    for (int line = 0; line < 8; line++) {
        step_bytes weights[tile_steps];
        for (int s = 0; s < steps; s++) {
            weights[s] = load_tile_line(codes + s * step_bytes_of_group + line * (int)sizeof(step_bytes));
        }
        for (int t = 0; t < tokens; t++) {
            row_ints input = input_of(inputs, t, line);
            for (int s = 0; s < steps; s++) {
                products[s * tokens + t] = add_products(products[s * tokens + t], weights[s], input);
            }
        }
    }
}

#include "tile_blocks.h"

#endif
