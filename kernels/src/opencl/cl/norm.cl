// Batch normalisation of the columns of a matrix, with its activation or the Gaussian head that it
// belongs to: one launch forward, one backward.
//
// A work-group owns COLUMNS·VW neighbouring columns and walks down all rows, ROW_LANES rows at a
// time: twice for the statistics, once more to normalise. Its part of the matrix is small enough to
// come from the cache after the first time. Launch: (columns by VW, ROW_LANES), groups of (COLUMNS,
// ROW_LANES). `rows > 0`.

// Walks the rows of this work-item: r is the row, at the place of its VW elements.
#define FOR_EACH_ROW                                                                               \
    for (size_t r = get_local_id(1), at = r * columns + c; r < rows && c < columns;                \
         r += ROW_LANES, at += ROW_LANES * columns)

// Mean and biased variance of the columns, the variance from the deviations of a second pass.
#define MOMENTS                                                                                    \
    V sum = ZERO;                                                                                  \
    FOR_EACH_ROW { sum += load(x + at, left); }                                                    \
    const V mean_c = COLUMN_SUM(sum, scratch) / (REAL)rows;                                        \
    V squares = ZERO;                                                                              \
    FOR_EACH_ROW {                                                                                 \
        const V distance = load(x + at, left) - mean_c;                                            \
        squares += distance * distance;                                                            \
    }                                                                                              \
    const V variance_c = COLUMN_SUM(squares, scratch) / (REAL)rows;                                \
    if (c < columns && get_local_id(1) == 0) {                                                     \
        store(mean_c, mean + c, left);                                                             \
        store(variance_c, variance + c, left);                                                     \
    }

kernel void column_statistics(const uint rows, const uint columns, IN(x), OUT(mean),
                              OUT(variance)) {
    COLUMN_SCRATCH(scratch)
    const size_t c = VW * get_global_id(0), left = columns - c;
    GO(x), GO(mean), GO(variance);
    MOMENTS
}

// average ← (1 − weight) · average + weight · batch; with weight 1 even an average that is no
// number is replaced.
static inline void move_average(global REAL *average, const V batch, const REAL weight,
                                const size_t left) {
    const V kept = weight == (REAL)1 ? ZERO : ((REAL)1 - weight) * load(average, left);
    store(kept + weight * batch, average, left);
}

