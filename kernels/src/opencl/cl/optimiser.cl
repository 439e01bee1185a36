// Optimisers: one pass over all parameters, their gradient and their moments. Launch: a work-item
// for each VW elements.

// min(n, norm_limit)/(n + 10⁻⁷) with n = √squared_norm; 1 for an infinite limit.
static inline REAL clip_factor(const WIDE squared_norm, const WIDE norm_limit) {
    const WIDE norm = sqrt(squared_norm);
    // Written such that a norm that is NaN makes the gradient NaN.
    const WIDE clipped = norm > norm_limit ? norm_limit : norm;
    return isinf(norm_limit) ? (REAL)1 : (REAL)(clipped / (norm + (WIDE)1e-7));
}

// g ← clamp(g · min(n, norm_limit)/(n + 10⁻⁷), ±element_limit) with n = √squared_norm[0]; an
// infinite limit does nothing
kernel void clip_gradient(const uint n, const WIDE norm_limit, const REAL element_limit,
                          IN(squared_norm), OUT(gradient)) {
    const size_t i = VW * get_global_id(0);
    if (i >= n)
        return;
    GO(squared_norm), GO(gradient);
    const REAL factor = clip_factor((WIDE)squared_norm[0], norm_limit);
    store(clamped(load(gradient + i, n - i) * factor, -element_limit, element_limit), gradient + i,
          n - i);
}

// m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  θ ← θ − rate·m/(√v + ε), with g clipped as above where
// there is a squared_norm
kernel void adam(const uint n, const REAL rate, const REAL keep_1, const REAL add_1,
                 const REAL keep_2, const REAL add_2, const REAL epsilon, const WIDE norm_limit,
                 const REAL element_limit, MAYBE_IN(squared_norm), IN(gradient), OUT(value),
                 OUT(first), OUT(second)) {
    const size_t i = VW * get_global_id(0), left = n - i;
    if (i >= n)
        return;
    GO(gradient), GO(value), GO(first), GO(second);
    GO_IF(squared_norm);
    V g = load(gradient + i, left);
    if (squared_norm)
        g = clamped(g * clip_factor((WIDE)squared_norm[0], norm_limit), -element_limit,
                    element_limit);
    const V m = keep_1 * load(first + i, left) + add_1 * g;
    const V v = keep_2 * load(second + i, left) + add_2 * (g * g);
    store(m, first + i, left);
    store(v, second + i, left);
    store(load(value + i, left) - rate * m / (sqrt(v) + epsilon), value + i, left);
}

// m ← β₁m + (1−β₁)g;  u ← max(β₂u, |g|);  θ ← θ − rate·m/(u + ε)
kernel void adamax(const uint n, const REAL rate, const REAL keep_1, const REAL add_1,
                   const REAL keep_2, const REAL epsilon, IN(gradient), OUT(value), OUT(first),
                   OUT(norm)) {
    const size_t i = VW * get_global_id(0), left = n - i;
    if (i >= n)
        return;
    GO(gradient), GO(value), GO(first), GO(norm);
    const V g = load(gradient + i, left);
    const V m = keep_1 * load(first + i, left) + add_1 * g;
    const V decayed = keep_2 * load(norm + i, left), magnitude = fabs(g);
    const V u = decayed > magnitude ? decayed : magnitude;
    store(m, first + i, left);
    store(u, norm + i, left);
    store(load(value + i, left) - rate * m / (u + epsilon), value + i, left);
}

// v ← βv + (1−β)g²;  θ ← θ − rate·g/√(v + ε), with g clipped as above where there is a squared_norm
kernel void rmsprop(const uint n, const REAL rate, const REAL keep, const REAL add,
                    const REAL epsilon, const WIDE norm_limit, const REAL element_limit,
                    MAYBE_IN(squared_norm), IN(gradient), OUT(value), OUT(mean_square)) {
    const size_t i = VW * get_global_id(0), left = n - i;
    if (i >= n)
        return;
    GO(gradient), GO(value), GO(mean_square);
    GO_IF(squared_norm);
    V g = load(gradient + i, left);
    if (squared_norm)
        g = clamped(g * clip_factor((WIDE)squared_norm[0], norm_limit), -element_limit,
                    element_limit);
    const V v = keep * load(mean_square + i, left) + add * (g * g);
    store(v, mean_square + i, left);
    store(load(value + i, left) - rate * g / sqrt(v + epsilon), value + i, left);
}

// velocity ← μ·velocity + g;  value ← value − rate·velocity
kernel void sgd(const uint n, const REAL rate, const REAL momentum, IN(gradient), OUT(value),
                OUT(velocity)) {
    const size_t i = VW * get_global_id(0), left = n - i;
    if (i >= n)
        return;
    GO(gradient), GO(value), GO(velocity);
    const V next = momentum * load(velocity + i, left) + load(gradient + i, left);
    store(next, velocity + i, left);
    store(load(value + i, left) - rate * next, value + i, left);
}
