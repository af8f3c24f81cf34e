//! The README and the guide against the program: links, options, command lines, causes and lengths.
//!
//! Everything is compared with what the program does (`--help`, exit codes, error objects), so that a page cannot describe an option
//! that does not exist or leave one out. `UPDATE=1 cargo test --test guide` rewrites the generated table of causes.

mod causes;
mod commands;
mod links;
mod options;
mod page;

use page::{Page, guide, readme};

/// The most lines of the README.
const README_LINES: usize = 220;
/// The most lines of a page of the guide.
const PAGE_LINES: usize = 150;
/// Words for a program or a reader that the project does not use.
const UNWANTED: [&str; 8] =
    ["somebody", "nobody", "whoever", "anybody", "sign of life", "to be had", "of ours", "by hand"];

#[test]
fn pages_keep_their_length() {
    let lines = |page: &Page| page.text.lines().count();
    let readme = readme();
    assert!(lines(&readme) <= README_LINES, "README.md has {} lines", lines(&readme));
    for page in guide() {
        assert!(lines(&page) <= PAGE_LINES, "{} has {} lines", page.name(), lines(&page));
        let is_long = |line: &&str| line.chars().count() > 140 && !line.starts_with('|');
        let long = page.outside_blocks().into_iter().find(is_long);
        assert_eq!(long, None, "{} has a long line outside a table", page.name());
    }
}

#[test]
fn pages_use_the_words_of_the_field() {
    for page in guide().into_iter().chain([readme()]) {
        for line in page.without_generated().prose_lines() {
            let found = UNWANTED.iter().find(|word| line.to_lowercase().contains(**word));
            assert_eq!(found, None, "{}: {line}", page.name());
        }
    }
}
