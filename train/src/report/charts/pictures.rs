//! Images: samples with z drawn at each layer (figure 6b of the paper), and reconstructions.

use crate::report::base64::png_address;
use crate::report::figure::Figure;
use crate::report::history::History;
use crate::report::model_figures::ModelFigures;

/// A grid of samples for each layer, the top layer first.
pub fn samples(figures: &ModelFigures, history: &History) -> Option<Figure> {
    if !history.config.family.draws_layers_alone() {
        return varied_samples(figures, history);
    }
    let panel = |(index, png): (usize, &Vec<u8>)| {
        let name = history.group_name(index);
        format!(
            "<div class=\"panel\"><h4>{name} ~ N(0, I)</h4><img class=\"pixels\" alt=\"64 images \
            drawn with {name} from the standard normal\" src=\"{}\"></div>",
            png_address(png)
        )
    };
    let panels: String = figures.samples.iter().enumerate().map(panel).collect();
    (!figures.samples.is_empty()).then(|| Figure {
        title: "Images drawn with each layer from the standard normal".into(),
        body: format!("<div class=\"panels small\">{panels}</div>"),
        caption: "Means of p(x|z₁). The last panel has samples of the model; in the others the \
        layers above are not used. The lower the layer that is drawn, the less its units agree \
        with each other; a layer whose panel looks as good as that of the layer above adds \
        nothing."
            .into(),
        class: "wide",
        ..Figure::default()
    })
}

/// A grid for each layer, the top layer first, of samples that share the layers above it.
fn varied_samples(figures: &ModelFigures, history: &History) -> Option<Figure> {
    let depth = history.depth();
    let panel = |(index, png): (usize, &Vec<u8>)| {
        let layer = index + 1;
        let title = match layer {
            layer if layer == depth => "all layers drawn anew".to_string(),
            layer => format!("{} and below drawn anew", history.layer_name(layer)),
        };
        format!(
            "<div class=\"panel\"><h4>{title}</h4><img class=\"pixels\" alt=\"64 images: {title}\" \
            src=\"{}\"></div>",
            png_address(png)
        )
    };
    let panels: String = figures.samples.iter().enumerate().map(panel).collect();
    (!figures.samples.is_empty()).then(|| Figure {
        title: "Samples that share their upper layers".into(),
        body: format!("<div class=\"panels small\">{panels}</div>"),
        caption: format!(
            "{} p(x|z). The last panel has samples of the model; in each of the others the layers \
            above are one draw, the same in all images. What still varies is what the lower layers \
            decide.",
            if has_mean_image(history) { "Means of" } else { "Draws from an autoregressive" }
        ),
        class: "wide",
        ..Figure::default()
    })
}

/// Originals beside their reconstructions.
pub fn reconstructions(figures: &ModelFigures, history: &History) -> Option<Figure> {
    let png = figures.reconstructions.as_ref()?;
    Some(Figure {
        title: "Images and their reconstructions".into(),
        body: format!(
            "<img class=\"pixels\" alt=\"Pairs of images: an original on the left, its \
            reconstruction on the right\" src=\"{}\">",
            png_address(png)
        ),
        caption: format!(
            "Pairs: a held-out image on the left; on the right {} p(x|z) for one sample of its \
            latents.",
            if has_mean_image(history) { "the mean of" } else { "a draw from the autoregressive" }
        ),
        class: "wide",
        ..Figure::default()
    })
}

/// Whether pictures show the mean of p(x|z), and not a draw.
fn has_mean_image(history: &History) -> bool {
    history.config.family.has_mean_image()
}
