// Weight normalisation (Salimans and Kingma 2016).
//
// A weight is [outer, axis, inner] with a channel for each position of the axis. Where the channels
// are neighbours (inner = 1, the `columns` kernels) a work-group owns COLUMNS·VW of them and walks
// down the rows; launch (axis by VW, ROW_LANES), groups of (COLUMNS, ROW_LANES). Elsewhere (`runs`)
// LANES work-items share a channel; launch (LANES, axis), groups of (LANES, 1). The second pass
// reads what the first left in the cache.

#define FOR_EACH_ROW                                                                               \
    for (size_t r = get_local_id(1), at = r * axis + c; r < outer && c < axis;                     \
         r += ROW_LANES, at += ROW_LANES * axis)

// Walks the elements of a channel by VW; `left` of those from `at` on are in the run.
#define FOR_EACH_IN_RUNS                                                                           \
    for (size_t o = 0; o < outer; o++)                                                             \
        for (size_t i = VW * get_local_id(0), at = (o * axis + channel) * inner + i,               \
                    left = inner - i;                                                              \
             i < inner; i += VW * LANES, at += VW * LANES, left -= VW * LANES)

// out = gain/n · v with n = ‖v‖ of the channel
kernel void weight_norm_columns(const uint outer, const uint axis, IN(v), IN(gain), OUT(out)) {
    COLUMN_SCRATCH(scratch)
    const size_t c = VW * get_global_id(0), left = axis - c;
    GO(v), GO(gain), GO(out);
    V squares = ZERO;
    FOR_EACH_ROW {
        const V value = load(v + at, left);
        squares += value * value;
    }
    squares = COLUMN_SUM(squares, scratch);
    if (c >= axis)
        return;
    const V factor = load(gain + c, left) / sqrt(squares);
    FOR_EACH_ROW { store(factor * load(v + at, left), out + at, left); }
}

kernel void weight_norm_runs(const uint outer, const uint axis, const uint inner, IN(v), IN(gain),
                             OUT(out)) {
    ROW_SCRATCH(scratch)
    const size_t channel = get_global_id(1);
    GO(v), GO(gain), GO(out);
    WIDE_V squares = (WIDE_V)(0);
    FOR_EACH_IN_RUNS {
        const WIDE_V value = TO_WIDE(existing(load(v + at, left), left));
        squares += value * value;
    }
    const REAL factor = gain[channel] / (REAL)sqrt(ROW_SUM(WIDE_SUM(squares), scratch));
    FOR_EACH_IN_RUNS { store(factor * load(v + at, left), out + at, left); }
}

// grad_gain = ⟨grad_out, v⟩/n,  grad_v = gain/n · (grad_out − grad_gain · v/n)
kernel void weight_norm_backward_columns(const uint outer, const uint axis, IN(v), IN(gain),
                                         IN(grad_out), MAYBE_OUT(grad_v), MAYBE_OUT(grad_gain)) {
    COLUMN_SCRATCH(scratch)
    const size_t c = VW * get_global_id(0), left = axis - c;
    GO(v), GO(gain), GO(grad_out);
    GO_IF(grad_v);
    GO_IF(grad_gain);
    V squares = ZERO, overlap = ZERO;
    FOR_EACH_ROW {
        const V value = load(v + at, left);
        squares += value * value;
        overlap += value * load(grad_out + at, left);
    }
    squares = COLUMN_SUM(squares, scratch);
    overlap = COLUMN_SUM(overlap, scratch);
    if (c >= axis)
        return;
    const V norm = sqrt(squares), along = overlap / norm, factor = load(gain + c, left) / norm;
    if (grad_gain && get_local_id(1) == 0)
        store(along, grad_gain + c, left);
    if (!grad_v)
        return;
    const V of_v = factor * along / norm;
    FOR_EACH_ROW {
        store(factor * load(grad_out + at, left) - of_v * load(v + at, left), grad_v + at, left);
    }
}

kernel void weight_norm_backward_runs(const uint outer, const uint axis, const uint inner, IN(v),
                                      IN(gain), IN(grad_out), MAYBE_OUT(grad_v),
                                      MAYBE_OUT(grad_gain)) {
    ROW_SCRATCH(of_squares)
    ROW_SCRATCH(of_overlaps)
    const size_t channel = get_global_id(1);
    GO(v), GO(gain), GO(grad_out);
    GO_IF(grad_v);
    GO_IF(grad_gain);
    WIDE_V squares = (WIDE_V)(0), overlap = (WIDE_V)(0);
    FOR_EACH_IN_RUNS {
        const WIDE_V value = TO_WIDE(existing(load(v + at, left), left));
        squares += value * value;
        overlap += value * TO_WIDE(existing(load(grad_out + at, left), left));
    }
    const REAL norm = (REAL)sqrt(ROW_SUM(WIDE_SUM(squares), of_squares));
    const REAL along = (REAL)ROW_SUM(WIDE_SUM(overlap), of_overlaps) / norm,
               factor = gain[channel] / norm;
    if (grad_gain && get_local_id(0) == 0)
        grad_gain[channel] = along;
    if (!grad_v)
        return;
    const REAL of_v = factor * along / norm;
    FOR_EACH_IN_RUNS {
        store(factor * load(grad_out + at, left) - of_v * load(v + at, left), grad_v + at, left);
    }
}
