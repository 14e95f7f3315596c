// A step of one panel: rows 0…3 and rows 4…7 in a 16-byte register each; and its products by `sdot`, signed bytes by
// signed bytes.

#ifndef MOED_STEPS_NEON_H
#define MOED_STEPS_NEON_H

enum { step_panels = 1, block_tokens = 4 };

typedef struct {
    int32x4_t low, high;
} row_ints;

typedef struct {
    float32x4_t low, high;
} row_floats;

typedef int8x16_t step_table;

INLINE step_table load_step_table(const moed_matrix *w, int kind) {
    (void)kind;
    return vld1q_s8(moed_code_tables[w->table]);
}

INLINE row_floats no_rows(void) { return (row_floats){vdupq_n_f32(0), vdupq_n_f32(0)}; }

INLINE row_floats step_scales(const moed_matrix *w, step at, int64_t group) {
    const uint16_t *scales = (const uint16_t *)at.panels[0] + group * moed_panel_rows;
    int is_bf16 = w->scale_format == moed_bf16_scales;
    return (row_floats){load_4_scales(scales, is_bf16), load_4_scales(scales + 4, is_bf16)};
}

INLINE row_floats fold(row_ints products, row_floats scales, float input_scale, row_floats total) {
    total.low = vfmaq_f32(total.low, vcvtq_f32_s32(products.low), vmulq_n_f32(scales.low, input_scale));
    total.high = vfmaq_f32(total.high, vcvtq_f32_s32(products.high), vmulq_n_f32(scales.high, input_scale));
    return total;
}

INLINE row_floats load_rows(results from, int64_t token) {
    const float *y = from.rows[0] + token * from.stride;
    float lane[moed_panel_rows] = {0};
    memcpy(lane, y, (size_t)from.counts[0] * sizeof(float));
    return (row_floats){vld1q_f32(lane), vld1q_f32(lane + 4)};
}

INLINE void store_rows(results to, int64_t token, row_floats rows) {
    float *y = to.rows[0] + token * to.stride;
    if (to.counts[0] >= moed_panel_rows) {
        vst1q_f32(y, rows.low);
        vst1q_f32(y + 4, rows.high);
    } else {
        float lane[moed_panel_rows];
        vst1q_f32(lane, rows.low);
        vst1q_f32(lane + 4, rows.high);
        memcpy(y, lane, (size_t)to.counts[0] * sizeof(float));
    }
}

// `sdot` by element: four inputs of word `word`, a constant, against four inputs of each row.
#define ADD_LINE(products, weights_low, weights_high, inputs, word)                  \
    do {                                                                             \
        products.low = vdotq_laneq_s32(products.low, weights_low, inputs, word);     \
        products.high = vdotq_laneq_s32(products.high, weights_high, inputs, word);  \
    } while (0)

#define ADD_Q8_LINE(line, half, word)                                                     \
    do {                                                                                  \
        int8x16_t low = vld1q_s8(codes + (line) * 32);                                    \
        int8x16_t high = vld1q_s8(codes + (line) * 32 + 16);                              \
        for (int t = 0; t < tokens; t++) ADD_LINE(products[t], low, high, half[t], word); \
    } while (0)

#define ADD_Q4_LINE(line)                                                               \
    do {                                                                                \
        uint8x16_t low = vld1q_u8(packed + (line) * 32);                                \
        uint8x16_t high = vld1q_u8(packed + (line) * 32 + 16);                          \
        int8x16_t near_low = near_codes(table, low, kind), near_high = near_codes(table, high, kind); \
        int8x16_t far_low = far_codes(table, low, kind), far_high = far_codes(table, high, kind); \
        for (int t = 0; t < tokens; t++) {                                              \
            ADD_LINE(products[t], near_low, near_high, near[t], line);                  \
            ADD_LINE(products[t], far_low, far_high, far[t], line);                     \
        }                                                                               \
    } while (0)

INLINE void load_inputs(const int8_t *inputs, int tokens, int8x16_t *near, int8x16_t *far) {
    for (int t = 0; t < tokens; t++) {
        near[t] = vld1q_s8(inputs + t * moed_group_size);
        far[t] = vld1q_s8(inputs + t * moed_group_size + 16);
    }
}

// Eight lines of signed codes, as q8 has them.
INLINE void line_products(const int8_t *codes, const int8_t *inputs, int tokens, row_ints *products) {
    int8x16_t near[block_tokens], far[block_tokens];
    load_inputs(inputs, tokens, near, far);
    for (int t = 0; t < tokens; t++) products[t] = (row_ints){vdupq_n_s32(0), vdupq_n_s32(0)};
    ADD_Q8_LINE(0, near, 0);
    ADD_Q8_LINE(1, near, 1);
    ADD_Q8_LINE(2, near, 2);
    ADD_Q8_LINE(3, near, 3);
    ADD_Q8_LINE(4, far, 0);
    ADD_Q8_LINE(5, far, 1);
    ADD_Q8_LINE(6, far, 2);
    ADD_Q8_LINE(7, far, 3);
}

// The linear table's values are the indices less 8, for which the corrections are where the sums begin: two
// instructions a group instead of two for every 32 codes.
INLINE int8x16_t near_codes(int8x16_t table, uint8x16_t packed, int kind) {
    return kind == linear_q4 ? vreinterpretq_s8_u8(vandq_u8(packed, vdupq_n_u8(15))) : low_codes(table, packed);
}

INLINE int8x16_t far_codes(int8x16_t table, uint8x16_t packed, int kind) {
    return kind == linear_q4 ? vreinterpretq_s8_u8(vshrq_n_u8(packed, 4)) : high_codes(table, packed);
}

INLINE void packed_products(
    const moed_matrix *w, step at, int64_t group, step_table table, const int8_t *inputs, const int32_t *corrections,
    int tokens, int kind, row_ints *products) {
    const uint8_t *codes = at.panels[0] + w->code_offset;
    if (kind == plain_q8) {
        line_products((const int8_t *)codes + group * 256, inputs, tokens, products);
        return;
    }
    const uint8_t *packed = codes + group * 128;
    int8x16_t near[block_tokens], far[block_tokens];
    load_inputs(inputs, tokens, near, far);
    for (int t = 0; t < tokens; t++) {
        int32x4_t first = vdupq_n_s32(kind == linear_q4 ? corrections[t] : 0);
        products[t] = (row_ints){first, first};
    }
    ADD_Q4_LINE(0);
    ADD_Q4_LINE(1);
    ADD_Q4_LINE(2);
    ADD_Q4_LINE(3);
}

// The eight lines of the q8 form of a group.
INLINE void expand_lines(const moed_matrix *w, step at, int64_t group, int kind, int8_t *codes) {
    const uint8_t *start = at.panels[0] + w->code_offset;
    if (kind == plain_q8) {
        memcpy(codes, start + group * 256, 256);
    } else {
        expand_q4(start + group * 128, moed_code_tables[w->table], codes);
    }
}

#endif
