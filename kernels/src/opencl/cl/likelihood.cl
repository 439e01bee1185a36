// The likelihood of binary data.
//
// Launch of the sum: LANES work-items share a row; (LANES, rows), groups of (LANES, 1).

static inline V bernoulli_term(const V x, const V logit) { return x * logit - softplus_of(logit); }

// out[r] = Σ_c x·l − softplus(l) for logits l, with row r div repeat of x
kernel void bernoulli_log_prob(const uint columns, const uint repeat, IN(x), IN(logits), OUT(out)) {
    GO(x), GO(logits), GO(out);
    x += get_global_id(1) / repeat * columns;
    SUM_ROW(bernoulli_term(load(x + c, left), load(logits + at, left)), total)
}

// grad_logits[r, c] = grad_out[r] · (x − sigmoid(l)). Launch: (columns by VW, rows).
kernel void bernoulli_log_prob_backward(const uint columns, const uint repeat, IN(x), IN(logits),
                                        IN(grad_out), OUT(grad_logits)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1), at = row * columns + c,
                 left = columns - c;
    if (c >= columns)
        return;
    GO(x), GO(logits), GO(grad_out), GO(grad_logits);
    const V difference =
        load(x + row / repeat * columns + c, left) - sigmoid_of(load(logits + at, left));
    store(grad_out[row] * difference, grad_logits + at, left);
}
