//! Where a network looks, and what it sees there: canvases with the outlines of the glimpses, and
//! the glimpses themselves.

use rung_autograd::{Result, Tensor};
use rung_models::Pass;
use rung_models::spn::{Glimpses, Spn};

use super::judged::{Judged, likeliest};
use crate::data::image_grid::{Images, Picture};
use crate::report::Figure;
use crate::report::base64::png_address;
use crate::report::svg::{escape, number};
use crate::tasks::task::{Panel, PictureSizes};

/// The colours of the first glimpses' outlines, in pictures; more glimpses begin again.
const COLOURS: [[f32; 3]; 4] =
    [[1.0, 0.35, 0.3], [0.35, 0.85, 0.35], [0.4, 0.6, 1.0], [1.0, 0.8, 0.2]];

/// A canvas as a network sees it.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// Height and width of the canvas, and its pixels.
    canvas: Grey,
    glimpses: Vec<Grey>,
    /// The corners of each glimpse, in pixels of the canvas: clockwise from the top left.
    outlines: Vec<[[f64; 2]; 4]>,
    labels: Vec<u32>,
    found: Vec<usize>,
}

/// One channel of an image.
#[derive(Debug, Clone)]
struct Grey {
    height: usize,
    width: usize,
    pixels: Vec<f32>,
}

impl Reading {
    /// What `network` sees on one image `x` [1, values], and takes it for.
    pub(super) fn new(
        network: &Spn,
        pass: &mut Pass<'_>,
        x: &Tensor,
        labels: &[u32],
    ) -> Result<Self> {
        let (image, config) = (network.config().image, network.config());
        let look = network.look(pass, x, 0.0)?;
        let log_probs = look.log_probs.to_f64()?;
        let found = log_probs.chunks_exact(config.classes).map(likeliest).collect();
        let (mut glimpses, mut outlines) = (Vec::new(), Vec::new());
        if let Some(Glimpses { theta, maps }) = &look.glimpses {
            let [height, width] = config.glimpse();
            let values = maps.to_f32()?;
            glimpses.extend(values.chunks_exact(height * width * image.channels).map(|map| Grey {
                height,
                width,
                pixels: map.iter().copied().step_by(image.channels).collect(),
            }));
            let corners = network.corners(theta)?.to_f64()?;
            outlines.extend(corners.chunks_exact(8).map(|corner| {
                let at = |k: usize| [corner[2 * k], corner[2 * k + 1]];
                [at(0), at(1), at(3), at(2)]
            }));
        }
        // Planar: the first channel comes first.
        let pixels = x.to_f32()?[..image.height * image.width].to_vec();
        let canvas = Grey { height: image.height, width: image.width, pixels };
        Ok(Self { canvas, glimpses, outlines, labels: labels.to_vec(), found })
    }

    /// The digits and what they were taken for: `417`, or `417 read as 411`.
    fn text(&self) -> String {
        let word = |digits: Vec<String>| {
            // Classes beyond 9 would run into each other.
            let between = if digits.iter().any(|digit| digit.len() > 1) { " " } else { "" };
            digits.join(between)
        };
        let labels = word(self.labels.iter().map(ToString::to_string).collect());
        let found = word(self.found.iter().map(ToString::to_string).collect());
        if labels == found { labels } else { format!("{labels} read as {found}") }
    }

    /// The canvas in three channels, planar, with the outlines drawn in.
    fn outlined(&self) -> Vec<f32> {
        let Grey { height, width, pixels } = &self.canvas;
        let mut planes = pixels.repeat(3);
        for (outline, colour) in self.outlines.iter().zip(COLOURS.iter().cycle()) {
            for (from, to) in outline.iter().zip(outline.iter().cycle().skip(1)) {
                for [x, y] in points_between(*from, *to) {
                    if (0.0..*width as f64).contains(&x) && (0.0..*height as f64).contains(&y) {
                        let at = y as usize * width + x as usize;
                        for (plane, value) in colour.iter().enumerate() {
                            planes[plane * height * width + at] = *value;
                        }
                    }
                }
            }
        }
        planes
    }

