//! How the scores of in-distribution and out-of-distribution images lie: a histogram for each
//! score.

use crate::report::axis::{Frame, Scale, label};
use crate::report::figure::Figure;
use crate::report::svg::{Svg, escape, number};
use crate::tasks::latent::anomaly::{Histogram, Outcome, Separation};

use super::bound::subscript;

const FRAME: Frame = Frame { x: (44.0, 292.0), y: (10.0, 130.0) };

/// A panel for each score.
pub fn figure(outcome: &Outcome) -> Option<Figure> {
    outcome.bounds.first()?;
    let above = |k: usize| if k == 0 { "L".to_string() } else { format!("L^>{k}") };
    let bounds = outcome
        .bounds
        .iter()
        .map(|separation| panel(&format!("−{}", above(separation.k)), separation));
    let ratios = outcome
        .ratios
        .iter()
        .map(|separation| panel(&format!("L − {}", above(separation.k)), separation));
    let panels: String = bounds.chain(ratios).collect();
    let Outcome { own, foreign, own_images, foreign_images, importance_samples, .. } = outcome;
    let swatch = |class: &str, name: &str, images: usize| {
        let name = escape(name);
        format!(
            "<li><svg viewBox=\"0 0 12 12\" aria-hidden=\"true\"><rect class=\"{class} fill\" \
            width=\"12\" height=\"12\"/></svg>{images} images of {name}</li>"
        )
    };
    let legend = swatch("c5", own, *own_images) + &swatch("c1", foreign, *foreign_images);
    Some(Figure {
        title: "Scores of in-distribution and out-of-distribution images".into(),
        body: format!(
            "<ul class=\"legend\">{legend}</ul><div class=\"panels medium\">{panels}</div>"
        ),
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

fn panel(name: &str, separation: &Separation) -> String {
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
    format!(
        "<div class=\"panel\"><h4>{}, AUROC {}</h4>{}</div>",
        escape(name),
        label(*auroc, 3),
        svg.finish()
    )
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
