//! Measured quantities by name: what is said of an epoch or of an evaluation, as a line of JSON and
//! as events of TensorBoard.

use serde_json::{Value, json};

use crate::error::Result;
use crate::run::metrics::Record;
use crate::run::tensorboard::EventWriter;

/// Significant digits of a unit's number in a quick evaluation: more than its sampling error has.
const QUICK_DIGITS: usize = 4;

/// The numbers with `digits` significant ones: what a file keeps of a quantity that is written for
/// every unit.
pub(super) fn rounded(values: &[Vec<f64>], digits: usize) -> Vec<Vec<f64>> {
    let round =
        |&value: &f64| format!("{value:.*e}", digits.saturating_sub(1)).parse().unwrap_or(value);
    values.iter().map(|units| units.iter().map(round).collect()).collect()
}

/// What was measured of one quantity.
#[derive(Debug, Clone, PartialEq)]
pub enum Quantity {
    /// One number.
    Number(f64),
    /// A count.
    Count(usize),
    /// A number of each part.
    PerPart(Vec<f64>),
    /// A count of each part.
    CountPerPart(Vec<usize>),
    /// A number of each unit of each part.
    PerUnit(Vec<Vec<f64>>),
}

/// One quantity under its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// Its name, with the unit at the end if it has one: `kl_nats`.
    pub key: &'static str,
    /// What was measured.
    pub quantity: Quantity,
    /// Where it is shown.
    pub place: Place,
}

/// Where a quantity is shown. Few images do not tell every quantity well enough to stand in one
/// curve with what all of them tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In lines and events.
    Everywhere,
    /// The same, but its name in lines has no prefix that says what it was measured on.
    Bare,
    /// In lines and events of full evaluations.
    Full,
    /// In lines, and in events of full evaluations.
    FullEvents,
    /// In lines.
    Line,
    /// In lines of full evaluations.
    FullLine,
}

impl Place {
    fn is_in_line(self, on: On) -> bool {
        on != On::Quick || !matches!(self, Self::Full | Self::FullLine)
    }

    fn is_in_events(self, on: On) -> bool {
        match self {
            Self::Everywhere | Self::Bare => true,
            Self::Full | Self::FullEvents => on != On::Quick,
            Self::Line | Self::FullLine => false,
        }
    }
}

/// A part that some quantities are measured of, such as a group of latent units or a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it is called in tags of events: `1_top_down`.
    pub key: String,
    /// What it is called in text: `z_1 top-down`.
    pub name: String,
}

/// Quantities in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measures {
    /// What the parts are called in lines: `groups`.
    pub parts_key: &'static str,
    /// The parts that quantities per part are of.
    pub parts: Vec<Part>,
    /// The quantities.
    pub all: Vec<Measure>,
}

/// What quantities were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The batches of an epoch.
    Train,
    /// All held-out images.
    HeldOut,
    /// The first of the held-out images, in an epoch without a full evaluation.
    Quick,
}

impl On {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::HeldOut => "held_out",
            Self::Quick => "quick",
        }
    }
}

impl Measures {
    /// Adds one quantity.
    #[must_use]
    pub fn with(mut self, key: &'static str, place: Place, quantity: Quantity) -> Self {
        self.all.push(Measure { key, quantity, place });
        self
    }

    /// Adds one quantity if it was measured.
    #[must_use]
    pub fn with_some(self, key: &'static str, place: Place, quantity: Option<Quantity>) -> Self {
        match quantity {
            Some(quantity) => self.with(key, place, quantity),
            None => self,
        }
    }

    /// The number under a name.
    pub fn number(&self, key: &str) -> Option<f64> {
        let found = self.all.iter().find(|measure| measure.key == key)?;
        match found.quantity {
            Quantity::Number(number) => Some(number),
            Quantity::Count(count) => Some(count as f64),
            _ => None,
        }
    }

    /// Adds the quantities to a line, their names with what they were measured on before them.
    pub fn add_to(&self, line: &mut Record, on: On) {
        if !self.parts.is_empty() {
            line.insert(
                self.parts_key.into(),
                self.parts.iter().map(|part| json!(part.name)).collect(),
            );
        }
        for Measure { key, quantity, place } in &self.all {
            if place.is_in_line(on) {
                let key = if *place == Place::Bare {
                    (*key).to_string()
                } else {
                    format!("{}_{key}", on.prefix())
                };
                line.insert(key, quantity.json(on));
            }
        }
    }

