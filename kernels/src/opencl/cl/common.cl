// What every kernel file starts with: the float type, the vector type, arguments, loads and stores
// with a ragged end, sums of a group.
//
// The host compiles each file once for float and once for double, and for the kind of device:
//   DOUBLE      1: REAL is double. Default 0: float.
//   HAS_DOUBLE  1: the device has double; long sums and conversions may use it. Default 0.
//   VW          elements that a work-item handles at once, side by side: 1 on a GPU, whose
//               work-items are lanes already; 16 floats (8 doubles) on a CPU, where an explicit
//               vector is what reaches the vectorised functions. 1, 8 or 16. Default 1.
//   LANES       work-items that share a row: 64 on a GPU, 1 on a CPU. A power of two. Default 1.
//   COLUMNS     neighbouring columns (times VW) of a work-group that walks down the rows: 8 on a
//               GPU, 1 on a CPU. Default 1.
//   ROW_LANES   work-items that share a column: 32 on a GPU, 1 on a CPU. A power of two. Default 1.
//
// An array argument is a pair: the memory and the first element, so that a part of a buffer needs
// no handle of its own. A kernel starts by moving the pointer there.
#ifndef DOUBLE
#define DOUBLE 0
#endif
#ifndef HAS_DOUBLE
#define HAS_DOUBLE 0
#endif
#ifndef VW
#define VW 1
#endif
#ifndef LANES
#define LANES 1
#endif
#ifndef COLUMNS
#define COLUMNS 1
#endif
#ifndef ROW_LANES
#define ROW_LANES 1
#endif

#if HAS_DOUBLE
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#if DOUBLE
#define SCALAR double
#define EPSILON_HALF 1.1102230246251565e-16
#else
#define SCALAR float
#define EPSILON_HALF 5.9604645e-8f
#endif
typedef SCALAR REAL;

// The type of long sums: double where the device has it.
#if HAS_DOUBLE
#define WIDE_SCALAR double
#else
#define WIDE_SCALAR float
#endif
typedef WIDE_SCALAR WIDE;

#if VW == 1
typedef REAL V;
typedef WIDE WIDE_V;
typedef uint UV;
#define TO_V(x) JOIN(convert_, SCALAR)(x)
#define TO_WIDE(x) ((WIDE)(x))
#define OFFSETS 0
#else
typedef JOIN(SCALAR, VW) V;
typedef JOIN(WIDE_SCALAR, VW) WIDE_V;
typedef JOIN(uint, VW) UV;
#define TO_V(x) JOIN(JOIN(convert_, SCALAR), VW)(x)
#define TO_WIDE(x) JOIN(JOIN(convert_, WIDE_SCALAR), VW)(x)
#if VW == 8
#define OFFSETS (uint8)(0, 1, 2, 3, 4, 5, 6, 7)
#else
#define OFFSETS (uint16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#endif
#endif

#define ZERO ((V)(0))
#define ONE ((V)(1))
#define HALF ((V)((REAL)0.5))

#define IN(name) global const REAL *restrict name, const ulong name##_first
#define OUT(name) global REAL *restrict name, const ulong name##_first
// The same of another type.
#define ARRAY_IN(type, name) global const type *restrict name, const ulong name##_first
#define ARRAY_OUT(type, name) global type *restrict name, const ulong name##_first
// An array that may be absent: the host then passes a null pointer.
#define MAYBE_IN(name) global const REAL *name, const ulong name##_first
#define MAYBE_OUT(name) global REAL *name, const ulong name##_first
// What a kernel does, where more than one form of it calls it. Some compilers would rather call it.
#define BODY static inline __attribute__((always_inline)) void
// An array as the arguments of a call.
#define ARRAY(name) name, name##_first
#define GO(name) name += name##_first
#define GO_IF(name)                                                                                \
    if (name)                                                                                      \
    name += name##_first

