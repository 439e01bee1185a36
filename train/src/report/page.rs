//! The page: heading, figures in sections, style and scripts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::axis::label;
use super::base64::png_address;
use super::charts::bound::subscript;
use super::charts::depth::kind;
use super::charts::{
    active_units, anomaly, bound, curves, depth, heat_map, normal_kl, overlay, pca, pictures,
    swept, terms,
};
use super::figure::{Drawing, Figure, embedded_json, table};
use super::history::{EvaluationLine, History, data_groups};
use super::paired::{ImageBounds, KeptBounds, Paired};
use super::svg::{CHARTS, LIGHT, escape, file_style};
use super::{ModelFigures, Subject};
use crate::progress::duration;
use crate::tasks::Pixels;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/charts.js");
const EXPLORER: &str = include_str!("assets/explorer.js");
const EXPLORER_BODY: &str = include_str!("assets/explorer.html");

/// A page as it is put together: its sections, and the drawings in them.
#[derive(Default)]
struct Page {
    html: String,
    /// Titles of the sections.
    contents: Vec<String>,
    drawings: Vec<Drawing>,
}

impl Page {
    /// Adds HTML under the last heading.
    fn add(&mut self, html: &str) {
        self.html += html;
    }

    /// Adds a section of HTML.
    fn section(&mut self, title: &str, html: &str) {
        if html.is_empty() {
            return;
        }
        // Two sections of one title, such as a family's own curves, are one in the contents.
        let number = match self.contents.last() {
            Some(last) if last == title => self.contents.len(),
            _ => {
                self.contents.push(title.into());
                self.contents.len()
            }
        };
        let title = escape(title);
        self.html += &format!("<section id=\"s{number}\"><h2>{title}</h2>{html}</section>\n");
    }

    /// Adds a section of figures, if there are any.
    fn figures(&mut self, title: &str, figures: impl IntoIterator<Item = Option<Figure>>) {
        let html = self.grid(figures);
        self.section(title, &html);
    }

    /// Figures as HTML, whose drawings are remembered.
    fn grid(&mut self, figures: impl IntoIterator<Item = Option<Figure>>) -> String {
        let mut html = String::new();
        for figure in figures.into_iter().flatten() {
            html += &figure.html();
            self.drawings.extend(figure.drawings);
        }
        if html.is_empty() { html } else { format!("<div class=\"grid\">{html}</div>") }
    }

    /// Links to the sections.
    fn contents(&self) -> String {
        let link = |(index, title): (usize, &String)| {
            format!("<a href=\"#s{}\">{}</a>", index + 1, escape(title))
        };
        let links: String = self.contents.iter().enumerate().map(link).collect();
        format!("<nav class=\"contents\" aria-label=\"Contents\">{links}</nav>\n")
    }
}

/// The whole file.
pub fn html(subjects: &[Subject]) -> String {
    let (title, heading, page) = match subjects {
        [one] => {
            let Subject { history, .. } = one;
            let heading =
                format!("<h1>{}</h1><p>{}</p>", escape(&history.name), escape(&summary(history)));
            (history.name.clone(), heading, single(one))
        }
        several => {
            let title = format!("{} runs", several.len());
            (title, format!("<h1>{} runs compared</h1>", several.len()), comparison(several))
        }
    };
    let has_explorer = matches!(
        subjects,
        [Subject { figures: Ok(ModelFigures { explorer: Some(Ok(_)), .. }), .. }]
    );
    let explorer =
        if has_explorer { format!("<script>{EXPLORER}</script>\n") } else { String::new() };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" \
         href=\"data:,\">\n<title>{} – rung</title>\n\
         <style>{LIGHT}{CHARTS}{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>{heading}</header>\n{}{}</main>\n\
         <div id=\"tip\" hidden></div>\n<script type=\"text/plain\" id=\"file-style\">{}</script>\n\
         <script>{SCRIPT}</script>\n{explorer}</body>\n</html>\n",
        escape(&title),
        page.contents(),
        page.html,
        file_style(),
    )
}

/// The drawings of the page, in its order.
pub fn drawings(subjects: &[Subject]) -> Vec<Drawing> {
    match subjects {
        [one] => single(one).drawings,
        several => comparison(several).drawings,
    }
}

