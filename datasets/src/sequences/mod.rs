//! Cluttered sequences: the digits of a data set in a roughly straight line on a black canvas,
//! among patches of other digits (Sønderby, Sønderby, Maaløe, Winther, "Recurrent Spatial
//! Transformer Networks", arXiv 1509.05329, whose protocol this is).
//!
//! Nothing is stored: example n of a split is a function of the seed and n, drawn when it is asked
//! for. Where everything lies on a canvas is decided in `layout.rs`; here is how it is painted, and
//! the data set as a whole.

mod layout;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use self::layout::{Layout, PATCH_SIDE};
use crate::{
    Binarisation, Dataset, Error, ImageShape, Images, Labels, Options, Pixels, Result, registry,
};

/// What stands before the colon of the name of such a data set: `sequences:mnist`.
pub const SCHEME: &str = "sequences";

/// Where the splits begin in the endless row of examples: so far apart that none can reach the
/// next.
const STARTS: [u64; 3] = [0, 1 << 40, 1 << 41];
/// The part of the training images whose digits are those of the validation sequences, where the
/// data set has no validation part: of MNIST's 60,000 the paper takes the last 10,000.
const VALIDATION_PART: usize = 6;
/// Sequences whose pixels are part of the identity of a set, so that another way to paint is
/// another set.
const IDENTIFYING: usize = 16;
/// Examples that a thread draws at a time.
const AT_A_TIME: usize = 8;

/// What cluttered sequences are made of; the default is the paper's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequences {
    /// Height and width of the canvas, before pooling.
    pub canvas: usize,
    /// Digits on it, from left to right.
    pub digits: usize,
    /// Patches of 9×9 pixels, cut from other digits.
    pub distractors: usize,
    /// Side of the squares of pixels whose mean, rounded to a byte, is one pixel of the image; 1
    /// for the canvas as it is.
    pub pooling: usize,
    /// The seed of the layouts and of the patches.
    pub seed: u64,
    /// Training sequences.
    pub train: usize,
    /// Validation sequences; 0 for none.
    pub validation: usize,
    /// Test sequences.
    pub test: usize,
}

impl Default for Sequences {
    fn default() -> Self {
        Self {
            canvas: 100,
            digits: 3,
            distractors: 8,
            pooling: 1,
            seed: 1234,
            train: 60_000,
            validation: 0,
            test: 10_000,
        }
    }
}

impl Sequences {
    /// The largest canvas, side by side.
    pub const LARGEST_CANVAS: usize = 1024;
    /// The most digits on one.
    pub const MOST_DIGITS: usize = 16;
    /// The most patches on one.
    pub const MOST_DISTRACTORS: usize = 1000;
    /// The most sequences of a split.
    pub const MOST_EXAMPLES: usize = 10_000_000;

    /// The shape of an image: one channel, `canvas / pooling` rows and columns.
    #[must_use]
    pub const fn shape(&self) -> ImageShape {
        let side = match self.canvas.checked_div(self.pooling) {
            Some(side) => side,
            None => 0,
        };
        ImageShape::new(1, side, side)
    }

