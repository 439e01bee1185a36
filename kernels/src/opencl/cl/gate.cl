// The gate of a residual block: one half of the channels times the sigmoid of the other.

// out = left half · sigmoid(right half). Launch: (columns by VW, rows).
kernel void gate(const uint columns, IN(x), OUT(out)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1);
    if (c >= columns)
        return;
    GO(x), GO(out);
    const size_t left = columns - c, from = row * 2 * columns + c;
    store(load(x + from, left) * sigmoid_of(load(x + from + columns, left)),
          out + row * columns + c, left);
}

// With s = sigmoid(right half): grad_x = [grad_out · s | grad_out · left half · s(1 − s)]. Launch:
// (columns by VW, rows).
kernel void gate_backward(const uint columns, IN(x), IN(grad_out), OUT(grad_x)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1);
    if (c >= columns)
        return;
    GO(x), GO(grad_out), GO(grad_x);
    const size_t left = columns - c, at = row * 2 * columns + c;
    const V grad = load(grad_out + row * columns + c, left),
            open = sigmoid_of(load(x + at + columns, left));
    store(grad * open, grad_x + at, left);
    store(grad * load(x + at, left) * open * (ONE - open), grad_x + at + columns, left);
}
