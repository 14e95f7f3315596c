// Scales and codes for groups of weights, included by every instruction set's file. Sixteen groups at once, a group a
// lane, so that no sum crosses lanes: integers are exact, floats are added in the same order everywhere.
//
// The including file defines on 64-byte vectors: `words_scaled` (x · m / 2^15, rounded), `words_dot` (the products'
// sums of pairs), `words_pack` (saturated to bytes), `bytes_low_words` and `bytes_high_words` (its inverse), and
// `bytes_lookup` (of 16 entries).

// A group's weights and the best scale so far.
typedef struct group_search {
    /// [input], a group a lane.
    floats16 x[moed_group_size];
    floats16 weights[moed_group_size];
    floats16 scale, error;
    /// Of codes that are refined: the least magnitude of a scale with which the q8 codes hold the extreme.
    floats16 least;
} group_search;

INLINE floats16 floats_absolute(floats16 x) { return (floats16)((ints16)x & 0x7fffffff); }

/// To the nearest integer, ties to even, for |x| < 2^22: the sum's last bit is worth 1.
INLINE floats16 floats_rounded(floats16 x) { return (x + 12582912.0f) - 12582912.0f; }

INLINE floats16 floats_clamped(floats16 x, float least, float greatest) {
    floats16 low = least, high = greatest;
    x = x < low ? low : x;
    return x > high ? high : x;
}

/// To the nearest f16, as a float. Beyond the largest f16 it becomes the largest.
INLINE floats16 floats_to_half(floats16 x) {
    floats16 magnitude = floats_absolute(x), greatest = 65504.0f;
    ints16 sign = (ints16)x & (int32_t)0x80000000;
    // A normal number keeps 10 bits behind the point: add half of the last kept one, less one to make ties even.
    ints16 bits = (ints16)magnitude;
    ints16 normal = (bits + 0xfff + ((bits >> 13) & 1)) & (int32_t)0xffffe000;
    // A subnormal one is a multiple of 2^-24: next to 0.5 a float's last bit is worth just that.
    floats16 subnormal = (magnitude + 0.5f) - 0.5f;
    floats16 result = magnitude < (floats16)6.103515625e-05f ? subnormal : (floats16)normal;
    result = result > greatest ? greatest : result;
    return (floats16)((ints16)result | sign);
}

/// A reciprocal that turns a scale of nothing into codes of nothing. Next to nothing would become infinity.
INLINE floats16 floats_reciprocal(floats16 scale) {
    floats16 inverse = 1.0f / scale;
    return floats_absolute(scale) > (floats16)0x1p-120f ? inverse : (floats16)0.0f;
}

/// Halfway between entry `i` and the next of a table.
INLINE float table_midpoint(const int8_t *table, int i) { return 0.5f * (float)(table[i] + table[i + 1]); }

/// The nearest value that a code can stand for.
INLINE floats16 nearest_value(floats16 x, uint8_t format, uint8_t table) {
    if (format == moed_q8) return floats_clamped(floats_rounded(x), -127.0f, 127.0f);
    if (table == 0) return floats_clamped(floats_rounded(x), -8.0f, 7.0f);
    const int8_t *values = moed_code_tables[1];
    floats16 value = (float)values[0];
    for (int i = 0; i < 15; i++) {
        floats16 step = (float)(values[i + 1] - values[i]);
        value += (floats16)((x > (floats16)table_midpoint(values, i)) & (ints16)step);
    }
    return value;
}

/// The code of that value.
INLINE ints16 nearest_code(floats16 x, uint8_t format, uint8_t table) {
    if (format == moed_q8 || table == 0) {
        ints16 code = __builtin_convertvector(nearest_value(x, format, table), ints16);
        return format == moed_q8 ? code : code + 8;
    }
    ints16 code = 0;
    for (int i = 0; i < 15; i++) code -= x > (floats16)table_midpoint(moed_code_tables[1], i);
    return code;
}

