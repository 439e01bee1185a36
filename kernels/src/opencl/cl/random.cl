// Random numbers: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011), each number a function of its address.
//
// Element e of an address takes word e mod 4 of the counter [e div 4, stream, step low, step high] under the key [seed low, seed high].
// The integers are those of the processor, bit for bit. Launch: a work-item for each VW elements, but for the normals.
// address: .s0 .s1 the key, .s2 the stream, .s3 .s4 the step.

#define ROUND                                                                                                          \
    {                                                                                                                  \
        const UV high_0 = mul_hi((UV)(0xD2511F53u), c0), low_0 = 0xD2511F53u * c0;                                     \
        const UV high_1 = mul_hi((UV)(0xCD9E8D57u), c2), low_1 = 0xCD9E8D57u * c2;                                     \
        c0 = high_1 ^ c1 ^ k0, c1 = low_1;                                                                             \
        c2 = high_0 ^ c3 ^ k1, c3 = low_0;                                                                             \
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;                                                                          \
    }

// The four words of VW counters, which may be of different steps.
static inline void philox_at(const uint8 address, const UV block, const UV step_low, const UV step_high, UV *w0, UV *w1, UV *w2,
                             UV *w3) {
    uint k0 = address.s0, k1 = address.s1;
    UV c0 = block, c1 = (UV)(address.s2), c2 = step_low, c3 = step_high;
    ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND
    *w0 = c0, *w1 = c1, *w2 = c2, *w3 = c3;
}

// The four words of VW counters.
static inline void philox(const uint8 address, const UV block, UV *w0, UV *w1, UV *w2, UV *w3) {
    philox_at(address, block, (UV)(address.s3), (UV)(address.s4), w0, w1, w2, w3);
}

// The word of each of VW elements. `first` may be beyond 32 bits, the counter of an element is not.
static inline UV words_of(const uint8 address, const ulong first) {
    const UV lane = (UV)((uint)(first & 3)) + OFFSETS;
    UV w0, w1, w2, w3;
    philox(address, (UV)((uint)(first >> 2)) + (lane >> 2), &w0, &w1, &w2, &w3);
    // The masks are all ones or all zeros, in scalars and in vectors alike.
    const UV odd = (UV)(0) - (lane & 1u), upper = (UV)(0) - ((lane >> 1) & 1u);
    const UV low = (w1 & odd) | (w0 & ~odd), high = (w3 & odd) | (w2 & ~odd);
    return (high & upper) | (low & ~upper);
}

// 1 where word < limit, as a number.
#if VW == 1
#define IS_BELOW(word, limit) ((REAL)((word) < (limit)))
#else
#define IS_BELOW(word, limit) TO_V(((word) < (limit) ? (UV)(1) : (UV)(0)))
#endif

#if DOUBLE
#define UNIFORM(word) ((TO_V(word) + HALF) * (V)(1.0 / 4294967296.0))
#else
#define UNIFORM(word) fmin((TO_V(word) + HALF) * (V)(1.0f / 4294967296.0f), (V)(1.0f - EPSILON_HALF))
#endif

// 1 where word < probability · 2³², exactly: an integer is below a number where it is below its ceiling.
static inline V drawn(const UV word, const V probability) {
    const V limit = ceil(probability * (V)((REAL)4294967296.0));
#if VW == 1
    const V below = IS_BELOW(word, JOIN(JOIN(convert_uint, ), _sat)(limit));
#else
    const V below = IS_BELOW(word, JOIN(JOIN(convert_uint, VW), _sat)(limit));
#endif
    return limit >= (V)((REAL)4294967296.0) ? ONE : below;
}

// out[i] = (word + ½)/2³², below 1
kernel void fill_uniform(const uint n, const uint8 address, OUT(out)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(out);
    store(UNIFORM(words_of(address, i)), out + i, n - i);
}

// √(−2 ln u) for the uniform number u of a word, accurate at both ends: near 1, ln u is ln(1 − v) with v = 1 − u kept whole.
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

