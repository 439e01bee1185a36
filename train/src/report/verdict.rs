//! Whether layers have collapsed, in words, and what usually helps.

use super::history::History;
use super::svg::escape;

/// Below this share of active units a layer is called nearly collapsed.
const FEW: f64 = 0.15;

/// What the active units of a run say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// One sentence for what is seen.
    pub finding: String,
    /// One sentence a remedy, the likeliest first; empty if nothing is wrong.
    pub advice: Vec<String>,
    /// Whether something is wrong.
    pub collapsed: bool,
}

/// The verdict for a run with these active units, z_1 first.
pub fn verdict(history: &History, active: &[usize]) -> Verdict {
    let sizes = history.group_sizes();
    let names = |wanted: &dyn Fn(usize, usize) -> bool| -> Vec<String> {
        let layers = sizes.iter().zip(active).enumerate();
        layers
            .filter(|(_, (units, active))| wanted(**units, **active))
            .map(|(index, _)| name(history, index))
            .collect()
    };
    let dead = names(&|_, active| active == 0);
    let weak = names(&|units, active| active > 0 && (active as f64) < FEW * units as f64);
    let (total, all) = (active.iter().sum::<usize>(), sizes.iter().sum::<usize>());
    let finding = match (dead.as_slice(), weak.as_slice()) {
        ([], []) => format!("Every layer is in use: {total} of {all} units are active."),
        ([], weak) => {
            format!("No layer has collapsed, but few units are active in {}.", list(weak))
        }
        (dead, []) => format!(
            "{} collapsed: no unit is active there, so images do not depend on it.",
            have(dead)
        ),
        (dead, weak) => format!(
            "{} collapsed: no unit is active there, so images do not depend on it. Few units are \
            active in {}.",
            have(dead),
            list(weak)
        ),
    };
    let collapsed = !(dead.is_empty() && weak.is_empty());
    Verdict { finding, advice: if collapsed { remedies(history) } else { Vec::new() }, collapsed }
}

/// What this run has not tried yet of what usually helps.
fn remedies(history: &History) -> Vec<String> {
    let (family, train) = (&history.config.family, &history.config.train);
    let mut advice = family.remedies();
    if family.warmup_epochs() == 0 && train.init_from.is_empty() {
        advice.push(
            "A warm-up of a tenth of the epochs (--warmup-epochs) keeps units alive until \
        the layers below can use them.",
        );
    } else if history.epochs_done() < family.warmup_epochs() {
        advice.push("The warm-up is still under way: more units may be pruned before it ends.");
    } else if train.init_from.is_empty() {
        advice.push(
            "A longer warm-up (--warmup-epochs) gives upper layers more time before their \
        units are pruned.",
        );
    }
    advice.push(
        "Fewer or smaller layers do as well if the data needs no more: compare the bound \
    against the depth.",
    );
    advice.into_iter().map(str::to_owned).collect()
}

/// The verdict as a paragraph and a list.
pub fn html(history: &History, active: &[usize]) -> String {
    let Verdict { finding, advice, collapsed } = verdict(history, active);
    let class = if collapsed { "verdict warn" } else { "verdict" };
    let advice: String = advice.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    let advice = if advice.is_empty() { String::new() } else { format!("<ul>{advice}</ul>") };
    format!("<div class=\"{class}\"><p><strong>{}</strong></p>{advice}</div>", escape(&finding))
}

fn name(history: &History, index: usize) -> String {
    let layer = history.groups.get(index).map_or(index + 1, |group| group.layer);
    format!("layer {layer} ({})", history.group_name(index))
}

fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// "Layer 4 has", "Layer 4 and layer 5 have".
fn have(names: &[String]) -> String {
    let text = list(names);
    let capital = text
        .chars()
        .next()
        .map_or(String::new(), |c| c.to_uppercase().collect::<String>() + &text[c.len_utf8()..]);
    format!("{capital} {}", if names.len() == 1 { "has" } else { "have" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::data::published_shape;
    use crate::model::groups;
    use crate::tasks::Family;

    fn history(family: &str, batch_norm: bool, warmup_epochs: u64) -> History {
        let Some(Family::Hierarchy(mut hierarchy)) = Family::named(family) else {
            panic!("{family}")
        };
        hierarchy.objective.warmup_epochs = warmup_epochs;
        (hierarchy.model.batch_norm_hidden, hierarchy.model.batch_norm_heads) =
            (batch_norm, batch_norm);
        let config = Config { family: Family::Hierarchy(hierarchy), ..Config::default() };
        let groups = groups(&config, published_shape(&config.data).unwrap()).unwrap();
        History {
            name: "run".into(),
            folder: crate::run::folder::RunFolder::nowhere(),
            config,
            groups,
            epochs: Vec::new(),
            starts: Vec::new(),
            evaluations: Vec::new(),
            scores: Vec::new(),
            anomaly: None,
        }
    }

    #[test]
    fn a_healthy_model_gets_no_advice() {
        let verdict = verdict(&history("ladder", true, 200), &[64, 26, 9, 5, 3]);
        assert_eq!(verdict.finding, "Every layer is in use: 107 of 124 units are active.");
        assert!(verdict.advice.is_empty() && !verdict.collapsed);
    }

    #[test]
    fn dead_layers_are_named_with_what_this_run_has_not_tried() {
        let plain = verdict(&history("vae", false, 0), &[20, 1, 0, 0, 0]);
        assert!(
            plain.finding.starts_with("Layer 3 (z₃), layer 4 (z₄) and layer 5 (z₅) have collapsed"),
            "{plain:?}"
        );
        assert!(plain.finding.ends_with("Few units are active in layer 2 (z₂)."), "{plain:?}");
        assert!(
            plain.advice[0].contains("Batch normalisation") && plain.advice[1].contains("ladder")
        );
        assert!(plain.advice[2].contains("--warmup-epochs"));
        let ladder = verdict(&history("ladder", true, 0), &[64, 26, 9, 5, 0]);
        assert!(ladder.finding.starts_with("Layer 5 (z₅) has collapsed"), "{ladder:?}");
        assert!(
            ladder.advice[0].contains("--warmup-epochs")
                && !ladder.advice.iter().any(|a| a.contains("A ladder"))
        );
    }
}
