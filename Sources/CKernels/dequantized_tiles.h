// Float inputs of many tokens by quantised matrices: sixteen rows, which are two panels, become floats once for all
// tokens. Included by `kernels_float.h`; the file that includes that has defined `dequantized_tokens`, how many tokens'
// sums the registers hold.

enum {
    /// 32 KiB of weights. More columns are several tiles, one after the other.
    dequantized_groups = 16,
    /// Tokens that go through a tile before the next one.
    dequantized_batch = 64,
};

typedef struct {
    /// [groups, lines, inputs of a line, rows]
    _Alignas(64) float weights[dequantized_groups][8][4][2 * moed_panel_rows];
    _Alignas(64) float scales[dequantized_groups][2 * moed_panel_rows];
} dequantized_tile;

/// A token's sums over even and odd lines.
typedef struct {
    _Alignas(64) float even[2 * moed_panel_rows], odd[2 * moed_panel_rows];
} dequantized_sums;

static void dequantize_tile(
    const moed_matrix *w, const uint8_t *const *panels, int64_t first, int64_t count, dequantized_tile *to) {
    int is_bf16 = w->scale_format == moed_bf16_scales;
    for (int64_t group = 0; group < count; group++) {
        for (int p = 0; p < 2; p++) {
            lanes weights[4][4];
            expand_group_lanes(w, panels[p], first + group, weights);
            for (int pair = 0; pair < 4; pair++) {
                for (int i = 0; i < 4; i++) {
                    float lane[2 * moed_panel_rows];
                    lanes_store(lane, weights[pair][i]);
                    for (int line = 0; line < 2; line++) {
                        float *rows = to->weights[group][2 * pair + line][i] + p * moed_panel_rows;
                        memcpy(rows, lane + line * moed_panel_rows, moed_panel_rows * sizeof(float));
                    }
                }
            }
            const uint16_t *scales = (const uint16_t *)panels[p] + (first + group) * moed_panel_rows;
            for (int r = 0; r < moed_panel_rows; r++) {
                to->scales[group][p * moed_panel_rows + r] = scale_to_f32(scales[r], is_bf16);
            }
        }
    }
}

/// One sum for each token over a group's even or odd lines, of their input i.
INLINE void sum_lines(
    const float lines[8][4][2 * moed_panel_rows], const float *x, int64_t x_stride, int tokens, int parity, int i,
    lanes *sums) {
    for (int t = 0; t < tokens; t++) sums[t] = lanes_set(0);
    for (int line = parity; line < 8; line += 2) {
        lanes weight = lanes_load(lines[line][i]);
        for (int t = 0; t < tokens; t++) sums[t] = lanes_fma(weight, lanes_set(x[t * x_stride + line * 4 + i]), sums[t]);
    }
}

/// The sums are those of `dequantized_panel`, in its order.
INLINE void multiply_dequantized_tile(
    const dequantized_tile *w, int64_t count, const float *x, int64_t x_stride, int tokens, dequantized_sums *to) {
    lanes even[dequantized_tokens], odd[dequantized_tokens];
    for (int t = 0; t < tokens; t++) {
        even[t] = lanes_load(to[t].even);
        odd[t] = lanes_load(to[t].odd);
    }
    for (int64_t group = 0; group < count; group++, x += moed_group_size) {
        for (int parity = 0; parity < 2; parity++) {
            lanes *total = parity == 0 ? even : odd;
            lanes whole[dequantized_tokens], more[dequantized_tokens], last[dequantized_tokens];
            sum_lines(w->weights[group], x, x_stride, tokens, parity, 0, whole);
            sum_lines(w->weights[group], x, x_stride, tokens, parity, 1, more);
            for (int t = 0; t < tokens; t++) whole[t] = lanes_add(whole[t], more[t]);
            sum_lines(w->weights[group], x, x_stride, tokens, parity, 2, more);
            sum_lines(w->weights[group], x, x_stride, tokens, parity, 3, last);
            lanes scale = lanes_load(w->scales[group]);
            for (int t = 0; t < tokens; t++) {
                total[t] = lanes_fma(lanes_add(whole[t], lanes_add(more[t], last[t])), scale, total[t]);
            }
        }
    }
    for (int t = 0; t < tokens; t++) {
        lanes_store(to[t].even, even[t]);
        lanes_store(to[t].odd, odd[t]);
    }
}

/// Rows of two panels, the second of which may be the first again; `begin` is the first one's first row.
INLINE void multiply_dequantized_panels(
    const moed_matrix *w, const uint8_t *const *panels, int64_t begin, moed_range rows, const float *x,
    int64_t x_stride, int64_t tokens, float *y, int64_t y_stride) {
    dequantized_tile tile;
    dequantized_sums sums[dequantized_batch];
    int64_t groups = w->columns / moed_group_size;
    int64_t low = rows.begin > begin ? rows.begin - begin : 0;
    int64_t high = rows.end - begin < 2 * moed_panel_rows ? rows.end - begin : 2 * moed_panel_rows;
    memset(sums, 0, (size_t)tokens * sizeof *sums);
    for (int64_t first = 0; first < groups; first += dequantized_groups) {
        int64_t count = groups - first < dequantized_groups ? groups - first : dequantized_groups;
        dequantize_tile(w, panels, first, count, &tile);
        const float *input = x + first * moed_group_size;
        int64_t t = 0;
        for (; t + dequantized_tokens <= tokens; t += dequantized_tokens) {
            multiply_dequantized_tile(&tile, count, input + t * x_stride, x_stride, dequantized_tokens, sums + t);
        }
        for (; t < tokens; t++) multiply_dequantized_tile(&tile, count, input + t * x_stride, x_stride, 1, sums + t);
    }
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t r = low; r < high; r++) y[t * y_stride + begin + r - rows.begin] = sums[t].even[r] + sums[t].odd[r];
    }
}

static void multiply_dequantized_tiles(
    const moed_matrix *w, moed_range rows, const float *x, int64_t x_stride, int64_t tokens, float *y,
    int64_t y_stride) {
    int64_t last = (rows.end + moed_panel_rows - 1) / moed_panel_rows;
    for (int64_t panel = rows.begin / moed_panel_rows; panel < last; panel += 2) {
        const uint8_t *first = w->base + panel * w->stride;
        const uint8_t *panels[2] = {first, panel + 1 < last ? first + w->stride : first};
        for (int64_t t = 0; t < tokens; t += dequantized_batch) {
            int64_t some = tokens - t < dequantized_batch ? tokens - t : dequantized_batch;
            multiply_dequantized_panels(
                w, panels, panel * moed_panel_rows, rows, x + t * x_stride, x_stride, some, y + t * y_stride, y_stride);
        }
    }
}
