//! Every solution passes, every skeleton fails in all of its parts, and every exercise has its
//! parts.

use exercises::{GRADER, NAMES, folder};

mod solutions {
    include!(concat!(env!("OUT_DIR"), "/solutions.rs"));

    #[test]
    fn every_solution_passes() {
        println!("RUNG_TEST_SEED={}", exercises::seed().unwrap());
        for (name, parts) in CHECKS {
            for (part, check) in *parts {
                if let Err(wrong) = exercises::run_part(*check) {
                    panic!("the solution of {name} fails in {part}: {wrong}");
                }
            }
        }
    }
}

mod skeletons {
    include!(concat!(env!("OUT_DIR"), "/skeletons.rs"));

    #[test]
    fn every_skeleton_fails_in_every_part() {
        println!("RUNG_TEST_SEED={}", exercises::seed().unwrap());
        for (name, parts) in CHECKS {
            assert!(!parts.is_empty(), "{name} has nothing to solve");
            for (part, check) in *parts {
                let outcome = exercises::run_part(*check);
                assert!(outcome.is_err(), "the skeleton of {name} passes in {part}");
            }
        }
    }
}

#[test]
fn the_grader_says_what_is_wrong() {
    let grader = env!("CARGO_BIN_EXE_grade");
    assert_eq!(std::path::Path::new(grader).file_stem().unwrap(), GRADER);
    let output = std::process::Command::new(grader).arg("01").output().unwrap();
    // It is compiled with the skeleton, or with an answer where there is one.
    let said = String::from_utf8(output.stdout).unwrap();
    let expected = if output.status.success() { "passed" } else { "not yet\n" };
    assert!(said.starts_with(&format!("01-local-derivatives: {expected}")), "{said}");
}

#[test]
fn a_panic_says_where_it_is() {
    let wrong = exercises::run_part(|| panic!("no adjoint {}", 3)).unwrap_err();
    assert!(wrong.starts_with("it panics at all.rs:"), "{wrong}");
    assert!(wrong.ends_with(": no adjoint 3"), "{wrong}");
}

fn read(path: std::path::PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_exercise_has_a_title_and_a_place_in_its_chapter() {
    let chapters = rung_book::weave::chapters().unwrap();
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(name[..2], format!("{:02}", index + 1), "numbers must be without gaps");
        let skeleton = read(folder().join(name).join("skeleton.rs"));
        let title = skeleton.lines().next().unwrap();
        let number = &name[..2];
        let rest = title.strip_prefix(&format!("//! Exercise {number}, chapter ")).unwrap();
        let chapter: u8 = rest.split_once(": ").unwrap().0.parse().unwrap();
        let (_, page) = chapters.iter().find(|(number, _)| *number == chapter).unwrap();
        assert!(
            read(page.clone()).contains(&format!("(`check {number}`)")),
            "chapter {chapter} does not name exercise {number}"
        );
    }
}

#[test]
fn every_exercise_has_hints_that_are_given_one_at_a_time() {
    for name in NAMES {
        let hints = exercises::hints(name).unwrap();
        assert!(hints.len() >= 2, "{name} gives all that its hints say at once");
        assert!(hints.iter().all(|hint| !hint.is_empty() && !hint.contains(" --- ")), "{name}");
    }
}

#[test]
fn every_exercise_that_a_chapter_names_exists() {
    for (_, path) in rung_book::weave::chapters().unwrap() {
        let page = read(path);
        for found in page.split("(`check ").skip(1) {
            let number = found.split('`').next().unwrap();
            assert!(NAMES.iter().any(|name| name.starts_with(number)), "there is no {number}");
        }
    }
}
