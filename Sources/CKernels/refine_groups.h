// Two planes of four bits into bytes, included by every instruction set's file, which has defined `bytes_lookup`.

typedef struct {
    bytes64 bases, stretches;
} refinement_tables;

INLINE ubytes64 refined_bytes(const refinement_tables *t, ubytes64 code, ubytes64 refinement) {
    ubytes64 base = (ubytes64)bytes_lookup(t->bases, (bytes64)code);
    // At most 15 · 11.
    ubytes64 stretched = (ubytes64)bytes_lookup(t->stretches, (bytes64)code) * refinement;
    return base + refinement + (stretched >> 4);
}

static void refine(const uint8_t *codes, const uint8_t *refinements, int64_t groups, uint8_t *y) {
    refinement_tables tables;
    for (int copy = 0; copy < 4; copy++) {
        memcpy((int8_t *)&tables.bases + copy * 16, moed_refinement_bases, 16);
        memcpy((int8_t *)&tables.stretches + copy * 16, moed_refinement_stretches, 16);
    }
    // Low halves of a group's bytes are its lines 0 … 3, high ones 4 … 7.
    for (int64_t part = 0; part < 2 * groups; part++) {
        ubytes64 code, refinement;
        memcpy(&code, codes + part * 64, 64);
        memcpy(&refinement, refinements + part * 64, 64);
        ubytes64 low = refined_bytes(&tables, code & 15, refinement & 15);
        ubytes64 high = refined_bytes(&tables, code >> 4, refinement >> 4);
        uint8_t *to = y + part / 2 * 256 + part % 2 * 64;
        memcpy(to, &low, 64);
        memcpy(to + 128, &high, 64);
    }
}
