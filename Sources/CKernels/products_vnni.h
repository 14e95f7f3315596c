// Integer sums by `vpdpbusd`, which multiplies unsigned by signed bytes, written once over `step_bytes` of 32 or 64
// bytes: a line of the step's panels.
//
// Weights are raised so that they are unsigned: by 8 (linear q4, whose indices are the values raised by 8) or by 128.
// The inputs' corrections, −8 · Σ input, or sixteen times that, are where the sums begin.

INLINE step_table load_step_table(const moed_matrix *w, int kind) {
    (void)kind;
    return xor_bytes(load_table(moed_code_tables[w->table]), bytes_of((char)0x80));
}

INLINE row_ints first_sum(int32_t correction, int kind) {
    return words_of(kind == linear_q4 ? correction : correction * 16);
}

INLINE row_ints input_of(const int8_t *inputs, int t, int line) {
    return words_of((int32_t)load_u32(inputs + t * moed_group_size + line * 4));
}

// Two sums a token, for there may be only one token to hide the latency.
INLINE void packed_products(
    const moed_matrix *w, step at, int64_t group, step_table table, const int8_t *inputs, const int32_t *corrections,
    int tokens, int kind, row_ints *products) {
    row_ints far[block_tokens];
    for (int t = 0; t < tokens; t++) {
        products[t] = first_sum(corrections[t], kind);
        far[t] = words_of(0);
    }
    int64_t offset = w->code_offset + group * (kind == plain_q8 ? 256 : 128);
    for (int line = 0; line < 4; line++) {
        step_bytes low = load_line(at, offset + line * 32), high;
        if (kind == plain_q8) {
            high = load_line(at, offset + (line + 4) * 32);
            low = xor_bytes(low, bytes_of((char)0x80));
            high = xor_bytes(high, bytes_of((char)0x80));
        } else if (kind == table_q4) {
            high = look_up(table, high_nibbles(low));
            low = look_up(table, low_nibbles(low));
        } else {
            // Sixteen times the index; so is the sum.
            high = and_bytes(low, bytes_of((char)0xf0));
            low = low_nibbles(low);
        }
        for (int t = 0; t < tokens; t++) {
            products[t] = add_products(products[t], low, input_of(inputs, t, line));
            far[t] = add_products(far[t], high, input_of(inputs, t, line + 4));
        }
    }
    for (int t = 0; t < tokens; t++) {
        products[t] = add_words(products[t], kind == linear_q4 ? sixteenth(far[t]) : far[t]);
    }
}
