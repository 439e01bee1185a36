use exercises::{Outcome, Part, Random, cases, close, same};

use super::answer::{Run, active_units, is_better, mean_and_error};

fn run(random: &mut Random, live: usize, dead: usize, bounds: Vec<f64>) -> Run {
    let mut unit =
        |n: usize| if n < live { random.between(0.5, 1.0) } else { random.between(0.0, 0.001) };
    let kl = bounds.iter().map(|_| (0..live + dead).map(&mut unit).collect()).collect();
    Run { kl, held_out: bounds }
}

pub const PARTS: &[Part] = &[
    ("mean and error", statistics),
    ("active units", activity),
    ("whether a run is better", comparison),
];

fn statistics() -> Outcome {
    let (mean, error) = mean_and_error(&[1.0, 2.0, 3.0, 4.0]);
    // Squared deviations 2.25 + 0.25 + 0.25 + 2.25 = 5; 5/3 over 4 images.
    close("mean and error of 1, 2, 3, 4", &[mean, error], &[2.5, (5.0_f64 / 12.0).sqrt()], 1e-12)
}

fn activity() -> Outcome {
    cases(30, |random| {
        let (live, dead) = (random.whole(0, 5), random.whole(0, 5));
        let run = run(random, live, dead, vec![-90.0; 200]);
        same("active units", &active_units(&run, 0.01), &live)
    })
}

fn comparison() -> Outcome {
    cases(30, |random| {
        let bounds = random.many(200, -150.0, -50.0);
        let a = run(random, 2, 2, bounds.clone());

        // Better by half a nat on every image: nothing beside the spread over images, and certain.
        let better: Vec<f64> =
            bounds.iter().map(|bound| bound + 0.5 + random.between(-0.5, 0.5)).collect();
        let b = run(random, 2, 2, better);
        same("whether half a nat on the same images is seen", &is_better(&b, &a), &true)?;
        same("whether the worse run is better", &is_better(&a, &b), &false)?;
        same("whether a run is better than itself", &is_better(&a, &a), &false)?;

        // The same bounds with noise of mean zero, made so exactly.
        let noise = random.many(100, 0.1, 5.0);
        let even: Vec<f64> = bounds
            .iter()
            .enumerate()
            .map(|(n, bound)| bound + if n % 2 == 0 { noise[n / 2] } else { 0.01 - noise[n / 2] })
            .collect();
        let c = run(random, 2, 2, even);
        same("whether chance is taken for progress", &is_better(&c, &a), &false)
    })
}
