//! Runs the listings of the book, and makes its pages.

use std::process::ExitCode;

use rung_book::outputs::OUTPUTS;
use rung_book::{Result, figures, weave};

const HELP: &str = "\
cargo run -p rung-book -- run CHAPTER [OUTPUT]   what a chapter's listings print
cargo run -p rung-book -- list                   all outputs
cargo run -p rung-book -- weave [--measured]     code and outputs into the pages; with
                                                 --measured the numbers of this machine too
cargo run -p rung-book -- figures                the pictures";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["run", chapter] => run(chapter, None),
        ["run", chapter, name] => run(chapter, Some(name)),
        ["list"] => {
            OUTPUTS.iter().for_each(|output| println!("{} {}", output.chapter, output.name));
            Ok(())
        }
        ["weave"] => weave::write_pages(false),
        ["weave", "--measured"] => weave::write_pages(true),
        ["figures"] => figures::write_all(),
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(chapter: &str, name: Option<&str>) -> Result<()> {
    let mut wanted = OUTPUTS
        .iter()
        .filter(|output| output.chapter.to_string() == chapter)
        .filter(|output| name.is_none_or(|name| output.name == name))
        .peekable();
    if wanted.peek().is_none() {
        return Err("no such output: `list` names all".into());
    }
    for output in wanted {
        if name.is_none() {
            println!("-- {}", output.name);
        }
        (output.run)()?;
    }
    Ok(())
}
