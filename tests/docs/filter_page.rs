//! The tables of `docs/filter.md`: each row names a test that is there, or gives a reason.

use super::{root, text};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every row of the tables that end in the column `shown by`, as its cells.
fn rows() -> Vec<Vec<String>> {
    let page = text("docs/filter.md");
    let mut rows = Vec::new();
    let mut counts = false;
    for line in page.lines() {
        let line = line.replace("\\|", "/");
        let cells: Vec<String> = match line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) {
            Some(inner) => inner.split('|').map(|cell| cell.trim().to_owned()).collect(),
            None => {
                counts = false;
                continue;
            }
        };
        match cells.last().map(String::as_str) {
            Some("shown by") => counts = true,
            Some(last) if counts && !last.starts_with("---") => rows.push(cells),
            _ => {}
        }
    }
    rows
}

/// What stands in back quotes.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names of all tests: functions, and the claims of the path tests, which are named in text.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["filter", "tests", "forwarder"] {
        collect(&root().join(folder), &mut names);
    }
    names
}

fn collect(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let after = source.split("fn ").skip(1);
            names.extend(after.filter_map(|rest| rest.split(['(', '<']).next().map(str::to_owned)));
            let claims = source.split("Claim::new(").skip(1);
            names.extend(claims.filter_map(|rest| rest.split('"').nth(1).map(str::to_owned)));
        }
    }
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let (rows, tests) = (rows(), tests());
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for row in rows {
        for name in row.last().into_iter().flat_map(|cell| quoted(cell)) {
            assert!(tests.contains(name), "{}: there is no test `{name}`", row[0]);
        }
    }
}

#[test]
fn every_row_has_a_test_or_says_why_not() {
    for row in rows() {
        let (ours, shown) = (&row[row.len() - 2], &row[row.len() - 1]);
        let has_test = quoted(shown).next().is_some();
        let is_lacking = ours.starts_with("no:") && ours.len() > 20;
        assert!(has_test || is_lacking, "{}: neither a test nor a reason (`no: …`)", row[0]);
    }
}
