// What a ladder does with diagonal Gaussians: heads that make them, samples, two merged into one,
// densities, KL, and all adjoints.
//
// Element-wise kernels: a work-item for each VW elements. Kernels with one result for each row:
// LANES work-items share a row; launch (LANES, rows), groups of (LANES, 1). Kernels over [rows,
// columns] that need the row: launch (columns by VW, rows).

#define LOG_TAU ((WIDE)1.8378770664093453)

// mean = left half, variance = softplus(right half) + floor. Launch: (columns by VW, rows).
BODY split_head(const uint columns, const REAL least, IN(x), OUT(mean), OUT(variance),
                const size_t item_x, const size_t row) {
    const size_t c = VW * item_x;
    if (c >= columns)
        return;
    GO(x), GO(mean), GO(variance);
    const size_t left = columns - c, from = row * 2 * columns + c, to = row * columns + c;
    store(load(x + from, left), mean + to, left);
    store(softplus_of(load(x + from + columns, left)) + least, variance + to, left);
}

#define HEAD(k) const uint columns##k, const REAL least##k, IN(x##k), OUT(mean##k), OUT(variance##k)

kernel void gaussian_head(HEAD()) {
    split_head(columns, least, ARRAY(x), ARRAY(mean), ARRAY(variance), get_global_id(0),
               get_global_id(1));
}

kernel void gaussian_head_joined(JOINED, FOR_PROBLEMS(HEAD)) {
    JOINED_START
    split_head(PICK(columns), PICK(least), PICK_ARRAY(x), PICK_ARRAY(mean), PICK_ARRAY(variance),
               item_x, item_y);
}

// grad_x = [grad_mean | grad_variance · sigmoid(right half)]. Launch: (columns by VW, rows).
BODY join_head(const uint columns, IN(x), MAYBE_IN(grad_mean), MAYBE_IN(grad_variance), OUT(grad_x),
               const size_t item_x, const size_t row) {
    const size_t c = VW * item_x;
    if (c >= columns)
        return;
    GO(x), GO(grad_x);
    GO_IF(grad_mean);
    GO_IF(grad_variance);
    const size_t left = columns - c, to = row * 2 * columns + c, from = row * columns + c;
    store(grad_mean ? load(grad_mean + from, left) : ZERO, grad_x + to, left);
    const V derivative =
        grad_variance ? load(grad_variance + from, left) * sigmoid_of(load(x + to + columns, left))
                      : ZERO;
    store(derivative, grad_x + to + columns, left);
}

