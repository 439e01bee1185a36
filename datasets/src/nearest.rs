//! The word that a user may have meant: the nearest by edit distance.

/// The candidate nearest to `word`, unless none is near enough to be a likely slip of the keys.
///
/// Near enough: at most a third of the longer word's letters differ, and two always may.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let near = candidates.into_iter().filter_map(|candidate| {
        let other = candidate.chars().count();
        let longer = length.max(other);
        let allowed = (longer / 3).max(2).min(longer.saturating_sub(1));
        // As many letters as one is longer differ in any case: what can't be near is not compared,
        // for a word may have as many letters as a file.
        let may_be_near = length.abs_diff(other) <= allowed;
        let distance = may_be_near.then(|| edit_distance(word, candidate))?;
        (distance <= allowed).then_some((distance, candidate))
    });
    near.min().map(|(_, best)| best)
}

/// `" (did you mean NAME?)"`, or nothing if no candidate is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or(String::new(), |best| format!(" (did you mean {best}?)"))
}

/// Insertions, deletions and substitutions that turn `a` into `b` (Levenshtein).
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a_char) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &b_char) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(a_char != b_char);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_single_letter_changes() {
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("épochs", "epochs"), 1);
    }

    #[test]
    fn a_slip_is_recognised_and_nonsense_is_not() {
        let keys = ["epochs", "batch_size", "seed"];
        assert_eq!(nearest("epoch", keys), Some("epochs"));
        assert_eq!(nearest("batchsize", keys), Some("batch_size"));
        assert_eq!(nearest("zzzzzzzzzz", keys), None);
        assert_eq!(nearest("x", []), None);
        assert_eq!(nearest("x", ["y", ""]), None);
        assert_eq!(nearest(&"e".repeat(1 << 20), keys), None);
    }
}
