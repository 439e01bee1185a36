// Spatial transformers (Jaderberg et al. 2015): affine grids, and bilinear sampling with its
// adjoints. Maps are [image, height, width, channels], positions are pairs (x, y) in pixels,
// `per_image` of them one after the other for each image.

// Twice the distance of a position from the middle of `size` of them.
#define FROM_MIDDLE(at, size) ((REAL)(2 * (int)(at) - ((int)(size)-1)))

// (x, y) = middle + θ₁·x_j·along + θ₂·y_i·down + θ₃·middle, x_j and y_i counted from the middle of
// the grid; the host makes the steps. Launch: a work-item for each of n positions.
kernel void affine_grid(const uint height, const uint width, const REAL along_x, const REAL down_x,
                        const REAL middle_x, const REAL along_y, const REAL down_y,
                        const REAL middle_y, const uint n, IN(theta), OUT(out)) {
    const size_t at = get_global_id(0);
    if (at >= n)
        return;
    GO(theta), GO(out);
    const REAL x = FROM_MIDDLE(at % width, width), y = FROM_MIDDLE(at / width % height, height);
    theta += at / ((size_t)height * width) * 6;
    const REAL moved_x = theta[0] * (x * along_x) + theta[1] * (y * down_x) + theta[2] * middle_x;
    const REAL moved_y = theta[3] * (x * along_y) + theta[4] * (y * down_y) + theta[5] * middle_y;
    out[2 * at] = middle_x + moved_x;
    out[2 * at + 1] = middle_y + moved_y;
}

// grad_theta of one transform: sums over its positions. Launch: groups of LANES work-items that
// share a transform.
kernel void affine_grid_backward(const uint height, const uint width, const REAL along_x,
                                 const REAL down_x, const REAL middle_x, const REAL along_y,
                                 const REAL down_y, const REAL middle_y, IN(grad_out),
                                 OUT(grad_theta)) {
    ROW_SCRATCH(scratch_0)
    ROW_SCRATCH(scratch_1)
    ROW_SCRATCH(scratch_2)
    ROW_SCRATCH(scratch_3)
    ROW_SCRATCH(scratch_4)
    ROW_SCRATCH(scratch_5)
    const size_t row = get_global_id(1), positions = (size_t)height * width;
    GO(grad_out), GO(grad_theta);
    grad_out += 2 * row * positions;
    WIDE sums[6] = {0, 0, 0, 0, 0, 0};
    for (size_t at = get_local_id(0); at < positions; at += LANES) {
        const WIDE x = FROM_MIDDLE(at % width, width), y = FROM_MIDDLE(at / width, height);
        const WIDE grad_x = grad_out[2 * at], grad_y = grad_out[2 * at + 1];
        sums[0] += grad_x * x;
        sums[1] += grad_x * y;
        sums[2] += grad_x;
        sums[3] += grad_y * x;
        sums[4] += grad_y * y;
        sums[5] += grad_y;
    }
    const WIDE total_0 = ROW_SUM(sums[0], scratch_0), total_1 = ROW_SUM(sums[1], scratch_1);
    const WIDE total_2 = ROW_SUM(sums[2], scratch_2), total_3 = ROW_SUM(sums[3], scratch_3);
    const WIDE total_4 = ROW_SUM(sums[4], scratch_4), total_5 = ROW_SUM(sums[5], scratch_5);
    if (get_local_id(0) != 0)
        return;
    grad_theta += 6 * row;
    grad_theta[0] = (REAL)(total_0 * along_x);
    grad_theta[1] = (REAL)(total_1 * down_x);
    grad_theta[2] = (REAL)(total_2 * middle_x);
    grad_theta[3] = (REAL)(total_3 * along_y);
    grad_theta[4] = (REAL)(total_4 * down_y);
    grad_theta[5] = (REAL)(total_5 * middle_y);
}

// What is outside of the image: the host's numbers.
#define ZEROS 0
#define BORDER 1

// The two pixels that a position lies between along an axis: their indices, their weights, and the
// derivatives of these. A position that is NaN has weights that are NaN.
typedef struct {
    uint index[2];
    REAL weight[2];
    REAL slope[2];
} Neighbours;

