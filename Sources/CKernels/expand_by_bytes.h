// A q4 group as floats where a register can't look up one of sixteen floats. Included by the files that define lanes.

INLINE void lanes_expand_q4(const uint8_t *packed, const int8_t *table, lanes weights[4][4]) {
    _Alignas(64) int8_t codes[256];
    expand_q4(packed, table, codes);
    for (int pair = 0; pair < 4; pair++) {
        for (int i = 0; i < 4; i++) weights[pair][i] = lanes_load_codes(codes + pair * 64, i);
    }
}
