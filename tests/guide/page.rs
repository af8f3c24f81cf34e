//! One Markdown page, taken apart as far as these tests need it: prose, code, headings and tables.

use std::path::{Path, PathBuf};

/// What stands around the generated table of causes.
pub(crate) const BEGIN: &str = "<!-- causes: UPDATE=1 cargo test --test guide -->\n";
/// See [`BEGIN`].
pub(crate) const END: &str = "<!-- end of causes -->";

/// A Markdown page of the repository.
pub(crate) struct Page {
    /// Where it is, relative to the root of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block of code.
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) content: String,
}

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub(crate) fn readme() -> Page {
    Page::read(Path::new("README.md"))
}

/// The pages of the guide, in the order of their names.
pub(crate) fn guide() -> Vec<Page> {
    let folder = std::fs::read_dir(root().join("src/guide")).expect("src/guide");
    let mut names: Vec<String> = folder
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("Unicode"))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    assert!(names.len() > 10, "the guide has pages: {names:?}");
    names.iter().map(|name| Page::read(&Path::new("src/guide").join(name))).collect()
}

impl Page {
    pub(crate) fn read(path: &Path) -> Page {
        let text = std::fs::read_to_string(root().join(path))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Page { path: path.to_owned(), text }
    }

    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The same page without its generated table, whose words are the program's.
    pub(crate) fn without_generated(&self) -> Page {
        let generated = self.text.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END));
        let text = generated.map_or(self.text.clone(), |(table, _)| self.text.replace(table, ""));
        Page { path: self.path.clone(), text }
    }

    /// The lines outside fenced blocks, with code spans blanked out.
    pub(crate) fn prose_lines(&self) -> Vec<String> {
        let blank = |line: &str| {
            let parts = line.split('`').enumerate();
            parts
                .map(|(index, part)| if index % 2 == 0 { part } else { "code" })
                .collect::<Vec<_>>()
                .join("`")
        };
        self.outside_blocks().into_iter().map(blank).collect()
    }

    pub(crate) fn outside_blocks(&self) -> Vec<&str> {
        let mut is_inside = false;
        let mut lines = Vec::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                is_inside = !is_inside;
            } else if !is_inside {
                lines.push(line);
            }
        }
        assert!(!is_inside, "{}: a block of code does not end", self.name());
        lines
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let parts = self.text.split("\n```").skip(1).step_by(2);
        parts
            .map(|part| {
                let (language, content) = part.split_once('\n').unwrap_or((part, ""));
                let page = self.name();
                assert!(
                    !language.trim().is_empty(),
                    "{page}: rustdoc takes a block without a language for Rust"
                );
                Block { language: language.trim().to_owned(), content: content.to_owned() }
            })
            .collect()
    }

    /// The code spans of the prose.
    pub(crate) fn spans(&self) -> Vec<String> {
        let lines = self.outside_blocks();
        lines.iter().flat_map(|line| spans_of(line)).collect()
    }

    /// The names that GitHub and rustdoc give to the headings.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let headings = self.outside_blocks().into_iter().filter(|line| line.starts_with('#'));
        headings
            .map(|line| {
                let text = line.trim_start_matches('#').trim().to_lowercase();
                let kept = text
                    .chars()
                    .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
                kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
            })
            .collect()
    }

    /// The rows of the tables whose first column is called `column`, each as its cells.
    pub(crate) fn rows_of(&self, column: &str) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        let mut is_wanted = None;
        for line in self.outside_blocks() {
            if !line.starts_with('|') {
                is_wanted = None;
                continue;
            }
            let cells = cells_of(line);
            match is_wanted {
                None => is_wanted = Some(cells.first().is_some_and(|cell| cell == column)),
                Some(true) if !cells.iter().all(|cell| cell.starts_with("--")) => rows.push(cells),
                Some(_) => {}
            }
        }
        rows
    }
}

pub(crate) fn spans_of(line: &str) -> Vec<String> {
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn cells_of(line: &str) -> Vec<String> {
    let line = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    line.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}
