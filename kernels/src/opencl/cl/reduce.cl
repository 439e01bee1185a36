// Reductions along an axis and their adjoints. x is seen as [outer, axis, inner]: element (o, a, i)
// lies at (o·axis + a)·inner + i.
//
// Where the axis is the last one (inner = 1) LANES work-items share a row; elsewhere neighbouring
// columns are reduced side by side. The order of every sum is fixed by the sizes alone. No atomics.

// out[o, part] = factor · Σ of one part of a row, `length` elements long (the last may be shorter).
// Launch: (LANES, outer, parts), groups of (LANES, 1, 1). A long row is summed in parts, and the
// parts by a second launch.
BODY sum_part(const uint axis, const uint length, const REAL factor, IN(x), OUT(out),
              const size_t row, const size_t part, const size_t parts, local WIDE *scratch) {
    GO(x), GO(out);
    const size_t end = min((size_t)axis, (part + 1) * length);
    WIDE_V sum = (WIDE_V)(0);
    for (size_t a = part * length + VW * get_local_id(0); a < end; a += VW * LANES)
        sum += TO_WIDE(existing(load(x + row * axis + a, end - a), end - a));
    const WIDE total = ROW_SUM(WIDE_SUM(sum), scratch);
    if (get_local_id(0) == 0)
        out[row * parts + part] = (REAL)(total * factor);
}

#define SUM_ROWS(k)                                                                                \
    const uint axis##k, const uint length##k, const REAL factor##k, IN(x##k), OUT(out##k)

kernel void sum_rows(SUM_ROWS()) {
    ROW_SCRATCH(scratch)
    sum_part(axis, length, factor, ARRAY(x), ARRAY(out), get_global_id(1), get_global_id(2),
             get_global_size(2), scratch);
}

kernel void sum_rows_joined(JOINED, FOR_PROBLEMS(SUM_ROWS)) {
    ROW_SCRATCH(scratch)
    JOINED_START
    sum_part(PICK(axis), PICK(length), PICK(factor), PICK_ARRAY(x), PICK_ARRAY(out), item_y, layer,
             layers, scratch);
}

// The same with the elements squared.
kernel void sum_of_squares(const uint axis, const uint length, const REAL factor, IN(x), OUT(out)) {
    ROW_SCRATCH(scratch)
    const size_t row = get_global_id(1), part = get_global_id(2), parts = get_global_size(2);
    GO(x), GO(out);
    const size_t end = min((size_t)axis, (part + 1) * length);
    WIDE_V sum = (WIDE_V)(0);
    for (size_t a = part * length + VW * get_local_id(0); a < end; a += VW * LANES) {
        const WIDE_V value = TO_WIDE(existing(load(x + row * axis + a, end - a), end - a));
        sum += value * value;
    }
    const WIDE total = ROW_SUM(WIDE_SUM(sum), scratch);
    if (get_local_id(0) == 0)
        out[row * parts + part] = (REAL)(total * factor);
}

// out[o, i] = factor · Σ_a x[o, a, i]. Launch: (columns of inner by VW, ROW_LANES, outer), groups
// of (COLUMNS, ROW_LANES, 1).
kernel void sum_columns(const uint axis, const uint inner, const REAL factor, IN(x), OUT(out)) {
    COLUMN_SCRATCH(scratch)
    const size_t c = VW * get_global_id(0), outer = get_global_id(2);
    GO(x), GO(out);
    V sum = ZERO;
    if (c < inner)
        for (size_t a = get_local_id(1); a < axis; a += ROW_LANES)
            sum += load(x + (outer * axis + a) * inner + c, inner - c);
    sum = COLUMN_SUM(sum, scratch);
    if (c < inner && get_local_id(1) == 0)
        store(sum * factor, out + outer * inner + c, inner - c);
}

// The largest or smallest along the axis; NaN if there is one. Launch: a work-item for each (o, i).
#define EXTREMUM(name, better, start)                                                              \
    kernel void name(const uint count, const uint axis, const uint inner, IN(x), OUT(out)) {       \
        const size_t at = get_global_id(0);                                                        \
        if (at >= count)                                                                           \
            return;                                                                                \
        GO(x), GO(out);                                                                            \
        global const REAL *column = x + at / inner * axis * inner + at % inner;                    \
        REAL best = start;                                                                         \
        for (size_t a = 0; a < axis; a++) {                                                        \
            const REAL value = column[a * inner];                                                  \
            best = value better best || value != value ? value : best;                             \
        }                                                                                          \
        out[at] = best;                                                                            \
    }
EXTREMUM(maximum, >, -INFINITY)
EXTREMUM(minimum, <, INFINITY)

// grad_x is grad_out at the first position that attains the extremum, 0 elsewhere. Launch: a
// work-item for each (o, i).
kernel void extremum_backward(const uint count, const uint axis, const uint inner, IN(x), IN(out),
                              IN(grad_out), OUT(grad_x)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(x), GO(out), GO(grad_out), GO(grad_x);
    const size_t start = at / inner * axis * inner + at % inner;
    const REAL extremum = out[at];
    bool found = false;
    for (size_t a = 0; a < axis; a++) {
        const REAL value = x[start + a * inner];
        const bool attains =
            !found && (value == extremum || (value != value && extremum != extremum));
        grad_x[start + a * inner] = attains ? grad_out[at] : (REAL)0;
        found = found || attains;
    }
}

// out[o, a, i] = factor · x[o, i]. Launch: (columns of inner by VW, outer · axis).
kernel void expand_columns(const uint axis, const uint inner, const REAL factor, IN(x), OUT(out)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1);
    if (c >= inner)
        return;
    GO(x), GO(out);
    store(factor * load(x + row / axis * inner + c, inner - c), out + row * inner + c, inner - c);
}

// out[o, a] = factor · x[o]. Launch: (axis by VW, outer).
kernel void expand_rows(const uint axis, const REAL factor, IN(x), OUT(out)) {
    const size_t a = VW * get_global_id(0), row = get_global_id(1);
    if (a >= axis)
        return;
    GO(x), GO(out);
    store((V)(factor * x[row]), out + row * axis + a, axis - a);
}
