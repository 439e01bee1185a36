//! From values to places on the page, and the round numbers that an axis shows.

use super::svg::{Anchor, Svg, number};

/// A map from values to a coordinate: linear, or of equal ratios.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    values: (f64, f64),
    places: (f64, f64),
    logarithmic: bool,
}

impl Scale {
    /// Values from `values.0` to `values.1` lie from `places.0` to `places.1`. Equal values are
    /// given a span of their own.
    pub fn new(values: (f64, f64), places: (f64, f64)) -> Self {
        let (low, high) = values;
        let values = if high > low { values } else { (low - 0.5, low + 0.5) };
        Self { values, places, logarithmic: false }
    }

    /// The same with equal room for equal ratios; values below the least lie on it. Both ends must
    /// be above 0.
    pub fn logarithmic(values: (f64, f64), places: (f64, f64)) -> Self {
        Self { values, places, logarithmic: true }
    }

    /// The place of a value.
    pub fn at(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = match self.logarithmic {
            true => (value.max(low) / low).ln() / (high / low).ln(),
            false => (value - low) / (high - low),
        };
        self.places.0 + share * (self.places.1 - self.places.0)
    }

    /// The smallest and the largest value.
    pub fn values(&self) -> (f64, f64) {
        self.values
    }

    /// About `count` round numbers within the values, with as many decimals as their distance asks
    /// for; powers of ten if it is logarithmic.
    pub fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        let (low, high) = self.values;
        if self.logarithmic {
            let powers = (low.log10() - 1e-9).ceil() as i32..=(high.log10() + 1e-9).floor() as i32;
            return powers
                .map(|power| {
                    (10f64.powi(power), label(10f64.powi(power), (-power).max(0) as usize))
                })
                .collect();
        }
        let rough = (high - low) / count.max(1) as f64;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .map(|m| m * power)
            .find(|&step| step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * power);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step - 1e-9).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        (first..=last).map(|k| (k as f64 * step, label(k as f64 * step, decimals))).collect()
    }

    /// The whole numbers among the [ticks](Self::ticks), for things that are counted.
    pub fn whole_ticks(&self, count: usize) -> Vec<(f64, String)> {
        let whole = self
            .ticks(count)
            .into_iter()
            .map(|(value, _)| value)
            .filter(|value| value.fract() == 0.0);
        whole.map(|value| (value, label(value, 0))).collect()
    }
}

/// A number for people: a true minus sign, and no minus before zero.
pub fn label(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    match text.strip_prefix('-') {
        Some(digits) if digits.chars().all(|c| matches!(c, '0' | '.')) => digits.into(),
        Some(digits) => format!("−{digits}"),
        None => text,
    }
}

/// The rectangle that data is drawn in, with its two axes.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Left edge, right edge.
    pub x: (f64, f64),
    /// Top edge, bottom edge.
    pub y: (f64, f64),
}

impl Frame {
    /// Horizontal grid lines with their values on the left, and what they mean.
    pub fn draw_y_axis(&self, svg: &mut Svg, scale: &Scale, title: &str) {
        for (value, text) in scale.ticks(5) {
            let y = scale.at(value);
            svg.line("grid", (self.x.0, y), (self.x.1, y));
            svg.text("tick", (self.x.0 - 6.0, y + 4.0), Anchor::End, &text);
        }
        svg.upward_text("axis-title", (14.0, f64::midpoint(self.y.0, self.y.1)), title);
    }

    /// Ticks with their values below, and what they mean.
    pub fn draw_x_axis(&self, svg: &mut Svg, ticks: &[(f64, String)], title: &str) {
        svg.line("axis", (self.x.0, self.y.1), (self.x.1, self.y.1));
        for (x, text) in ticks {
            svg.line("axis", (*x, self.y.1), (*x, self.y.1 + 4.0));
            svg.text("tick", (*x, self.y.1 + 18.0), Anchor::Middle, text);
        }
        svg.text(
            "axis-title",
            (f64::midpoint(self.x.0, self.x.1), self.y.1 + 36.0),
            Anchor::Middle,
            title,
        );
    }

    /// A clip path of this rectangle and `beyond` on every side, by its name.
    pub fn clip(&self, svg: &mut Svg, id: &str, beyond: f64) {
        svg.open("clipPath", &[("id", id.to_string())]);
        let (x, y) = (self.x.0 - beyond, self.y.0 - beyond);
        let (width, height) = (self.x.1 + beyond - x, self.y.1 + beyond - y);
        let attributes =
            [("x", x), ("y", y), ("width", width), ("height", height)].map(|(k, v)| (k, number(v)));
        svg.element("rect", &attributes);
        svg.close("clipPath");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_map_to_places_either_way_up() {
        let scale = Scale::new((-100.0, -80.0), (200.0, 0.0));
        assert_eq!((scale.at(-100.0), scale.at(-80.0), scale.at(-90.0)), (200.0, 0.0, 100.0));
        assert!(Scale::new((3.0, 3.0), (0.0, 1.0)).at(3.0).is_finite());
    }

    #[test]
    fn equal_ratios_have_equal_room_on_a_logarithmic_scale() {
        let scale = Scale::logarithmic((0.01, 100.0), (0.0, 4.0));
        assert!(
            [0.01, 0.1, 10.0]
                .iter()
                .zip([0.0, 1.0, 3.0])
                .all(|(&v, place)| (scale.at(v) - place).abs() < 1e-9)
        );
        assert_eq!(scale.at(-5.0), 0.0);
        let texts: Vec<String> = scale.ticks(5).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["0.01", "0.1", "1", "10", "100"]);
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |low, high| -> Vec<String> {
            Scale::new((low, high), (0.0, 1.0)).ticks(5).into_iter().map(|(_, text)| text).collect()
        };
        assert_eq!(texts(0.0, 200.0), ["0", "50", "100", "150", "200"]);
        assert_eq!(texts(-100.3, -80.2), ["−100", "−95", "−90", "−85"]);
        assert_eq!(texts(0.0, 0.4), ["0.0", "0.1", "0.2", "0.3", "0.4"]);
        let counted = |high| -> Vec<String> {
            Scale::new((0.0, high), (0.0, 1.0))
                .whole_ticks(5)
                .into_iter()
                .map(|(_, text)| text)
                .collect()
        };
        assert_eq!(
            (counted(2.0).join(" "), counted(300.0).join(" ")),
            ("0 1 2".into(), "0 100 200 300".into())
        );
        assert_eq!(label(-0.001, 1), "0.0");
    }
}
