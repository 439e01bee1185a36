use exercises::{Outcome, Part, cases, close};
use rung_book::chapter_01::Tape;

use super::answer::{divide, ln, sigmoid};

fn difference(f: impl Fn(f64) -> f64, x: f64) -> f64 {
    let h = 1e-5 * x.abs().max(0.1);
    (f(x + h) - f(x - h)) / (2.0 * h)
}

pub const PARTS: &[Part] = &[
    ("the quotient", quotient),
    ("the logarithm", logarithm),
    ("the sigmoid", logistic),
    ("the sigmoid of a logarithm on a tape", on_a_tape),
];

fn quotient() -> Outcome {
    cases(50, |random| {
        let a = random.between(-3.0, 3.0);
        let sign = if random.between(0.0, 1.0) < 0.5 { -1.0 } else { 1.0 };
        let b = sign * random.between(0.5, 3.0);
        let (value, by_a, by_b) = divide(a, b);
        close(&format!("{a} / {b}"), &[value], &[a / b], 1e-12)?;
        let wanted = [difference(|a| a / b, a), difference(|b| a / b, b)];
        close(&format!("derivatives of a/b by a and by b at {a}, {b}"), &[by_a, by_b], &wanted, 1e-6)
    })
}

fn logarithm() -> Outcome {
    cases(50, |random| {
        let x = random.between(0.2, 4.0);
        let (value, by_x) = ln(x);
        close(&format!("ln {x}"), &[value, by_x], &[x.ln(), difference(f64::ln, x)], 1e-6)
    })
}

fn logistic() -> Outcome {
    cases(50, |random| {
        let a = random.between(-3.0, 3.0);
        let exact = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (value, by_x) = sigmoid(a);
        close(&format!("σ({a})"), &[value, by_x], &[exact(a), difference(exact, a)], 1e-6)
    })
}

/// σ(ln x) = x/(1 + x), whose derivative is 1/(1 + x)².
fn on_a_tape() -> Outcome {
    cases(50, |random| {
        let x = random.between(0.2, 4.0);
        let tape = Tape::default();
        let input = tape.number("x", x);
        let (value, local) = ln(x);
        let logarithm = input.unary("ln", value, local);
        let (value, local) = sigmoid(logarithm.value);
        let adjoints = logarithm.unary("σ", value, local).backward();
        let wanted = (1.0 + x).powi(-2);
        close(&format!("σ(ln x) at {x}, on a tape"), &adjoints[..1], &[wanted], 1e-9)
    })
}
