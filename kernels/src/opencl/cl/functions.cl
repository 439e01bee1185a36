// The functions of one number: value_NAME(x), derivative_NAME(saved) from x or from y = f(x), and
// derivative_at_NAME(x) from x always.
//
// The host appends a line for each row of its table of functions (`function/unary.rs`), such as
//     FUNCTION_OF_Input(relu, x < ZERO ? ZERO : x, x > ZERO ? ONE : ZERO)
// with name, value, derivative, and what the latter is computed from; then FOR_EACH_FUNCTION(WITH),
// which is WITH(name) for each of them. `a` and `b` are the function's parameters.

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

#define FUNCTION_OF_Input(name, value, derivative)                                                 \
    static inline V value_##name(const V x, const REAL a, const REAL b) { return value; }          \
    static inline V derivative_##name(const V x, const REAL a, const REAL b) {                     \
        return derivative;                                                                         \
    }                                                                                              \
    static inline V derivative_at_##name(const V x, const REAL a, const REAL b) {                  \
        return derivative_##name(x, a, b);                                                         \
    }
#define FUNCTION_OF_Output(name, value, derivative)                                                \
    static inline V value_##name(const V x, const REAL a, const REAL b) { return value; }          \
    static inline V derivative_##name(const V y, const REAL a, const REAL b) {                     \
        return derivative;                                                                         \
    }                                                                                              \
    static inline V derivative_at_##name(const V x, const REAL a, const REAL b) {                  \
        return derivative_##name(value_##name(x, a, b), a, b);                                     \
    }
// A constant derivative can be taken from either.
#define FUNCTION_OF_Nothing FUNCTION_OF_Input