#define HEAD_BACKWARD(k)                                                                           \
    const uint columns##k, IN(x##k), MAYBE_IN(grad_mean##k), MAYBE_IN(grad_variance##k),           \
        OUT(grad_x##k)

kernel void gaussian_head_backward(HEAD_BACKWARD()) {
    join_head(columns, ARRAY(x), ARRAY(grad_mean), ARRAY(grad_variance), ARRAY(grad_x),
              get_global_id(0), get_global_id(1));
}

kernel void gaussian_head_backward_joined(JOINED, FOR_PROBLEMS(HEAD_BACKWARD)) {
    JOINED_START
    join_head(PICK(columns), PICK_ARRAY(x), PICK_ARRAY(grad_mean), PICK_ARRAY(grad_variance),
              PICK_ARRAY(grad_x), item_x, item_y);
}

// out = mean + √variance · noise
kernel void reparameterise(const uint n, IN(mean), IN(variance), IN(noise), OUT(out)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(mean), GO(variance), GO(noise), GO(out);
    const size_t left = n - i;
    store(load(mean + i, left) + sqrt(load(variance + i, left)) * load(noise + i, left), out + i,
          left);
}

// grad_mean = grad_out;  grad_variance = grad_out · noise / (2√variance); with `add`, added to what
// is there
kernel void reparameterise_backward(const uint n, const uint add, IN(variance), IN(noise),
                                    IN(grad_out), MAYBE_OUT(grad_mean), MAYBE_OUT(grad_variance)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(variance), GO(noise), GO(grad_out);
    GO_IF(grad_mean);
    GO_IF(grad_variance);
    const size_t left = n - i;
    const V grad = load(grad_out + i, left);
    if (grad_mean)
        store(add ? load(grad_mean + i, left) + grad : grad, grad_mean + i, left);
    if (grad_variance) {
        const V derivative = grad * load(noise + i, left) * HALF / sqrt(load(variance + i, left));
        store(add ? load(grad_variance + i, left) + derivative : derivative, grad_variance + i,
              left);
    }
}

// With S = v1 + v2: variance = v1·v2/S, mean = (m1·v2 + m2·v1)/S (Sønderby 2016, eqs 17 and 18)
kernel void merge(const uint n, IN(m1), IN(v1), IN(m2), IN(v2), OUT(mean), OUT(variance)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(m1), GO(v1), GO(m2), GO(v2), GO(mean), GO(variance);
    const size_t left = n - i;
    const V first = load(v1 + i, left), second = load(v2 + i, left),
            inverse_sum = ONE / (first + second);
    store((load(m1 + i, left) * second + load(m2 + i, left) * first) * inverse_sum, mean + i, left);
    store(first * second * inverse_sum, variance + i, left);
}

// grad_m1 = gm·v2/S, grad_v1 = gm·v2(m2 − m1)/S² + gv(v2/S)², and the same with 1 and 2 exchanged
kernel void merge_backward(const uint n, IN(m1), IN(v1), IN(m2), IN(v2), MAYBE_IN(grad_mean),
                           MAYBE_IN(grad_variance), MAYBE_OUT(grad_m1), MAYBE_OUT(grad_v1),
                           MAYBE_OUT(grad_m2), MAYBE_OUT(grad_v2)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(m1), GO(v1), GO(m2), GO(v2);
    GO_IF(grad_mean);
    GO_IF(grad_variance);
    const size_t left = n - i;
    const V first = load(v1 + i, left), second = load(v2 + i, left),
            inverse_sum = ONE / (first + second);
    const V weight_1 = second * inverse_sum, weight_2 = first * inverse_sum;
    const V gm = grad_mean ? load(grad_mean + i, left) : ZERO,
            gv = grad_variance ? load(grad_variance + i, left) : ZERO;
    const V pull = gm * (load(m2 + i, left) - load(m1 + i, left)) * inverse_sum;
    if (grad_m1)
        store(gm * weight_1, grad_m1 + grad_m1_first + i, left);
    if (grad_v1)
        store(pull * weight_1 + gv * weight_1 * weight_1, grad_v1 + grad_v1_first + i, left);
    if (grad_m2)
        store(gm * weight_2, grad_m2 + grad_m2_first + i, left);
    if (grad_v2)
        store(gv * weight_2 * weight_2 - pull * weight_2, grad_v2 + grad_v2_first + i, left);
}

static inline V log_prob_term(const V x, const V mean, const V variance) {
    return log(variance) + (x - mean) * (x - mean) / variance;
}

// out[r] = Σ_c −½[ln 2π + ln variance + (x − mean)²/variance], with row r div repeat of x
kernel void gaussian_log_prob(const uint columns, const uint repeat, IN(x), IN(mean), IN(variance),
                              OUT(out)) {
    GO(x), GO(mean), GO(variance), GO(out);
    x += get_global_id(1) / repeat * columns;
    SUM_ROW(log_prob_term(load(x + c, left), load(mean + at, left), load(variance + at, left)),
            (WIDE)-0.5 * (columns * LOG_TAU + total))
}

// With d = x − mean: grad_x = −g·d/variance summed over the repeats, grad_mean = g·d/variance,
// grad_variance = g·(d²/variance − 1)/(2·variance). Launch: (columns by VW, rows of x).
kernel void gaussian_log_prob_backward(const uint columns, const uint repeat, IN(x), IN(mean),
                                       IN(variance), IN(grad_out), MAYBE_OUT(grad_x),
                                       MAYBE_OUT(grad_mean), MAYBE_OUT(grad_variance)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1);
    if (c >= columns)
        return;
    GO(x), GO(mean), GO(variance), GO(grad_out);
    const size_t left = columns - c;
    const V value = load(x + row * columns + c, left);
    V sum = ZERO;
    for (size_t k = 0; k < repeat; k++) {
        const size_t p = row * repeat + k, at = p * columns + c;
        const V precision = ONE / load(variance + at, left),
                distance = value - load(mean + at, left);
        const V derivative = distance * precision;
        sum -= grad_out[p] * derivative;
        if (grad_mean)
            store(grad_out[p] * derivative, grad_mean + grad_mean_first + at, left);
        if (grad_variance)
            store(grad_out[p] * HALF * (distance * derivative - ONE) * precision,
                  grad_variance + grad_variance_first + at, left);
    }
    if (grad_x)
        store(sum, grad_x + grad_x_first + row * columns + c, left);
}

static inline V square_of(const V x) { return x * x; }

