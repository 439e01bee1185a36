// The two moves around the products of a convolution: its patches written out, and patches summed
// back into a map.
//
// patches[(n, p, q), (a, b, c)] = x[n, p·stride + a − before_row, q·stride + b − before_column, c],
// 0 outside of x. All arrays are of some images only, so that the patches have room. `size` is
// (height, width, rows of results, columns of results, kernel height, kernel width, zeros before
// the first row, zeros before the first column).

// Launch: (channels by VW, images · results · taps): a row of the grid is one tap of one patch.
kernel void patches(const uint channels, const uint stride, const uint8 size, IN(x), OUT(patches)) {
    const size_t c = VW * get_global_id(0), tap = get_global_id(1);
    if (c >= channels)
        return;
    GO(x), GO(patches);
    const size_t left = channels - c;
    const uint b = tap % size.s5, a = tap / size.s5 % size.s4;
    const size_t result = tap / (size.s4 * size.s5);
    const uint q = result % size.s3, p = result / size.s3 % size.s2;
    const size_t image = result / (size.s2 * size.s3);
    // Unsigned: what lies before the first row or column is larger than any size.
    const uint row = p * stride + a - size.s6, column = q * stride + b - size.s7;
    const bool exists = row < size.s0 && column < size.s1;
    const size_t from = ((image * size.s0 + row) * size.s1 + column) * channels + c;
    store(exists ? load(x + from, left) : ZERO, patches + tap * channels + c, left);
}

// out[n, h, w, c] = bias[c] + Σ of the patches' numbers that came from there, in the order of the
// taps. Launch: (channels by VW, images · height · width).
kernel void sum_patches(const uint channels, const uint stride, const uint8 size, IN(patches),
                        MAYBE_IN(bias), OUT(out)) {
    const size_t c = VW * get_global_id(0), at = get_global_id(1);
    if (c >= channels)
        return;
    GO(patches), GO(out);
    GO_IF(bias);
    const size_t left = channels - c;
    const uint row = at / size.s1 % size.s0 + size.s6, column = at % size.s1 + size.s7;
    const size_t image = at / (size.s0 * size.s1);
    V sum = bias ? load(bias + c, left) : ZERO;
    for (uint a = row % stride; a < size.s4 && a <= row; a += stride) {
        const uint p = (row - a) / stride;
        if (p >= size.s2)
            continue;
        for (uint b = column % stride; b < size.s5 && b <= column; b += stride) {
            const uint q = (column - b) / stride;
            if (q >= size.s3)
                continue;
            const size_t result = (image * size.s2 + p) * size.s3 + q;
            sum += load(patches + ((result * size.s4 + a) * size.s5 + b) * channels + c, left);
        }
    }
    store(sum, out + at * channels + c, left);
}
