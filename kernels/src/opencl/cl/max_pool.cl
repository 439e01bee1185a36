// Maxima of windows of `size` × `size` positions that lie side by side, over maps [batch, height,
// width, channels]; the output has `rows` × `columns` windows an image.

// The first channel of tap (tap / size, tap % size) of window (p, q).
static inline size_t tap_of(const uint channels, const uint size, const uint height,
                            const uint width, const size_t image, const uint p, const uint q,
                            const uint tap) {
    const size_t row = p * size + tap / size, column = q * size + tap % size;
    return ((image * height + row) * width + column) * channels;
}

// out[n, p, q, c] = the largest element of the window, NaN if any is. Launch: (channels by VW,
// images · rows · columns).
kernel void max_pool2d(const uint channels, const uint size, const uint height, const uint width,
                       const uint rows, const uint columns, IN(x), OUT(out)) {
    const size_t c = VW * get_global_id(0), at = get_global_id(1);
    if (c >= channels)
        return;
    GO(x), GO(out);
    const size_t left = channels - c, image = at / ((size_t)rows * columns);
    const uint p = at / columns % rows, q = at % columns;
    V largest = load(x + tap_of(channels, size, height, width, image, p, q, 0) + c, left);
    for (uint tap = 1; tap < size * size; tap++) {
        const V value = load(x + tap_of(channels, size, height, width, image, p, q, tap) + c, left);
        largest = value > largest || value != value ? value : largest;
    }
    store(largest, out + at * channels + c, left);
}

// grad_x = grad_out at the first tap of a window that attains `out`, 0 elsewhere. Launch: (channels
// by VW, images · height · width).
kernel void max_pool2d_backward(const uint channels, const uint size, const uint height,
                                const uint width, const uint rows, const uint columns, IN(x),
                                IN(out), IN(grad_out), OUT(grad_x)) {
    const size_t c = VW * get_global_id(0), at = get_global_id(1);
    if (c >= channels)
        return;
    GO(x), GO(out), GO(grad_out), GO(grad_x);
    const size_t left = channels - c, image = at / ((size_t)height * width);
    const uint h = at / width % height, w = at % width, p = h / size, q = w / size;
    V grad = ZERO;
    if (p < rows && q < columns) {
        const size_t window = ((image * rows + p) * columns + q) * channels + c;
        const V largest = load(out + window, left);
        grad = load(grad_out + window, left);
        const uint own = h % size * size + w % size;
        for (uint tap = 0; tap < own; tap++)
            grad = load(x + tap_of(channels, size, height, width, image, p, q, tap) + c, left) ==
                           largest
                       ? ZERO
                       : grad;
        grad = load(x + at * channels + c, left) == largest ? grad : ZERO;
    }
    store(grad, grad_x + at * channels + c, left);
}
