//! Parity cases of the steps of optimisers.

use super::case::{Case, Draw, Expected, LENGTHS};
use crate::backend::{AdamStep, AdamaxStep, Clipping, RmsPropStep};

pub(super) fn clip_gradient(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (norm_limit, element_limit) in [
        (5.0, f64::INFINITY),
        (f64::INFINITY, 0.5),
        (1e4, 1e4),
        (2.0, 0.01),
        (f64::INFINITY, f64::INFINITY),
    ] {
        for len in LENGTHS {
            let gradient = draw.normal(len);
            cases.push(
                Case::new(format!("norm {norm_limit}, element {element_limit}, length {len}"))
                    .float(vec![gradient.iter().map(|g| g * g).sum()])
                    .in_place(gradient)
                    .call(move |device, x, out| {
                        let clipping = Clipping { squared_norm: x[0], norm_limit, element_limit };
                        device.clip_gradient(clipping, out[0].reborrow())
                    })
                    .expect(move |x, out| {
                        let clipped = |&g: &f64| clipped(g, x[0][0], (norm_limit, element_limit));
                        vec![out[0].iter().map(|g| Expected::ulps(clipped(g), 4.0)).collect()]
                    }),
            );
        }
    }
    cases
}

/// An element of a gradient after clipping by the limits of its norm and of each element.
fn clipped(g: f64, squared_norm: f64, (norm_limit, element_limit): (f64, f64)) -> f64 {
    let norm = squared_norm.sqrt();
    let factor = if norm_limit.is_finite() { norm.min(norm_limit) / (norm + 1e-7) } else { 1.0 };
    (g * factor).clamp(-element_limit, element_limit)
}

/// decay·old + (1 − decay)·new.
fn moving_average(decay: f64, old: f64, new: f64) -> Expected {
    Expected {
        value: decay * old + (1.0 - decay) * new,
        scale: 4.0 * ((decay * old).abs() + ((1.0 - decay) * new).abs()),
    }
}