/// Takes a scale, rounded to its stored form, if the codes derived from that form are better than the best.
/// Returns the best scale for those codes, Σ wxq / Σ wq².
INLINE floats16 offer_scale(
    group_search *s, floats16 scale, uint8_t format, uint8_t table, int is_weighted, int is_refined) {
    if (is_refined) {
        floats16 least = (floats16)((ints16)s->least | ((ints16)scale & (int32_t)0x80000000));
        scale = floats_absolute(scale) < s->least ? least : scale;
    }
    scale = floats_to_half(scale);
    floats16 inverse = floats_reciprocal(scale), error = 0.0f, xq = 0.0f, qq = 0.0f;
    for (int k = 0; k < moed_group_size; k++) {
        floats16 q = nearest_value(s->x[k] * inverse, format, table);
        floats16 difference = s->x[k] - q * scale;
        floats16 wq = is_weighted ? s->weights[k] * q : q;
        floats16 wd = is_weighted ? s->weights[k] * difference : difference;
        error += wd * difference;
        xq += s->x[k] * wq;
        qq += q * wq;
    }
    ints16 better = error < s->error;
    s->scale = better ? scale : s->scale;
    s->error = better ? error : s->error;
    return qq > (floats16)0.0f ? xq / qq : (floats16)0.0f;
}

// The nearest entries of a table for bytes: a byte's upper four bits name a bucket, which has at most two borders
// between neighbouring entries.
typedef struct byte_table {
    bytes64 values, first, border, next_border;
    /// The table's unit in bytes' units.
    float unit;
} byte_table;

INLINE byte_table make_byte_table(uint8_t table) {
    int8_t parts[4][16];
    int unit = table == 0 ? 16 : 1;
    for (int bucket = 0; bucket < 16; bucket++) {
        int least = (bucket < 8 ? bucket : bucket - 16) * 16, first = 0, count = 0;
        int8_t borders[2] = {127, 127};
        for (int i = 0; i < 15; i++) {
            // Rounded down: a whole number is beyond a border if it is greater than this.
            int border = ((moed_code_tables[table][i] + moed_code_tables[table][i + 1]) * unit) >> 1;
            if (border < least) first++;
            else if (border < least + 15 && count < 2) borders[count++] = (int8_t)border;
        }
        parts[0][bucket] = (int8_t)(moed_code_tables[table][bucket] * unit);
        parts[1][bucket] = (int8_t)first;
        parts[2][bucket] = borders[0];
        parts[3][bucket] = borders[1];
    }
    bytes64 vectors[4];
    for (int part = 0; part < 4; part++)
        for (int copy = 0; copy < 4; copy++) memcpy((int8_t *)&vectors[part] + copy * 16, parts[part], 16);
    return (byte_table){vectors[0], vectors[1], vectors[2], vectors[3], (float)unit};
}

INLINE bytes64 nearest_bytes(const byte_table *t, bytes64 x) {
    bytes64 bucket = (bytes64)(((ubytes64)x) >> 4);
    bytes64 index = bytes_lookup(t->first, bucket);
    index -= x > bytes_lookup(t->border, bucket);
    index -= x > bytes_lookup(t->next_border, bucket);
    return bytes_lookup(t->values, index);
}

/// Where the extreme value may land, in the units of `byte_table`: few levels make data of few distinct values exact;
/// the close steps around the ends trade clipping of the extreme for finer steps of the rest. Tables are lopsided, so
/// both signs of the scale matter.
static const int16_t linear_extremes[] = {
    16,   32,   48,   64,   80,   96,   104,  112,  115, 118, -122, -125, -128,
    -131, -134, -138, -141, -144, -149, -154, 122,  125, 128, 131,  136,  141,
};
static const int16_t non_linear_extremes[] = {
    -127, 113,  38,   53,   69,   89,   -49,  -65,  -83,  -104, 79,   84,   94,   99,   104, 108,
    118,  123,  128,  134,  141,  -93,  -99,  -109, -115, -121, -133, -139, -146, -153,
};

