// The matrix product on a GPU: out = op(left)·op(right), with the sums of a tile in registers and its operands in local memory.
//
//   A work-group of 16 x 16 work-items computes a tile of out, TILE x TILE; each of them WORK x WORK elements of it, TILE/16 apart from
//   its neighbour's, so that neighbours read neighbouring words of local memory. Step by step along the inner axis, STEP columns of left and
//   STEP rows of right are brought to local memory by all, and every number there is then read 16 times.
//
//   TILE  128, 64 or 32: large tiles read less memory, small ones keep more of the device busy.
//
// General: any size; what lies outside is read as 0 and not written. left[i, p] lies at i·left_row + p·left_inner, right[p, j] at
// p·right_inner + j·right_column: the four forms of transposition are strides. One of each pair is 1, and neighbouring work-items walk along it.
// Launch: (16·column tiles, 16·row tiles), groups of (16, 16). mode: 0 writes, 1 adds bias[j], 2 adds to what is there.
#ifndef TILE
#define TILE 64
#endif
#define SIDE 16
#define WORK (TILE / SIDE)
#define STEP 16

kernel __attribute__((reqd_work_group_size(SIDE, SIDE, 1))) void
matmul(const uint rows, const uint columns, const uint inner, const uint left_row, const uint left_inner,
       const uint right_inner, const uint right_column, const uint mode, IN(left), IN(right), MAYBE_IN(bias),
       OUT(out)) {
    // One more than a power of two, so that the words of a column lie in different banks.
    local REAL left_tile[STEP][TILE + 1], right_tile[STEP][TILE + 1];
    GO(left), GO(right), GO(out);
    GO_IF(bias);
    const uint x = get_local_id(0), y = get_local_id(1), thread = y * SIDE + x;
    const size_t first_row = get_group_id(1) * TILE, first_column = get_group_id(0) * TILE;

    REAL sums[WORK][WORK];
    for (uint i = 0; i < WORK; i++)
        for (uint j = 0; j < WORK; j++)
            sums[i][j] = 0;

    for (size_t start = 0; start < inner; start += STEP) {
        for (uint at = thread; at < TILE * STEP; at += SIDE * SIDE) {
            const uint i = left_inner == 1 ? at / STEP : at % TILE, p = left_inner == 1 ? at % STEP : at / TILE;
            const bool exists = first_row + i < rows && start + p < inner;
            left_tile[p][i] = exists ? left[(first_row + i) * left_row + (start + p) * left_inner] : (REAL)0;
        }
        for (uint at = thread; at < TILE * STEP; at += SIDE * SIDE) {
            const uint j = right_column == 1 ? at % TILE : at / STEP, p = right_column == 1 ? at / TILE : at % STEP;
            const bool exists = first_column + j < columns && start + p < inner;
            right_tile[p][j] =
                exists ? right[(start + p) * right_inner + (first_column + j) * right_column] : (REAL)0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint p = 0; p < STEP; p++) {
            REAL a[WORK], b[WORK];
            for (uint i = 0; i < WORK; i++)
                a[i] = left_tile[p][i * SIDE + y];
            for (uint j = 0; j < WORK; j++)
                b[j] = right_tile[p][j * SIDE + x];
            for (uint i = 0; i < WORK; i++)
                for (uint j = 0; j < WORK; j++)
                    sums[i][j] = fma(a[i], b[j], sums[i][j]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    for (uint i = 0; i < WORK; i++) {
        const size_t row = first_row + i * SIDE + y;
        if (row >= rows)
            break;
        for (uint j = 0; j < WORK; j++) {
            const size_t column = first_column + j * SIDE + x;
            if (column >= columns)
                break;
            global REAL *to = out + row * columns + column;
            *to = mode == 0 ? sums[i][j] : sums[i][j] + (mode == 1 ? bias[column] : *to);
        }
    }
}