#define BATCH_NORM(k)                                                                              \
    const uint rows##k, const uint columns##k, const REAL epsilon##k, const REAL a##k,             \
        const REAL b##k, const REAL weight##k, IN(x##k), IN(scale##k), IN(shift##k), OUT(mean##k), \
        OUT(variance##k), MAYBE_OUT(mean_average##k), MAYBE_OUT(variance_average##k), OUT(out##k)
#define NORM_HEAD(k)                                                                               \
    const uint rows##k, const uint units##k, const REAL epsilon##k, const REAL least##k,           \
        const REAL weight##k, IN(x##k), IN(scale##k), IN(shift##k), OUT(mean##k),                  \
        OUT(variance##k), MAYBE_OUT(mean_average##k), MAYBE_OUT(variance_average##k),              \
        OUT(head_mean##k), OUT(head_variance##k)
#define NORM_HEAD_BACKWARD(k)                                                                      \
    const uint rows##k, const uint units##k, const REAL epsilon##k, const REAL share##k, IN(x##k), \
        IN(mean##k), IN(variance##k), IN(scale##k), IN(shift##k), MAYBE_IN(grad_mean##k),          \
        MAYBE_IN(grad_variance##k), OUT(grad_x##k), OUT(grad_scale##k), OUT(grad_shift##k)
#define NORM_BACKWARD(k)                                                                           \
    const uint rows##k, const uint columns##k, const REAL epsilon##k, const REAL a##k,             \
        const REAL b##k, const REAL share##k, IN(x##k), IN(mean##k), IN(variance##k),              \
        IN(scale##k), IN(shift##k), IN(grad_out##k), OUT(grad_x##k), OUT(grad_scale##k),           \
        OUT(grad_shift##k)

// The averages over batches, if there are any, move towards the statistics of x by `weight`.
#define MOVE_AVERAGES                                                                              \
    if (mean_average && get_local_id(1) == 0) {                                                    \
        move_average(mean_average + mean_average_first + c, mean_c, weight, left);                 \
        move_average(variance_average + variance_average_first + c, variance_c, weight, left);     \
    }
// scale/√(variance + ε) and shift of the columns whose statistics were found.
#define FACTOR_AND_OFFSET                                                                          \
    const V factor = load(scale + c, left) / sqrt(variance_c + epsilon),                           \
            offset = load(shift + c, left);

// With x̂ = (x − mean)/√(variance + ε) and g the adjoint of scale·x̂ + shift, which is the
// expression `gradient` of that number, `pre_activation`:
//   grad_shift = Σ g, grad_scale = Σ g·x̂,
//   grad_x = scale/√(variance + ε) · (g − share·grad_shift − x̂·share·grad_scale);
// share is 1/rows, or 0 where the statistics are constants. g waits in grad_x between the two
// passes.
#define ADJOINTS(gradient)                                                                         \
    V mean_c = ZERO, inverse = ONE, scale_c = ONE, shift_c = ZERO;                                 \
    if (c < columns) {                                                                             \
        mean_c = load(mean + c, left);                                                             \
        inverse = ONE / sqrt(load(variance + c, left) + epsilon);                                  \
        scale_c = load(scale + c, left);                                                           \
        shift_c = load(shift + c, left);                                                           \
    }                                                                                              \
    V scale_sum = ZERO, shift_sum = ZERO;                                                          \
    FOR_EACH_ROW {                                                                                 \
        const V normalised = (load(x + at, left) - mean_c) * inverse;                              \
        const V pre_activation = scale_c * normalised + shift_c, grad = gradient;                  \
        store(grad, grad_x + at, left);                                                            \
        scale_sum += grad * normalised;                                                            \
        shift_sum += grad;                                                                         \
    }                                                                                              \
    scale_sum = COLUMN_SUM(scale_sum, scratch);                                                    \
    shift_sum = COLUMN_SUM(shift_sum, scratch);                                                    \
    if (c >= columns)                                                                              \
        return;                                                                                    \
    if (get_local_id(1) == 0) {                                                                    \
        store(scale_sum, grad_scale + c, left);                                                    \
        store(shift_sum, grad_shift + c, left);                                                    \
    }                                                                                              \
    const V factor = scale_c * inverse, slope = scale_sum * share * inverse,                       \
            offset = shift_sum * share;                                                            \
    FOR_EACH_ROW {                                                                                 \
        const V grad = load(grad_x + at, left);                                                    \
        store(factor *(grad - offset - (load(x + at, left) - mean_c) * slope), grad_x + at, left); \
    }

// out = activation(scale · (x − mean)/√(variance + ε) + shift), with the statistics of x
// (batch_norm) or given ones (normalise).
#define NORM(name)                                                                                 \
    BODY batch_normalise_##name(const uint rows, const uint columns, const REAL epsilon,           \
                                const REAL a, const REAL b, const REAL weight, IN(x), IN(scale),   \
                                IN(shift), OUT(mean), OUT(variance), MAYBE_OUT(mean_average),      \
                                MAYBE_OUT(variance_average), OUT(out), const size_t item_x,        \
                                local V *scratch) {                                                \
        const size_t c = VW * item_x, left = columns - c;                                          \
        GO(x), GO(scale), GO(shift), GO(mean), GO(variance), GO(out);                              \
        MOMENTS                                                                                    \
        if (c >= columns)                                                                          \
            return;                                                                                \
        MOVE_AVERAGES                                                                              \
        FACTOR_AND_OFFSET                                                                          \
        FOR_EACH_ROW {                                                                             \
            store(value_##name((load(x + at, left) - mean_c) * factor + offset, a, b), out + at,   \
                  left);                                                                           \
        }                                                                                          \
    }                                                                                              \
    kernel void batch_norm_##name(BATCH_NORM()) {                                                  \
        COLUMN_SCRATCH(scratch)                                                                    \
        batch_normalise_##name(rows, columns, epsilon, a, b, weight, ARRAY(x), ARRAY(scale),       \
                               ARRAY(shift), ARRAY(mean), ARRAY(variance), ARRAY(mean_average),    \
                               ARRAY(variance_average), ARRAY(out), get_global_id(0), scratch);    \
    }                                                                                              \
    kernel void batch_norm_##name##_joined(JOINED, FOR_PROBLEMS(BATCH_NORM)) {                     \
        COLUMN_SCRATCH(scratch)                                                                    \
        JOINED_START                                                                               \
        batch_normalise_##name(PICK(rows), PICK(columns), PICK(epsilon), PICK(a), PICK(b),         \
                               PICK(weight), PICK_ARRAY(x), PICK_ARRAY(scale), PICK_ARRAY(shift),  \
                               PICK_ARRAY(mean), PICK_ARRAY(variance), PICK_ARRAY(mean_average),   \
                               PICK_ARRAY(variance_average), PICK_ARRAY(out), item_x, scratch);    \
    }                                                                                              \
    kernel void normalise_##name(const uint rows, const uint columns, const REAL epsilon,          \
                                 const REAL a, const REAL b, IN(x), IN(mean), IN(variance),        \
                                 IN(scale), IN(shift), OUT(out)) {                                 \
        const size_t c = VW * get_global_id(0), left = columns - c;                                \
        if (c >= columns)                                                                          \
            return;                                                                                \
        GO(x), GO(mean), GO(variance), GO(scale), GO(shift), GO(out);                              \
        const V factor = load(scale + c, left) / sqrt(load(variance + c, left) + epsilon);         \
        const V mean_c = load(mean + c, left), offset = load(shift + c, left);                     \
        FOR_EACH_ROW {                                                                             \
            store(value_##name((load(x + at, left) - mean_c) * factor + offset, a, b), out + at,   \
                  left);                                                                           \
        }                                                                                          \
    }                                                                                              \
    BODY differentiate_##name(                                                                     \
        const uint rows, const uint columns, const REAL epsilon, const REAL a, const REAL b,       \
        const REAL share, IN(x), IN(mean), IN(variance), IN(scale), IN(shift), IN(grad_out),       \
        OUT(grad_x), OUT(grad_scale), OUT(grad_shift), const size_t item_x, local V *scratch) {    \
        const size_t c = VW * item_x, left = columns - c;                                          \
        GO(x), GO(mean), GO(variance), GO(scale), GO(shift), GO(grad_out), GO(grad_x),             \
            GO(grad_scale), GO(grad_shift);                                                        \
        ADJOINTS(load(grad_out + at, left) * derivative_at_##name(pre_activation, a, b))           \
    }                                                                                              \
    kernel void norm_backward_##name(NORM_BACKWARD()) {                                            \
        COLUMN_SCRATCH(scratch)                                                                    \
        differentiate_##name(rows, columns, epsilon, a, b, share, ARRAY(x), ARRAY(mean),           \
                             ARRAY(variance), ARRAY(scale), ARRAY(shift), ARRAY(grad_out),         \
                             ARRAY(grad_x), ARRAY(grad_scale), ARRAY(grad_shift),                  \
                             get_global_id(0), scratch);                                           \
    }                                                                                              \
    kernel void norm_backward_##name##_joined(JOINED, FOR_PROBLEMS(NORM_BACKWARD)) {               \
        COLUMN_SCRATCH(scratch)                                                                    \
        JOINED_START                                                                               \
        differentiate_##name(PICK(rows), PICK(columns), PICK(epsilon), PICK(a), PICK(b),           \
                             PICK(share), PICK_ARRAY(x), PICK_ARRAY(mean), PICK_ARRAY(variance),   \
                             PICK_ARRAY(scale), PICK_ARRAY(shift), PICK_ARRAY(grad_out),           \
                             PICK_ARRAY(grad_x), PICK_ARRAY(grad_scale), PICK_ARRAY(grad_shift),   \
                             item_x, scratch);                                                     \
    }
