//! The KL of every unit over the epochs (figure 5 of the paper): a heat map for each layer.

use serde_json::json;

use crate::report::axis::{Frame, Scale};
use crate::report::figure::{Drawing, Figure, csv, embedded_json};
use crate::report::history::{Epoch, History};
use crate::report::legend::{self, Entry};
use crate::report::svg::{Svg, number};
use crate::tasks::latent::evaluation::ACTIVE_NATS;

/// Columns that a map has at most: several epochs share one, with their mean.
const COLUMNS: usize = 120;
/// Rows that a map has at most: of a map of latents several units share one, with their mean.
const ROWS: usize = 128;
/// Shades between an inactive unit and the most informative one; the style sheet has a colour for
/// each.
const SHADES: usize = 9;
/// The KL that the darkest shade begins at, in nats: units of the published models have up to about
/// 4.
const DARKEST_NATS: f64 = 3.0;
const WIDTH: f64 = 480.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 466.0;
const TOP: f64 = 6.0;

/// One layer's units over time.
struct LayerMap {
    /// First and last epoch of each column.
    columns: Vec<(u64, u64)>,
    /// How many units the layer has.
    units: usize,
    /// How many share a row; the last row may have fewer.
    units_in_row: usize,
    /// Mean KL by row and column, units sorted by their last KL, the largest first. What was not
    /// measured is missing.
    rows: Vec<Vec<Option<f64>>>,
}

/// A map for each layer, the nearest to the image first.
pub fn figure(history: &History) -> Option<Figure> {
    let epochs: Vec<&Epoch> =
        history.epochs.iter().filter(|epoch| epoch.kl_per_unit().is_some()).collect();
    epochs.first()?;
    let (panels, drawings): (Vec<String>, Vec<Drawing>) = (0..history.groups.len())
        .filter_map(|index| {
            let key = history.groups[index].sample_key().replace('_', "-");
            panel(&epochs, index, &history.group_name(index), &key)
        })
        .unzip();
    Some(Figure {
        title: "KL of every unit over the epochs".into(),
        body: format!(
            "{}<div class=\"panels\">{}</div>",
            legend::html(&legend_entries()),
            panels.concat()
        ),
        drawings,
        caption: "Each row is a unit (or the mean of several), sorted within its layer by the \
        last KL. Blank cells (white on paper) are inactive units: \
                  at most 0.01 nats."
            .to_string()
            + &measured(&epochs, history),
        class: "wide heat",
    })
}

/// How many epochs were measured, if not all were.
fn measured(epochs: &[&Epoch], history: &History) -> String {
    match (epochs.len(), history.epochs.len()) {
        (some, all) if some < all => format!(" Measured in {some} of {all} epochs."),
        _ => String::new(),
    }
}

/// What the shades mean.
fn legend_entries() -> [Entry; 2] {
    let ramp = |shades: std::ops::RangeInclusive<usize>| {
        let square = |(place, shade): (usize, usize)| {
            format!("<rect class=\"h{shade}\" x=\"{}\" width=\"12\" height=\"12\"/>", 12 * place)
        };
        shades.enumerate().map(square).collect::<String>()
    };
    let entry = |width: usize, mark, name: String| Entry {
        class: String::new(),
        width: width as u32,
        mark,
        name,
    };
    [
        entry(12, ramp(0..=0), "inactive".into()),
        entry(12 * SHADES, ramp(1..=SHADES), format!("0.01 to {DARKEST_NATS} nats, logarithmic")),
    ]
}