/// The page of one run.
fn single(subject: &Subject) -> Page {
    let Subject { history, figures } = subject;
    let mut page = Page::default();
    page.add(&tiles(history));
    if let Some(note) = progress_note(history) {
        page.add(&note_html(&note));
    }
    page.figures(
        "Training",
        [
            bound::figure(history),
            terms::likelihood(history),
            terms::kl(history),
            active_units::over_epochs(history),
        ],
    );
    page.figures("Training", curves::figures(history));
    let normal = normal_kl::figure(normal_kl(0, subject).as_slice(), None);
    page.figures("Units", [active_units::figure(history), normal, heat_map::figure(history)]);
    match figures {
        Ok(figures) => model_sections(&mut page, history, figures),
        Err(reason) => page.add(&note_html(&format!("No pictures of the model: {reason}"))),
    }
    page.figures(
        "Out-of-distribution images",
        [history.anomaly.as_ref().and_then(anomaly::figure)],
    );
    page.section("Evaluations", &evaluations(history));
    page.section("How it was made", &facts(history));
    page
}

fn note_html(text: &str) -> String {
    format!("<p class=\"note\">{}</p>\n", escape(text))
}

fn model_sections(page: &mut Page, history: &History, figures: &ModelFigures) {
    match &figures.explorer {
        Some(Ok(explorer)) => {
            let mut data = explorer.data.clone();
            // The KL of each unit, by which the sliders are sorted.
            let kl = history.last_kl_per_unit().map_or([].as_slice(), |(_, layers)| layers);
            data["kl"] = json!(kl);
            let html =
                format!("<div id=\"explorer\">{EXPLORER_BODY}{}</div>", embedded_json(&data));
            page.section("Latent explorer", &html);
        }
        Some(Err(reason)) => {
            page.section("Latent explorer", &note_html(&format!("There is none: {reason}.")));
        }
        None => {}
    }
    for sections in figures.panels.chunk_by(|one, next| one.section == next.section) {
        page.figures(sections[0].section, sections.iter().map(|panel| Some(panel.figure.clone())));
    }
    page.figures(
        "Images",
        [pictures::samples(figures, history), pictures::reconstructions(figures, history)],
    );
    page.figures("Latents", [pca::figure(figures, history)]);
    let images = figures
        .images
        .as_deref()
        .unwrap_or("No held-out images were at hand, so reconstructions and latents are missing.");
    let statistics = figures.statistics_name.map_or(String::new(), |name| {
        format!("What is shown of the model uses the {name} statistics of batch normalisation. ")
    });
    page.add(&note_html(&format!("{statistics}Held-out images: {images}")));
}

/// The page of several runs.
fn comparison(subjects: &[Subject]) -> Page {
    let histories: Vec<&History> = subjects.iter().map(|subject| &subject.history).collect();
    let mut page = Page::default();
    page.section("Results", &results(&histories));
    page.section("What differs", &differences(&histories));
    let mut curves = Vec::new();
    for group in data_groups(&histories) {
        let normal: Vec<_> = group
            .runs
            .iter()
            .filter_map(|&(index, _)| normal_kl(index, &subjects[index]))
            .collect();
        curves.extend([
            overlay::figure(&group),
            depth::figure(&group),
            swept::figure(&group),
            normal_kl::figure(&normal, Some(&group.data)),
        ]);
    }
    page.figures("Curves", curves);
    page.section("Samples side by side", &samples_side_by_side(subjects));
    for (index, Subject { history, figures }) in subjects.iter().enumerate() {
        let mut drawn = vec![
            active_units::figure(history),
            active_units::over_epochs(history),
            heat_map::figure(history),
        ];
        let mut note = String::new();
        match figures {
            Ok(figures) => drawn.extend([
                pictures::samples(figures, history),
                pca::figure(figures, history),
                pictures::reconstructions(figures, history),
            ]),
            Err(reason) => note = note_html(&format!("No pictures of the model: {reason}")),
        }
        // Every run has drawings of these names.
        let drawn = drawn.into_iter().flatten().map(|figure| Some(figure.of_run(index + 1)));
        let html = format!(
            "<p>{}</p>{}{note}",
            escape(&summary(history)),
            page.grid(drawn.collect::<Vec<_>>())
        );
        page.section(&history.name, &html);
    }
    page
}

/// The samples of every run's whole model, the newest of each.
fn samples_side_by_side(subjects: &[Subject]) -> String {
    let panel = |Subject { history, figures }: &Subject| {
        let png = figures.as_ref().ok()?.samples.last()?;
        Some(format!(
            "<div class=\"panel\"><h4>{}</h4><img class=\"pixels\" alt=\"64 samples of {}\" \
            src=\"{}\"></div>",
            escape(&history.name),
            escape(&history.name),
            png_address(png)
        ))
    };
    let panels: String = subjects.iter().filter_map(panel).collect();
    if panels.is_empty() { panels } else { format!("<div class=\"side\">{panels}</div>") }
}

