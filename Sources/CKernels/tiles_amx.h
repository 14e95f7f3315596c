// Tiles by AMX: sixteen tokens by the sixteen rows of a step, a group at a time.
//
// A tile's eight lines of 64 bytes are an operand as they stand, and so are the codes of neighbouring tokens. One
// instruction gives a group's sums of all of them, which go through memory into vectors, for each group has scales of
// its own.

#ifndef MOED_TILES_AMX_H
#define MOED_TILES_AMX_H

#include "tiles.h"

enum {
    matrix_tokens = 16,
    /// A line of both panels, or a token's sums of all sixteen rows.
    line_bytes = 64,
    group_bytes = 8 * line_bytes,
};

/// Where things are in the processor's eight tiles. Those of the last tokens have fewer rows.
enum { whole_sums = 0, whole_inputs = 2, last_sums = 3, last_inputs = 5, lines_tile = 6 };

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes;

INLINE void begin_tiles(int64_t token_count) {
    if (token_count < tile_least_tokens) return;
    tile_shapes shapes = {.palette = 1};
    uint8_t last = (uint8_t)(token_count % matrix_tokens);
    for (int i = 0; i < 2; i++) {
        shapes.rows[whole_sums + i] = matrix_tokens;
        shapes.row_bytes[whole_sums + i] = line_bytes;
        shapes.rows[last_sums + i] = last == 0 ? 1 : last;
        shapes.row_bytes[last_sums + i] = line_bytes;
    }
    shapes.rows[lines_tile] = 8;
    shapes.row_bytes[lines_tile] = line_bytes;
    shapes.rows[whole_inputs] = matrix_tokens;
    shapes.row_bytes[whole_inputs] = moed_group_size;
    shapes.rows[last_inputs] = last == 0 ? 1 : last;
    shapes.row_bytes[last_inputs] = moed_group_size;
    _tile_loadconfig(&shapes);
}

INLINE void end_tiles(int64_t token_count) {
    if (token_count >= tile_least_tokens) _tile_release();
}

// Eight lines of weights as they are.
INLINE void expand_group(
    const moed_matrix *w, step at, int64_t group, step_table table, int kind, int8_t *codes) {
    int64_t offset = w->code_offset + group * group_bytes_of(kind);
    if (kind == plain_q8) {
        for (int line = 0; line < 8; line++) {
            store_tile_line(codes + line * line_bytes, load_line(at, offset + line * 32));
        }
        return;
    }
    step_table values = xor_bytes(table, bytes_of((char)0x80));
    for (int line = 0; line < 4; line++) {
        step_bytes packed = load_line(at, offset + line * 32);
        store_tile_line(codes + line * line_bytes, look_up(values, low_nibbles(packed)));
        store_tile_line(codes + (line + 4) * line_bytes, look_up(values, high_nibbles(packed)));
    }
}

/// A group's sums, [tokens, 16].
typedef struct {
    _Alignas(64) int32_t sums[matrix_tokens][16];
} matrix_sums;

// The instructions name tiles by constants.
#define MULTIPLY_GROUP(sums_tile, inputs_tile)             \
    do {                                                   \
        _tile_loadd(lines_tile, lines, line_bytes);        \
        _tile_loadd(inputs_tile, inputs, moed_group_size); \
        _tile_zero(sums_tile);                             \
        _tile_dpbssd(sums_tile, inputs_tile, lines_tile);  \
    } while (0)

// A group's sums of up to sixteen tokens, into one of two tiles.
INLINE void multiply_group(const int8_t *inputs, const int8_t *lines, int tokens, int parity) {
    if (tokens == matrix_tokens) {
        if (parity == 0) MULTIPLY_GROUP(whole_sums, whole_inputs);
        else MULTIPLY_GROUP(whole_sums + 1, whole_inputs);
    } else {
        if (parity == 0) MULTIPLY_GROUP(last_sums, last_inputs);
        else MULTIPLY_GROUP(last_sums + 1, last_inputs);
    }
}

INLINE void store_sums(int tokens, int parity, matrix_sums *to) {
    if (tokens == matrix_tokens) {
        if (parity == 0) _tile_stored(whole_sums, to->sums, line_bytes);
        else _tile_stored(whole_sums + 1, to->sums, line_bytes);
    } else {
        if (parity == 0) _tile_stored(last_sums, to->sums, line_bytes);
        else _tile_stored(last_sums + 1, to->sums, line_bytes);
    }
}

