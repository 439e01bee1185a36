// The likelihood of pixels under mixtures of discretised logistics. A work-item is a pixel; all
// numbers here are scalars.
//
// A pixel's `per_pixel` parameters: n mixture logits, then for each channel n means, n log-scales
// and, with three channels, n raw coefficients (`group` is 2 or 3). Data are [images / repeat,
// pixels, channels] on [−1, 1]; h is half the distance of two values.

#define LEAST_LOG_SCALE ((REAL)-7)

typedef struct {
    REAL above, below, inverse_scale, width;
    bool is_least, is_largest, is_clamped;
} Bin;

static inline REAL sigmoid_scalar(const REAL x) {
    const REAL small = exp(-fabs(x));
    return (x >= 0 ? (REAL)1 : small) / (1 + small);
}

// The bin of x from A = S(x − μ + h) down to B = S(x − μ − h); the outermost bins are half open.
static inline Bin bin_of(const REAL x, const REAL mean, const REAL log_scale, const REAL h) {
    const REAL inverse_scale = exp(-fmax(log_scale, LEAST_LOG_SCALE)), edge = 1 - h / 2;
    const Bin bin = {inverse_scale * (x - mean + h),
                     inverse_scale * (x - mean - h),
                     inverse_scale,
                     2 * h * inverse_scale,
                     x<-edge, x>
                         edge,
                     log_scale < LEAST_LOG_SCALE};
    return bin;
}

// ln(1 − e^−width) − softplus(−A) − softplus(B)
static inline REAL log_prob_of(const Bin bin) {
    const REAL above =
        bin.is_largest ? (REAL)0 : fmax(-bin.above, (REAL)0) + log1p(exp(-fabs(bin.above)));
    const REAL below =
        bin.is_least ? (REAL)0 : fmax(bin.below, (REAL)0) + log1p(exp(-fabs(bin.below)));
    return (bin.is_least || bin.is_largest ? (REAL)0 : log(-expm1(-bin.width))) - above - below;
}

// Number `kind` (mean 0, log-scale 1, raw coefficient 2) of a channel, for component j.
#define PLACE(channel, kind) ((1 + (channel)*group + (kind)) * components + j)

// The mean of a channel, pulled by the true colours before it.
static inline REAL mean_of(const uint channel, const uint j, const uint components,
                           const uint group, global const REAL *parameters, global const REAL *x) {
    const REAL own = parameters[PLACE(channel, 0)];
    if (channel == 0)
        return own;
    if (channel == 1)
        return own + tanh(parameters[PLACE(0, 2)]) * x[0];
    return own + tanh(parameters[PLACE(1, 2)]) * x[0] + tanh(parameters[PLACE(2, 2)]) * x[1];
}

// The logit of component j plus its log-probability.
static inline REAL joint_of(const uint j, const uint channels, const uint components,
                            const uint group, const REAL h, global const REAL *parameters,
                            global const REAL *x) {
    REAL joint = parameters[j];
    for (uint c = 0; c < channels; c++) {
        const REAL mean = mean_of(c, j, components, group, parameters, x);
        joint += log_prob_of(bin_of(x[c], mean, parameters[PLACE(c, 1)], h));
    }
    return joint;
}

// ln Σ exp, term by term: the largest so far, and the sum relative to it.
typedef struct {
    REAL largest, sum;
} Running;

static inline Running with_term(const Running before, const REAL term) {
    const REAL now = fmax(before.largest, term);
    const Running after = {now, before.sum * exp(before.largest - now) + exp(term - now)};
    return after;
}

// ln Σ_j of the logits, and of the logits with the components' log-probabilities. Inlined, since a
// call takes memory on AMD's GPUs.
static inline __attribute__((always_inline)) void
normalise(const uint channels, const uint components, const uint group, const REAL h,
          global const REAL *parameters, global const REAL *x, REAL *weights, REAL *joints) {
    Running weight = {-INFINITY, 0}, joint = {-INFINITY, 0};
    for (uint j = 0; j < components; j++) {
        weight = with_term(weight, parameters[j]);
        joint = with_term(joint, joint_of(j, channels, components, group, h, parameters, x));
    }
    *weights = weight.largest + log(weight.sum);
    *joints = joint.largest + log(joint.sum);
}

// Moves to the parameters and the data of this work-item's pixel.
#define GO_TO_PIXEL                                                                                \
    const uint group = channels == 1 ? 2 : 3, per_pixel = components * (1 + channels * group);     \
    GO(x), GO(parameters);                                                                         \
    parameters += at * per_pixel;                                                                  \
    x += (at / pixels / repeat * pixels + at % pixels) * channels;

// out[image, pixel] = ln Σ_j π_j Π_c P. Launch: a work-item for each of `count` pixels of all
// images.
kernel void log_prob(const uint count, const uint pixels, const uint repeat, const uint channels,
                     const uint components, const REAL h, IN(x), IN(parameters), OUT(out)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(out);
    GO_TO_PIXEL
    REAL weights, joints;
    normalise(channels, components, group, h, parameters, x, &weights, &joints);
    out[at] = joints - weights;
}

// The adjoints of a pixel's parameters; the formulas are those of the contract. Launch: as above.
kernel void log_prob_backward(const uint count, const uint pixels, const uint repeat,
                              const uint channels, const uint components, const REAL h, IN(x),
                              IN(parameters), IN(grad_out), OUT(grad_parameters)) {
    const size_t at = get_global_id(0);
    if (at >= count)
        return;
    GO(grad_out), GO(grad_parameters);
    GO_TO_PIXEL
    grad_parameters += at * per_pixel;
    REAL weights, joints;
    normalise(channels, components, group, h, parameters, x, &weights, &joints);
    const REAL grad = grad_out[at / pixels];
    for (uint j = 0; j < components; j++) {
        const REAL joint = joint_of(j, channels, components, group, h, parameters, x);
        const REAL responsibility = grad * exp(joint - joints);
        grad_parameters[j] = responsibility - grad * exp(parameters[j] - weights);
        for (uint c = 0; c < channels; c++) {
            const Bin bin = bin_of(x[c], mean_of(c, j, components, group, parameters, x),
                                   parameters[PLACE(c, 1)], h);
            const REAL above = bin.is_largest ? (REAL)1 : sigmoid_scalar(bin.above);
            const REAL below = bin.is_least ? (REAL)0 : sigmoid_scalar(bin.below);
            const REAL of_width =
                bin.is_least || bin.is_largest ? (REAL)0 : bin.width / expm1(bin.width);
            const REAL of_log_scale = bin.below * below - bin.above * (1 - above) - of_width;
            grad_parameters[PLACE(c, 0)] =
                -responsibility * bin.inverse_scale * (1 - above - below);
            grad_parameters[PLACE(c, 1)] = bin.is_clamped ? (REAL)0 : responsibility * of_log_scale;
        }
        // The coefficients of red's, green's and blue's group pull green by red, blue by red, and
        // blue by green. The gradients of their means are read back: an array indexed by channel
        // would lie in memory too.
        for (uint c = 0; channels == 3 && c < 3; c++) {
            const REAL k = tanh(parameters[PLACE(c, 2)]);
            grad_parameters[PLACE(c, 2)] =
                grad_parameters[PLACE(c == 0 ? 1 : 2, 0)] * (1 - k * k) * x[c == 2 ? 1 : 0];
        }
    }
}