FOR_EACH_FUNCTION(NORM)

// The vector of columns of a work-item where they are a Gaussian head's, [rows, 2·units]: all of
// them lie in one half, the first (means) or the second (variances). Launch: (vectors of both
// halves, ROW_LANES), groups of (COLUMNS, ROW_LANES).
#define COLUMNS_OF_HEAD                                                                            \
    const uint columns = 2 * units, vectors = (units + VW - 1) / VW;                               \
    const size_t half_number = item_x / vectors, unit = VW * (item_x % vectors),                   \
                 c = half_number * units + unit, left = units - unit;                              \
    const bool is_variance = half_number > 0;

// With a = scale · (x − mean)/√(variance + ε) + shift and the statistics of x: head_mean = left
// half of a, head_variance = softplus(right half of a) + least.
BODY batch_normalise_head(const uint rows, const uint units, const REAL epsilon, const REAL least,
                          const REAL weight, IN(x), IN(scale), IN(shift), OUT(mean), OUT(variance),
                          MAYBE_OUT(mean_average), MAYBE_OUT(variance_average), OUT(head_mean),
                          OUT(head_variance), const size_t item_x, local V *scratch) {
    COLUMNS_OF_HEAD
    GO(x), GO(scale), GO(shift), GO(mean), GO(variance), GO(head_mean), GO(head_variance);
    MOMENTS
    if (c >= columns)
        return;
    MOVE_AVERAGES
    FACTOR_AND_OFFSET
    global REAL *out = (is_variance ? head_variance : head_mean) + unit;
    FOR_EACH_ROW {
        const V value = (load(x + at, left) - mean_c) * factor + offset;
        store(is_variance ? softplus_of(value) + least : value, out + r * units, left);
    }
}