// The elements p[0..VW), of which only the first `left` exist; the others are read as 1.
static inline V load(global const REAL *p, const size_t left) {
#if VW == 1
    return *p;
#else
    if (left >= VW)
        return JOIN(vload, VW)(0, p);
    REAL values[VW];
    for (uint k = 0; k < VW; k++)
        values[k] = k < left ? p[k] : (REAL)1;
    return JOIN(vload, VW)(0, values);
#endif
}

// Writes those of the elements that exist.
static inline void store(const V value, global REAL *p, const size_t left) {
#if VW == 1
    *p = value;
#else
    if (left >= VW) {
        JOIN(vstore, VW)(value, 0, p);
        return;
    }
    REAL values[VW];
    JOIN(vstore, VW)(value, 0, values);
    for (uint k = 0; k < left; k++)
        p[k] = values[k];
#endif
}

// 0 in the elements that do not exist, so that a sum over a vector is the sum over those that do.
static inline V existing(const V value, const size_t left) {
#if VW == 1
    return value;
#else
    if (left >= VW)
        return value;
    return TO_V(OFFSETS < (UV)((uint)left) ? (UV)(1) : (UV)(0)) != ZERO ? value : ZERO;
#endif
}

// The sum of a vector's elements, halves first.
#if VW == 1
#define SUM_OF(v, type) (v)
#elif VW == 8
#define SUM_OF(v, type) sum_of_8_##type(v)
#else
#define SUM_OF(v, type) sum_of_16_##type(v)
#endif
#define SUMS(type)                                                                                 \
    static inline type sum_of_8_##type(const type##8 v) {                                          \
        const type##4 four = v.lo + v.hi;                                                          \
        const type##2 two = four.lo + four.hi;                                                     \
        return two.x + two.y;                                                                      \
    }                                                                                              \
    static inline type sum_of_16_##type(const type##16 v) { return sum_of_8_##type(v.lo + v.hi); }
SUMS(float)
#if HAS_DOUBLE
SUMS(double)
#endif
#define SUM_OF_(v, type) SUM_OF(v, type)
#define SUM(v) SUM_OF_(v, SCALAR)
#define WIDE_SUM(v) SUM_OF_(v, WIDE_SCALAR)

// The sum of one number of each work-item of a row (LANES of them, the group's first dimension), in
// a fixed order; valid in work-item 0.
#if LANES == 1
#define ROW_SCRATCH(name) local WIDE *name = 0;
#define ROW_SUM(value, name) (value)
#else
#define ROW_SCRATCH(name) local WIDE name[LANES];
#define ROW_SUM(value, name) row_sum(value, name)
static inline WIDE row_sum(const WIDE value, local WIDE *scratch) {
    const uint lane = get_local_id(0);
    scratch[lane] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = LANES / 2; step > 0; step /= 2) {
        if (lane < step)
            scratch[lane] += scratch[lane + step];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return scratch[0];
}
#endif

// Sums `term` over the columns of a row; `finish` makes the result of the sum, `total`.
#define SUM_ROW(term, finish)                                                                      \
    ROW_SCRATCH(scratch)                                                                           \
    SUM_ROW_AT(get_global_id(1), scratch, term, finish)
#define SUM_ROW_AT(row_number, scratch, term, finish)                                              \
    const size_t row = row_number;                                                                 \
    WIDE_V sum = (WIDE_V)(0);                                                                      \
    for (size_t c = VW * get_local_id(0); c < columns; c += VW * LANES) {                          \
        const size_t left = columns - c, at = row * columns + c;                                   \
        sum += TO_WIDE(existing(term, left));                                                      \
    }                                                                                              \
    const WIDE total = ROW_SUM(WIDE_SUM(sum), scratch);                                            \
    if (get_local_id(0) == 0)                                                                      \
        out[row] = (REAL)(finish);