// out[r] = Σ_c −½[ln 2π + x²]
kernel void standard_normal_log_prob(const uint columns, IN(x), OUT(out)) {
    GO(x), GO(out);
    SUM_ROW(square_of(load(x + at, left)), (WIDE)-0.5 * (columns * LOG_TAU + total))
}

// grad_x[r, c] = −grad_out[r] · x[r, c]. Launch: (columns by VW, rows).
kernel void standard_normal_log_prob_backward(const uint columns, IN(x), IN(grad_out),
                                              OUT(grad_x)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1), at = row * columns + c;
    if (c >= columns)
        return;
    GO(x), GO(grad_out), GO(grad_x);
    store(-grad_out[row] * load(x + at, columns - c), grad_x + at, columns - c);
}

// r − 1 − ln r + d²/vp with r = vq/vp
static inline V kl_term(const V q_mean, const V q_variance, const V p_mean, const V p_variance) {
    const V precision = ONE / p_variance, ratio = q_variance * precision,
            distance = q_mean - p_mean;
    return ratio - ONE - log(ratio) + distance * distance * precision;
}

// out[r] = KL(q‖p) = ½ Σ_c [ln vp − ln vq + (vq + (mq − mp)²)/vp − 1]
kernel void gaussian_kl(const uint columns, IN(mq), IN(vq), IN(mp), IN(vp), OUT(out)) {
    GO(mq), GO(vq), GO(mp), GO(vp), GO(out);
    SUM_ROW(
        kl_term(load(mq + at, left), load(vq + at, left), load(mp + at, left), load(vp + at, left)),
        (WIDE)0.5 * total)
}

// The same against the standard normal
kernel void gaussian_kl_standard(const uint columns, IN(mq), IN(vq), OUT(out)) {
    GO(mq), GO(vq), GO(out);
    SUM_ROW(kl_term(load(mq + at, left), load(vq + at, left), ZERO, ONE), (WIDE)0.5 * total)
}

// With d = mq − mp: grad_mq = g·d/vp, grad_vq = ½g(1/vp − 1/vq), grad_mp = −g·d/vp, grad_vp =
// ½g(1/vp − (vq + d²)/vp²). p is the standard normal where it is absent. Launch: (columns by VW,
// rows).
kernel void gaussian_kl_backward(const uint columns, IN(mq), IN(vq), MAYBE_IN(mp), MAYBE_IN(vp),
                                 IN(grad_out), MAYBE_OUT(grad_mq), MAYBE_OUT(grad_vq),
                                 MAYBE_OUT(grad_mp), MAYBE_OUT(grad_vp)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1), at = row * columns + c,
                 left = columns - c;
    if (c >= columns)
        return;
    GO(mq), GO(vq), GO(grad_out);
    const REAL grad = grad_out[row];
    const V p_mean = mp ? load(mp + mp_first + at, left) : ZERO,
            p_variance = vp ? load(vp + vp_first + at, left) : ONE;
    const V q_variance = load(vq + at, left), distance = load(mq + at, left) - p_mean;
    const V precision = ONE / p_variance, derivative = grad * distance * precision,
            half_grad = HALF * grad;
    if (grad_mq)
        store(derivative, grad_mq + grad_mq_first + at, left);
    if (grad_vq)
        store(half_grad * (precision - ONE / q_variance), grad_vq + grad_vq_first + at, left);
    if (grad_mp)
        store(-derivative, grad_mp + grad_mp_first + at, left);
    if (grad_vp)
        store(half_grad * (ONE - (q_variance + distance * distance) * precision) * precision,
              grad_vp + grad_vp_first + at, left);
}

static inline V log_ratio_term(const V z, const V mq, const V vq, const V mp, const V vp) {
    const V from_q = z - mq, from_p = z - mp;
    return log(vp / vq) + from_p * from_p / vp - from_q * from_q / vq;
}

// out[r] = log q(z) − log p(z) = ½ Σ_c [ln(vp/vq) + (z − mp)²/vp − (z − mq)²/vq]; p is the standard
// normal where it is absent
BODY log_ratio(const uint columns, IN(z), IN(mq), IN(vq), MAYBE_IN(mp), MAYBE_IN(vp), OUT(out),
               const size_t row_number, local WIDE *scratch) {
    GO(z), GO(mq), GO(vq), GO(out);
    GO_IF(mp);
    GO_IF(vp);
    SUM_ROW_AT(row_number, scratch,
               log_ratio_term(load(z + at, left), load(mq + at, left), load(vq + at, left),
                              mp ? load(mp + at, left) : ZERO, vp ? load(vp + at, left) : ONE),
               (WIDE)0.5 * total)
}

