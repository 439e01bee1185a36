//! Every solution passes, every skeleton fails in all of its parts, and every exercise has its
//! parts.

use exercises::{NAMES, folder};

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

fn read(path: std::path::PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_exercise_has_a_title_hints_and_a_place_in_its_chapter() {
    let chapters = rung_book::weave::chapters().unwrap();
    for (index, name) in NAMES.iter().enumerate() {
        assert_eq!(name[..2], format!("{:02}", index + 1), "numbers must be without gaps");
        let skeleton = read(folder().join(name).join("skeleton.rs"));
        let title = skeleton.lines().next().unwrap();
        let number = &name[..2];
        let rest = title.strip_prefix(&format!("//! Exercise {number}, chapter ")).unwrap();
        let chapter: u8 = rest.split_once(": ").unwrap().0.parse().unwrap();
        assert!(!read(folder().join(name).join("hints.md")).trim().is_empty());
        let (_, page) = chapters.iter().find(|(number, _)| *number == chapter).unwrap();
        assert!(
            read(page.clone()).contains(&format!("(`check {number}`)")),
            "chapter {chapter} does not name exercise {number}"
        );
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
