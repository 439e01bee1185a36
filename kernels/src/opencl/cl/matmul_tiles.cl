// The matrix product on a GPU: out = op(left)·op(right), with the sums of a tile in registers and
// its operands in local memory.
//
//   A work-group computes a tile of out, TILE x TILE; each work-item WORK_ROWS x WORK_COLUMNS
//   elements of it, in pieces of 4 x 4 that lie 4·ITEMS_Y rows and 4·ITEMS_X columns apart, so that
//   what neighbours read of local memory is side by side. Step by step along the inner axis, STEP
//   columns of left and STEP rows of right come to local memory, four elements at a time. There are
//   two such places: while one is multiplied, the next step is on its way from global memory to
//   registers and then to the other, which costs one barrier a step.
//
//   TILE        128, 64 or 32: large tiles read less memory, small ones keep more of the device
//               busy.
//   FORM        which operands lie along the inner axis. Bit 0: left[i, p] at i·left_stride + p,
//               else at p·left_stride + i. Bit 1: right[p, j] at j·right_stride + p, else at
//               p·right_stride + j.
//   SUB_GROUP   on Intel's GPUs, the fewest work-items that run side by side: with fewer, each has
//               more registers. Else not defined.
//   ALIGNED     1: every array begins, and every row of it, at a multiple of four elements, and so
//               do `columns`.
//
// General: any size; what lies outside is read as 0, or not used, and not written. The inner axis
// is cut into parts of `part`, a multiple of 4; a group's part is its place along the third
// dimension, and parts lie one behind the other in out. Launch: (column tiles, row tiles, parts)
// groups of (ITEMS_X, ITEMS_Y, 1). mode: 0 writes, 1 adds bias[j], 2 adds to what is there. form is
// FORM where a launch is one product. Joined ones may be of several, such as those of a layer's
// backward; each group then looks at its own in every step.
#ifndef TILE
#define TILE 64
#endif
#ifndef FORM
#define FORM 1
#endif
#ifndef ALIGNED
#define ALIGNED 0
#endif

// 16·16 work-items of 8 x 8, 16·8 of 8 x 4, or 8·8 of 4 x 4.
#if TILE == 128
#define WORK_ROWS 8
#define WORK_COLUMNS 8
#elif TILE == 64
#define WORK_ROWS 8
#define WORK_COLUMNS 4
#else
#define WORK_ROWS 4
#define WORK_COLUMNS 4
#endif
#define ITEMS_X (TILE / WORK_COLUMNS)
#define ITEMS_Y (TILE / WORK_ROWS)
#define ITEMS (ITEMS_X * ITEMS_Y)
// Two places of both operands fit into 32 KiB.
#if TILE == 128
#define STEP 8
#else
#define STEP 16
#endif
// Groups of four elements that a work-item brings of each operand: 1 or 2.
#define LOADS (TILE * STEP / 4 / ITEMS)

typedef JOIN(SCALAR, 4) V4;

// A row of a place in fours: one more than the tile, so that what is written down a column goes to
// different banks.
#define FOURS (TILE / 4 + 1)
typedef local V4 *Place;
// A place of both operands, right behind left.
#define RIGHT_PLACE (STEP * FOURS)
#define BOTH (2 * STEP * FOURS)

// Four elements side by side of which `left` exist.
static inline V4 load_four(global const REAL *p, const int left) {
#if ALIGNED
    return left > 0 ? *(global const V4 *)p : (V4)(0);
#else
    return (V4)(left > 0 ? p[0] : 0, left > 1 ? p[1] : 0, left > 2 ? p[2] : 0, left > 3 ? p[3] : 0);
#endif
}

// Where the four number `at` of an operand lies in a step, which goes along the inner axis or along
// the tile.
static inline uint inner_of(const uint at, const bool is_along) {
    return is_along ? at % (STEP / 4) * 4 : at / (TILE / 4);
}
static inline uint outer_of(const uint at, const bool is_along) {
    return is_along ? at / (STEP / 4) : at % (TILE / 4) * 4;
}

// The first of a work-item's elements, at inner index 0 of the group. Rows and columns outside are
// moved to the last that exist: what is read of them is never written.
static inline size_t start_of(const uint outer, const uint inner_index, const uint size,
                              const uint stride, const bool is_along) {
#if ALIGNED
    const uint last = is_along ? size - 1 : size - 4;
#else
    const uint last = size - 1;
#endif
    const size_t place = min(outer, last);
    return is_along ? place * stride + inner_index : inner_index * (size_t)stride + place;
}