fn panel(epochs: &[&Epoch], index: usize, name: &str, key: &str) -> Option<(String, Drawing)> {
    let map = LayerMap::new(epochs, index)?;
    let units = map.units;
    // Rows are high enough to be seen, a small layer does not fill the page, and the name of the
    // axis has room beside a single unit.
    let row = (220.0 / map.rows.len() as f64).clamp(4.0, 14.0).max(36.0 / map.rows.len() as f64);
    let bottom = TOP + row * map.rows.len() as f64;
    let mut svg =
        Svg::new(WIDTH, bottom + 44.0, &format!("KL of each unit of {name} over the epochs"));
    let frame = Frame { x: (LEFT, RIGHT), y: (TOP, bottom) };
    let column = (RIGHT - LEFT) / map.columns.len() as f64;
    for shade in 0..=SHADES {
        let path = map.cells(shade, column, row);
        if !path.is_empty() {
            svg.element("path", &[("class", format!("h{shade}")), ("d", path)]);
        }
    }
    frame.draw_x_axis(&mut svg, &map.ticks(column), "epoch");
    svg.upward_text(
        "axis-title",
        (20.0, f64::midpoint(TOP, bottom)),
        if map.rows.len() < 8 { "unit" } else { "unit, sorted" },
    );
    let round = |value: &Option<f64>| value.map(|v| (v * 1e4).round() / 1e4);
    let rows: Vec<Vec<_>> = map.rows.iter().map(|row| row.iter().map(round).collect()).collect();
    let data = json!({
        "layer": name, "columns": map.columns, "rows": rows, "units": units,
        "unitsInRow": map.units_in_row,
        "frame": [LEFT, RIGHT, TOP, bottom],
    });
    let sharing = if map.units_in_row > 1 {
        format!(", {} in a row", map.units_in_row)
    } else {
        String::new()
    };
    legend::draw(&mut svg, &legend_entries());
    let drawing = Drawing { name: format!("unit-kl-{key}"), svg, csv: map.csv() };
    let panel = format!(
        "<div class=\"panel map\"><h4>{name}, {units} unit{}{sharing}</h4>{}{}</div>",
        if units == 1 { "" } else { "s" },
        drawing.html(),
        embedded_json(&data)
    );
    Some((panel, drawing))
}