    /// Refuses what makes no canvas, whatever the digits.
    ///
    /// # Errors
    /// [`Error::Argument`] with the setting, what is allowed and what it is.
    pub fn check(&self) -> Result<()> {
        let within = |what: &'static str, value: usize, least: usize, most: usize| {
            if (least..=most).contains(&value) {
                return Ok(());
            }
            Err(Error::Argument {
                what,
                expected: format!("{least} to {most}"),
                found: value.to_string(),
            })
        };
        within("canvas of sequences", self.canvas, PATCH_SIDE + 1, Self::LARGEST_CANVAS)?;
        within("digits of sequences", self.digits, 1, Self::MOST_DIGITS)?;
        within("distractors of sequences", self.distractors, 0, Self::MOST_DISTRACTORS)?;
        within("pooling of sequences", self.pooling, 1, self.canvas)?;
        if !self.canvas.is_multiple_of(self.pooling) {
            return Err(Error::Argument {
                what: "pooling of sequences",
                expected: format!("a divisor of the canvas, {}", self.canvas),
                found: self.pooling.to_string(),
            });
        }
        within("training sequences", self.train, 0, Self::MOST_EXAMPLES)?;
        within("validation sequences", self.validation, 0, Self::MOST_EXAMPLES)?;
        within("test sequences", self.test, 1, Self::MOST_EXAMPLES)
    }

    /// Refuses digits of a size that does not fit onto the canvas or has no patches.
    fn check_digits(&self, of: &str, digit: ImageShape) -> Result<()> {
        let ImageShape { height, width, channels } = digit;
        let fits = height <= self.canvas && width.saturating_mul(self.digits) <= self.canvas;
        let has_patches = height.min(width) > PATCH_SIDE;
        let refuse = |what, expected: String, found: String| {
            Err(Error::Argument { what, expected, found: format!("{found}, of {of}") })
        };
        if channels != 1 {
            return refuse(
                "digits of sequences",
                "grey images".into(),
                format!("{channels} channels"),
            );
        }
        if !has_patches {
            let expected = format!("images of more than {PATCH_SIDE} rows and columns");
            return refuse("digits of sequences", expected, format!("{height}x{width}"));
        }
        if !fits {
            let expected = format!(
                "room for {} images of {height}x{width} beside each other, {}x{} pixels",
                self.digits,
                height,
                width.saturating_mul(self.digits)
            );
            let found = format!("{0}x{0}", self.canvas);
            return refuse("canvas of sequences", expected, found);
        }
        Ok(())
    }
}

/// The digits of one part of the data set that sequences are made of.
#[derive(Debug)]
struct Digits {
    pixels: Vec<u8>,
    labels: Vec<u32>,
}

impl Digits {
    fn of(name: &str, images: Images) -> Result<Self> {
        let (count, labels) = (images.count(), images.labels().cloned());
        let refuse = |expected: &str, found: String| {
            Err(Error::Argument {
                what: "digits of sequences",
                expected: expected.into(),
                found: format!("{found}, of {name}"),
            })
        };
        let labels = match labels {
            _ if count == 0 => Vec::new(),
            Some(labels) if labels.positions == 1 => labels.values,
            Some(labels) => return refuse("one label an image", labels.positions.to_string()),
            None => return refuse("images with labels", "images without".into()),
        };
        match images.into_pixels() {
            Pixels::U8(pixels) => Ok(Self { pixels, labels }),
            Pixels::F32(_) => refuse("images of bytes", "real numbers".into()),
            Pixels::Drawn(_) => refuse("images of one digit each", "sequences".into()),
        }
    }

    fn count(&self) -> usize {
        self.labels.len()
    }
}

/// All that every canvas of a data set is painted from.
#[derive(Debug)]
struct Paints {
    sequences: Sequences,
    /// The shape of a digit.
    digit: ImageShape,
    /// Of the training, validation and test part.
    digits: [Digits; 3],
}

impl Paints {
    /// Digits that patches are cut from: training and validation ones, for every split.
    fn patch_sources(&self) -> usize {
        self.digits[0].count() + self.digits[1].count()
    }

    /// The pixels of digit `number` among `part`.
    fn digit(&self, part: usize, number: usize) -> &[u8] {
        let values = self.digit.values();
        &self.digits[part].pixels[number * values..][..values]
    }

    /// The pixels of the digit that a patch is cut from.
    fn patch_source(&self, number: usize) -> &[u8] {
        match number.checked_sub(self.digits[0].count()) {
            None => self.digit(0, number),
            Some(number) => self.digit(1, number),
        }
    }

    /// Paints a layout on `canvas`, which has its side squared: patches first, later over earlier
    /// ones, then what the digits add to them, up to white.
    fn paint(&self, layout: &Layout, part: usize, canvas: &mut [u8]) {
        let (side, width) = (self.sequences.canvas, self.digit.width);
        canvas.fill(0);
        for patch in &layout.patches {
            let source = self.patch_source(patch.image);
            for row in 0..PATCH_SIDE {
                let from = &source[(patch.from_row + row) * width + patch.from_column..];
                let to = (patch.row + row) * side + patch.column;
                canvas[to..to + PATCH_SIDE].copy_from_slice(&from[..PATCH_SIDE]);
            }
        }
        for digit in &layout.digits {
            let rows = self.digit(part, digit.image).chunks_exact(width);
            for (row, from) in rows.enumerate() {
                let to = (digit.row + row) * side + digit.column;
                for (to, from) in canvas[to..to + width].iter_mut().zip(from) {
                    *to = to.saturating_add(*from);
                }
            }
        }
    }

