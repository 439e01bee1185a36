//! Checks the reader's answers: those of the numbers that are given, or all.

include!(concat!(env!("OUT_DIR"), "/answers.rs"));

fn main() -> std::process::ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut failed = 0;
    for (name, parts) in CHECKS {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| name.starts_with(wanted.as_str())) {
            continue;
        }
        match exercises::run(parts) {
            Ok(()) => println!("{name}: passed"),
            Err(wrong) => {
                failed += 1;
                println!("{name}: not yet\n  {}", wrong.replace('\n', "\n  "));
            }
        }
    }
    if failed > 0 { std::process::ExitCode::FAILURE } else { std::process::ExitCode::SUCCESS }
}
