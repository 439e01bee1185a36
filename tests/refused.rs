//! Every call that an operation's declaration says must be refused is refused, with the stated
//! words.

use rung_autograd::ops::declarations;
use rung_tests::devices;

#[test]
fn every_refused_call_says_what_is_declared() {
    let (mut calls, mut wrong) = (0, Vec::new());
    for device in devices() {
        for declaration in declarations() {
            for (number, refused) in (declaration.refused)().into_iter().enumerate() {
                calls += 1;
                let said = (refused.call)(&device).map_or_else(
                    |error| error.to_string(),
                    |()| "nothing: the call is accepted".to_owned(),
                );
                if !said.contains(refused.message) {
                    wrong.push(format!(
                        "{}, refused call {number} says: {said}; should say: {}",
                        declaration.name, refused.message
                    ));
                }
            }
        }
    }
    assert!(calls > 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = declarations().iter().map(|declaration| declaration.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two declarations have one name");
}
