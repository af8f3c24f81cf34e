//! Replays every `tests/transcripts/**/*.txt` against the bridge: one test per file.
//!
//! A line that begins with `> ` is something that happens; every other line is what the bridge does next, in full.
//! `UPDATE=1 cargo test --test transcripts` writes the bridge's side anew; read the diff before committing it.
//! `tests/README.md` lists the forms of the lines.

#[path = "support/transcript.rs"]
mod transcript;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use transcript::replay;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let update = std::env::var_os("UPDATE").is_some();
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", root.display());
    let trials = files.into_iter().map(|file| {
        let name = file.strip_prefix(&root).unwrap_or(&file).with_extension("").display().to_string();
        Trial::test(name, move || check(&file, update))
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

fn check(file: &Path, update: bool) -> Result<(), Failed> {
    let written = std::fs::read_to_string(file)?;
    let replayed = replay(&written)?;
    if update {
        std::fs::write(file, &replayed)?;
    } else if written != replayed {
        let differing = written.lines().zip(replayed.lines()).position(|(one, two)| one != two);
        let line = differing.unwrap_or_else(|| written.lines().count().min(replayed.lines().count())) + 1;
        return Err(format!("differs from line {line} on; the bridge does this:\n\n{replayed}").into());
    }
    Ok(())
}
