//! The area under the receiver operating characteristic.

/// The chance that an out-of-distribution image has a higher score than an own one, ties counting
/// one half (the Mann-Whitney statistic over the number of pairs). 0.5 separates nothing, 1
/// everything. `None` if a set is empty or a score is not a number.
pub fn auroc(own: &[f64], foreign: &[f64]) -> Option<f64> {
    if own.is_empty() || foreign.is_empty() || own.iter().chain(foreign).any(|score| score.is_nan())
    {
        return None;
    }
    let mut all: Vec<(f64, bool)> = own.iter().map(|&score| (score, false)).collect();
    all.extend(foreign.iter().map(|&score| (score, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    // The sum of the other scores' ranks; scores that are equal share the mean of theirs.
    let (mut rank_sum, mut start) = (0.0, 0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let mean_rank = start as f64 + (tied.len() + 1) as f64 / 2.0;
        rank_sum += mean_rank * tied.iter().filter(|(_, is_foreign)| *is_foreign).count() as f64;
        start += tied.len();
    }
    let (n, m) = (own.len() as f64, foreign.len() as f64);
    Some((rank_sum - m * (m + 1.0) / 2.0) / (n * m))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: over all pairs.
    fn by_pairs(own: &[f64], foreign: &[f64]) -> f64 {
        let win = |a: f64, b: f64| if b > a { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 };
        let wins: f64 = own.iter().flat_map(|&a| foreign.iter().map(move |&b| win(a, b))).sum();
        wins / (own.len() * foreign.len()) as f64
    }

    #[test]
    fn ranks_count_what_pairs_do() {
        let own = [3.0, -1.0, 2.5, 2.5, 0.0, f64::NEG_INFINITY];
        let foreign = [2.5, 4.0, -1.0, 3.0, 3.0];
        assert!((auroc(&own, &foreign).unwrap() - by_pairs(&own, &foreign)).abs() < 1e-12);
        assert_eq!(auroc(&[0.0, 1.0], &[2.0, 3.0]), Some(1.0));
        assert_eq!(auroc(&[2.0, 3.0], &[0.0, 1.0]), Some(0.0));
        assert_eq!(auroc(&[1.0; 4], &[1.0; 3]), Some(0.5));
    }

    #[test]
    fn nothing_and_no_number_have_no_area() {
        assert_eq!(auroc(&[], &[1.0]), None);
        assert_eq!(auroc(&[1.0], &[]), None);
        assert_eq!(auroc(&[f64::NAN], &[1.0]), None);
    }
}