/// What is refined has to stay within a byte.
static const int16_t refined_extremes[] = {
    -127, 113, 38, 53, 69, 89, -49, -65, -83, -104, 79, 84, 94, 99, 104, 108, 118, 123, 127, -93, -99, -109, -115, -121,
};

/// The best scale of the codes that some landing place of the extreme gives, in 16-bit integers.
INLINE floats16 search_extremes(
    const group_search *s, floats16 extreme, const byte_table *table, const int16_t *extremes, int count,
    int is_weighted) {
    // A word holds an input against the extreme; neighbouring inputs of a group share a lane.
    words32 x[moed_group_size / 2], wx[moed_group_size / 2], w[moed_group_size / 2];
    floats16 toward = floats_reciprocal(extreme), heaviest = 0.0f;
    if (is_weighted)
        for (int k = 0; k < moed_group_size; k++)
            heaviest = s->weights[k] > heaviest ? s->weights[k] : heaviest;
    // Σ wq² stays below 2^31: 32 · 128² · 4095.
    floats16 lighter = floats_reciprocal(heaviest);
    for (int pair = 0; pair < moed_group_size / 2; pair++) {
        ints16 words = 0, weighted = 0, weights = 0;
        for (int half = 0; half < 2; half++) {
            floats16 value = floats_rounded(s->x[2 * pair + half] * toward * 32767.0f);
            ints16 shift = 16 * half, mask = half ? (int32_t)0xffff0000 : 0xffff;
            words |= (__builtin_convertvector(value, ints16) << shift) & mask;
            if (!is_weighted) continue;
            floats16 weight = floats_rounded(s->weights[2 * pair + half] * lighter * 4095.0f);
            weights |= (__builtin_convertvector(weight, ints16) << shift) & mask;
            value = floats_rounded(value * weight * (1.0f / 4096.0f));
            weighted |= (__builtin_convertvector(value, ints16) << shift) & mask;
        }
        x[pair] = (words32)words;
        wx[pair] = is_weighted ? (words32)weighted : x[pair];
        w[pair] = (words32)weights;
    }
    floats16 best = 0.0f, best_gain = 0.0f;
    for (int c = 0; c < count; c++) {
        words32 multiplier = extremes[c];
        ints16 xq = 0, qq = 0;
        for (int pair = 0; pair < moed_group_size / 2; pair += 2) {
            bytes64 scaled =
                words_pack(words_scaled(x[pair], multiplier), words_scaled(x[pair + 1], multiplier));
            bytes64 q = nearest_bytes(table, scaled);
            words32 first = bytes_low_words(q), second = bytes_high_words(q);
            xq += words_dot(wx[pair], first) + words_dot(wx[pair + 1], second);
            if (is_weighted)
                qq += words_dot(w[pair], first * first) + words_dot(w[pair + 1], second * second);
            else
                qq += words_dot(first, first) + words_dot(second, second);
        }
        floats16 product = __builtin_convertvector(xq, floats16), square = __builtin_convertvector(qq, floats16);
        floats16 scale = square > (floats16)0.0f ? product / square : (floats16)0.0f;
        floats16 gain = product * scale;
        // By more than rounding: of scales that do equally well the one of the fewest levels is likely to be exact.
        ints16 better = gain > best_gain * (1.0f + 0x1p-16f);
        best = better ? scale : best;
        best_gain = better ? gain : best_gain;
    }
    floats16 unit = extreme * (table->unit * (is_weighted ? 4096.0f / 32767.0f : 1.0f / 32767.0f));
    return best * unit;
}

