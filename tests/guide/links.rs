//! Every link of the pages leads somewhere: to a file, a heading, or a page of the crate's documentation.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use crate::page::{Page, guide, readme, root};

/// All pages whose links are followed.
fn pages() -> Vec<Page> {
    let others = [
        "tests/README.md",
        "examples/configs/README.md",
        "examples/token-stores/README.md",
        "tests/clients/README.md",
        "tests/conformance/README.md",
    ];
    let more = ["tests/eras/README.md", "tests/reference/README.md", "tests/sdks/README.md"];
    let others = others.iter().chain(&more).map(|path| Page::read(Path::new(path)));
    guide().into_iter().chain([readme()]).chain(others).collect()
}

/// The targets of inline links and images: `[text](target)`.
fn inline_targets(page: &Page) -> Vec<String> {
    let lines = page.prose_lines();
    let parts = lines.iter().flat_map(|line| line.split("](").skip(1).map(str::to_owned).collect::<Vec<_>>());
    parts.map(|part| part.split(')').next().unwrap_or_default().to_owned()).collect()
}

/// The definitions of a page: `[label]: target`.
fn definitions(page: &Page) -> BTreeMap<String, String> {
    let lines = page.outside_blocks().into_iter();
    lines.filter_map(definition).collect()
}

fn definition(line: &str) -> Option<(String, String)> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((label.to_lowercase(), target.trim().to_owned()))
}

/// The labels that the prose uses: `[label]`, and `[text][label]`.
fn used_labels(page: &Page) -> Vec<String> {
    let mut labels = Vec::new();
    let lines = page.outside_blocks().into_iter().filter(|line| definition(line).is_none());
    let is_code = |text: &str| text.contains('`');
    for line in lines {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once('[') {
            let Some((label, behind)) = after.split_once(']') else { break };
            let is_in_code = before.matches('`').count() % 2 == 1;
            rest = behind;
            if is_in_code {
                rest = after;
                let Some((_, outside)) = after.split_once('`') else { break };
                rest = if rest.is_empty() { rest } else { outside };
                continue;
            }
            // `[text][label]` and `[text](target)` name their target behind the text.
            if !behind.starts_with(['[', '(']) && !is_code(label) && !label.starts_with(' ') {
                labels.push(label.to_lowercase());
            }
        }
    }
    labels
}

/// Follows a relative target from a page.
fn follow(page: &Page, target: &str) {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = page.path.parent().unwrap_or(Path::new(""));
    let path = if path.is_empty() { page.path.clone() } else { normal(&folder.join(path)) };
    assert!(root().join(&path).exists(), "{}: {target} leads to nothing", page.name());
    if let Some(anchor) = anchor {
        let anchors = Page::read(&path).anchors();
        assert!(anchors.iter().any(|found| found == anchor), "{}: {target}: {anchors:?}", page.name());
    }
}

/// A path without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut parts = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(parts.pop(), "{} leaves the repository", path.display()),
            part => parts.push(part),
        }
    }
    parts
}

fn is_elsewhere(target: &str) -> bool {
    target.starts_with("https://")
}

#[test]
fn every_relative_link_leads_to_a_file_and_heading() {
    let mut followed = 0;
    for page in pages() {
        let targets = inline_targets(&page).into_iter().chain(definitions(&page).into_values());
        for target in targets.filter(|target| !is_elsewhere(target)) {
            follow(&page, &target);
            followed += 1;
        }
    }
    assert!(followed > 60, "{followed} links were found");
}

#[test]
fn every_label_is_defined_and_used() {
    for page in guide().into_iter().chain([readme()]) {
        let (definitions, used) = (definitions(&page), used_labels(&page));
        for label in &used {
            assert!(definitions.contains_key(label), "{}: [{label}] has no definition", page.name());
        }
        for label in definitions.keys() {
            let named = format!("[{label}]");
            let prose = page.outside_blocks().into_iter().filter(|line| definition(line).is_none());
            assert!(
                prose.map(str::to_lowercase).any(|line| line.contains(&named)),
                "{}: {named} is unused",
                page.name()
            );
        }
    }
}

/// In the crate's documentation a page is a module: `links.txt` in front of each page gives the labels their targets there.
#[test]
fn links_between_pages_work_in_rustdoc_too() {
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    let in_rustdoc = definitions(&Page::read(Path::new("src/guide/links.txt")));
    for page in guide() {
        for target in inline_targets(&page) {
            let page = page.name();
            assert!(
                is_elsewhere(&target) || target.starts_with('#'),
                "{page}: ({target}) needs a label for rustdoc"
            );
        }
        for (label, target) in definitions(&page).into_iter().filter(|(_, target)| !is_elsewhere(target)) {
            let found = in_rustdoc.get(&label).unwrap_or_else(|| panic!("links.txt has no [{label}]"));
            assert!(
                is_same_place(&target, found),
                "[{label}] of {} is {target}, and {found} in rustdoc",
                page.name()
            );
        }
        let file = page.path.file_name().expect("a name").to_str().expect("Unicode");
        let name = module(file);
        assert!(
            lib.contains(&format!("{name}: \"guide/{file}\";")),
            "src/lib.rs does not include {file} as {name}"
        );
        assert!(readme().text.contains(&format!("](src/guide/{file}")), "README.md does not link {file}");
    }
}

/// The module of a page.
fn module(file: &str) -> String {
    file.trim_end_matches(".md").replace('-', "_")
}

/// Whether a path from a page and a target of rustdoc are the same page and heading.
fn is_same_place(path: &str, found: &str) -> bool {
    let (file, anchor) = path.split_once('#').map_or((path, ""), |(file, anchor)| (file, anchor));
    let (place, found_anchor) = found.split_once('#').map_or((found, ""), |(place, anchor)| (place, anchor));
    let is_page = place == format!("crate::guide::{}", module(file));
    let is_file =
        file.strip_prefix("../../").is_some_and(|file| place.ends_with(&format!("/blob/main/{file}")));
    anchor == found_anchor && (is_page || is_file)
}
