// The functions of one number: value_NAME(x), slope_NAME(saved) from x or from y = f(x), and slope_at_NAME(x) from x always.
//
// `a` and `b` are parameters. A comparison with NaN is false; the branches are ordered such that NaN stays NaN.

static inline V sigmoid_of(const V x) {
    const V small = exp(-fabs(x));
    return (x >= ZERO ? ONE : small) / (ONE + small);
}

static inline V softplus_of(const V x) { return (x > ZERO ? x : ZERO) + log1p(exp(-fabs(x))); }

static inline V clamped(const V x, const REAL low, const REAL high) {
    const V raised = x < (V)(low) ? (V)(low) : x;
    return raised > (V)(high) ? (V)(high) : raised;
}

static inline V sign_of(const V x) { return x > ZERO ? ONE : (x < ZERO ? -ONE : ZERO); }

// One line for each function: name, value from x, slope from x or y, slope from x.
#define FROM_INPUT(name, value, slope_at)                                                                              \
    static inline V value_##name(const V x, const REAL a, const REAL b) { return value; }                              \
    static inline V slope_at_##name(const V x, const REAL a, const REAL b) { return slope_at; }                        \
    static inline V slope_##name(const V saved, const REAL a, const REAL b) { return slope_at_##name(saved, a, b); }
#define FROM_OUTPUT(name, value, slope)                                                                                \
    static inline V value_##name(const V x, const REAL a, const REAL b) { return value; }                              \
    static inline V slope_##name(const V y, const REAL a, const REAL b) { return slope; }                              \
    static inline V slope_at_##name(const V x, const REAL a, const REAL b) { return slope_##name(value_##name(x, a, b), a, b); }

FROM_INPUT(identity, x, ONE)
FROM_INPUT(negate, -x, -ONE)
FROM_OUTPUT(exp, exp(x), y)
FROM_INPUT(log, log(x), ONE / x)
FROM_OUTPUT(sqrt, sqrt(x), HALF / y)
FROM_INPUT(square, x *x, x + x)
FROM_OUTPUT(reciprocal, ONE / x, -(y * y))
FROM_INPUT(power, pow(x, (V)(a)), a *pow(x, (V)(a - 1)))
FROM_INPUT(abs, fabs(x), sign_of(x))
FROM_INPUT(relu, x < ZERO ? ZERO : x, x > ZERO ? ONE : ZERO)
FROM_INPUT(leaky_relu, x > ZERO ? x : a * x, x > ZERO ? ONE : (V)(a))
FROM_INPUT(elu, x > ZERO ? x : a * expm1(x), x > ZERO ? ONE : a * exp(x))
FROM_OUTPUT(tanh, tanh(x), ONE - y * y)
FROM_OUTPUT(sigmoid, sigmoid_of(x), y *(ONE - y))
FROM_INPUT(softplus, softplus_of(x), sigmoid_of(x))
FROM_INPUT(sin, sin(x), cos(x))
FROM_INPUT(cos, cos(x), -sin(x))
FROM_INPUT(clamp, clamped(x, a, b), (x > (V)(a)) && (x < (V)(b)) ? ONE : ZERO)
FROM_INPUT(affine, a *x + b, (V)(a))

// All of them, for the kernels that are written once for each.
#define FOR_EACH_FUNCTION(WITH)                                                                                        \
    WITH(identity)                                                                                                     \
    WITH(negate)                                                                                                       \
    WITH(exp)                                                                                                          \
    WITH(log)                                                                                                          \
    WITH(sqrt)                                                                                                         \
    WITH(square)                                                                                                       \
    WITH(reciprocal)                                                                                                   \
    WITH(power)                                                                                                        \
    WITH(abs)                                                                                                          \
    WITH(relu)                                                                                                         \
    WITH(leaky_relu)                                                                                                   \
    WITH(elu)                                                                                                          \
    WITH(tanh)                                                                                                         \
    WITH(sigmoid)                                                                                                      \
    WITH(softplus)                                                                                                     \
    WITH(sin)                                                                                                          \
    WITH(cos)                                                                                                          \
    WITH(clamp)                                                                                                        \
    WITH(affine)
