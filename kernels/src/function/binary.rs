//! The table of the functions of two numbers.

/// Gives the table of the functions of two numbers to the macro `$consumer`, after `$context`,
/// which is the consumer's own.
///
/// A row has the formula, the variant of [`BinaryFunction`], the name, by which kernels and
/// messages call it, and the value: for the CPU as an expression over
/// [`Real`](crate::cpu::real::Real), for OpenCL as one over vectors `V`. Derivatives are
/// compositions of other functions, and are with the operations that autograd makes of these.
/// `larger`, `smaller` and `truth` are of `cpu/`.
macro_rules! binary_functions {
    ($consumer:ident! $context:tt) => {
        $consumer! {
            $context

            /// left + right.
            Add { name: "add", value: |l, r| l + r, "l + r" }
            /// left − right.
            Subtract { name: "sub", value: |l, r| l - r, "l - r" }
            /// left · right.
            Multiply { name: "mul", value: |l, r| l * r, "l * r" }
            /// left / right.
            Divide { name: "div", value: |l, r| l / r, "l / r" }
            /// The larger; NaN if either is.
            Maximum { name: "maximum", value: |l, r| larger(l, r), "(l >= r) || (l != l) ? l : r" }
            /// The smaller; NaN if either is.
            Minimum { name: "minimum", value: |l, r| smaller(l, r), "(l <= r) || (l != l) ? l : r" }
            /// 1 where left < right, else 0.
            Less { name: "less", value: |l, r| truth::<T>(l < r), "l < r ? ONE : ZERO" }
            /// 1 where left ≤ right, else 0.
            LessOrEqual { name: "less_or_equal", value: |l, r| truth::<T>(l <= r),
                "l <= r ? ONE : ZERO" }
            /// 1 where left > right, else 0.
            Greater { name: "greater", value: |l, r| truth::<T>(l > r), "l > r ? ONE : ZERO" }
            /// 1 where left ≥ right, else 0.
            GreaterOrEqual { name: "greater_or_equal", value: |l, r| truth::<T>(l >= r),
                "l >= r ? ONE : ZERO" }
            /// 1 where left = right, else 0.
            Equal { name: "equal", value: |l, r| truth::<T>(l == r), "l == r ? ONE : ZERO" }
            /// 1 where left ≠ right, else 0.
            NotEqual { name: "not_equal", value: |l, r| truth::<T>(l != r), "l != r ? ONE : ZERO" }
        }
    };
}

pub(crate) use binary_functions;

/// The enum, and what is read off the table without arithmetic.
macro_rules! define {
    ({} $(
        $(#[$doc:meta])*
        $variant:ident { name: $name:literal, value: |$left:ident, $right:ident| $value:expr,
            $cl_value:literal }
    )+) => {
        /// A function of two numbers.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum BinaryFunction {
            $($(#[$doc])* $variant,)+
        }

        impl BinaryFunction {
            /// Every function once.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name, by which kernels and messages call the function.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        /// The functions in OpenCL C: a list for the kernel that is written once for each.
        pub(crate) const BINARY_KERNELS: &str = concat!(
            "#define FOR_EACH_BINARY_FUNCTION(WITH)",
            $(" WITH(", $name, ", ", $cl_value, ")",)+ "\n"
        );
    };
}

binary_functions!(define! {});
