// The matrix product on a CPU: out = op(left)·op(right), with the sums of a tile in vector
// registers. No barriers, no groups: a work-item is a thread's piece of work.
//
//   A work-item computes BLOCK_ROWS x BLOCK_COLUMNS of out, BLOCK_INNER terms of the sums at a
//   time. For each such step it packs its piece of right into rows of VW numbers, and its piece of
//   left into columns of TILE_ROWS, both in the order in which the innermost loop reads them; that
//   loop adds TILE_ROWS x VW products a step to as many vectors, which stay in registers.
//
// General: any size; what lies outside is packed as 0 and not written. left[i, p] lies at
// i·left_row + p·left_inner, right[p, j] at p·right_inner + j·right_column: the four forms of
// transposition differ in the packing alone. Launch: (column blocks, row blocks), groups of (1, 1).
// mode: 0 writes, 1 adds bias[j], 2 adds to what is there.

// Six rows of a vector of 64 bytes are twelve registers of AVX2; two more hold right's numbers, one
// left's.
#define TILE_ROWS 6
//   BLOCK_ROWS     a multiple of TILE_ROWS: 96 or 48. Each number of right is packed for so many
//                  rows of out.
//   BLOCK_VECTORS  BLOCK_COLUMNS in vectors: 8 or 4. Each number of left is packed for so many
//                  vectors of out.
// Large blocks pack less, small ones give more threads something to do. The packed pieces (128 and
// 96 kB, or half of that) stay in the second-level cache.
#ifndef BLOCK_ROWS
#define BLOCK_ROWS 48
#endif
#ifndef BLOCK_VECTORS
#define BLOCK_VECTORS 4
#endif
#define BLOCK_COLUMNS (BLOCK_VECTORS * VW)
#define BLOCK_INNER 256

#if VW == 1
#define VLOAD(p) (*(p))
#define VSTORE(v, p) (*(p) = (v))
#else
#define VLOAD(p) JOIN(vload, VW)(0, p)
#define VSTORE(v, p) JOIN(vstore, VW)(v, 0, p)
#endif

// Packs right[start.., j..j + VW) as rows of VW numbers.
static inline void pack_right(const uint steps, const size_t left_over, const uint right_inner,
                              const uint right_column, global const REAL *from, REAL *to) {
    if (right_column == 1) {
        for (uint p = 0; p < steps; p++)
            VSTORE(existing(load(from + (size_t)p * right_inner, left_over), left_over),
                   to + p * VW);
        return;
    }
    for (uint j = 0; j < VW; j++)
        for (uint p = 0; p < steps; p++)
            to[p * VW + j] =
                j < left_over ? from[(size_t)j * right_column + (size_t)p * right_inner] : (REAL)0;
}

// Packs left[i..i + TILE_ROWS, start..] as columns of TILE_ROWS numbers.
static inline void pack_left(const uint steps, const size_t left_over, const uint left_row,
                             const uint left_inner, global const REAL *from, REAL *to) {
    // Transposed, the numbers of a column of the tile are neighbours already.
    if (left_row == 1 && left_over >= TILE_ROWS) {
        for (uint p = 0; p < steps; p++)
            for (uint i = 0; i < TILE_ROWS; i++)
                to[p * TILE_ROWS + i] = from[(size_t)p * left_inner + i];
        return;
    }
    for (uint i = 0; i < TILE_ROWS; i++)
        for (uint p = 0; p < steps; p++)
            to[p * TILE_ROWS + i] =
                i < left_over ? from[(size_t)i * left_row + (size_t)p * left_inner] : (REAL)0;
}

BODY multiply(const uint rows, const uint columns, const uint inner, const uint left_row,
              const uint left_inner, const uint right_inner, const uint right_column,
              const uint mode, IN(left), IN(right), MAYBE_IN(bias), OUT(out), const size_t item_x,
              const size_t item_y) {
    REAL packed_right[BLOCK_INNER * BLOCK_COLUMNS], packed_left[BLOCK_INNER * BLOCK_ROWS];
    GO(left), GO(right), GO(out);
    GO_IF(bias);
    const size_t first_row = item_y * BLOCK_ROWS, first_column = item_x * BLOCK_COLUMNS;
    const size_t end_row = min((size_t)rows, first_row + BLOCK_ROWS);
    const size_t end_column = min((size_t)columns, first_column + BLOCK_COLUMNS);

    // Even an empty sum writes its zeros: the loop runs at least once.
    for (size_t start = 0; start == 0 || start < inner; start += BLOCK_INNER) {
        const uint steps = min((size_t)BLOCK_INNER, inner - start);
        for (size_t j = first_column; j < end_column; j += VW)
            pack_right(steps, columns - j, right_inner, right_column,
                       right + start * right_inner + j * right_column,
                       packed_right + (j - first_column) * BLOCK_INNER);
        for (size_t i = first_row; i < end_row; i += TILE_ROWS)
            pack_left(steps, rows - i, left_row, left_inner,
                      left + i * left_row + start * left_inner,
                      packed_left + (i - first_row) * BLOCK_INNER);
        for (size_t j = first_column; j < end_column; j += VW) {
            const size_t left_over = columns - j;
            for (size_t i = first_row; i < end_row; i += TILE_ROWS) {
                const REAL *a = packed_left + (i - first_row) * BLOCK_INNER;
                const REAL *b = packed_right + (j - first_column) * BLOCK_INNER;
                V s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO, s4 = ZERO, s5 = ZERO;
                for (uint p = 0; p < steps; p++, a += TILE_ROWS, b += VW) {
                    const V row = VLOAD(b);
                    s0 = fma((V)(a[0]), row, s0);
                    s1 = fma((V)(a[1]), row, s1);
                    s2 = fma((V)(a[2]), row, s2);
                    s3 = fma((V)(a[3]), row, s3);
                    s4 = fma((V)(a[4]), row, s4);
                    s5 = fma((V)(a[5]), row, s5);
                }
                const V sums[TILE_ROWS] = {s0, s1, s2, s3, s4, s5};
                for (uint k = 0; k < TILE_ROWS && i + k < rows; k++) {
                    global REAL *to = out + (i + k) * columns + j;
                    V sum = sums[k];
                    if (start > 0 || mode == 2)
                        sum += load(to, left_over);
                    else if (mode == 1)
                        sum += load(bias + j, left_over);
                    store(sum, to, left_over);
                }
            }
        }
    }
}

#define MATMUL(k)                                                                                  \
    const uint rows##k, const uint columns##k, const uint inner##k, const uint left_row##k,        \
        const uint left_inner##k, const uint right_inner##k, const uint right_column##k,           \
        const uint mode##k, IN(left##k), IN(right##k), MAYBE_IN(bias##k), OUT(out##k)

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void matmul(MATMUL()) {
    multiply(rows, columns, inner, left_row, left_inner, right_inner, right_column, mode,
             ARRAY(left), ARRAY(right), ARRAY(bias), ARRAY(out), get_global_id(0),
             get_global_id(1));
}

kernel __attribute__((reqd_work_group_size(1, 1, 1))) void matmul_joined(JOINED,
                                                                         FOR_PROBLEMS(MATMUL)) {
    JOINED_START
    multiply(PICK(rows), PICK(columns), PICK(inner), PICK(left_row), PICK(left_inner),
             PICK(right_inner), PICK(right_column), PICK(mode), PICK_ARRAY(left), PICK_ARRAY(right),
             PICK_ARRAY(bias), PICK_ARRAY(out), item_x, item_y);
}
