// Log-sum-exp and softmax along an axis, and their adjoints. x is seen as [outer, axis, inner].
//
// Launch: a work-item for each (o, i), which walks its axis. These serve importance samples: few
// and short.

#define COLUMN_OF(at) ((at) / inner * axis * inner + (at) % inner)

kernel void log_sum_exp(const uint count, const uint axis, const uint inner, IN(x), OUT(out)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(x), GO(out);
    out[at] = log_sum_exp_of(x + COLUMN_OF(at), axis, inner);
}

// grad_x = grad_out · exp(x − out); 0 where out is −∞
kernel void log_sum_exp_backward(const uint count, const uint axis, const uint inner, IN(x),
                                 IN(out), IN(grad_out), OUT(grad_x)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(x), GO(out), GO(grad_out), GO(grad_x);
    const size_t start = COLUMN_OF(at);
    const REAL normaliser = out[at], grad = grad_out[at];
    for (size_t a = 0; a < axis; a++) {
        const size_t i = start + a * inner;
        grad_x[i] = normaliser == -INFINITY ? (REAL)0 : grad * exp(x[i] - normaliser);
    }
}

// out = exp(x − m) / Σ_a exp(x − m)
kernel void softmax(const uint count, const uint axis, const uint inner, IN(x), OUT(out)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(x), GO(out);
    const size_t start = COLUMN_OF(at);
    REAL largest = -INFINITY, sum = 0;
    for (size_t a = 0; a < axis; a++) {
        const REAL value = x[start + a * inner];
        largest = value > largest || value != value ? value : largest;
    }
    for (size_t a = 0; a < axis; a++) {
        const REAL weight = exp(x[start + a * inner] - largest);
        out[start + a * inner] = weight;
        sum += weight;
    }
    for (size_t a = 0; a < axis; a++)
        out[start + a * inner] /= sum;
}

// grad_x = out · (grad_out − Σ_a out · grad_out)
kernel void softmax_backward(const uint count, const uint axis, const uint inner, IN(out),
                             IN(grad_out), OUT(grad_x)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(out), GO(grad_out), GO(grad_x);
    const size_t start = COLUMN_OF(at);
    WIDE product = 0;
    for (size_t a = 0; a < axis; a++)
        product += (WIDE)(out[start + a * inner] * grad_out[start + a * inner]);
    for (size_t a = 0; a < axis; a++) {
        const size_t i = start + a * inner;
        grad_x[i] = out[i] * (grad_out[i] - (REAL)product);
    }
}

// out = x − log_sum_exp_a x
kernel void log_softmax(const uint count, const uint axis, const uint inner, IN(x), OUT(out)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(x), GO(out);
    const size_t start = COLUMN_OF(at);
    const REAL normaliser = log_sum_exp_of(x + start, axis, inner);
    for (size_t a = 0; a < axis; a++)
        out[start + a * inner] = x[start + a * inner] - normaliser;
}

// grad_x = grad_out − exp(out) · Σ_a grad_out
kernel void log_softmax_backward(const uint count, const uint axis, const uint inner, IN(out),
                                 IN(grad_out), OUT(grad_x)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(out), GO(grad_out), GO(grad_x);
    const size_t start = COLUMN_OF(at);
    WIDE total = 0;
    for (size_t a = 0; a < axis; a++)
        total += (WIDE)grad_out[start + a * inner];
    for (size_t a = 0; a < axis; a++) {
        const size_t i = start + a * inner;
        grad_x[i] = grad_out[i] - exp(out[i]) * (REAL)total;
    }
}