#define LOG_RATIO(k)                                                                               \
    const uint columns##k, IN(z##k), IN(mq##k), IN(vq##k), MAYBE_IN(mp##k), MAYBE_IN(vp##k),       \
        OUT(out##k)

kernel void gaussian_log_ratio(LOG_RATIO()) {
    ROW_SCRATCH(scratch)
    log_ratio(columns, ARRAY(z), ARRAY(mq), ARRAY(vq), ARRAY(mp), ARRAY(vp), ARRAY(out),
              get_global_id(1), scratch);
}

kernel void gaussian_log_ratio_joined(JOINED, FOR_PROBLEMS(LOG_RATIO)) {
    ROW_SCRATCH(scratch)
    JOINED_START
    log_ratio(PICK(columns), PICK_ARRAY(z), PICK_ARRAY(mq), PICK_ARRAY(vq), PICK_ARRAY(mp),
              PICK_ARRAY(vp), PICK_ARRAY(out), item_y, scratch);
}

// With dq = (z − mq)/vq, dp = (z − mp)/vp: grad_z = g(dp − dq), grad_mq = g·dq, grad_vq = ½g(dq² −
// 1/vq), grad_mp = −g·dp, grad_vp = ½g(1/vp − dp²). p is the standard normal where it is absent.
// Launch: (columns by VW, rows).
BODY log_ratio_backward(const uint columns, IN(z), IN(mq), IN(vq), MAYBE_IN(mp), MAYBE_IN(vp),
                        IN(grad_out), MAYBE_OUT(grad_z), MAYBE_OUT(grad_mq), MAYBE_OUT(grad_vq),
                        MAYBE_OUT(grad_mp), MAYBE_OUT(grad_vp), const size_t item_x,
                        const size_t row) {
    const size_t c = VW * item_x, at = row * columns + c, left = columns - c;
    if (c >= columns)
        return;
    GO(z), GO(mq), GO(vq), GO(grad_out);
    const REAL grad = grad_out[row];
    const V p_mean = mp ? load(mp + mp_first + at, left) : ZERO,
            p_variance = vp ? load(vp + vp_first + at, left) : ONE;
    const V sample = load(z + at, left), half_grad = HALF * grad;
    const V q_precision = ONE / load(vq + at, left), p_precision = ONE / p_variance;
    const V q_score = (sample - load(mq + at, left)) * q_precision,
            p_score = (sample - p_mean) * p_precision;
    if (grad_z)
        store(grad * (p_score - q_score), grad_z + grad_z_first + at, left);
    if (grad_mq)
        store(grad * q_score, grad_mq + grad_mq_first + at, left);
    if (grad_vq)
        store(half_grad * (q_score * q_score - q_precision), grad_vq + grad_vq_first + at, left);
    if (grad_mp)
        store(-grad * p_score, grad_mp + grad_mp_first + at, left);
    if (grad_vp)
        store(half_grad * (p_precision - p_score * p_score), grad_vp + grad_vp_first + at, left);
}

#define LOG_RATIO_BACKWARD(k)                                                                      \
    const uint columns##k, IN(z##k), IN(mq##k), IN(vq##k), MAYBE_IN(mp##k), MAYBE_IN(vp##k),       \
        IN(grad_out##k), MAYBE_OUT(grad_z##k), MAYBE_OUT(grad_mq##k), MAYBE_OUT(grad_vq##k),       \
        MAYBE_OUT(grad_mp##k), MAYBE_OUT(grad_vp##k)
#define DO_LOG_RATIO_BACKWARD(k)                                                                   \
    log_ratio_backward(columns##k, ARRAY(z##k), ARRAY(mq##k), ARRAY(vq##k), ARRAY(mp##k),          \
                       ARRAY(vp##k), ARRAY(grad_out##k), ARRAY(grad_z##k), ARRAY(grad_mq##k),      \
                       ARRAY(grad_vq##k), ARRAY(grad_mp##k), ARRAY(grad_vp##k), item_x, item_y)

kernel void gaussian_log_ratio_backward(LOG_RATIO_BACKWARD()) {
    const size_t item_x = get_global_id(0), item_y = get_global_id(1);
    DO_LOG_RATIO_BACKWARD();
}

kernel void gaussian_log_ratio_backward_joined(JOINED, FOR_PROBLEMS(LOG_RATIO_BACKWARD)) {
    JOINED_START
    FOR_PROBLEM(DO_LOG_RATIO_BACKWARD)
}
