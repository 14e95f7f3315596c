// Codes for groups whose columns make up for each other's errors, included by every instruction set's file after
// `quantize_groups.h`. A row a lane, so no sum crosses lanes.
//
// H = R Rᵀ with R upper triangular, so what an error e costs, e H eᵀ, is Σ_k (Σ_{i≤k} e_i R_ik)²: column after column,
// each can be rounded to where it makes up best for those before it.

// Sixteen rows of a group and the best scale so far.
typedef struct compensated_group {
    floats16 x[moed_group_size];
    /// Σ e_i R_ik over the columns of earlier groups.
    floats16 drift[moed_group_size];
    /// R within the group, [32, 32].
    const float *factor;
    float reciprocals[moed_group_size];
    floats16 scale, cost;
} compensated_group;

// What a scale leads to.
typedef struct compensated_result {
    floats16 errors[moed_group_size];
    ints16 codes[moed_group_size];
    floats16 cost;
    /// The best scale for those codes.
    floats16 fitted;
} compensated_result;

INLINE void round_in_turn(
    const compensated_group *g, floats16 scale, uint8_t format, uint8_t table, int wants_codes,
    compensated_result *result) {
    floats16 inverse = floats_reciprocal(scale), cost = 0.0f, product = 0.0f, square = 0.0f;
    floats16 values[moed_group_size];
    for (int k = 0; k < moed_group_size; k++) {
        const float *column = g->factor + k;
        floats16 owed = g->drift[k], level = 0.0f;
        for (int i = 0; i < k; i++) {
            owed += result->errors[i] * column[i * moed_group_size];
            level += values[i] * column[i * moed_group_size];
        }
        float diagonal = column[k * moed_group_size];
        floats16 target = g->x[k] + owed * g->reciprocals[k], scaled = target * inverse;
        floats16 value = nearest_value(scaled, format, table);
        if (wants_codes) result->codes[k] = nearest_code(scaled, format, table);
        floats16 residual = (target - value * scale) * diagonal;
        values[k] = value;
        result->errors[k] = g->x[k] - value * scale;
        cost += residual * residual;
        // The residual is p − scale · level, and the best scale Σ p · level / Σ level².
        level += value * diagonal;
        product += (residual + level * scale) * level;
        square += level * level;
    }
    result->cost = cost;
    result->fitted = square > (floats16)0.0f ? product / square : (floats16)0.0f;
}

/// Takes a scale, rounded to its stored form, if it leads to less. Returns the best scale for its codes.
INLINE floats16 offer_in_turn(compensated_group *g, floats16 scale, uint8_t format, uint8_t table) {
    compensated_result result;
    scale = floats_to_half(scale);
    round_in_turn(g, scale, format, table, 0, &result);
    ints16 better = result.cost < g->cost;
    g->scale = better ? scale : g->scale;
    g->cost = better ? result.cost : g->cost;
    return result.fitted;
}

INLINE void search_in_turn(compensated_group *g, floats16 extreme, uint8_t format, uint8_t table) {
    static const float byte_places[] = {127.0f, 127.2f, 126.7f, 126.4f, 126.0f};
    if (format == moed_q8) {
        for (unsigned p = 0; p < sizeof byte_places / sizeof *byte_places; p++)
            offer_in_turn(g, extreme / byte_places[p], format, table);
    } else {
        const int16_t *places = table == 0 ? linear_extremes : non_linear_extremes;
        int count = table == 0 ? sizeof linear_extremes / sizeof *linear_extremes
                               : sizeof non_linear_extremes / sizeof *non_linear_extremes;
        float unit = table == 0 ? 16.0f : 1.0f;
        for (int p = 0; p < count; p++) offer_in_turn(g, extreme * (unit / (float)places[p]), format, table);
    }
    floats16 fitted = g->scale;
    // The first of them gives the best scale for the codes of the best so far.
    for (int round = 0; round < 4; round++) fitted = offer_in_turn(g, fitted, format, table);
}

INLINE int32_t encode_in_turn(const moed_group_encoding *e, uint8_t format, uint8_t table, moed_loss *loss) {
    compensated_group g;
    float values[moed_group_size][16] __attribute__((aligned(64)));
    if (e->rows < 16) memset(values, 0, sizeof values);
    for (int64_t row = 0; row < e->rows; row++)
        for (int k = 0; k < moed_group_size; k++) values[k][row] = e->x[row * e->stride + k];
    memcpy(g.x, values, sizeof values);
    for (int64_t row = 0; row < e->rows; row++)
        for (int k = 0; k < moed_group_size; k++) values[k][row] = e->drift[row * e->stride + k];
    memcpy(g.drift, values, sizeof values);
    g.factor = e->factor;

    floats16 extreme = 0.0f, energy = 0.0f, weighted = 0.0f;
    for (int k = 0; k < moed_group_size; k++) {
        float diagonal = e->factor[k * moed_group_size + k];
        g.reciprocals[k] = 1.0f / diagonal;
        floats16 target = g.x[k] + g.drift[k] * g.reciprocals[k];
        extreme = floats_absolute(target) > floats_absolute(extreme) ? target : extreme;
        energy += g.x[k] * g.x[k];
        weighted += g.x[k] * g.x[k] * (diagonal * diagonal);
    }
    float limit = (format == moed_q8 ? 127.0f : 7.0f) * 65504.0f;
    for (int lane = 0; lane < 16; lane++)
        if (!(floats_absolute(extreme)[lane] <= limit)) return 1;

    if (e->method == moed_plain_rounding) {
        g.scale = floats_to_half(floats_absolute(extreme) / (format == moed_q8 ? 127.0f : 7.0f));
    } else {
        compensated_result nothing;
        g.scale = 0.0f;
        round_in_turn(&g, g.scale, format, table, 0, &nothing);
        g.cost = nothing.cost;
        search_in_turn(&g, extreme, format, table);
    }
    compensated_result result;
    round_in_turn(&g, g.scale, format, table, 1, &result);
    for (int64_t row = 0; row < e->rows; row++) {
        for (int k = 0; k < moed_group_size; k++) {
            float error = result.errors[k][row];
            e->codes[row * e->stride + k] = (uint8_t)result.codes[k][row];
            e->errors[row * moed_group_size + k] = error;
            loss->error += error * error;
        }
        e->scales[row * e->scale_stride] = f32_to_f16(g.scale[row]);
        loss->energy += energy[row];
        loss->weighted_error += result.cost[row];
        loss->weighted_energy += weighted[row];
    }
    return 0;
}

static int32_t encode_group(const moed_group_encoding *e, moed_loss *loss) {
    *loss = (moed_loss){0, 0, 0, 0, 0};
    if (e->format == moed_q8) return encode_in_turn(e, moed_q8, 0, loss);
    return e->table == 0 ? encode_in_turn(e, moed_q4, 0, loss) : encode_in_turn(e, moed_q4, 1, loss);
}