INLINE void search_scales(
    group_search *s, floats16 extreme, const byte_table *tables, uint8_t format, uint8_t table, int is_weighted,
    int is_refined) {
    floats16 fitted;
    if (is_refined) {
        s->least = floats_absolute(extreme) * (1.0f / 127.5f);
        fitted = search_extremes(
            s, extreme, tables, refined_extremes, sizeof refined_extremes / sizeof *refined_extremes, is_weighted);
    } else if (format == moed_q8) {
        static const float places[] = {127.0f, 127.2f, 126.7f, 126.4f, 126.0f};
        for (unsigned p = 0; p < sizeof places / sizeof *places; p++)
            offer_scale(s, extreme / places[p], format, table, is_weighted, 0);
        fitted = s->scale;
    } else if (table == 0) {
        offer_scale(s, extreme / 7.0f, format, table, is_weighted, 0);
        offer_scale(s, extreme / -8.0f, format, table, is_weighted, 0);
        fitted = search_extremes(
            s, extreme, tables, linear_extremes, sizeof linear_extremes / sizeof *linear_extremes, is_weighted);
    } else {
        fitted = search_extremes(
            s, extreme, tables, non_linear_extremes, sizeof non_linear_extremes / sizeof *non_linear_extremes,
            is_weighted);
    }
    // The codes of the stored scale have a best scale of their own, whose codes may be better still.
    for (int round = 0; round < 3; round++) fitted = offer_scale(s, fitted, format, table, is_weighted, is_refined);
}

/// The refinement of each code whose q8 value is nearest to `y`. Returns that value.
INLINE floats16 nearest_refinement(floats16 y, ints16 code, ints16 *refinement) {
    ints16 base = 0, stretch = 0;
    for (int c = 0; c < 16; c++) {
        ints16 is_it = code == c;
        base |= is_it & (int32_t)moed_refinement_bases[c];
        stretch |= is_it & (int32_t)moed_refinement_stretches[c];
    }
    floats16 nearest = __builtin_convertvector(base, floats16), least = floats_absolute(y - nearest);
    *refinement = 0;
    for (int r = 1; r < 16; r++) {
        floats16 value = __builtin_convertvector(base + r + ((stretch * r) >> 4), floats16);
        floats16 difference = floats_absolute(y - value);
        ints16 is_better = difference < least, here = r;
        least = is_better ? difference : least;
        nearest = is_better ? value : nearest;
        *refinement = is_better ? here : *refinement;
    }
    return nearest;
}

