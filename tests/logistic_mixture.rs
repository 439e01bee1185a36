//! What holds of mixtures of discretised logistics on any device: probabilities add up to 1, and
//! samples follow the distribution.

use rung_autograd::rng::Address;
use rung_autograd::{DType, Device, Result, Tensor};
use rung_tests::devices;

/// Parameters of a pixel drawn around 0, log-scales around `log_scale`.
fn parameters(
    device: &Device,
    stream: u32,
    channels: usize,
    components: usize,
    log_scale: f64,
) -> Result<Vec<f64>> {
    let group = if channels == 1 { 2 } else { 3 };
    let drawn = Tensor::normal(
        device,
        DType::F64,
        Address::new(5, stream, 0),
        [components * (1 + channels * group)],
    )?;
    let shifted = drawn.to_f64()?.into_iter().enumerate().map(|(i, value)| {
        let place = i / components;
        if place > 0 && (place - 1) % group == 1 { value + log_scale } else { value }
    });
    Ok(shifted.collect())
}

fn level(number: usize, levels: usize) -> f64 {
    2.0 * number as f64 / (levels - 1) as f64 - 1.0
}

#[test]
fn the_values_of_a_byte_have_probability_one_together() -> Result<()> {
    for device in devices() {
        for (stream, log_scale) in [(0, -6.0), (1, -3.0), (2, 0.0), (3, 2.0)] {
            let one = parameters(&device, stream, 1, 10, log_scale)?;
            let x: Vec<f64> = (0..256).map(|number| level(number, 256)).collect();
            let mixture = Tensor::from_f64(&device, &one.repeat(256), [256, 1, 30])?;
            let log_prob = mixture
                .logistic_mixture_log_prob(&Tensor::from_f64(&device, &x, [256, 1, 1])?, 256)?;
            let total: f64 = log_prob.to_f64()?.into_iter().map(f64::exp).sum();
            assert!((total - 1.0).abs() < 1e-12, "{}, {log_scale}: {total}", device.name());
        }
    }
    Ok(())
}

#[test]
fn all_colours_have_probability_one_together() -> Result<()> {
    const LEVELS: usize = 7;
    let count = LEVELS * LEVELS * LEVELS;
    for device in devices() {
        for (stream, log_scale) in [(4, -4.0), (5, -1.0)] {
            let one = parameters(&device, stream, 3, 4, log_scale)?;
            let colour = |i: usize| {
                [i / LEVELS / LEVELS, i / LEVELS % LEVELS, i % LEVELS].map(|n| level(n, LEVELS))
            };
            let x: Vec<f64> = (0..count).flat_map(colour).collect();
            let mixture = Tensor::from_f64(&device, &one.repeat(count), [count, 1, 40])?;
            let x = Tensor::from_f64(&device, &x, [count, 1, 3])?;
            let total: f64 = mixture
                .logistic_mixture_log_prob(&x, LEVELS)?
                .to_f64()?
                .into_iter()
                .map(f64::exp)
                .sum();
            assert!((total - 1.0).abs() < 1e-12, "{}, {log_scale}: {total}", device.name());
        }
    }
    Ok(())
}

#[test]
fn several_images_of_parameters_meet_one_image() -> Result<()> {
    for device in devices() {
        let mixtures = Tensor::normal(&device, DType::F64, Address::new(6, 0, 0), [6, 5, 20])?;
        let x = Tensor::from_f64(
            &device,
            &(0..30).map(|i| level(i * 77 % 256, 256)).collect::<Vec<_>>(),
            [2, 5, 3],
        )?;
        let together = mixtures.logistic_mixture_log_prob(&x, 256)?.to_f64()?;
        let repeated = mixtures.logistic_mixture_log_prob(&x.repeat_rows(3)?, 256)?.to_f64()?;
        assert_eq!(together, repeated, "{}", device.name());
    }
    Ok(())
}

/// The frequencies of samples, put into bins, are the probabilities: within five standard errors in
/// each bin.
#[test]
fn samples_follow_the_distribution() -> Result<()> {
    const COUNT: usize = 20_000;
    const LEVELS: usize = 5;
    for device in devices() {
        for channels in [1, 3] {
            let components = 3;
            let one = parameters(&device, 7, channels, components, -1.0)?;
            let mixture = Tensor::from_f64(&device, &one.repeat(COUNT), [COUNT, 1, one.len()])?;
            let sample =
                mixture.logistic_mixture_sample(channels, Address::new(9, 0, channels as u64))?;
            assert_eq!(sample.shape().sizes(), [COUNT, 1, channels]);
            let sample = sample.to_f64()?;
            assert!(sample.iter().all(|value| value.abs() <= 1.0));
            // The first channel depends on no other; its marginal is a mixture of one channel.
            let marginal: Vec<f64> = one[..3 * components].to_vec();
            let levels: Vec<f64> = (0..LEVELS).map(|number| level(number, LEVELS)).collect();
            let bins =
                Tensor::from_f64(&device, &marginal.repeat(LEVELS), [LEVELS, 1, 3 * components])?;
            let x = Tensor::from_f64(&device, &levels, [LEVELS, 1, 1])?;
            let expected = bins.logistic_mixture_log_prob(&x, LEVELS)?.to_f64()?;
            for (number, log_prob) in expected.into_iter().enumerate() {
                let width = (LEVELS - 1) as f64 / 2.0;
                let inside = |value: &&f64| ((*value + 1.0) * width).round() as usize == number;
                let hits =
                    sample.iter().step_by(channels).filter(inside).count() as f64 / COUNT as f64;
                let (p, error) = (log_prob.exp(), 5.0 * (log_prob.exp() / COUNT as f64).sqrt());
                assert!(
                    (hits - p).abs() < error,
                    "{}: bin {number} has {hits}, not {p}",
                    device.name()
                );
            }
        }
    }
    Ok(())
}

/// Blue follows red and green by the coefficients: with a tiny scale and the other colours at their
/// means, it is known.
#[test]
fn colours_of_a_sample_are_pulled_by_those_before() -> Result<()> {
    for device in devices() {
        let (least, [red, green, blue]) = (-20.0, [0.6, -0.2, 0.1]);
        let raw = [0.5f64, -0.4, 0.3];
        let one = [0.0, red, least, raw[0], green, least, raw[1], blue, least, raw[2]];
        let sample = Tensor::from_f64(&device, &one, [1, 1, 10])?
            .logistic_mixture_sample(3, Address::new(1, 2, 3))?;
        let found = sample.to_f64()?;
        let [k_red, k_green, k_blue] = raw.map(f64::tanh);
        let expected =
            [red, green + k_red * red, blue + k_green * red + k_blue * (green + k_red * red)];
        // 11.5 of the least scale, e⁻⁷, for each of up to three colours.
        for (found, expected) in found.into_iter().zip(expected) {
            assert!(
                (found - expected).abs() < 3.0 * 11.6 * (-7f64).exp(),
                "{}: {found}, {expected}",
                device.name()
            );
        }
    }
    Ok(())
}

#[test]
fn samples_refuse_what_no_pixel_has() {
    let x = Tensor::zeros(&Device::cpu(), DType::F32, [1, 2, 20]).unwrap();
    let refused = |channels| {
        x.logistic_mixture_sample(channels, Address::new(0, 0, 0)).unwrap_err().to_string()
    };
    assert!(refused(1).contains("1 channel takes 3 numbers"), "{}", refused(1));
    assert!(refused(2).contains("3 channels 10"), "{}", refused(2));
}
