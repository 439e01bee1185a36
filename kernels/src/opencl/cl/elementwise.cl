// Element by element: functions of one number and their adjoints, functions of two with
// broadcasting, and a·x + b·out.
//
// Launch: a work-item for each VW elements (of a row, for the functions of two). `n > 0`.

// out[i] = f(x[i])
#define UNARY(name)                                                                                \
    kernel void unary_##name(const uint n, const REAL a, const REAL b, IN(x), OUT(out)) {          \
        const size_t i = VW * get_global_id(0);                                                    \
        if (i >= n)                                                                                \
            return;                                                                                \
        GO(x), GO(out);                                                                            \
        store(value_##name(load(x + i, n - i), a, b), out + i, n - i);                             \
    }
FOR_EACH_FUNCTION(UNARY)

// grad_x[i] = grad_out[i] · f′, from x or from f(x)
#define UNARY_BACKWARD(name)                                                                       \
    kernel void unary_backward_##name(const uint n, const REAL a, const REAL b, IN(saved),         \
                                      IN(grad_out), OUT(grad_x)) {                                 \
        const size_t i = VW * get_global_id(0);                                                    \
        if (i >= n)                                                                                \
            return;                                                                                \
        GO(saved), GO(grad_out), GO(grad_x);                                                       \
        store(load(grad_out + i, n - i) * derivative_##name(load(saved + i, n - i), a, b),         \
              grad_x + i, n - i);                                                                  \
    }
FOR_EACH_FUNCTION(UNARY_BACKWARD)

// out[i] = a·x[i] + b·out[i]
BODY scaled_sum(const uint n, const REAL a, const REAL b, IN(x), OUT(out), const size_t item_x) {
    const size_t i = VW * item_x;
    if (i >= n)
        return;
    GO(x), GO(out);
    store(a * load(x + i, n - i) + b * load(out + i, n - i), out + i, n - i);
}

#define SCALE_AND_ADD(k) const uint n##k, const REAL a##k, const REAL b##k, IN(x##k), OUT(out##k)

kernel void scale_and_add(SCALE_AND_ADD()) {
    scaled_sum(n, a, b, ARRAY(x), ARRAY(out), get_global_id(0));
}

kernel void scale_and_add_joined(JOINED, FOR_PROBLEMS(SCALE_AND_ADD)) {
    JOINED_START
    scaled_sum(PICK(n), PICK(a), PICK(b), PICK_ARRAY(x), PICK_ARRAY(out), item_x);
}

// VW elements at a distance of `stride`, of which `left` exist.
static inline V load_strided(global const REAL *p, const uint stride, const size_t left) {
    if (stride == 1)
        return load(p, left);
    if (stride == 0)
        return (V)(*p);
#if VW == 1
    return *p;
#else
    REAL values[VW];
    for (uint k = 0; k < VW; k++)
        values[k] = k < left ? p[(size_t)k * stride] : (REAL)1;
    return JOIN(vload, VW)(0, values);
#endif
}

// out = f(left, right), where the last of six axes is walked by vectors and the others give the
// start of a row. Launch: (vectors of a row, rows). sizes, strides: the six axes in .s0 to .s5; a
// stride of 0 repeats an element.
#define BINARY(name, value)                                                                        \
    kernel void binary_##name(const uint8 sizes, const uint8 left_strides,                         \
                              const uint8 right_strides, IN(left), IN(right), OUT(out)) {          \
        const size_t c = VW * get_global_id(0), row = get_global_id(1);                            \
        const uint width = sizes.s5;                                                               \
        if (c >= width)                                                                            \
            return;                                                                                \
        GO(left), GO(right), GO(out);                                                              \
        size_t rest = row, from_left = c * left_strides.s5, from_right = c * right_strides.s5;     \
        STEP(s4)                                                                                   \
        STEP(s3)                                                                                   \
        STEP(s2)                                                                                   \
        STEP(s1) STEP(s0) const V l = load_strided(left + from_left, left_strides.s5, width - c);  \
        const V r = load_strided(right + from_right, right_strides.s5, width - c);                 \
        store(value, out + row * width + c, width - c);                                            \
    }
#define STEP(axis)                                                                                 \
    from_left += rest % sizes.axis * left_strides.axis;                                            \
    from_right += rest % sizes.axis * right_strides.axis;                                          \
    rest /= sizes.axis;

FOR_EACH_BINARY_FUNCTION(BINARY)
