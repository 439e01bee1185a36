//! The program understands every command that a document shows.

use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use rung::cli::{Cli, Command};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All documents, with their texts.
fn documents() -> Vec<(PathBuf, String)> {
    let folders = ["", "docs", "docs/book/src"].map(|folder| repository().join(folder));
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    let pages = paths.filter(|path| path.extension().is_some_and(|end| end == "md"));
    pages.map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// The commands of a page: lines of its blocks that begin with `rung`, and spans that do. Those
/// with an ellipsis are no commands.
fn commands(page: &str) -> Vec<String> {
    let (mut found, mut prose, mut is_block) = (Vec::new(), String::new(), false);
    for line in page.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            found.extend(command_of(line));
        } else {
            prose = prose + line + "\n";
        }
    }
    found.extend(prose.split('`').skip(1).step_by(2).filter_map(command_of));
    found.retain(|command| !command.contains('…'));
    found
}

/// A line without its prompt, the variables before the program and the comment behind it, if the
/// program is `rung`.
fn command_of(line: &str) -> Option<String> {
    let line = line.split(" #").next().unwrap_or("");
    let is_variable = |word: &&str| word.split_once('=').is_some_and(|(name, _)| !name.is_empty());
    let words = line.split_whitespace().skip_while(|word| *word == "$" || is_variable(word));
    let command = words.collect::<Vec<_>>().join(" ");
    let next = command.strip_prefix("rung ")?.chars().next()?;
    (next.is_ascii_lowercase() || next == '-').then_some(command)
}

/// The words of a command as a shell would split them; a single capital, such as N, stands for a
/// number.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in command.chars().chain([' ']) {
        match quote {
            Some(end) if c == end => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == ' ' => {
                let is_capital = word.len() == 1 && word.chars().all(|c| c.is_ascii_uppercase());
                let taken = std::mem::take(&mut word);
                words.extend((!taken.is_empty()).then_some(match is_capital {
                    true => "1".to_owned(),
                    false => taken,
                }));
            }
            _ => word.push(c),
        }
    }
    words
}

/// What the program says of a command that it does not understand. What a document leaves out (a
/// run's folder, a flag's value) is no mistake.
fn refusal(command: &str) -> Option<String> {
    let mut words = words(command);
    if words.last().is_some_and(|last| last.starts_with("--")) {
        let without = Cli::try_parse_from(&words);
        let lacks_value =
            without.is_err_and(|it| it.to_string().contains("a value is required for"));
        words.extend(lacks_value.then(|| "1".to_owned()));
    }
    match Cli::try_parse_from(&words) {
        Ok(cli) => match cli.command {
            Some(Command::Train(train)) if !stands_for_any(&words) => {
                train.configuration().err().map(|error| error.to_string())
            }
            _ => None,
        },
        Err(error) => match error.kind() {
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelp
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => None,
            _ => Some(error.to_string()),
        },
    }
}

/// Whether a command names what only its reader has: a file, a run to go on with, or a name or a
/// value in capitals.
fn stands_for_any(words: &[String]) -> bool {
    words.iter().any(|word| {
        let value = word.rsplit('=').next().unwrap_or(word);
        let is_capital = !value.is_empty() && value.chars().all(|c| c.is_ascii_uppercase());
        is_capital || ["--config", "--resume"].contains(&word.as_str())
    })
}

#[test]
fn every_command_of_the_documents_is_understood() {
    let (mut read, mut refused) = (0, Vec::new());
    for (path, page) in documents() {
        for command in commands(&page) {
            read += 1;
            refused.extend(
                refusal(&command).map(|why| format!("{}: {command}\n  {why}", path.display())),
            );
        }
    }
    assert!(read > 150, "only {read} commands were found");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn a_command_that_is_wrong_is_found() {
    let page = "Try `rung evaluate RUN --importance-samples`, `rung trian`, `rung`, `rung bench`\n\
                and `rung\nsample RUN --layer N`.\n\
                ```sh\n$ A=b rung train --epohcs 3   # comment\n\
                rung train --preset mnist-vae-2 --set 'model.latent_sizes=[8, 4]' \\\n    --seed 2\n\
                rung train --set model.latent_size=[8]\nrung train --preset NAME --epochs 2\n\
                cargo build\n```\n";
    let found = commands(page);
    assert_eq!(found.len(), 8, "{found:#?}");
    let refused: Vec<_> = found.iter().filter(|it| refusal(it).is_some()).collect();
    assert_eq!(
        refused,
        ["rung train --epohcs 3", "rung train --set model.latent_size=[8]", "rung trian"]
    );
}