pub(super) fn adam(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (beta_1, beta_2, limits) in
        [(0.9, 0.999, None), (0.5, 0.99, None), (0.9, 0.999, Some((2.0, 0.01)))]
    {
        let step = AdamStep { corrected_rate: 3e-3, beta_1, beta_2, epsilon: 1e-8 };
        for len in LENGTHS {
            let squares = draw.normal(len).into_iter().map(|x| x * x + 1e-6).collect();
            let gradient = draw.normal(len);
            let squared_norm = gradient.iter().map(|g| g * g).sum();
            cases.push(
                Case::new(format!("{step:?}, limits {limits:?}, length {len}"))
                    .float(gradient)
                    .float(vec![squared_norm])
                    .in_place(draw.normal(len))
                    .in_place(draw.normal(len))
                    .in_place(squares)
                    .call(move |device, x, out| {
                        let [value, first, second] = out else { panic!("bug: three outputs") };
                        let clipping = limits.map(|(norm_limit, element_limit)| Clipping {
                            squared_norm: x[1],
                            norm_limit,
                            element_limit,
                        });
                        device.adam(
                            step,
                            clipping,
                            x[0],
                            value.reborrow(),
                            first.reborrow(),
                            second.reborrow(),
                        )
                    })
                    .expect(move |x, out| {
                        let clip =
                            |&g: &f64| limits.map_or(g, |limits| clipped(g, x[1][0], limits));
                        let gradient: Vec<f64> = x[0].iter().map(clip).collect();
                        let elements =
                            || gradient.iter().zip(&out[0]).zip(out[1].iter().zip(&out[2]));
                        let first = |g: f64, m: f64| moving_average(beta_1, m, g);
                        let second = |g: f64, v: f64| moving_average(beta_2, v, g * g);
                        let value = |g: f64, theta: f64, m: f64, v: f64| {
                            let (m, denominator) =
                                (first(g, m), second(g, v).value.sqrt() + step.epsilon);
                            let ratio = step.corrected_rate / denominator;
                            Expected {
                                value: theta - ratio * m.value,
                                scale: 2.0 * theta.abs() + ratio * (m.scale + 12.0 * m.value.abs()),
                            }
                        };
                        vec![
                            elements()
                                .map(|((&g, &theta), (&m, &v))| value(g, theta, m, v))
                                .collect(),
                            elements().map(|((&g, _), (&m, _))| first(g, m)).collect(),
                            elements().map(|((&g, _), (_, &v))| second(g, v)).collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

pub(super) fn adamax(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for len in LENGTHS {
        let step = AdamaxStep { corrected_rate: 2e-3, beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8 };
        let norms = draw.normal(len).into_iter().map(|x| x.abs() + 1e-3).collect();
        cases.push(
            Case::new(format!("{step:?}, length {len}"))
                .float(draw.normal(len))
                .in_place(draw.normal(len))
                .in_place(draw.normal(len))
                .in_place(norms)
                .call(move |device, x, out| {
                    let [value, first, norm] = out else { panic!("bug: three outputs") };
                    device.adamax(step, x[0], value.reborrow(), first.reborrow(), norm.reborrow())
                })
                .expect(move |x, out| {
                    let elements = || x[0].iter().zip(&out[0]).zip(out[1].iter().zip(&out[2]));
                    let norm = |g: f64, u: f64| (step.beta_2 * u).max(g.abs());
                    let value = |g: f64, theta: f64, m: f64, u: f64| {
                        let (m, ratio) = (
                            moving_average(step.beta_1, m, g),
                            step.corrected_rate / (norm(g, u) + step.epsilon),
                        );
                        Expected {
                            value: theta - ratio * m.value,
                            scale: 2.0 * theta.abs() + ratio * (m.scale + 12.0 * m.value.abs()),
                        }
                    };
                    vec![
                        elements().map(|((&g, &theta), (&m, &u))| value(g, theta, m, u)).collect(),
                        elements()
                            .map(|((&g, _), (&m, _))| moving_average(step.beta_1, m, g))
                            .collect(),
                        elements()
                            .map(|((&g, _), (_, &u))| Expected::ulps(norm(g, u), 2.0))
                            .collect(),
                    ]
                }),
        );
    }
    cases
}

pub(super) fn rmsprop(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (epsilon, limits) in [(1e-6, None), (1e-2, Some((2.0, 0.01)))] {
        let step = RmsPropStep { learning_rate: 3e-3, decay: 0.9, epsilon };
        for len in LENGTHS {
            let squares = draw.normal(len).into_iter().map(|x| x * x + 1e-6).collect();
            let gradient = draw.normal(len);
            let squared_norm = gradient.iter().map(|g| g * g).sum();
            cases.push(
                Case::new(format!("{step:?}, limits {limits:?}, length {len}"))
                    .float(gradient)
                    .float(vec![squared_norm])
                    .in_place(draw.normal(len))
                    .in_place(squares)
                    .call(move |device, x, out| {
                        let [value, mean_square] = out else { panic!("bug: two outputs") };
                        let clipping = limits.map(|(norm_limit, element_limit)| Clipping {
                            squared_norm: x[1],
                            norm_limit,
                            element_limit,
                        });
                        let (value, mean_square) = (value.reborrow(), mean_square.reborrow());
                        device.rmsprop(step, clipping, x[0], value, mean_square)
                    })
                    .expect(move |x, out| {
                        let clip =
                            |&g: &f64| limits.map_or(g, |limits| clipped(g, x[1][0], limits));
                        let gradient: Vec<f64> = x[0].iter().map(clip).collect();
                        let elements = || gradient.iter().zip(&out[0]).zip(&out[1]);
                        let square = |g: f64, v: f64| moving_average(step.decay, v, g * g);
                        let value = |g: f64, theta: f64, v: f64| {
                            let moved =
                                step.learning_rate * g / (square(g, v).value + epsilon).sqrt();
                            let scale = 2.0 * theta.abs() + 12.0 * moved.abs();
                            Expected { value: theta - moved, scale }
                        };
                        vec![
                            elements().map(|((&g, &theta), &v)| value(g, theta, v)).collect(),
                            elements().map(|((&g, _), &v)| square(g, v)).collect(),
                        ]
                    }),
            );
        }
    }
    cases
}

pub(super) fn sgd(draw: &mut Draw) -> Vec<Case> {
    let mut cases = Vec::new();
    for (rate, momentum) in [(0.1, 0.9), (0.01, 0.0)] {
        for len in LENGTHS {
            cases.push(
                Case::new(format!("rate {rate}, momentum {momentum}, length {len}"))
                    .float(draw.normal(len))
                    .in_place(draw.normal(len))
                    .in_place(draw.normal(len))
                    .call(move |device, x, out| {
                        let [value, velocity] = out else { panic!("bug: two outputs") };
                        device.sgd(rate, momentum, x[0], value.reborrow(), velocity.reborrow())
                    })
                    .expect(move |x, out| {
                        let velocity = |g: f64, u: f64| Expected {
                            value: momentum * u + g,
                            scale: 3.0 * ((momentum * u).abs() + g.abs()),
                        };
                        let value = |g: f64, theta: f64, u: f64| {
                            let step = velocity(g, u).times(rate);
                            Expected {
                                value: theta - step.value,
                                scale: step.scale + 2.0 * (theta.abs() + step.value.abs()),
                            }
                        };
                        let elements = || x[0].iter().zip(&out[0]).zip(&out[1]);
                        vec![
                            elements().map(|((&g, &theta), &u)| value(g, theta, u)).collect(),
                            elements().map(|((&g, _), &u)| velocity(g, u)).collect(),
                        ]
                    }),
            );
        }
    }
    cases
}