    /// The mean of every square of `pooling`² pixels, rounded (a half up).
    fn pool(&self, canvas: &[u8], image: &mut [u8]) {
        let (side, pooling) = (self.sequences.canvas, self.sequences.pooling);
        let area = pooling * pooling;
        for (place, out) in image.iter_mut().enumerate() {
            let first =
                place / (side / pooling) * pooling * side + place % (side / pooling) * pooling;
            let rows = (0..pooling).map(|row| &canvas[first + row * side..][..pooling]);
            let sum: usize = rows.flatten().map(|&byte| usize::from(byte)).sum();
            *out = ((2 * sum + area) / (2 * area)) as u8;
        }
    }
}

/// Images that are drawn when they are asked for: a run of the canvases of one split.
#[derive(Clone, Debug)]
pub struct Canvases {
    paints: Arc<Paints>,
    /// Which part: 0 for training, 1 for validation, 2 for test.
    part: usize,
    first: u64,
    count: usize,
}

impl PartialEq for Canvases {
    fn eq(&self, other: &Self) -> bool {
        let identity = |canvases: &Self| {
            let mut state = Sha256::new();
            canvases.identify(&mut state);
            (canvases.count, state.finalize())
        };
        identity(self) == identity(other)
    }
}

impl Canvases {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The shape of each, pooled.
    #[must_use]
    pub fn shape(&self) -> ImageShape {
        self.paints.sequences.shape()
    }

    /// The pixels of the canvases with these numbers, counted from 0, one after the other: drawn on
    /// all threads, and the same for any number of them.
    ///
    /// # Panics
    /// If a number is not below [`Canvases::count`]: that is a bug of the caller.
    #[must_use]
    pub fn draw(&self, numbers: &[u32]) -> Vec<u8> {
        let (values, side) = (self.shape().values(), self.paints.sequences.canvas);
        let mut pixels = vec![0; numbers.len() * values];
        let images = pixels.par_chunks_exact_mut(values).zip(numbers).with_min_len(AT_A_TIME);
        images.for_each_init(Vec::new, |canvas, (image, &number)| {
            let layout = self.layout(number as usize);
            if self.paints.sequences.pooling == 1 {
                self.paints.paint(&layout, self.part, image);
            } else {
                canvas.resize(side * side, 0);
                self.paints.paint(&layout, self.part, canvas);
                self.paints.pool(canvas, image);
            }
        });
        pixels
    }

    /// The classes of the digits on every canvas, from left to right.
    fn labels(&self) -> Vec<u32> {
        let labels = &self.paints.digits[self.part].labels;
        let of = |number| {
            let layout = self.layout(number);
            layout.digits.into_iter().map(|digit| labels[digit.image]).collect::<Vec<_>>()
        };
        (0..self.count).into_par_iter().with_min_len(AT_A_TIME).flat_map_iter(of).collect()
    }

    fn layout(&self, number: usize) -> Layout {
        assert!(number < self.count, "bug: canvas {number} of {}", self.count);
        let Paints { sequences, digit, digits, .. } = &*self.paints;
        let images = (digits[self.part].count(), self.paints.patch_sources());
        layout::layout(sequences, *digit, images, self.first + number as u64)
    }

    /// Keeps the first `count` and gives the others.
    pub(crate) fn split_off(&mut self, count: usize) -> Self {
        let rest = Self {
            paints: Arc::clone(&self.paints),
            part: self.part,
            first: self.first + count as u64,
            count: self.count - count,
        };
        self.count = count;
        rest
    }

