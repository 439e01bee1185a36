// Arrays converted to another type.

// out[i] = x[i] in another type; to an integer: truncated, saturating. Launch: a work-item for each
// element.
#define CONVERT(from, to, conversion)                                                              \
    kernel void convert_##from##_##to(const uint n, ARRAY_IN(from, x), ARRAY_OUT(to, out)) {       \
        const size_t i = get_global_id(0);                                                         \
        if (i < n)                                                                                 \
            out[out_first + i] = conversion(x[x_first + i]);                                       \
    }
CONVERT(float, uchar, convert_uchar_sat)
CONVERT(float, uint, convert_uint_sat)
CONVERT(uchar, float, convert_float)
CONVERT(uchar, uint, convert_uint)
CONVERT(uint, float, convert_float)
CONVERT(uint, uchar, convert_uchar_sat)
#if HAS_DOUBLE
CONVERT(double, float, convert_float)
CONVERT(double, uchar, convert_uchar_sat)
CONVERT(double, uint, convert_uint_sat)
CONVERT(float, double, convert_double)
CONVERT(uchar, double, convert_double)
CONVERT(uint, double, convert_double)
#endif