kernel void batch_norm_head(NORM_HEAD()) {
    COLUMN_SCRATCH(scratch)
    batch_normalise_head(rows, units, epsilon, least, weight, ARRAY(x), ARRAY(scale), ARRAY(shift),
                         ARRAY(mean), ARRAY(variance), ARRAY(mean_average), ARRAY(variance_average),
                         ARRAY(head_mean), ARRAY(head_variance), get_global_id(0), scratch);
}

kernel void batch_norm_head_joined(JOINED, FOR_PROBLEMS(NORM_HEAD)) {
    COLUMN_SCRATCH(scratch)
    JOINED_START
    batch_normalise_head(PICK(rows), PICK(units), PICK(epsilon), PICK(least), PICK(weight),
                         PICK_ARRAY(x), PICK_ARRAY(scale), PICK_ARRAY(shift), PICK_ARRAY(mean),
                         PICK_ARRAY(variance), PICK_ARRAY(mean_average),
                         PICK_ARRAY(variance_average), PICK_ARRAY(head_mean),
                         PICK_ARRAY(head_variance), item_x, scratch);
}

// The adjoints of that, with g = [grad_mean | grad_variance · sigmoid(right half of a)].
BODY differentiate_head(const uint rows, const uint units, const REAL epsilon, const REAL share,
                        IN(x), IN(mean), IN(variance), IN(scale), IN(shift), MAYBE_IN(grad_mean),
                        MAYBE_IN(grad_variance), OUT(grad_x), OUT(grad_scale), OUT(grad_shift),
                        const size_t item_x, local V *scratch) {
    COLUMNS_OF_HEAD
    GO(x), GO(mean), GO(variance), GO(scale), GO(shift), GO(grad_x), GO(grad_scale), GO(grad_shift);
    global const REAL *grad_out = is_variance ? grad_variance : grad_mean;
    if (grad_out)
        grad_out += (is_variance ? grad_variance_first : grad_mean_first) + unit;
    ADJOINTS((grad_out ? load(grad_out + r * units, left) : ZERO) *
             (is_variance ? sigmoid_of(pre_activation) : ONE))
}

kernel void batch_norm_head_backward(NORM_HEAD_BACKWARD()) {
    COLUMN_SCRATCH(scratch)
    differentiate_head(rows, units, epsilon, share, ARRAY(x), ARRAY(mean), ARRAY(variance),
                       ARRAY(scale), ARRAY(shift), ARRAY(grad_mean), ARRAY(grad_variance),
                       ARRAY(grad_x), ARRAY(grad_scale), ARRAY(grad_shift), get_global_id(0),
                       scratch);
}

kernel void batch_norm_head_backward_joined(JOINED, FOR_PROBLEMS(NORM_HEAD_BACKWARD)) {
    COLUMN_SCRATCH(scratch)
    JOINED_START
    differentiate_head(PICK(rows), PICK(units), PICK(epsilon), PICK(share), PICK_ARRAY(x),
                       PICK_ARRAY(mean), PICK_ARRAY(variance), PICK_ARRAY(scale), PICK_ARRAY(shift),
                       PICK_ARRAY(grad_mean), PICK_ARRAY(grad_variance), PICK_ARRAY(grad_x),
                       PICK_ARRAY(grad_scale), PICK_ARRAY(grad_shift), item_x, scratch);
}