// Four standard normal numbers of each counter (Box and Muller 1958): √(−2 ln u0)·(cos, sin) 2πu1, and the same from u2, u3.
static inline void normal_quads(const UV w0, const UV w1, const UV w2, const UV w3, REAL lanes[4][VW]) {
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
kernel void fill_normal(const uint n, const uint8 address, OUT(out)) {
    const size_t i = 4 * VW * get_global_id(0);
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

// out[r, c] = standard normal; row r is sample first_sample + r mod samples of example r div samples, whose step is that of the address
// plus the example, and which has ⌈columns/4⌉ blocks for each sample. Launch: a work-item for each VW of the n blocks of all rows.
kernel void fill_normal_rows(const uint n, const uint8 address, const uint columns, const uint samples,
                             const uint first_sample, OUT(out)) {
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
    philox_at(address, JOIN(vload, VW)(0, block), JOIN(vload, VW)(0, step_low), JOIN(vload, VW)(0, step_high), &w0, &w1,
              &w2, &w3);
#endif
    REAL lanes[4][VW];
    normal_quads(w0, w1, w2, w3, lanes);
    for (uint k = 0; k < VW && first + k < n; k++) {
        const uint column = 4 * ((first + k) % blocks);
        const size_t start = (size_t)((first + k) / blocks) * columns + column;
        for (uint lane = 0; lane < 4 && column + lane < columns; lane++)
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
kernel void dropout(const uint n, const uint8 address, const uint first_kept, const REAL kept_share, IN(x), OUT(out)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(x), GO(out);
    const V is_dropped = IS_BELOW(words_of(address, i), (UV)(first_kept));
    const V kept = kept_share == 0 ? ZERO : load(x + i, n - i) / kept_share;
    store(is_dropped > ZERO ? ZERO : kept, out + i, n - i);
}

// A batch of images: out[r, d] = map(pixels[indices[r], d]). The draw of image n, pixel d is element n·columns + d.
// The host has checked the indices. Launch: (columns by VW, images of the batch).
#define GATHER_PIXELS(name, type, value)                                                                               \
    kernel void gather_pixels_##name(const uint columns, const uint8 address, const REAL factor,                       \
                                     global const type *restrict pixels, const ulong pixels_first,                     \
                                     global const uint *restrict indices, const ulong indices_first, OUT(out)) {       \
        const size_t c = VW * get_global_id(0), row = get_global_id(1);                                                \
        if (c >= columns)                                                                                              \
            return;                                                                                                    \
        GO(pixels), GO(indices), GO(out);                                                                              \
        const size_t left = columns - c;                                                                               \
        const ulong element = (ulong)indices[row] * columns + c;                                                       \
        store(value, out + row * columns + c, left);                                                                   \
    }

// VW pixels of a byte each, as numbers; those that do not exist are 0.
static inline V load_bytes(global const uchar *p, const size_t left) {
#if VW == 1
    return (REAL)*p;
#else
    if (left >= VW)
        return TO_V(JOIN(vload, VW)(0, p));
    uchar values[VW];
    for (uint k = 0; k < VW; k++)
        values[k] = k < left ? p[k] : 0;
    return TO_V(JOIN(vload, VW)(0, values));
#endif
}

// The probability of a byte p is round(p·2³²/255)/2³². As 2³² = 255·16843009 + 1, the rounded number is p·16843009, plus 1 from p = 128 on; it is
// compared less 1, since for p = 255 it is 2³² itself.
static inline V drawn_byte(const UV word, const V pixel) {
#if VW == 1
    const UV p = convert_uint(pixel);
#else
    const UV p = JOIN(convert_uint, VW)(pixel);
#endif
    const UV last = p * 16843009u + (p >> 7) - 1u;
    return pixel > ZERO ? ONE - IS_BELOW(last, word) : ZERO;
}

// pixel · factor ≥ ½, decided as the processor does, in double where there is one.
static inline V is_bright(const V pixel, const WIDE factor) {
#if VW == 1
    return (WIDE)pixel * factor >= (WIDE)0.5 ? ONE : ZERO;
#else
    const WIDE_V bright = TO_WIDE(pixel) * factor >= (WIDE_V)((WIDE)0.5) ? (WIDE_V)(1) : (WIDE_V)(0);
    return TO_V(bright);
#endif
}

GATHER_PIXELS(scale_u8, uchar, load_bytes(pixels + element, left) * factor)
GATHER_PIXELS(scale_real, REAL, load(pixels + element, left) * factor)
GATHER_PIXELS(bernoulli_u8, uchar, drawn_byte(words_of(address, element), load_bytes(pixels + element, left)))
GATHER_PIXELS(bernoulli_real, REAL, drawn(words_of(address, element), load(pixels + element, left)))
GATHER_PIXELS(dequantise_u8, uchar,
              (load_bytes(pixels + element, left) + UNIFORM(words_of(address, element))) * factor)
GATHER_PIXELS(dequantise_real, REAL, (load(pixels + element, left) + UNIFORM(words_of(address, element))) * factor)

// The factor of a threshold is not rounded to the type of the pixels.
#define THRESHOLD_PIXELS(name, type, pixel)                                                                            \
    kernel void gather_pixels_threshold_##name(const uint columns, const WIDE factor,                                  \
                                               global const type *restrict pixels, const ulong pixels_first,           \
                                               global const uint *restrict indices, const ulong indices_first,         \
                                               OUT(out)) {                                                             \
        const size_t c = VW * get_global_id(0), row = get_global_id(1);                                                \
        if (c >= columns)                                                                                              \
            return;                                                                                                    \
        GO(pixels), GO(indices), GO(out);                                                                              \
        const size_t left = columns - c, element = (size_t)indices[row] * columns + c;                                 \
        store(is_bright(pixel, factor), out + row * columns + c, left);                                                \
    }
THRESHOLD_PIXELS(u8, uchar, load_bytes(pixels + element, left))
THRESHOLD_PIXELS(real, REAL, load(pixels + element, left))