/// The mean of what was measured.
fn mean(measured: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = measured.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The shade of a KL: 0 is inactive, then steps of equal ratio up to [`DARKEST_NATS`].
fn shade(kl_nats: f64) -> usize {
    if kl_nats <= ACTIVE_NATS {
        return 0;
    }
    let share = (kl_nats / ACTIVE_NATS).ln() / (DARKEST_NATS / ACTIVE_NATS).ln();
    1 + ((share * (SHADES - 1) as f64) as usize).min(SHADES - 1)
}

impl LayerMap {
    fn new(epochs: &[&Epoch], index: usize) -> Option<Self> {
        let units = epochs.last()?.kl_per_unit()?.get(index)?.len();
        let per_column = epochs.len().div_ceil(COLUMNS);
        let mut columns = Vec::new();
        let mut values = vec![Vec::new(); units];
        for group in epochs.chunks(per_column) {
            columns.push((group[0].epoch, group[group.len() - 1].epoch));
            for (unit, row) in values.iter_mut().enumerate() {
                let of_unit = |epoch: &&Epoch| *epoch.kl_per_unit()?.get(index)?.get(unit)?;
                row.push(mean(group.iter().filter_map(of_unit)));
            }
        }
        let last =
            |row: &Vec<Option<f64>>| row.last().copied().flatten().unwrap_or(f64::NEG_INFINITY);
        values.sort_by(|a, b| last(b).total_cmp(&last(a)));
        let units_in_row = units.div_ceil(ROWS).max(1);
        let share = |units: &[Vec<Option<f64>>]| {
            (0..columns.len())
                .map(|column| mean(units.iter().filter_map(|unit| unit[column])))
                .collect()
        };
        let rows = values.chunks(units_in_row).map(share).collect();
        Some(Self { columns, units, units_in_row, rows })
    }

    /// The mean KL in nats of every row and column.
    fn csv(&self) -> String {
        let rows = self.rows.iter().enumerate().flat_map(|(row, values)| {
            let first = row * self.units_in_row + 1;
            let last = (first + self.units_in_row - 1).min(self.units);
            self.columns.iter().zip(values).map(move |((from, to), value)| {
                let value = value.map_or_else(String::new, |value| value.to_string());
                let whole = [first, last].map(|unit| unit.to_string());
                let epochs = [from, to].map(ToString::to_string);
                whole.into_iter().chain(epochs).chain([value]).collect::<Vec<_>>()
            })
        });
        csv(&["first unit", "last unit", "first epoch", "last epoch", "KL in nats"], rows)
    }

    /// All cells of one shade as a path; neighbours in a row are one rectangle.
    fn cells(&self, wanted: usize, width: f64, height: f64) -> String {
        let mut path = String::new();
        for (row, values) in self.rows.iter().enumerate() {
            let is_wanted = |value: &Option<f64>| value.is_some_and(|kl| shade(kl) == wanted);
            let mut column = 0;
            while column < values.len() {
                let run = values[column..].iter().take_while(|value| is_wanted(value)).count();
                if run > 0 {
                    let (x, y) = (LEFT + column as f64 * width, TOP + row as f64 * height);
                    let (w, h) = (number(run as f64 * width), number(height));
                    path += &format!("M{} {}h{w}v{h}h-{w}z", number(x), number(y));
                }
                column += run.max(1);
            }
        }
        path
    }

    /// Round epochs below the middle of their columns.
    fn ticks(&self, width: f64) -> Vec<(f64, String)> {
        let (Some(first), Some(last)) = (self.columns.first(), self.columns.last()) else {
            return Vec::new();
        };
        let round = Scale::new((first.0 as f64, last.1 as f64), (0.0, 1.0)).whole_ticks(5);
        let place = |(epoch, text): (f64, String)| {
            let column = self.columns.iter().position(|&(_, to)| to as f64 >= epoch)?;
            Some((LEFT + (column as f64 + 0.5) * width, text))
        };
        round.into_iter().filter_map(place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u64, kl: &str) -> Epoch {
        serde_json::from_str(&format!(
            "{{\"epoch\":{number},\"step\":{number},\"quick_kl_per_unit_nats\":[{kl}]}}"
        ))
        .unwrap()
    }

    #[test]
    fn inactive_is_blank_and_more_is_darker() {
        assert_eq!([0.0, -0.001, 0.01].map(shade), [0, 0, 0]);
        assert_eq!([0.0101, DARKEST_NATS, 50.0].map(shade), [1, SHADES, SHADES]);
        assert!(shade(0.3) > shade(0.03));
    }

    #[test]
    fn units_are_sorted_by_their_last_kl_and_epochs_share_columns() {
        let all: Vec<Epoch> =
            (1..=240).map(|e| epoch(e, &format!("[0.001,{},null]", e as f64))).collect();
        let map = LayerMap::new(&all.iter().collect::<Vec<_>>(), 0).unwrap();
        assert_eq!((map.columns.len(), map.columns[0]), (120, (1, 2)));
        assert_eq!(map.rows[0][0], Some(1.5));
        assert_eq!((map.rows[1][0], map.rows[2][0]), (Some(0.001), None));
        // The inactive unit is one blank rectangle over all columns; the one that was not measured
        // is not drawn.
        assert_eq!(map.cells(0, 1.0, 1.0).matches('M').count(), 1);
    }

    #[test]
    fn units_of_a_large_map_share_rows() {
        let kl: Vec<String> = (0..2 * ROWS + 1).map(|unit| unit.to_string()).collect();
        let only = epoch(1, &format!("[{}]", kl.join(",")));
        let map = LayerMap::new(&[&only], 0).unwrap();
        assert_eq!((map.units, map.units_in_row, map.rows.len()), (257, 3, 86));
        assert_eq!((map.rows[0][0], map.rows[85][0]), (Some(255.0), Some(0.5)));
    }
}