static inline Neighbours neighbours(const REAL position, const uint size, const uint outside) {
    Neighbours near;
    const REAL low = floor(position), last = (REAL)(size - 1), beyond = position - low;
    for (uint k = 0; k < 2; k++) {
        const REAL pixel = low + (REAL)k;
        const bool within = outside == ZEROS    ? pixel >= 0 && pixel <= last
                            : outside == BORDER ? true
                                                : position >= 0 && position < last;
        const bool counts = within || isnan(position);
        // Written such that NaN becomes 0.
        near.index[k] = pixel >= 0 ? (uint)(pixel < last ? pixel : last) : 0;
        near.weight[k] = counts ? (k == 0 ? 1 - beyond : beyond) : (REAL)0;
        near.slope[k] = counts ? (k == 0 ? (REAL)-1 : (REAL)1) : (REAL)0;
    }
    return near;
}

// out[point, c] = Σ weights · the four neighbours. Launch: a work-item for each of n points.
kernel void sample_bilinear(const uint height, const uint width, const uint channels,
                            const uint per_image, const uint outside, const uint n, IN(image),
                            IN(grid), OUT(out)) {
    const size_t point = get_global_id(0);
    if (point >= n)
        return;
    GO(image), GO(grid), GO(out);
    image += point / per_image * height * width * channels;
    const Neighbours x = neighbours(grid[2 * point], width, outside),
                     y = neighbours(grid[2 * point + 1], height, outside);
    for (size_t c = 0; c < channels; c++) {
        REAL sum = 0;
        for (uint a = 0; a < 2; a++)
            for (uint b = 0; b < 2; b++)
                sum += y.weight[a] * x.weight[b] *
                       image[((size_t)y.index[a] * width + x.index[b]) * channels + c];
        out[point * channels + c] = sum;
    }
}

// grad_grid[point] = Σ_c grad_out · (∂out/∂x, ∂out/∂y). Launch: a work-item for each of n points.
kernel void sample_bilinear_grid_gradient(const uint height, const uint width, const uint channels,
                                          const uint per_image, const uint outside, const uint n,
                                          IN(image), IN(grid), IN(grad_out), OUT(grad_grid)) {
    const size_t point = get_global_id(0);
    if (point >= n)
        return;
    GO(image), GO(grid), GO(grad_out), GO(grad_grid);
    image += point / per_image * height * width * channels;
    const Neighbours x = neighbours(grid[2 * point], width, outside),
                     y = neighbours(grid[2 * point + 1], height, outside);
    REAL sum_x = 0, sum_y = 0;
    for (uint a = 0; a < 2; a++)
        for (uint b = 0; b < 2; b++) {
            global const REAL *pixel = image + ((size_t)y.index[a] * width + x.index[b]) * channels;
            REAL product = 0;
            for (size_t c = 0; c < channels; c++)
                product += grad_out[point * channels + c] * pixel[c];
            sum_x += y.weight[a] * x.slope[b] * product;
            sum_y += y.slope[a] * x.weight[b] * product;
        }
    grad_grid[2 * point] = sum_x;
    grad_grid[2 * point + 1] = sum_y;
}

// grad_image: each work-item owns a row of one channel of one image and adds to it what the points
// in their order send there, so that no two write the same element and the bits are the same in
// every run. Launch: a work-item for each of n = images · height · channels.
kernel void sample_bilinear_image_gradient(const uint height, const uint width, const uint channels,
                                           const uint per_image, const uint outside, const uint n,
                                           IN(grid), IN(grad_out), OUT(grad_image)) {
    const size_t at = get_global_id(0);
    if (at >= n)
        return;
    GO(grid), GO(grad_out), GO(grad_image);
    const size_t c = at % channels, image_row = at / channels;
    const uint row = image_row % height;
    const size_t first = image_row / height * per_image;
    grad_image += image_row * width * channels + c;
    for (size_t column = 0; column < width; column++)
        grad_image[column * channels] = 0;
    for (size_t point = first; point < first + per_image; point++) {
        const Neighbours y = neighbours(grid[2 * point + 1], height, outside);
        if (y.index[0] != row && y.index[1] != row)
            continue;
        const Neighbours x = neighbours(grid[2 * point], width, outside);
        const REAL grad = grad_out[point * channels + c];
        for (uint a = 0; a < 2; a++)
            for (uint b = 0; b < 2; b++)
                if (y.index[a] == row)
                    grad_image[(size_t)x.index[b] * channels] += y.weight[a] * x.weight[b] * grad;
    }
}
