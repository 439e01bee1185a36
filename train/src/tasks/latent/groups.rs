//! Values of the stochastic groups in lines of text: which value is whose.

use std::fmt::Display;

use rung_models::Group;

/// Each value after the name of its group: `z_1↑ 12.3, z_1↓ 4.5, z_2 0.6`.
pub fn named<T: Display>(groups: &[Group], values: impl IntoIterator<Item = T>) -> String {
    joined(groups, values, ", ")
}

/// As [`named`], for a narrow place: where every layer has one group z_i, the values alone, that of
/// z_1 first.
pub fn brief<T: Display>(groups: &[Group], values: impl IntoIterator<Item = T>) -> String {
    if groups.iter().any(|group| !group.role.is_empty() || group.own_name.is_some()) {
        return joined(groups, values, " ");
    }
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(" ")
}

fn joined<T: Display>(groups: &[Group], values: impl IntoIterator<Item = T>, gap: &str) -> String {
    let pair = |(group, value): (&Group, T)| format!("{} {value}", group.symbol());
    groups.iter().zip(values).map(pair).collect::<Vec<_>>().join(gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_be_told_from_that_of_the_layers_other_group() {
        let group = |(layer, role)| Group { layer, role, own_name: None, units: 1 };
        let biva: Vec<Group> = [(1, "bottom-up"), (1, "top-down"), (2, "")].map(group).into();
        assert_eq!(named(&biva, ["1.5", "0.2", "3"]), "z_1↑ 1.5, z_1↓ 0.2, z_2 3");
        assert_eq!(brief(&biva, [7, 8, 9]), "z_1↑ 7 z_1↓ 8 z_2 9");
        let ladder: Vec<Group> = [(1, ""), (2, "")].map(group).into();
        assert_eq!(named(&ladder, [7, 8]), "z_1 7, z_2 8");
        assert_eq!(brief(&ladder, [7, 8]), "7 8");
    }
}