/// Groups `lane / 8` from `group` on of the rows `lane % 8`. Returns 0, or 1 if a value is too large for an f16 scale.
INLINE int32_t encode_16_groups(
    const moed_encoding *e, int64_t group, const byte_table *tables, uint8_t format, uint8_t table, int is_weighted,
    int is_refined, moed_loss *loss) {
    group_search s;
    float values[moed_group_size][16] __attribute__((aligned(64)));
    float weights[moed_group_size][16] __attribute__((aligned(64)));
    int64_t group_count = e->groups - group < 2 ? 1 : 2;
    if (e->rows < 8 || group_count < 2) memset(values, 0, sizeof values);
    for (int64_t g = 0; g < group_count; g++)
        for (int64_t row = 0; row < e->rows; row++) {
            const float *from = e->x + row * e->row_stride + (group + g) * moed_group_size;
            for (int k = 0; k < moed_group_size; k++) values[k][g * 8 + row] = from[k];
        }
    if (is_weighted)
        for (int64_t k = 0; k < moed_group_size; k++)
            for (int lane = 0; lane < 16; lane++)
                weights[k][lane] =
                    e->weights[(group + (group_count == 2 ? lane / 8 : 0)) * moed_group_size + k];
    floats16 extreme = 0.0f, total = 0.0f, weighted_total = 0.0f;
    for (int k = 0; k < moed_group_size; k++) {
        floats16 value = *(const floats16 *)values[k];
        s.x[k] = value;
        extreme = floats_absolute(value) > floats_absolute(extreme) ? value : extreme;
        total += value * value;
        if (is_weighted) {
            s.weights[k] = *(const floats16 *)weights[k];
            weighted_total += s.weights[k] * value * value;
        }
    }
    if (!is_weighted) weighted_total = total;
    float limit = (format == moed_q8 ? 127.0f : 7.0f) * 65504.0f;
    for (int lane = 0; lane < 16; lane++)
        if (!(floats_absolute(extreme)[lane] <= limit)) return 1;

    s.scale = 0.0f;
    s.error = weighted_total;
    if (e->method == moed_plain_rounding)
        s.scale = floats_to_half(floats_absolute(extreme) / (format == moed_q8 ? 127.0f : 7.0f));
    else
        search_scales(&s, extreme, tables, format, table, is_weighted, is_refined);

    floats16 inverse = floats_reciprocal(s.scale), error = 0.0f, weighted_error = 0.0f, refined_error = 0.0f;
    uint8_t codes[moed_group_size][16], refinements[moed_group_size][16];
    for (int k = 0; k < moed_group_size; k++) {
        floats16 scaled = s.x[k] * inverse;
        floats16 difference = s.x[k] - nearest_value(scaled, format, table) * s.scale;
        error += difference * difference;
        if (is_weighted) weighted_error += s.weights[k] * difference * difference;
        ints16 nearest = nearest_code(scaled, format, table);
        ubytes16 code = __builtin_convertvector(nearest, ubytes16);
        memcpy(codes[k], &code, 16);
        if (!is_refined) continue;
        ints16 refinement;
        floats16 left = s.x[k] - nearest_refinement(scaled, nearest, &refinement) * s.scale;
        refined_error += left * left;
        ubytes16 bytes = __builtin_convertvector(refinement, ubytes16);
        memcpy(refinements[k], &bytes, 16);
    }
    if (!is_weighted) weighted_error = error;
    for (int64_t g = 0; g < group_count; g++)
        for (int64_t row = 0; row < e->rows; row++) {
            int lane = (int)(g * 8 + row);
            uint8_t *to = e->codes + (row * e->groups + group + g) * moed_group_size;
            for (int k = 0; k < moed_group_size; k++) to[k] = codes[k][lane];
            if (is_refined) {
                to = e->refinements + (row * e->groups + group + g) * moed_group_size;
                for (int k = 0; k < moed_group_size; k++) to[k] = refinements[k][lane];
                loss->refined_error += refined_error[lane];
            }
            e->scales[row * e->groups + group + g] = f32_to_f16(s.scale[lane]);
            loss->error += error[lane];
            loss->energy += total[lane];
            loss->weighted_error += weighted_error[lane];
            loss->weighted_energy += weighted_total[lane];
        }
    return 0;
}

INLINE int32_t encode_all(
    const moed_encoding *e, uint8_t format, uint8_t table, int is_weighted, int is_refined, moed_loss *loss) {
    byte_table tables = make_byte_table(table);
    for (int64_t group = 0; group < e->groups; group += 2)
        if (encode_16_groups(e, group, &tables, format, table, is_weighted, is_refined, loss)) return 1;
    return 0;
}

static int32_t encode_q8(const moed_encoding *e, moed_loss *loss) {
    return e->weights ? encode_all(e, moed_q8, 0, 1, 0, loss) : encode_all(e, moed_q8, 0, 0, 0, loss);
}

static int32_t encode_linear_q4(const moed_encoding *e, moed_loss *loss) {
    return e->weights ? encode_all(e, moed_q4, 0, 1, 0, loss) : encode_all(e, moed_q4, 0, 0, 0, loss);
}

static int32_t encode_table_q4(const moed_encoding *e, moed_loss *loss) {
    return e->weights ? encode_all(e, moed_q4, 1, 1, 0, loss) : encode_all(e, moed_q4, 1, 0, 0, loss);
}

static int32_t encode_refined_q4(const moed_encoding *e, moed_loss *loss) {
    return e->weights ? encode_all(e, moed_q4, 1, 1, 1, loss) : encode_all(e, moed_q4, 1, 0, 1, loss);
}

static int32_t encode(const moed_encoding *e, moed_loss *loss) {
    *loss = (moed_loss){0, 0, 0, 0, 0};
    if (e->refinements) return encode_refined_q4(e, loss);
    if (e->format == moed_q8) return encode_q8(e, loss);
    return e->table == 0 ? encode_linear_q4(e, loss) : encode_table_q4(e, loss);
}
