// Random numbers, each a function of its address; the words are from philox.cl.
//
// Launch: a work-item for each VW elements, but for the normals.

// out[i] = (word + ½)/2³², below 1
kernel void fill_uniform(const uint n, const uint8 address, OUT(out)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(out);
    store(UNIFORM(words_of(address, i)), out + i, n - i);
}

// √(−2 ln u) for the uniform number u of a word, accurate at both ends: near 1, ln u is ln(1 − v)
// with v = 1 − u kept whole.
static inline V radius(const UV word) {
#if DOUBLE
    return sqrt((V)(-2) * log(UNIFORM(word)));
#else
    const UV upper = (UV)(0) - (word >> 31);
    const V v = (TO_V((word & ~upper) | (~word & upper)) + HALF) * (V)(1.0f / 4294967296.0f);
    const V is_upper = TO_V(word >> 31);
    const V from_above = log1p(-v), from_below = log(v);
    return sqrt((V)(-2) * (is_upper > ZERO ? from_above : from_below));
#endif
}

// 2πu, reduced to [−π, π) by reading the word as a signed integer, which keeps its digits.
static inline V angle(const UV word) {
#if VW == 1
    return ((REAL)as_int(word) + (REAL)0.5) * (REAL)(6.283185307179586 / 4294967296.0);
#else
    return (TO_V(JOIN(as_int, VW)(word)) + HALF) * (V)((REAL)(6.283185307179586 / 4294967296.0));
#endif
}

// Four standard normal numbers of each counter (Box and Muller 1958): √(−2 ln u0)·(cos, sin) 2πu1,
// and the same from u2, u3. A call would make `lanes` memory.
static inline __attribute__((always_inline)) void
normal_quads(const UV w0, const UV w1, const UV w2, const UV w3, REAL lanes[4][VW]) {
    const V first = radius(w0), second = radius(w2), turn = angle(w1), other_turn = angle(w3);
#if VW == 1
    lanes[0][0] = first * cos(turn), lanes[1][0] = first * sin(turn);
    lanes[2][0] = second * cos(other_turn), lanes[3][0] = second * sin(other_turn);
#else
    JOIN(vstore, VW)(first * cos(turn), 0, lanes[0]);
    JOIN(vstore, VW)(first * sin(turn), 0, lanes[1]);
    JOIN(vstore, VW)(second * cos(other_turn), 0, lanes[2]);
    JOIN(vstore, VW)(second * sin(other_turn), 0, lanes[3]);
#endif
}

// out[i] = standard normal. Launch: a work-item for each 4·VW elements.
BODY normals(const uint n, const uint8 address, OUT(out), const size_t item_x) {
    const size_t i = 4 * VW * item_x;
    if (i >= n)
        return;
    GO(out);
    UV w0, w1, w2, w3;
    philox(address, (UV)((uint)(i >> 2)) + OFFSETS, &w0, &w1, &w2, &w3);
    REAL lanes[4][VW];
    normal_quads(w0, w1, w2, w3, lanes);
    for (uint k = 0; k < 4 * VW && i + k < n; k++)
        out[i + k] = lanes[k & 3][k >> 2];
}

#define FILL_NORMAL(k) const uint n##k, const uint8 address##k, OUT(out##k)

kernel void fill_normal(FILL_NORMAL()) { normals(n, address, ARRAY(out), get_global_id(0)); }

kernel void fill_normal_joined(JOINED, FOR_PROBLEMS(FILL_NORMAL)) {
    JOINED_START
    normals(PICK(n), PICK(address), PICK_ARRAY(out), item_x);
}

// out[r, c] = standard normal; row r is sample first_sample + r mod samples of example r div
// samples, whose step is that of the address plus the example, and which has ⌈columns/4⌉ blocks for
// each sample. Launch: a work-item for each VW of the n blocks of all rows.
kernel void fill_normal_rows(const uint n, const uint8 address, const uint columns,
                             const uint samples, const uint first_sample, OUT(out)) {
    const uint first = VW * get_global_id(0), blocks = (columns + 3) / 4;
    if (first >= n)
        return;
    GO(out);
    uint block[VW], step_low[VW], step_high[VW];
    for (uint k = 0; k < VW; k++) {
        const uint row = (first + k) / blocks;
        const ulong step = upsample(address.s4, address.s3) + row / samples;
        block[k] = (first_sample + row % samples) * blocks + (first + k) % blocks;
        step_low[k] = (uint)step, step_high[k] = (uint)(step >> 32);
    }
    UV w0, w1, w2, w3;
#if VW == 1
    philox_at(address, block[0], step_low[0], step_high[0], &w0, &w1, &w2, &w3);
#else
    philox_at(address, JOIN(vload, VW)(0, block), JOIN(vload, VW)(0, step_low),
              JOIN(vload, VW)(0, step_high), &w0, &w1, &w2, &w3);
#endif
    REAL lanes[4][VW];
    normal_quads(w0, w1, w2, w3, lanes);
    for (uint k = 0; k < VW && first + k < n; k++) {
        const uint column = 4 * ((first + k) % blocks);
        const size_t start = (size_t)((first + k) / blocks) * columns + column;
        for (uint lane = 0; lane < 4; lane++)
            if (column + lane < columns)
                out[start + lane] = lanes[lane][k];
    }
}

// out[i] = 1 with probability x[i], else 0
kernel void bernoulli(const uint n, const uint8 address, IN(x), OUT(out)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(x), GO(out);
    store(drawn(words_of(address, i), load(x + i, n - i)), out + i, n - i);
}

// out[i] = x[i]/kept_share where word ≥ first_kept, else 0; with a kept_share of 0 nothing is kept
kernel void dropout(const uint n, const uint8 address, const uint first_kept, const REAL kept_share,
                    IN(x), OUT(out)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(x), GO(out);
    const V is_dropped = IS_BELOW(words_of(address, i), (UV)(first_kept));
    const V kept = kept_share == 0 ? ZERO : load(x + i, n - i) / kept_share;
    store(is_dropped > ZERO ? ZERO : kept, out + i, n - i);
}
