// Words of Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011), each number a function of its address.
//
// Element e of an address takes word e mod 4 of the counter [e div 4, stream, step low, step high]
// under the key [seed low, seed high]. The integers are those of the CPU, bit for bit. address: .s0
// .s1 the key, .s2 the stream, .s3 .s4 the step.

#define ROUND                                                                                      \
    {                                                                                              \
        const UV high_0 = mul_hi((UV)(0xD2511F53u), c0), low_0 = 0xD2511F53u * c0;                 \
        const UV high_1 = mul_hi((UV)(0xCD9E8D57u), c2), low_1 = 0xCD9E8D57u * c2;                 \
        c0 = high_1 ^ c1 ^ k0, c1 = low_1;                                                         \
        c2 = high_0 ^ c3 ^ k1, c3 = low_0;                                                         \
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;                                                      \
    }

// The four words of VW counters, which may be of different steps.
static inline void philox_at(const uint8 address, const UV block, const UV step_low,
                             const UV step_high, UV *w0, UV *w1, UV *w2, UV *w3) {
    uint k0 = address.s0, k1 = address.s1;
    UV c0 = block, c1 = (UV)(address.s2), c2 = step_low, c3 = step_high;
    ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND ROUND *w0 = c0, *w1 = c1, *w2 = c2,
                                                                *w3 = c3;
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
#define UNIFORM(word)                                                                              \
    fmin((TO_V(word) + HALF) * (V)(1.0f / 4294967296.0f), (V)(1.0f - EPSILON_HALF))
#endif

// 1 where word < probability · 2³², exactly: an integer is below a number where it is below its
// ceiling.
static inline V drawn(const UV word, const V probability) {
    const V limit = ceil(probability * (V)((REAL)4294967296.0));
#if VW == 1
    const V below = IS_BELOW(word, JOIN(JOIN(convert_uint, ), _sat)(limit));
#else
    const V below = IS_BELOW(word, JOIN(JOIN(convert_uint, VW), _sat)(limit));
#endif
    return limit >= (V)((REAL)4294967296.0) ? ONE : below;
}