    /// Adds to a checksum what decides every pixel: the settings, the digits, and how canvases are
    /// painted, by some of them.
    pub(crate) fn identify(&self, state: &mut Sha256) {
        let Paints { sequences, digits, .. } = &*self.paints;
        let Sequences { canvas, digits: on_each, distractors, pooling, seed, .. } = *sequences;
        for number in [canvas, on_each, distractors, pooling, self.part] {
            state.update((number as u64).to_le_bytes());
        }
        state.update(seed.to_le_bytes());
        state.update(self.first.to_le_bytes());
        for part in digits {
            state.update((part.count() as u64).to_le_bytes());
            state.update(&part.pixels);
            part.labels.iter().for_each(|label| state.update(label.to_le_bytes()));
        }
        let some = 0..self.count.min(IDENTIFYING) as u32;
        state.update(self.draw(&some.collect::<Vec<_>>()));
    }
}

/// Opens `sequences:of`: the sequences that `options.sequences` describes, of the digits of the
/// data set `of`.
///
/// Each split has the digits of its own part; the patches are cut from training and validation
/// digits for every split, so that no test digit is ever seen beside another. Where the data set
/// has no validation part, the last sixth of its training images is one.
///
/// # Errors
/// Those of opening `of`, whose training part is needed in every case;
/// [`Error::Argument`] if its images are not grey bytes with one label each, or do not fit onto the
/// canvas.
pub(crate) fn open(of: &str, data_dir: &Path, options: &Options) -> Result<Dataset> {
    let sequences = options.sequences;
    sequences.check()?;
    let whole = Options { validation: 0, test_only: false, ..options.clone() };
    let whole = registry::open(of, data_dir, &whole)?;
    let aside = whole.train.count() / VALIDATION_PART;
    let Dataset { train, validation, test, notes, .. } = whole.set_validation_aside(aside)?;
    let digit = train.shape();
    let class_names = train.labels().map_or_else(Vec::new, |labels| labels.class_names.clone());
    let nothing = || Images::new(digit, Pixels::U8(Vec::new()), None);
    let validation = validation.map_or_else(nothing, Ok)?;
    let digits = [Digits::of(of, train)?, Digits::of(of, validation)?, Digits::of(of, test)?];
    sequences.check_digits(of, digit)?;
    let sizes = [sequences.train, sequences.validation, sequences.test];
    let part_names = ["training", "validation", "test"];
    for ((digits, size), part) in digits.iter().zip(sizes).zip(part_names) {
        if size > 0 && digits.count() == 0 {
            return Err(Error::Argument {
                what: "digits of sequences",
                expected: format!("some for the {part} sequences"),
                found: format!("none, of {of}"),
            });
        }
    }
    let sizes = if options.test_only { [0, 0, sequences.test] } else { sizes };
    let paints = Arc::new(Paints { sequences, digit, digits });
    let part = |part: usize| {
        let (paints, first) = (Arc::clone(&paints), STARTS[part]);
        let canvases = Canvases { paints, part, first, count: sizes[part] };
        let labels = Labels {
            values: canvases.labels(),
            positions: sequences.digits,
            class_names: class_names.clone(),
        };
        Images::new(sequences.shape(), Pixels::Drawn(canvases), Some(labels))
    };
    let dataset = Dataset::new(&format!("{SCHEME}:{of}"), part(0)?, part(2)?, Binarisation::None)?;
    let mut dataset = dataset.with_validation(Some(part(1)?))?;
    dataset.notes = notes;
    dataset.notes.push(sequences.in_words(&paints.digits, of));
    Ok(dataset)
}

impl Sequences {
    /// What the canvases show, in a line.
    fn in_words(&self, digits: &[Digits; 3], of: &str) -> String {
        let Self { canvas, distractors, pooling, seed, .. } = self;
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        let pooled = match pooling {
            1 => String::new(),
            _ => format!(", means of {pooling}x{pooling} pixels rounded to bytes"),
        };
        let [train, validation, test] = digits.each_ref().map(Digits::count);
        format!(
            "sequences: {} digit{} of {of} ({train} for training, {validation} for validation, \
            {test} for test) and {distractors} patch{} on a canvas of {canvas}x{canvas}{pooled}; \
            seed {seed}",
            self.digits,
            plural(self.digits),
            if *distractors == 1 { "" } else { "es" },
        )
    }
}
