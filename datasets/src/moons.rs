//! The half-moons: two interleaved half circles of points in the plane, of which six have a label.
//! The toy that learning from few labels is shown on (specification A, section 6.4).
//!
//! A model sees a point as an image of one row and two columns.

use rand::RngExt;
use rand_distr::StandardNormal;
use rung_kernels::rng::{Address, Philox, Stream};

use crate::batch::shuffled_at;
use crate::{Binarisation, Dataset, ImageShape, Images, Labels, Pixels, Result};

/// Added to both coordinates.
const SHIFT: f64 = 1.7;
/// Standard deviation of the noise around the arcs.
const SIGMA: f64 = 0.2;
/// The points of known class, three of each.
const KNOWN: [([f32; 2], u32); 6] = [
    ([0.7, 1.7], 0),
    ([1.6, 2.6], 0),
    ([2.7, 1.7], 0),
    ([1.6, 2.0], 1),
    ([2.7, 1.1], 1),
    ([3.5, 2.0], 1),
];
/// The shape of a point.
pub const SHAPE: ImageShape = ImageShape::new(1, 1, 2);
/// What the classes are called.
pub const CLASS_NAMES: &[&str] = &["upper moon", "lower moon"];

/// The data set: the six points of known class and `train` others without one to learn from, and
/// `test` points whose classes are known.
///
/// The n points of a class lie at t = π k/(n − 1) for k from 0 to n − 1, in random order: class 0
/// at (cos t, sin t), class 1 at (1 − cos t, ½ − sin t), both moved by (1.7, 1.7), with noise of
/// standard deviation 0.2. Classes alternate.
///
/// # Errors
/// As [`Dataset::new`]: if there are no test points.
pub fn dataset(seed: u64, train: u32, test: u32) -> Result<Dataset> {
    let mut values: Vec<f32> = KNOWN.iter().flat_map(|(point, _)| *point).collect();
    values.extend(points(seed, 0, train).iter().flat_map(|(point, _)| *point));
    let unknown = (0..train).map(|_| Labels::UNKNOWN);
    let labels = KNOWN.iter().map(|(_, class)| *class).chain(unknown).collect();
    let test = points(seed, 1, test);
    let all = |values: Vec<f32>, labels: Vec<u32>| {
        let class_names = CLASS_NAMES.iter().map(ToString::to_string).collect();
        Images::new(SHAPE, Pixels::F32(values), Some(Labels::new(labels, class_names)))
    };
    let test_values = test.iter().flat_map(|(point, _)| *point).collect();
    let test = all(test_values, test.iter().map(|(_, class)| *class).collect())?;
    let mut dataset = Dataset::new("half-moons", all(values, labels)?, test, Binarisation::None)?;
    dataset.notes.push(format!("{} training points have a label, the first", KNOWN.len()));
    Ok(dataset)
}

/// `count` points of a part of the data set, with their classes.
fn points(seed: u64, part: u64, count: u32) -> Vec<([f32; 2], u32)> {
    let address = Address::new(seed, Stream::Moon.first(), part);
    let mut rng = Philox::new(address);
    let of_class = |class: u32| (count + 1 - class) / 2;
    // Steps of the order's own, behind those of the parts.
    let order = [0, 1].map(|class: u32| {
        let address = Address { step: 2 + 2 * part + u64::from(class), ..address };
        shuffled_at(&address, of_class(class))
    });
    let point = |index: u32| {
        let class = index % 2;
        let place = order[class as usize][(index / 2) as usize];
        let share = f64::from(place) / f64::from(of_class(class).max(2) - 1);
        let (sin, cos) = (std::f64::consts::PI * share).sin_cos();
        let [x, y] = if class == 0 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
        let mut moved = |value: f64| {
            let noise: f64 = rng.sample(StandardNormal);
            (value + SHIFT + SIGMA * noise) as f32
        };
        ([moved(x), moved(y)], class)
    };
    (0..count).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_points_have_a_label_and_the_parts_differ() {
        let moons = dataset(3, 100, 80).unwrap();
        let labels = moons.train.labels().unwrap();
        assert_eq!(labels.values[..7], [0, 0, 0, 1, 1, 1, Labels::UNKNOWN]);
        assert_eq!((moons.train.count(), moons.test.count(), labels.classes()), (106, 80, 2));
        assert_eq!(moons.train.intensities(3..4), [1.6, 2.0]);
        assert!(moons.test.labels().unwrap().values.iter().all(|&label| label < 2));
        assert_ne!(moons.train.intensities(6..7), moons.test.intensities(0..1));
        assert_eq!(dataset(3, 100, 80).unwrap().train, moons.train);
        assert_ne!(dataset(4, 100, 80).unwrap().train, moons.train);
    }

    /// The noise along both axes around the nearest point of the own arc has less than its whole
    /// variance, as part of it is along the arc, and no less than that across the arc.
    #[test]
    fn points_lie_around_their_arcs() {
        let count = 4000;
        let nearest = |[x, y]: [f64; 2], class: u32| {
            let on_arc = |step: u32| {
                let (sin, cos) = (std::f64::consts::PI * f64::from(step) / 400.0).sin_cos();
                let [at_x, at_y] = if class == 0 { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
                (x - SHIFT - at_x).powi(2) + (y - SHIFT - at_y).powi(2)
            };
            (0..=400).map(on_arc).fold(f64::INFINITY, f64::min)
        };
        let squares: Vec<f64> = points(5, 0, count)
            .into_iter()
            .map(|([x, y], class)| nearest([f64::from(x), f64::from(y)], class))
            .collect();
        assert!(squares.iter().all(|square| square.sqrt() < 7.0 * SIGMA));
        let mean = squares.iter().sum::<f64>() / f64::from(count);
        assert!((0.85..1.4).contains(&(mean / SIGMA.powi(2))), "{mean}");
    }

    /// The first points are as spread as all: a quick evaluation looks at them alone.
    #[test]
    fn points_are_in_random_order() {
        let mean = |points: &[([f32; 2], u32)]| {
            let of_class = points.iter().filter(|(_, class)| *class == 0);
            let count = of_class.clone().count() as f64;
            of_class.map(|([x, _], _)| f64::from(*x)).sum::<f64>() / count
        };
        let all = points(6, 0, 4000);
        // cos t has the deviation 0.71: the mean of 200 of its points lies within six of 0.05.
        assert!((mean(&all[..400]) - mean(&all)).abs() < 0.35);
    }
}