// How many of a four that lies along the tile exist.
static inline int existing_of(const uint outer, const uint size) {
    return max(1, (int)size - (int)outer);
}

// Where in a place a four goes, in elements.
static inline uint place_of(const uint inner_index, const uint outer) {
    return inner_index * 4 * FOURS + outer;
}

// Puts a four into a place: down a column, or along a row.
static inline void put(local REAL *to, const V4 four, const bool is_along) {
    if (is_along)
        to[0] = four.s0, to[4 * FOURS] = four.s1, to[8 * FOURS] = four.s2, to[12 * FOURS] = four.s3;
    else
        *(local V4 *)to = four;
}

// Does `work` for each of the rows of four that begin with row `r`.
#define FOR_FOUR(r, work) work(r, 0) work(r, 1) work(r, 2) work(r, 3)
#if WORK_ROWS == 8
#define FOR_ROWS(work) FOR_FOUR(0, work) FOR_FOUR(1, work)
#else
#define FOR_ROWS(work) FOR_FOUR(0, work)
#endif

// The sums have names, not indices, so that every compiler keeps them in registers: sum_<four of
// rows>_<row>_<four of columns>.
#if WORK_COLUMNS == 8
#define CLEAR(r, i) V4 sum_##r##_##i##_0 = (V4)(0), sum_##r##_##i##_1 = (V4)(0);
#define ADD(r, i)                                                                                  \
    sum_##r##_##i##_0 = fma((V4)(a_##r.s##i), b_0, sum_##r##_##i##_0);                             \
    sum_##r##_##i##_1 = fma((V4)(a_##r.s##i), b_1, sum_##r##_##i##_1);
#define WRITE(r, i) WRITE_FOUR(r, i, 0) WRITE_FOUR(r, i, 1)
#else
#define CLEAR(r, i) V4 sum_##r##_##i##_0 = (V4)(0);
#define ADD(r, i) sum_##r##_##i##_0 = fma((V4)(a_##r.s##i), b_0, sum_##r##_##i##_0);
#define WRITE(r, i) WRITE_FOUR(r, i, 0)
#endif

// Multiplies the numbers of one inner index.
#define MULTIPLY_AT(p)                                                                             \
    {                                                                                              \
        const Place a = places + now + y + (p)*FOURS,                                              \
                    b = places + now + RIGHT_PLACE + x + (p)*FOURS;                                \
        const V4 a_0 = a[0], a_1 = a[WORK_ROWS == 8 ? ITEMS_Y : 0];                                \
        const V4 b_0 = b[0], b_1 = b[WORK_COLUMNS == 8 ? ITEMS_X : 0];                             \
        FOR_ROWS(ADD)                                                                              \
    }
#define MULTIPLY_AT_FOUR(p) MULTIPLY_AT(p) MULTIPLY_AT(p + 1) MULTIPLY_AT(p + 2) MULTIPLY_AT(p + 3)
#if defined(__AMDGCN__) || defined(SUB_GROUP)
// The compilers of AMD and Intel would move all reads of a step to its front, and run out of
// registers.
#define MULTIPLY                                                                                   \
    _Pragma("unroll 1") for (uint p = 0; p < STEP; p += 4) { MULTIPLY_AT_FOUR(p) }
#elif STEP == 8
#define MULTIPLY MULTIPLY_AT_FOUR(0) MULTIPLY_AT_FOUR(4)
#else
#define MULTIPLY MULTIPLY_AT_FOUR(0) MULTIPLY_AT_FOUR(4) MULTIPLY_AT_FOUR(8) MULTIPLY_AT_FOUR(12)
#endif

// Four sums to their place in out.
static inline void write_four(const V4 sums, const size_t row, const uint column, const uint rows,
                              const uint columns, const uint mode, global const REAL *bias,
                              global REAL *out) {
    if (row >= rows || column >= columns)
        return;
    global REAL *to = out + row * columns + column;
#if ALIGNED
    const V4 before = mode == 1   ? *(global const V4 *)(bias + column)
                      : mode == 2 ? *(global const V4 *)to
                                  : (V4)(0);
    *(global V4 *)to = mode == 0 ? sums : sums + before;
#else
#define WRITE_ONE(j)                                                                               \
    if (column + j < columns)                                                                      \
        to[j] = mode == 0 ? sums.s##j : sums.s##j + (mode == 1 ? bias[column + j] : to[j]);
    WRITE_ONE(0) WRITE_ONE(1) WRITE_ONE(2) WRITE_ONE(3)
#endif
}
#define WRITE_FOUR(r, i, c)                                                                        \
    write_four(sum_##r##_##i##_##c, first_row + 4 * (y + r * ITEMS_Y) + i,                         \
               first_column + 4 * (x + c * ITEMS_X), rows, columns, mode, bias, out);

