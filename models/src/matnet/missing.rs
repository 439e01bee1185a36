//! Which pixels of an image are missing, where a model is to fill them in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::map_shape::MapShape;
use crate::rules::{BrokenRule, rule};

/// Which pixels are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// None: the model is one of whole images.
    #[default]
    None,
    /// So many of the four quadrants, chosen at random.
    Quadrants,
    /// So many squares at random places, which may overlap.
    Squares,
}

/// The masks of a model that fills in missing pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Masks {
    pub(super) missing: Missing,
    /// Quadrants or squares.
    pub(super) count: usize,
    /// Side of a square.
    pub(super) side: usize,
    /// The shape of an image.
    pub(super) image: MapShape,
}

impl Masks {
    /// Refuses what hides nothing or everything.
    pub(super) fn check(&self) -> Result<(), BrokenRule> {
        match self.missing {
            Missing::None => Ok(()),
            Missing::Quadrants => {
                let valid = (1..=3).contains(&self.count);
                rule(valid, "missing_count", self.count, "must be 1 to 3 quadrants")
            }
            Missing::Squares => {
                let valid = (1..=100).contains(&self.count);
                rule(valid, "missing_count", self.count, "must be 1 to 100 squares")?;
                rule(self.side > 0, "missing_side", self.side, "must be at least 1")
            }
        }
    }

    /// Refuses squares that are no part of an image.
    pub(super) fn check_image(&self) -> Result<(), BrokenRule> {
        let MapShape { height, width, .. } = self.image;
        rule(
            self.missing != Missing::Squares || self.side < height.min(width),
            "missing_side",
            self.side,
            format!("must be less than the sides of an image of {height}x{width}"),
        )
    }

    /// Places a square can be at.
    const fn places(&self) -> usize {
        (self.image.height + 1 - self.side) * (self.image.width + 1 - self.side)
    }

    /// Standard normal numbers that choose the mask of one image.
    pub(super) const fn noise(&self) -> usize {
        match self.missing {
            Missing::None => 0,
            Missing::Quadrants => 4,
            Missing::Squares => self.count * self.places(),
        }
    }

    /// The mask of one image, planar, 1 where a pixel is missing. Of equally distributed numbers
    /// each is as likely as any other to be the largest: so quadrants and places are chosen.
    pub(super) fn mask(&self, noise: &[f64]) -> Vec<f64> {
        let MapShape { height, width, channels } = self.image;
        let mut plane = vec![0.0; height * width];
        let mut hide = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
            for row in rows {
                plane[row * width + columns.start..row * width + columns.end].fill(1.0);
            }
        };
        match self.missing {
            Missing::None => {}
            Missing::Quadrants => {
                let mut order: Vec<usize> = (0..4).collect();
                order.sort_by(|&a, &b| noise[b].total_cmp(&noise[a]));
                for quadrant in &order[..self.count] {
                    let half = |second: bool, size: usize| {
                        if second { size / 2..size } else { 0..size / 2 }
                    };
                    hide(half(quadrant / 2 == 1, height), half(quadrant % 2 == 1, width));
                }
            }
            Missing::Squares => {
                let columns = width + 1 - self.side;
                for noise in noise.chunks_exact(self.places()) {
                    let largest = (0..noise.len()).max_by(|&a, &b| noise[a].total_cmp(&noise[b]));
                    let place = largest.unwrap_or(0);
                    let (row, column) = (place / columns, place % columns);
                    hide(row..row + self.side, column..column + self.side);
                }
            }
        }
        plane.repeat(channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: MapShape = MapShape { height: 4, width: 6, channels: 2 };

    #[test]
    fn the_quadrants_with_the_largest_numbers_are_hidden() {
        let masks = Masks { missing: Missing::Quadrants, count: 2, side: 0, image: IMAGE };
        assert_eq!(masks.noise(), 4);
        let mask = masks.mask(&[0.1, 2.0, 1.0, -3.0]);
        let top = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let bottom = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0];
        assert_eq!(mask, [top, top, bottom, bottom].concat().repeat(2));
    }

    #[test]
    fn squares_lie_where_the_largest_number_is() {
        let masks = Masks { missing: Missing::Squares, count: 1, side: 3, image: IMAGE };
        assert_eq!(masks.noise(), 2 * 4);
        let mask = masks.mask(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0]);
        let hidden = [0.0, 0.0, 1.0, 1.0, 1.0, 0.0];
        assert_eq!(mask, [[0.0; 6], hidden, hidden, hidden].concat().repeat(2));
        masks.check_image().unwrap();
        let error = Masks { side: 4, ..masks }.check_image().unwrap_err().to_string();
        assert_eq!(error, "missing_side = 4: must be less than the sides of an image of 4x6");
    }
}