/// The keys of the configurations that are not the same in all runs, a column for each run.
fn differences(histories: &[&History]) -> String {
    let flat: Vec<BTreeMap<String, toml::Value>> =
        histories.iter().map(|history| history.config.flat().unwrap_or_default()).collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let value = |values: &BTreeMap<String, toml::Value>, key: &String| {
        values.get(key).map_or_else(|| "–".into(), ToString::to_string)
    };
    let rows: Vec<Vec<String>> = keys
        .into_iter()
        .map(|key| {
            flat.iter().map(|values| value(values, key)).fold(vec![key.clone()], |mut row, v| {
                row.push(v);
                row
            })
        })
        .filter(|row| row[1..].iter().any(|value| *value != row[1]))
        .collect();
    if rows.is_empty() {
        return "<p>Nothing: the configurations are the same.</p>".into();
    }
    let names = histories.iter().map(|history| history.name.as_str());
    table(&std::iter::once("key").chain(names).collect::<Vec<_>>(), &rows)
}

/// How far a run's layers are from the standard normal, if that was measured.
fn normal_kl(
    index: usize,
    Subject { history, figures }: &Subject,
) -> Option<normal_kl::NormalKl<'_>> {
    let nats = figures.as_ref().map_or([].as_slice(), |figures| &figures.normal_kl);
    (!nats.is_empty()).then_some(normal_kl::NormalKl { history, nats, index })
}

/// What kind of model it is and what it learns.
fn summary(history: &History) -> String {
    let why = history.best_evaluation().and_then(|line| line.measure.why_no_likelihood());
    let caution = why.map_or_else(String::new, |why| format!("; its bounds are {why}"));
    let units = match history.groups.is_empty() {
        true => String::new(),
        false => format!(", latent units {}", history.by_group(&history.group_sizes())),
    };
    format!("{}{units}, on {}{caution}", kind(history).1, history.data())
}

/// The numbers that people look for first.
fn tiles(history: &History) -> String {
    let tile = |value: String, name: &str| {
        format!("<div><strong>{}</strong><span>{}</span></div>", escape(&value), escape(name))
    };
    let mut tiles = String::new();
    if let Some(line) = history.best_evaluation() {
        let name = format!(
            "L{}, {} {} images, nats",
            subscript(line.importance_samples),
            line.images,
            line.split
        );
        tiles += &tile(estimate(line.bound_k_nats, line.standard_error_nats, 2), &name);
        // What the literature states for images of bytes.
        let is_bytes = history.config.family.pixels().0 == Pixels::Levels;
        if let Some(bits) = line.bits_per_dim.filter(|_| is_bytes) {
            tiles += &tile(label(bits, 3), "the same in bits per dimension");
        }
    }
    let only_1 = history.best_evaluation().is_some_and(|line| line.importance_samples == 1);
    if let (Some(nats), false) = (history.last_bound_1(), only_1) {
        tiles += &tile(label(nats, 2), "L₁ of held-out images, nats");
    }
    if let Some((score, value)) = history.last_score() {
        tiles += &tile(value, &format!("{score} of held-out images"));
    }
    if let Some(active) = history.active_units() {
        let all: usize = history.group_sizes().iter().sum();
        tiles += &tile(format!("{} of {all}", active.iter().sum::<usize>()), "active units");
    }
    tiles += &tile(history.epochs_text(), "epochs");
    tiles += &tile(duration(history.training_s()), "in training steps");
    format!("<div class=\"tiles\">{tiles}</div>\n")
}

/// What a reader must know of a run that is not done.
fn progress_note(history: &History) -> Option<String> {
    if history.is_finished() {
        return None;
    }
    let (done, all) = (history.epochs_done(), history.config.train.epochs);
    Some(format!(
        "This run is not finished: {done} of {all} epochs are done. Everything here is of the \
        state it has reached."
    ))
}

/// Every evaluation of a run.
fn evaluations(history: &History) -> String {
    if history.evaluations.is_empty() {
        return String::new();
    }
    let has_statistics = history.evaluations.iter().any(|line| line.statistics.is_some());
    let row = |line: &EvaluationLine| {
        let epoch = label(history.epoch_of(line.step), 0);
        let mut row = vec![
            match &line.chosen_on {
                Some(split) => format!("{epoch} (best on {split})"),
                None => epoch,
            },
            format!("{} {}", line.images, line.split),
            estimate(line.bound_1_nats, line.bound_1_standard_error_nats, 2),
            format!("L{}", subscript(line.importance_samples)),
            estimate(line.bound_k_nats, line.standard_error_nats, 2),
            duration(line.seconds),
        ];
        if has_statistics {
            row.push(line.statistics.clone().unwrap_or_else(|| "–".into()));
        }
        row
    };
    let rows: Vec<_> = history.evaluations.iter().map(row).collect();
    let mut heading = vec!["epoch", "images", "L₁, nats", "", "nats", "time"];
    if has_statistics {
        heading.push("batch-norm statistics");
    }
    table(&heading, &rows)
}