INLINE void fold_sums(
    const matrix_sums *from, row_floats scales, const float *input_scales, int tokens, row_floats *totals) {
    for (int t = 0; t < tokens; t++) {
        totals[t] = fold(_mm512_load_si512(from->sums[t]), scales, input_scales[t], totals[t]);
    }
}

// Up to sixteen tokens by a tile of `count` groups, the first of which is group `first` of the matrix.
//
// A group is read and multiplied before the sums of the one before it are stored, and these are stored before those of
// the one before them are folded: no load waits for a store whose address looks the same in its last twelve bits.
INLINE void multiply_tokens(
    const tile *weights, int64_t first, int64_t count, const moed_activations *x, int64_t token, int tokens,
    results to) {
    row_floats totals[matrix_tokens];
    for (int t = 0; t < tokens; t++) totals[t] = first == 0 ? no_rows() : load_rows(to, t);
    matrix_sums even, odd;
    int64_t place = first * x->token_count + token;
    int64_t input_stride = x->token_count * moed_group_size, scale_stride = x->token_count;
    const int8_t *inputs = x->codes + place * moed_group_size, *lines = weights->codes;
    const float *input_scales = x->scales + place;
    const row_floats *scales = weights->scales;
    multiply_group(inputs, lines, tokens, 0);
    if (count > 1) multiply_group(inputs + input_stride, lines + group_bytes, tokens, 1);
    store_sums(tokens, 0, &even);
    for (; count > 3; count -= 2) {
        inputs += 2 * input_stride;
        lines += 2 * group_bytes;
        multiply_group(inputs, lines, tokens, 0);
        store_sums(tokens, 1, &odd);
        fold_sums(&even, scales[0], input_scales, tokens, totals);
        multiply_group(inputs + input_stride, lines + group_bytes, tokens, 1);
        store_sums(tokens, 0, &even);
        fold_sums(&odd, scales[1], input_scales + scale_stride, tokens, totals);
        input_scales += 2 * scale_stride;
        scales += 2;
    }
    if (count > 2) multiply_group(inputs + 2 * input_stride, lines + 2 * group_bytes, tokens, 0);
    if (count > 1) store_sums(tokens, 1, &odd);
    fold_sums(&even, scales[0], input_scales, tokens, totals);
    if (count > 2) store_sums(tokens, 0, &even);
    if (count > 1) fold_sums(&odd, scales[1], input_scales + scale_stride, tokens, totals);
    if (count > 2) fold_sums(&even, scales[2], input_scales + 2 * scale_stride, tokens, totals);
    for (int t = 0; t < tokens; t++) store_rows(to, t, totals[t]);
}

// All tokens of the range; the one step's results `steps_to` begin at the first of them.
static void multiply_tile(
    const tile *weights, int steps, int64_t first, int64_t count, const moed_activations *x, moed_range range,
    int kind, const results *steps_to) {
    (void)kind;
    (void)steps;
    results to = *steps_to;
    int64_t token = range.begin;
    for (; token + matrix_tokens <= range.end; token += matrix_tokens) {
        multiply_tokens(weights, first, count, x, token, matrix_tokens, from_token(to, token - range.begin));
    }
    // Numbers that the compiler knows: the totals stay in registers.
#define LAST_TOKENS(tokens)                                                                            \
    case tokens:                                                                                       \
        multiply_tokens(weights, first, count, x, token, tokens, from_token(to, token - range.begin)); \
        break
    switch (range.end - token) {
        LAST_TOKENS(1);
        LAST_TOKENS(2);
        LAST_TOKENS(3);
        LAST_TOKENS(4);
        LAST_TOKENS(5);
        LAST_TOKENS(6);
        LAST_TOKENS(7);
        LAST_TOKENS(8);
        LAST_TOKENS(9);
        LAST_TOKENS(10);
        LAST_TOKENS(11);
        LAST_TOKENS(12);
        LAST_TOKENS(13);
        LAST_TOKENS(14);
        LAST_TOKENS(15);
    default: break;
    }
#undef LAST_TOKENS
}

#endif
