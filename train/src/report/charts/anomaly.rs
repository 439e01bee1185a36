//! How the scores of in-distribution and out-of-distribution images lie: a histogram for each
//! score.

use crate::report::axis::{Frame, Scale, label};
use crate::report::figure::{Drawing, Figure, csv};
use crate::report::legend::{self, Entry};
use crate::report::svg::{Svg, escape, number};
use crate::tasks::latent::anomaly::{Histogram, Outcome, Separation};

use super::bound::subscript;

const FRAME: Frame = Frame { x: (44.0, 292.0), y: (10.0, 130.0) };

/// A panel for each score.
pub fn figure(outcome: &Outcome) -> Option<Figure> {
    outcome.bounds.first()?;
    let above = |k: usize| if k == 0 { "L".to_string() } else { format!("L^>{k}") };
    let Outcome { own, foreign, own_images, foreign_images, importance_samples, .. } = outcome;
    let legend = [
        Entry::square("c5", format!("{own_images} images of {own}")),
        Entry::square("c1", format!("{foreign_images} images of {foreign}")),
    ];
    let bounds = outcome.bounds.iter().map(|separation| {
        let names = (format!("−{}", above(separation.k)), format!("score-bound-{}", separation.k));
        panel(names, separation, &legend)
    });
    let ratios = outcome.ratios.iter().map(|separation| {
        let name = format!("L − {}", above(separation.k));
        panel((name, format!("score-ratio-{}", separation.k)), separation, &legend)
    });
    let (panels, drawings): (Vec<String>, Vec<Drawing>) = bounds.chain(ratios).unzip();
    Some(Figure {
        title: "Scores of in-distribution and out-of-distribution images".into(),
        body: format!(
            "{}<div class=\"panels medium\">{}</div>",
            legend::html(&legend),
            panels.concat()
        ),
        drawings,
        caption: format!(
            "L^>k is the bound with the k lowest layers drawn from the prior, with \
            {importance_samples} samples an image (L{}). The higher \
             the score, the more anomalous the image. AUROC is the chance that an \
             out-of-distribution image scores higher than one of the run's own: 0.5 separates \
             nothing, 1 everything.",
            subscript(*importance_samples as u64)
        ),
        class: "wide",
    })
}

fn panel(
    (name, file): (String, String),
    separation: &Separation,
    legend: &[Entry],
) -> (String, Drawing) {
    let Separation { auroc, histogram, .. } = separation;
    let mut svg = Svg::new(
        310.0,
        172.0,
        &format!(
            "Histogram of the score {name} for in-distribution and out-of-distribution images"
        ),
    );
    let most = histogram.own.iter().chain(&histogram.foreign).copied().fold(0.0, f64::max);
    let x = Scale::new((histogram.from_nats, histogram.to_nats), FRAME.x);
    let y = Scale::new((0.0, most.max(1e-6)), (FRAME.y.1, FRAME.y.0));
    for (class, shares) in [("c5", &histogram.own), ("c1", &histogram.foreign)] {
        svg.element(
            "path",
            &[
                ("class", format!("{class} fill")),
                ("fill-opacity", "0.5".into()),
                ("d", outline(histogram, shares, &x, &y)),
            ],
        );
    }
    let ticks: Vec<(f64, String)> =
        x.ticks(4).into_iter().map(|(value, text)| (x.at(value), text)).collect();
    FRAME.draw_x_axis(&mut svg, &ticks, "nats");
    legend::draw(&mut svg, legend);
    let width = (histogram.to_nats - histogram.from_nats) / histogram.own.len().max(1) as f64;
    let shares = histogram.own.iter().zip(&histogram.foreign).enumerate();
    let rows = shares.map(|(bar, (own, foreign))| {
        let from = histogram.from_nats + bar as f64 * width;
        [from, from + width, *own, *foreign].map(|value| value.to_string())
    });
    let csv = csv(&["from nats", "to nats", "own images", "out-of-distribution images"], rows);
    let drawing = Drawing { name: file, svg, csv };
    let panel = format!(
        "<div class=\"panel\"><h4>{}, AUROC {}</h4>{}</div>",
        escape(&name),
        label(*auroc, 3),
        drawing.html()
    );
    (panel, drawing)
}

/// The steps of a histogram as a closed path.
fn outline(histogram: &Histogram, shares: &[f64], x: &Scale, y: &Scale) -> String {
    let width = (histogram.to_nats - histogram.from_nats) / shares.len().max(1) as f64;
    let mut path = format!("M{} {}", number(x.at(histogram.from_nats)), number(y.at(0.0)));
    for (bar, &share) in shares.iter().enumerate() {
        let right = histogram.from_nats + (bar + 1) as f64 * width;
        path += &format!("V{}H{}", number(y.at(share)), number(x.at(right)));
    }
    path + &format!("V{}Z", number(y.at(0.0)))
}
