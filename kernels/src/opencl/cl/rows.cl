// Rows moved about. Nothing is computed but one sum, the adjoint of gathering, so the kernels are
// written for the size of an element.
//
// Launch: a work-item for each CHUNK elements of a row, by rows: (chunks of a row, rows).

// Elements that a work-item moves: the loop over them has a constant count, which compilers turn
// into one move.
#define CHUNK VW

#define MOVE(to, from, left)                                                                       \
    if ((left) >= CHUNK) {                                                                         \
        for (uint k = 0; k < CHUNK; k++)                                                           \
            (to)[k] = (from)[k];                                                                   \
    } else {                                                                                       \
        for (uint k = 0; k < (left); k++)                                                          \
            (to)[k] = (from)[k];                                                                   \
    }

#define MOVES(bytes, type)                                                                         \
    /* out[r·to_stride + c] = x[r·from_stride + c]; \
       the offsets are in the arguments' first elements. */ \
    kernel void copy_block_##bytes(const uint width, const uint from_stride, const uint to_stride, \
                                   ARRAY_IN(type, x), ARRAY_OUT(type, out)) {                      \
        const size_t c = CHUNK * get_global_id(0), row = get_global_id(1);                         \
        if (c >= width)                                                                            \
            return;                                                                                \
        global const type *from = x + x_first + row * from_stride + c;                             \
        global type *to = out + out_first + row * to_stride + c;                                   \
        MOVE(to, from, width - c)                                                                  \
    }                                                                                              \
    /* out[b, j, i] = x[b, i, j]; launch: (columns, rows, batch) */                                \
    kernel void transpose_##bytes(const uint rows, const uint columns, ARRAY_IN(type, x),          \
                                  ARRAY_OUT(type, out)) {                                          \
        const size_t i = get_global_id(0), j = get_global_id(1),                                   \
                     start = get_global_id(2) * rows * columns;                                    \
        if (i >= rows || j >= columns)                                                             \
            return;                                                                                \
        out[out_first + start + j * rows + i] = x[x_first + start + i * columns + j];              \
    }                                                                                              \
    /* out[r, c] = x[indices[r], c]; the host has checked the indices */                           \
    kernel void gather_rows_##bytes(const uint columns, ARRAY_IN(type, x),                         \
                                    ARRAY_IN(uint, indices), ARRAY_OUT(type, out)) {               \
        const size_t c = CHUNK * get_global_id(0), row = get_global_id(1);                         \
        if (c >= columns)                                                                          \
            return;                                                                                \
        global const type *from =                                                                  \
            x + x_first + (size_t)indices[indices_first + row] * columns + c;                      \
        global type *to = out + out_first + row * columns + c;                                     \
        MOVE(to, from, columns - c)                                                                \
    }                                                                                              \
    /* out[r, c] = x[r div times, c] */                                                            \
    kernel void repeat_rows_##bytes(const uint columns, const uint times, ARRAY_IN(type, x),       \
                                    ARRAY_OUT(type, out)) {                                        \
        const size_t c = CHUNK * get_global_id(0), row = get_global_id(1);                         \
        if (c >= columns)                                                                          \
            return;                                                                                \
        global const type *from = x + x_first + row / times * columns + c;                         \
        global type *to = out + out_first + row * columns + c;                                     \
        MOVE(to, from, columns - c)                                                                \
    }

MOVES(1, uchar)
MOVES(4, uint)
MOVES(8, ulong)

// grad_x[i, c] = Σ over r with indices[r] = i of grad_out[r, c], in the order of r.
// Each work-item owns VW elements of grad_x and reads all indices: no two write one place, so the
// order is fixed.
kernel void gather_rows_backward(const uint columns, const uint count, ARRAY_IN(uint, indices),
                                 IN(grad_out), OUT(grad_x)) {
    const size_t c = VW * get_global_id(0), row = get_global_id(1);
    if (c >= columns)
        return;
    GO(indices), GO(grad_out), GO(grad_x);
    V sum = ZERO;
    for (size_t r = 0; r < count; r++)
        if (indices[r] == row)
            sum += load(grad_out + r * columns + c, columns - c);
    store(sum, grad_x + row * columns + c, columns - c);
}