    /// Writes the quantities as events of a step.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn write_events(&self, events: &mut EventWriter, step: u64, on: On) -> Result<()> {
        let folder = if on == On::Train { On::Train } else { On::HeldOut }.prefix();
        for Measure { key, quantity, place } in &self.all {
            if place.is_in_events(on) {
                self.write_quantity(events, step, (folder, key), quantity)?;
            }
        }
        Ok(())
    }

    fn write_quantity(
        &self,
        events: &mut EventWriter,
        step: u64,
        (folder, key): (&str, &str),
        quantity: &Quantity,
    ) -> Result<()> {
        let tags = self.parts.iter().map(|part| format!("{folder}/{}", tag(key, &part.key)));
        match quantity {
            Quantity::Number(number) => {
                events.scalar(&format!("{folder}/{key}"), step, *number as f32)
            }
            Quantity::Count(count) => {
                events.scalar(&format!("{folder}/{key}"), step, *count as f32)
            }
            Quantity::PerPart(numbers) => tags
                .zip(numbers)
                .try_for_each(|(tag, number)| events.scalar(&tag, step, *number as f32)),
            Quantity::CountPerPart(counts) => tags
                .zip(counts)
                .try_for_each(|(tag, count)| events.scalar(&tag, step, *count as f32)),
            Quantity::PerUnit(units) => tags.zip(units).try_for_each(|(tag, units)| {
                let units: Vec<f32> = units.iter().map(|&number| number as f32).collect();
                events.histogram(&tag, step, &units)
            }),
        }
    }
}

impl Quantity {
    fn json(&self, on: On) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Count(count) => json!(count),
            Self::PerPart(numbers) => json!(numbers),
            Self::CountPerPart(counts) => json!(counts),
            // More digits than the sampling error leaves would fill the file: the numbers are many,
            // and written after every epoch.
            Self::PerUnit(units) if on == On::Quick => json!(rounded(units, QUICK_DIGITS)),
            Self::PerUnit(units) => json!(units),
        }
    }
}

/// The name of a quantity of one part, its unit at the end: `kl_1_nats`.
fn tag(key: &str, part: &str) -> String {
    match key.strip_suffix("_nats") {
        Some(name) => format!("{name}_{part}_nats"),
        None => format!("{key}_{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measures() -> Measures {
        let part = |key: &str| Part { key: key.into(), name: format!("z_{key}") };
        Measures { parts_key: "groups", parts: vec![part("1"), part("2")], all: Vec::new() }
            .with("bound_1_nats", Place::FullEvents, Quantity::Number(-90.0))
            .with("kl_nats", Place::Full, Quantity::PerPart(vec![1.5, 2.0]))
            .with("active_units", Place::Bare, Quantity::CountPerPart(vec![3, 1]))
    }

    #[test]
    fn a_line_says_what_each_quantity_was_measured_on() {
        let line = |on| {
            let mut line = Record::new();
            measures().add_to(&mut line, on);
            Value::Object(line)
        };
        assert_eq!(
            line(On::HeldOut),
            json!({"groups": ["z_1", "z_2"], "held_out_bound_1_nats": -90.0,
                "held_out_kl_nats": [1.5, 2.0], "active_units": [3, 1]})
        );
        assert_eq!(
            line(On::Quick),
            json!({"groups": ["z_1", "z_2"], "quick_bound_1_nats": -90.0, "active_units": [3, 1]})
        );
        assert_eq!(measures().number("bound_1_nats"), Some(-90.0));
        assert_eq!(measures().number("kl_nats"), None);
    }

    #[test]
    fn the_tag_of_a_part_keeps_the_unit_at_its_end() {
        assert_eq!(tag("kl_nats", "1_top_down"), "kl_1_top_down_nats");
        assert_eq!(tag("active_units", "2"), "active_units_2");
    }

    #[test]
    fn rounding_keeps_the_significant_digits() {
        let rounded = rounded(&[vec![0.012_345_6, 12.345_6], vec![-0.0, f64::NAN]], 3);
        assert_eq!(rounded[0], [0.0123, 12.3]);
        assert!(rounded[1][0] == 0.0 && rounded[1][1].is_nan());
    }
}
