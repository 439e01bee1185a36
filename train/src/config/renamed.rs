//! Keys that had another name once: configurations written by earlier versions are read as what
//! they meant.

use toml::{Table, Value};

/// Old dotted keys and what they are called now. A key that ends in a dot stands for all keys of
/// the section.
const RENAMED: &[(&str, &str)] = &[
    ("staged.classes", "objective.classes"),
    ("staged.", "model."),
    ("train.warmup_epochs", "objective.warmup_epochs"),
    ("train.monte_carlo_samples", "objective.monte_carlo_samples"),
    ("train.importance_samples", "objective.importance_samples"),
    ("train.analytic_kl", "objective.analytic_kl"),
    ("train.free_bits_nats", "objective.free_bits_nats"),
    ("train.labels", "objective.labels"),
    ("train.classification_weight", "objective.classification_weight"),
];

/// The name that a dotted key has now.
pub(super) fn current(key: &str) -> String {
    for (old, new) in RENAMED {
        match key.strip_prefix(old) {
            Some("") => return (*new).into(),
            Some(rest) if old.ends_with('.') => return format!("{new}{rest}"),
            _ => {}
        }
    }
    key.into()
}

/// Whether a file is a whole configuration of an earlier version, which spelled out the keys of
/// every family: then those that the model does not have said nothing.
pub(super) fn spells_out_every_family(file: &Table) -> bool {
    file.get("staged").is_some_and(Value::is_table)
        && file.get("model").and_then(|model| model.get("latent_sizes")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_keys_have_their_new_names_and_others_are_left() {
        assert_eq!(current("staged.stages"), "model.stages");
        assert_eq!(current("staged.classes"), "objective.classes");
        assert_eq!(current("train.warmup_epochs"), "objective.warmup_epochs");
        assert_eq!(current("train.warmup"), "train.warmup");
        assert_eq!(current("model.family"), "model.family");
    }
}
