// The cross-entropy of labels under a softmax of logits. Launch: a work-item for each row.

// out[r] = log_sum_exp_c logits[r, c] − logits[r, labels[r]]. The host has checked the labels.
kernel void cross_entropy(const uint rows, const uint columns, IN(logits),
                          global const uint *restrict labels, const ulong labels_first, OUT(out)) {
    const size_t row = get_global_id(0);
    if (row >= rows)
        return;
    GO(logits), GO(labels), GO(out);
    out[row] =
        log_sum_exp_of(logits + row * columns, columns, 1) - logits[row * columns + labels[row]];
}

// grad_logits[r, c] = grad_out[r] · (softmax(logits)[r, c] − [c = labels[r]])
kernel void cross_entropy_backward(const uint rows, const uint columns, IN(logits),
                                   global const uint *restrict labels, const ulong labels_first,
                                   IN(grad_out), OUT(grad_logits)) {
    const size_t row = get_global_id(0);
    if (row >= rows)
        return;
    GO(logits), GO(labels), GO(grad_out), GO(grad_logits);
    logits += row * columns, grad_logits += row * columns;
    const REAL normaliser = log_sum_exp_of(logits, columns, 1), grad = grad_out[row];
    for (uint c = 0; c < columns; c++)
        grad_logits[c] = grad * exp(logits[c] - normaliser) - (c == labels[row] ? grad : (REAL)0);
}