/// A row for each run. Beside the bounds stands the difference to the first run's on the same
/// images with the same noise, where both have kept the bound of every image.
fn results(histories: &[&History]) -> String {
    let best = |history: &History| -> Option<EvaluationLine> { history.best_evaluation().cloned() };
    let kept = |history: &History| {
        let kept = KeptBounds::of(&best(history)?)?;
        ImageBounds::read(&history.folder, &kept).ok()
    };
    let first = histories.first().and_then(|history| Some((history.data(), kept(history)?)));
    let row = |(index, history): (usize, &&History)| {
        let active =
            history.active_units().map_or("–".into(), |active| history.by_group(&active));
        let line = best(history);
        let bound_1 = match &line {
            Some(line) => estimate(line.bound_1_nats, line.bound_1_standard_error_nats, 2),
            None => history.last_bound_1().map_or("–".into(), |nats| label(nats, 2)),
        };
        let paired = first.as_ref().filter(|(data, _)| index > 0 && *data == history.data());
        let paired = paired.and_then(|(_, first)| kept(history)?.less(first));
        let parameters = history.starts.last().map(|start| start.parameters.to_string());
        vec![
            history.name.clone(),
            history.data(),
            kind(history).1,
            history.depth().to_string(),
            parameters.unwrap_or_else(|| "–".into()),
            history.epochs_text(),
            history.config.train.seed.to_string(),
            bound_1,
            line.filter(|line| line.importance_samples > 1).map_or("–".into(), |line| {
                format!(
                    "{} (L{}, {} images)",
                    estimate(line.bound_k_nats, line.standard_error_nats, 2),
                    subscript(line.importance_samples),
                    line.images
                )
            }),
            paired.map_or("–".into(), |Paired { nats, standard_error_nats }| {
                let sign = if nats > 0.0 { "+" } else { "" };
                format!("{sign}{}", estimate(nats, Some(standard_error_nats), 2))
            }),
            active,
            duration(history.training_s()),
        ]
    };
    let heading = [
        "run",
        "data",
        "model",
        "layers",
        "parameters",
        "epochs",
        "seed",
        "L₁, nats",
        "L of more samples, nats",
        "less the first run, nats",
        "active units",
        "time",
    ];
    table(&heading, &histories.iter().enumerate().map(row).collect::<Vec<_>>())
}

/// What runs usually record and this one does not, such as one of an older version of the program.
fn not_recorded(history: &History) -> Vec<&'static str> {
    let measured = history.epochs.iter().filter(|epoch| epoch.kl_per_unit().is_some()).count();
    let absent = [
        (
            history.starts.is_empty(),
            "device, system, version of the program and number of parameters",
        ),
        (
            history.config.family.curves().is_empty() && measured < history.epochs.len(),
            "the KL of each unit in every epoch",
        ),
        (history.evaluations.is_empty(), "evaluations (rung evaluate adds one)"),
    ];
    absent.into_iter().filter_map(|(is_absent, what)| is_absent.then_some(what)).collect()
}

/// Machine, seed, time and the whole configuration.
fn facts(history: &History) -> String {
    let config = &history.config;
    let mut rows = vec![
        vec![
            "preset".to_string(),
            if config.preset.is_empty() { "none".into() } else { config.preset.clone() },
        ],
        vec!["seed".into(), config.train.seed.to_string()],
        vec!["time in training steps".into(), duration(history.training_s())],
    ];
    if let Some(last) = history.starts.last() {
        rows.push(vec!["parameters".into(), last.parameters.to_string()]);
        rows.push(vec!["device".into(), last.device.clone()]);
        rows.push(vec!["system".into(), last.system.clone()]);
        rows.push(vec!["program".into(), format!("rung {}", last.rung)]);
        let resumed = match history.starts.len() - 1 {
            0 => "never".into(),
            1 => "once".into(),
            times => format!("{times} times"),
        };
        rows.push(vec!["gone on with".into(), resumed]);
    }
    if let Some(split) = history.held_out_split() {
        // What a family is judged by instead of the bound, it names first; without labels of
        // held-out images that has no value.
        let score = history.last_score().map(|(score, _)| score.to_lowercase());
        let score = score.unwrap_or_else(|| "bound".into());
        let flattered = match split {
            "test" => format!(", so its test {score} flatters it"),
            _ => String::new(),
        };
        rows.push(vec![
            "best checkpoint".into(),
            format!("chosen by the {score} of the {split} images{flattered}"),
        ]);
    }
    let missing = not_recorded(history);
    if !missing.is_empty() {
        rows.push(vec!["not recorded".into(), missing.join("; ")]);
    }
    let rows: String = rows
        .iter()
        .map(|row| format!("<tr><th>{}</th><td>{}</td></tr>", escape(&row[0]), escape(&row[1])))
        .collect();
    let toml = config.to_toml().unwrap_or_else(|error| error.to_string());
    format!(
        "<div class=\"table\"><table class=\"facts\"><tbody>{rows}</tbody></table></div>\
         <details><summary>The complete configuration</summary><pre>{}</pre></details>",
        escape(&toml)
    )
}