#ifdef SUB_GROUP
#define WITH_SUB_GROUP __attribute__((intel_reqd_sub_group_size(SUB_GROUP)))
#else
#define WITH_SUB_GROUP
#endif

// A tile of part number `layer`, with 2·BOTH fours of local memory.
BODY multiply(const uint form, const uint rows, const uint columns, const uint inner,
              const uint left_stride, const uint right_stride, const uint part, const uint mode,
              IN(left), IN(right), MAYBE_IN(bias), OUT(out), const uint tile_x, const uint tile_y,
              const uint layer, const Place places) {
    const bool left_along = form & 1, right_along = form & 2;
    GO(left), GO(right), GO(out);
    GO_IF(bias);
    const uint x = get_local_id(0), y = get_local_id(1), item = y * ITEMS_X + x;
    const uint first_row = tile_y * TILE, first_column = tile_x * TILE;
    const uint start = layer * part, count = min(part, inner - start);
    out += layer * (size_t)rows * columns;

    // The steps begin with the one that is not full, if any, so that all later ones are. `first` of
    // its inner indices exist.
    const uint first = count % STEP == 0 ? min(count, (uint)STEP) : count % STEP;
    const uint left_inner_0 = inner_of(item, left_along), left_outer_0 = outer_of(item, left_along);
    const uint right_inner_0 = inner_of(item, right_along),
               right_outer_0 = outer_of(item, right_along);
    const size_t left_step = left_along ? 1 : left_stride,
                 right_step = right_along ? 1 : right_stride;
    global const REAL *left_0 =
        left + start * left_step +
        start_of(first_row + left_outer_0, left_inner_0, rows, left_stride, left_along);
    global const REAL *right_0 =
        right + start * right_step +
        start_of(first_column + right_outer_0, right_inner_0, columns, right_stride, right_along);
    const uint left_place_0 = place_of(left_inner_0, left_outer_0);
    const uint right_place_0 = 4 * RIGHT_PLACE + place_of(right_inner_0, right_outer_0);
    const int left_exist_0 = existing_of(first_row + left_outer_0, rows);
    const int right_exist_0 = existing_of(first_column + right_outer_0, columns);
#if LOADS == 2
    const uint left_inner_1 = inner_of(item + ITEMS, left_along),
               left_outer_1 = outer_of(item + ITEMS, left_along);
    const uint right_inner_1 = inner_of(item + ITEMS, right_along),
               right_outer_1 = outer_of(item + ITEMS, right_along);
    global const REAL *left_1 =
        left + start * left_step +
        start_of(first_row + left_outer_1, left_inner_1, rows, left_stride, left_along);
    global const REAL *right_1 =
        right + start * right_step +
        start_of(first_column + right_outer_1, right_inner_1, columns, right_stride, right_along);
    const uint left_place_1 = place_of(left_inner_1, left_outer_1);
    const uint right_place_1 = 4 * RIGHT_PLACE + place_of(right_inner_1, right_outer_1);
    const int left_exist_1 = existing_of(first_row + left_outer_1, rows);
    const int right_exist_1 = existing_of(first_column + right_outer_1, columns);
#endif

// How many of a four exist in the first step.
#define EXIST_FIRST(side, n, is_along)                                                             \
    (is_along ? (int)first - (int)side##_inner_##n                                                 \
              : (side##_inner_##n < first ? side##_exist_##n : 0))
#define FETCH_FIRST(n)                                                                             \
    left_four_##n = load_four(left_##n, EXIST_FIRST(left, n, left_along));                         \
    right_four_##n = load_four(right_##n, EXIST_FIRST(right, n, right_along));                     \
    left_##n += first * left_step, right_##n += first * right_step;
#if ALIGNED
#define FETCH(n)                                                                                   \
    left_four_##n = *(global const V4 *)left_##n, right_four_##n = *(global const V4 *)right_##n;
#else
#define FETCH(n)                                                                                   \
    left_four_##n = left_along ? vload4(0, left_##n) : load_four(left_##n, left_exist_##n);        \
    right_four_##n = right_along ? vload4(0, right_##n) : load_four(right_##n, right_exist_##n);
#endif
#define FETCH_NEXT(n) FETCH(n) left_##n += STEP * left_step, right_##n += STEP * right_step;
#define REST(n) left_##n = left, right_##n = right;
#define PUT(n, to)                                                                                 \
    put((local REAL *)(places + to) + left_place_##n, left_four_##n, left_along);                  \
    put((local REAL *)(places + to) + right_place_##n, right_four_##n, right_along);
// One four after the other: Intel's compiler of 2022 crashes on both at once.
#define BEGIN(n) FETCH_FIRST(n) PUT(n, 0)
#if LOADS == 2
#define FOR_LOADS(work) work(0) work(1)
#define PUT_ALL(to) PUT(0, to) PUT(1, to)
    V4 left_four_0, right_four_0, left_four_1, right_four_1;
#else
#define FOR_LOADS(work) work(0)
#define PUT_ALL(to) PUT(0, to)
    V4 left_four_0, right_four_0;
#endif

    FOR_LOADS(BEGIN)
    barrier(CLK_LOCAL_MEM_FENCE);
    FOR_ROWS(CLEAR)
    uint now = 0;
    for (uint done = first;; done += STEP) {
        const bool is_last = done >= count;
#if ALIGNED
        if (is_last) {
            FOR_LOADS(REST)
        }
        FOR_LOADS(FETCH_NEXT)
#else
        if (!is_last) {
            FOR_LOADS(FETCH_NEXT)
        }
#endif
        MULTIPLY
        if (is_last)
            break;
        now = BOTH - now;
        PUT_ALL(now)
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    FOR_ROWS(WRITE)
}

#define MATMUL(k)                                                                                  \
    const uint form##k, const uint rows##k, const uint columns##k, const uint inner##k,            \
        const uint left_stride##k, const uint right_stride##k, const uint part##k,                 \
        const uint mode##k, IN(left##k), IN(right##k), MAYBE_IN(bias##k), OUT(out##k)

kernel __attribute__((reqd_work_group_size(ITEMS_X, ITEMS_Y, 1))) WITH_SUB_GROUP void
matmul(MATMUL()) {
    local V4 places[2 * BOTH];
    multiply(FORM, rows, columns, inner, left_stride, right_stride, part, mode, ARRAY(left),
             ARRAY(right), ARRAY(bias), ARRAY(out), get_group_id(0), get_group_id(1),
             get_group_id(2), places);
}

#if TILE < 128
// Products of large tiles fill a device by themselves, and have no registers left to choose with.
kernel __attribute__((reqd_work_group_size(ITEMS_X, ITEMS_Y, 1))) WITH_SUB_GROUP void
matmul_joined(JOINED, FOR_PROBLEMS(MATMUL)) {
    local V4 places[2 * BOTH];
    JOINED_START
    multiply(PICK(form), PICK(rows), PICK(columns), PICK(inner), PICK(left_stride),
             PICK(right_stride), PICK(part), PICK(mode), PICK_ARRAY(left), PICK_ARRAY(right),
             PICK_ARRAY(bias), PICK_ARRAY(out), item_x / ITEMS_X, item_y / ITEMS_Y, layer, places);
}
#endif

// out[i] = Σ_part sums[part, i] in the order of the parts, and what the mode adds. Launch: a
// work-item for each of n elements.
BODY sum_of_parts(const uint n, const uint columns, const uint parts, const uint mode, IN(sums),
                  MAYBE_IN(bias), OUT(out), const size_t i) {
    if (i >= n)
        return;
    GO(sums), GO(out);
    GO_IF(bias);
    REAL sum = sums[i];
    for (uint part = 1; part < parts; part++)
        sum += sums[part * (size_t)n + i];
    out[i] = mode == 0 ? sum : sum + (mode == 1 ? bias[i % columns] : out[i]);
}

#define ADD_PARTS(k)                                                                               \
    const uint n##k, const uint columns##k, const uint parts##k, const uint mode##k, IN(sums##k),  \
        MAYBE_IN(bias##k), OUT(out##k)

kernel void add_parts(ADD_PARTS()) {
    sum_of_parts(n, columns, parts, mode, ARRAY(sums), ARRAY(bias), ARRAY(out), get_global_id(0));
}

kernel void add_parts_joined(JOINED, FOR_PROBLEMS(ADD_PARTS)) {
    JOINED_START
    sum_of_parts(PICK(n), PICK(columns), PICK(parts), PICK(mode), PICK_ARRAY(sums),
                 PICK_ARRAY(bias), PICK_ARRAY(out), item_x);
}
