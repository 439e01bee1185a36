// A batch of images gathered, and binarised or dequantised, in one pass; the words are from
// philox.cl.

// A batch of images: out[r, d] = map(pixels[indices[r], d]). The draw of image n, pixel d is
// element n·columns + d. The host has checked the indices. Launch: (columns by VW, images of the
// batch).
#define GATHER_PIXELS(name, type, value)                                                           \
    kernel void gather_pixels_##name(const uint columns, const uint8 address, const REAL factor,   \
                                     global const type *restrict pixels, const ulong pixels_first, \
                                     global const uint *restrict indices,                          \
                                     const ulong indices_first, OUT(out)) {                        \
        const size_t c = VW * get_global_id(0), row = get_global_id(1);                            \
        if (c >= columns)                                                                          \
            return;                                                                                \
        GO(pixels), GO(indices), GO(out);                                                          \
        const size_t left = columns - c;                                                           \
        const ulong element = (ulong)indices[row] * columns + c;                                   \
        store(value, out + row * columns + c, left);                                               \
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

// The probability of a byte p is round(p·2³²/255)/2³². As 2³² = 255·16843009 + 1, the rounded
// number is p·16843009, plus 1 from p = 128 on; it is compared less 1, since for p = 255 it is 2³²
// itself.
static inline V drawn_byte(const UV word, const V pixel) {
#if VW == 1
    const UV p = convert_uint(pixel);
#else
    const UV p = JOIN(convert_uint, VW)(pixel);
#endif
    const UV last = p * 16843009u + (p >> 7) - 1u;
    return pixel > ZERO ? ONE - IS_BELOW(last, word) : ZERO;
}

// pixel · factor ≥ ½, decided as the CPU does, in double where there is one.
static inline V is_bright(const V pixel, const WIDE factor) {
#if VW == 1
    return (WIDE)pixel * factor >= (WIDE)0.5 ? ONE : ZERO;
#else
    const WIDE_V bright =
        TO_WIDE(pixel) * factor >= (WIDE_V)((WIDE)0.5) ? (WIDE_V)(1) : (WIDE_V)(0);
    return TO_V(bright);
#endif
}

GATHER_PIXELS(scale_u8, uchar, load_bytes(pixels + element, left) * factor)
GATHER_PIXELS(scale_real, REAL, load(pixels + element, left) * factor)
GATHER_PIXELS(bernoulli_u8, uchar,
              drawn_byte(words_of(address, element), load_bytes(pixels + element, left)))
GATHER_PIXELS(bernoulli_real, REAL, drawn(words_of(address, element), load(pixels + element, left)))
GATHER_PIXELS(dequantise_u8, uchar,
              (load_bytes(pixels + element, left) + UNIFORM(words_of(address, element))) * factor)
GATHER_PIXELS(dequantise_real, REAL,
              (load(pixels + element, left) + UNIFORM(words_of(address, element))) * factor)

// The factor of a threshold is not rounded to the type of the pixels.
#define THRESHOLD_PIXELS(name, type, pixel)                                                        \
    kernel void gather_pixels_threshold_##name(                                                    \
        const uint columns, const WIDE factor, global const type *restrict pixels,                 \
        const ulong pixels_first, global const uint *restrict indices, const ulong indices_first,  \
        OUT(out)) {                                                                                \
        const size_t c = VW * get_global_id(0), row = get_global_id(1);                            \
        if (c >= columns)                                                                          \
            return;                                                                                \
        GO(pixels), GO(indices), GO(out);                                                          \
        const size_t left = columns - c, element = (size_t)indices[row] * columns + c;             \
        store(is_bright(pixel, factor), out + row * columns + c, left);                            \
    }
THRESHOLD_PIXELS(u8, uchar, load_bytes(pixels + element, left))
THRESHOLD_PIXELS(real, REAL, load(pixels + element, left))
