// x86-64 with AMX-TILE and AMX-INT8 beside AVX-512 F, BW, VL and VNNI. Everything but tiles is as in `avx512vnni`.

#if defined(__x86_64__)

#include "CKernels.h"
#include "numbers.h"
#include "steps.h"
#include "vectors.h"
#include <immintrin.h>

#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512vnni,amx-tile,amx-int8"))), \
    apply_to = function)

#include "lanes_avx512.h"
#include "steps_avx512.h"

enum { block_tokens = 8, tile_steps = 1, tile_least_tokens = 12 };

#include "bytes_avx512.h"
#include "products_vnni.h"
#include "tiles_amx.h"

#include "kernels_quantized.h"

// Whole tiles, 16 · 16 · 64 multiply-adds a round; four that don't wait for each other.
static int64_t spend_multiply_adds(int64_t rounds) {
    tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shapes.rows[i] = 16;
        shapes.row_bytes[i] = 64;
    }
    _tile_loadconfig(&shapes);
    for (int64_t round = 0; round < rounds; round += 4) {
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_release();
    return (rounds + 3) / 4 * 4 * 16 * 16 * 64;
}

#include "quantize_groups.h"
#include "compensate_groups.h"
#include "refine_groups.h"

#include "kernels_float.h"

static void multiply_by_tiles(
    const moed_matrix *w, const moed_activations *x, moed_range panels, moed_range tokens, float *y,
    int64_t y_stride) {
    begin_tiles(tokens.end - tokens.begin);
    multiply(w, x, panels, tokens, y, y_stride);
    end_tiles(tokens.end - tokens.begin);
}

static void multiply_gated_by_tiles(
    const moed_matrix *gate, const moed_matrix *up, const moed_gating *gating, const moed_activations *x,
    moed_range panels, moed_range tokens, float *y, int64_t y_stride) {
    begin_tiles(tokens.end - tokens.begin);
    multiply_gated(gate, up, gating, x, panels, tokens, y, y_stride);
    end_tiles(tokens.end - tokens.begin);
}

const moed_kernels moed_kernels_amx = KERNEL_TABLE("amx", multiply_by_tiles, multiply_gated_by_tiles);

#pragma clang attribute pop

#endif