    /// The canvas with the outlines as a drawing, and the glimpses beside it.
    fn html(&self) -> crate::error::Result<String> {
        let Grey { height, width, .. } = self.canvas;
        let text = escape(&self.text());
        // The middle of a pixel is half a pixel from its edge.
        let corner = |[x, y]: [f64; 2]| format!("{},{}", number(x + 0.5), number(y + 0.5));
        let outlines = self.outlines.iter().enumerate().map(|(glimpse, outline)| {
            let points: Vec<String> = outline.iter().map(|&at| corner(at)).collect();
            let colour = glimpse % COLOURS.len() + 1;
            format!(
                "<polygon points=\"{}\" fill=\"none\" stroke=\"var(--c{colour})\" \
                stroke-width=\"{}\"><title>glimpse {}</title></polygon>",
                points.join(" "),
                number(width as f64 / 80.0),
                glimpse + 1
            )
        });
        let canvas = self.canvas.address()?;
        let drawing = format!(
            "<svg viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{text}\" \
            xmlns=\"http://www.w3.org/2000/svg\" style=\"flex:3 1 0;min-width:0\"><image \
            href=\"{canvas}\" width=\"{width}\" height=\"{height}\" \
            style=\"image-rendering:pixelated\"/>{}</svg>",
            outlines.collect::<String>()
        );
        let mut glimpses = String::new();
        for (glimpse, grey) in self.glimpses.iter().enumerate() {
            glimpses += &format!(
                "<img class=\"pixels\" alt=\"glimpse {}\" src=\"{}\" style=\"width:100%;border:2px \
                solid var(--c{})\">",
                glimpse + 1,
                grey.address()?,
                glimpse % COLOURS.len() + 1
            );
        }
        if !glimpses.is_empty() {
            glimpses = format!(
                "<div style=\"flex:1 1 \
                0;min-width:0;display:flex;flex-direction:column;gap:4px\">{glimpses}</div>"
            );
        }
        Ok(format!(
            "<div class=\"panel\"><div \
            style=\"display:flex;gap:6px;align-items:flex-start\">{drawing}{glimpses}</div><h4>{text}</h4></div>"
        ))
    }
}

impl Grey {
    /// The image as an address that a page can show.
    fn address(&self) -> crate::error::Result<String> {
        let pixels = self.pixels.iter().map(|pixel| pixel.clamp(0.0, 1.0)).collect();
        let image = Images::new([1, 1, self.height, self.width], pixels)?;
        Ok(png_address(&image.grid_to_fit(1, 1)?.png()?))
    }
}

/// Points less than a pixel apart on the way from one to another; those of a line far outside are
/// cut short, for a transform may send a corner anywhere.
fn points_between(from: [f64; 2], to: [f64; 2]) -> impl Iterator<Item = [f64; 2]> {
    const MOST: f64 = 4096.0;
    let far = (to[0] - from[0]).abs().max((to[1] - from[1]).abs());
    let steps = if far.is_finite() { far.ceil().clamp(1.0, MOST) as usize } else { 0 };
    (0..=steps).filter(move |_| steps > 0).map(move |step| {
        let share = step as f64 / steps as f64;
        [0, 1].map(|axis| (from[axis] + share * (to[axis] - from[axis])).round())
    })
}

/// The canvases with their outlines, and the glimpses of each in a row.
pub(super) fn pictures(
    readings: &[Reading],
    sizes: PictureSizes,
) -> crate::error::Result<Vec<(&'static str, Picture)>> {
    let Some(Reading { canvas, glimpses, .. }) = readings.first() else { return Ok(Vec::new()) };
    let pixels = readings.iter().flat_map(Reading::outlined).collect();
    let canvases = Images::new([readings.len(), 3, canvas.height, canvas.width], pixels)?;
    let scale = |width: usize| if width >= 64 { 1 } else { sizes.scale };
    let columns = sizes.columns.min(readings.len());
    let mut pictures = vec![("canvases", canvases.grid_to_fit(columns, scale(canvas.width))?)];
    if let [Grey { height, width, .. }, ..] = glimpses[..] {
        let all: Vec<&Grey> = readings.iter().flat_map(|reading| &reading.glimpses).collect();
        let pixels = all.iter().flat_map(|glimpse| glimpse.pixels.iter().copied()).collect();
        let images = Images::new([all.len(), 1, height, width], pixels)?;
        pictures.push(("glimpses", images.grid_to_fit(glimpses.len(), scale(width))?));
    }
    Ok(pictures)
}

/// What the report shows: the first canvases, and those that were misread most surely.
pub(super) fn panels(
    first: &[Reading],
    worst: &[Reading],
    judged: &Judged,
) -> crate::error::Result<Vec<Panel>> {
    let means = judged.glimpse_text().map_or_else(String::new, |text| {
        format!(" Means over the held-out canvases (width x height, at the middle): {text}.")
    });
    let outlines = if means.is_empty() {
        "Held-out canvases, and what was read from left to right.".to_string()
    } else {
        format!(
            "Held-out canvases with the outline of each glimpse, the glimpses in their order \
            beside them, and what was read.{means}"
        )
    };
    let figure = |title: &str, readings: &[Reading], caption: String| {
        let tiles = readings.iter().map(Reading::html).collect::<crate::error::Result<String>>()?;
        Ok(Panel {
            section: "Glimpses",
            figure: Figure {
                title: title.into(),
                body: format!("<div class=\"panels medium\">{tiles}</div>"),
                caption,
                class: "wide",
                ..Figure::default()
            },
        })
    };
    let mut panels = vec![figure("What is seen and read", first, outlines)?];
    if !worst.is_empty() {
        let caption = "Held-out canvases that were misread, those first whose digits the model \
        thought least likely.";
        panels.push(figure("Worst mistakes", worst, caption.into())?);
    }
    Ok(panels)
}