/// `−88.50 ± 0.12`; without a standard error the mean alone.
pub fn estimate(mean: f64, standard_error: Option<f64>, decimals: usize) -> String {
    let error = standard_error.map_or_else(String::new, |error| format!(" ± {}", label(error, 2)));
    label(mean, decimals) + &error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::run::folder::RunFolder;
    use crate::tasks::Family;

    /// A run whose bound rises over two epochs.
    fn subject(folder: &std::path::Path, name: &str, change: impl FnOnce(&mut Config)) -> Subject {
        let mut config = Config::default();
        change(&mut config);
        let (run, _lock) = RunFolder::create(&folder.join(name), &config).unwrap();
        let line = |epoch: u64| {
            format!(
                "{{\"step\":{epoch},\"epoch\":{epoch},\"train_bound_nats\":-9{epoch},\"held_out_bound_1_nats\":-9{epoch},\
                 \"held_out_split\":\"test\"}}\n"
            )
        };
        std::fs::write(run.metrics(), line(1) + &line(2)).unwrap();
        Subject { history: History::read(&run).unwrap(), figures: Err("none was drawn".into()) }
    }

    fn on(name: &str) -> impl FnOnce(&mut Config) {
        move |config| config.data.name = name.into()
    }

    /// Bounds of two data sets, or of one that is binarised in two ways, say nothing about each
    /// other.
    #[test]
    fn bounds_of_different_data_are_never_in_one_chart() {
        let folder = tempfile::tempdir().unwrap();
        let grey = |config: &mut Config| {
            config.data.name = "mnist".into();
            config.data.binarisation = crate::config::Binarisation::None;
        };
        let subjects = [
            subject(folder.path(), "a", on("glyphs")),
            subject(folder.path(), "b", on("mnist")),
            subject(folder.path(), "c", on("glyphs")),
            subject(folder.path(), "d", grey),
        ];
        let page = html(&subjects);
        assert_eq!(
            page.matches("<h3>Bounds of all runs on ").count(),
            3,
            "two data sets, one of them in two ways"
        );
        assert!(
            page.contains("on glyphs, binarised dynamically<") && page.contains("<th>data</th>")
        );
        let charts: Vec<&str> =
            page.split("<figure").filter(|part| part.contains("Bounds of all runs")).collect();
        let names = |chart: &str| {
            ["a", "b", "c", "d"].map(|name| chart.contains(&format!("{name}, training")))
        };
        assert_eq!(names(charts[0]), [true, false, true, false]);
        assert_eq!(names(charts[1]), [false, true, false, false]);
        assert_eq!(names(charts[2]), [false, false, false, true]);
    }

    #[test]
    fn a_page_says_what_the_best_checkpoint_is_chosen_by() {
        let folder = tempfile::tempdir().unwrap();
        let page = html(&[subject(folder.path(), "a", on("glyphs"))]);
        assert!(
            page.contains("chosen by the bound of the test images, so its test bound flatters it")
        );
        assert!(page.contains("running statistics of batch normalisation, which lag behind"));
    }

    #[test]
    fn batch_normalisation_is_not_named_for_a_model_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let plain = |config: &mut Config| {
            let Some(Family::Hierarchy(mut hierarchy)) = Family::named("vae") else {
                panic!("vae")
            };
            (hierarchy.model.batch_norm_hidden, hierarchy.model.batch_norm_heads) = (false, false);
            config.family = Family::Hierarchy(hierarchy);
        };
        let page = html(&[subject(folder.path(), "a", plain)]);
        assert!(
            !page.contains("statistics of batch normalisation")
                && !page.contains("batch-norm statistics")
        );
    }
}