// The sum of one vector of each work-item that shares a column, the same in all of them.
#if ROW_LANES == 1
#define COLUMN_SCRATCH(name) local V *name = 0;
#define COLUMN_SUM(value, name) (value)
#else
#define COLUMN_SCRATCH(name) local V name[ROW_LANES * COLUMNS];
#define COLUMN_SUM(value, name) column_sum(value, name)
static inline V column_sum(const V value, local V *scratch) {
    const uint column = get_local_id(0), lane = get_local_id(1);
    barrier(CLK_LOCAL_MEM_FENCE);
    scratch[lane * COLUMNS + column] = value;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint step = ROW_LANES / 2; step > 0; step /= 2) {
        if (lane < step)
            scratch[lane * COLUMNS + column] += scratch[(lane + step) * COLUMNS + column];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    return scratch[column];
}
#endif

// m + ln Σ_a exp(x[a] − m) with m the largest; m itself where it is infinite or NaN.
static inline REAL log_sum_exp_of(global const REAL *column, const uint axis, const uint inner) {
    REAL largest = -INFINITY;
    for (size_t a = 0; a < axis; a++) {
        const REAL value = column[a * inner];
        largest = value > largest || value != value ? value : largest;
    }
    if (isinf(largest) || isnan(largest))
        return largest;
    REAL sum = 0;
    for (size_t a = 0; a < axis; a++)
        sum += exp(column[a * inner] - largest);
    return largest + log(sum);
}

// A launch may hold several problems of one kernel, up to PROBLEMS of them (waiting.rs says which):
// their work-groups lie one behind the other along the first dimension. The form of a kernel for
// that is called …_joined: it takes JOINED, then the arguments of each problem, and hands those of
// its group's problem on. What a kernel does is thus a function that is told where it is: `item_x`
// and `item_y` stand for the global numbers along the first two dimensions of a problem's own grid,
// `layer` of `layers` for the group's along the third.
//   joined_end   where along the launch's groups each problem ends
//   joined_wide  groups of each problem along its own first dimension
//   joined_high  the same along its second
#define PROBLEMS 4
#define JOINED                                                                                     \
    const uint joined_end0, const uint joined_end1, const uint joined_end2,                        \
        const uint joined_end3, const uint joined_wide0, const uint joined_wide1,                  \
        const uint joined_wide2, const uint joined_wide3, const uint joined_high0,                 \
        const uint joined_high1, const uint joined_high2, const uint joined_high3
#define JOINED_START                                                                               \
    const uint joined_at = get_group_id(0);                                                        \
    const uint joined_begin = OF_PROBLEM(0, joined_end0, joined_end1, joined_end2),                \
               wide = PICK(joined_wide), high = PICK(joined_high),                                 \
               joined_group = joined_at - joined_begin;                                            \
    const uint layer = joined_group / (wide * high),                                               \
               layers = (PICK(joined_end) - joined_begin) / (wide * high);                         \
    const size_t item_x = joined_group % wide * get_local_size(0) + get_local_id(0),               \
                 item_y = joined_group / wide % high * get_local_size(1) + get_local_id(1);
// Of four things the one of the group's problem. Neither are they the elements of a vector nor is
// there a number of the problem: of either some compilers make an index into memory.
#define OF_PROBLEM(first, second, third, fourth)                                                   \
    (joined_at < joined_end0   ? first                                                             \
     : joined_at < joined_end1 ? second                                                            \
     : joined_at < joined_end2 ? third                                                             \
                               : fourth)
// An argument of the problem, of the arguments name0, name1 and so on.
#define PICK(name) OF_PROBLEM(name##0, name##1, name##2, name##3)
#define PICK_ARRAY(name)                                                                           \
    PICK(name), OF_PROBLEM(name##0_first, name##1_first, name##2_first, name##3_first)
// The parameters of every problem, of the macro that declares those of problem k.
#define FOR_PROBLEMS(parameters) parameters(0), parameters(1), parameters(2), parameters(3)
// Does `work` of the group's problem: instead of PICK, where there are too many arguments to keep
// all of them at once.
#define FOR_PROBLEM(work)                                                                          \
    if (joined_at < joined_end0)                                                                   \
        work(0);                                                                                   \
    else if (joined_at < joined_end1)                                                              \
        work(1);                                                                                   \
    else if (joined_at < joined_end2)                                                              \
        work(2);                                                                                   \
    else                                                                                           \
        work(3);
