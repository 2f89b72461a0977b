//! The edits that add mutants to the copy of the crates, read from `rust/mutants/CRATE/*.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::problem::Problem;

/// The directory of the crate with the edits, below the root. The edits of each crate are in a
/// directory in it.
pub(crate) const DIRECTORY: &str = "rust/mutants";

/// The line that gives an edited file the function `active`.
const IMPORT: &str = "use antiphon_mutants::active;";

/// The page that explains how to change edits.
const GUIDE: &str = "docs/contributing.md, \"Mutants\"";

/// One deliberate error.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mutant {
    /// Its number, from 1.
    pub(crate) number: u16,
    pub(crate) name: String,
    /// A description of the error.
    pub(crate) what: String,
}

/// A file of edits as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// The source file that is edited, below the root.
    file: String,
    #[serde(default)]
    mutant: Vec<Mutant>,
    #[serde(default)]
    edit: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    /// The numbers of the mutants that the replacement holds.
    mutants: Vec<u16>,
    /// A text that occurs exactly once in the source file.
    find: String,
    /// The text in its place, in which `active(N)` is true if mutant N is active.
    replace: String,
}

/// The place of an edit: its name and the file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) name: String,
}

#[derive(Debug)]
struct Edit {
    place: Place,
    /// The source file that is edited, below the root.
    source: String,
    mutants: BTreeSet<u16>,
    find: String,
    replace: String,
}

/// All mutants, and the edits that hold them.
#[derive(Debug)]
pub(crate) struct Edits {
    /// In the order of their numbers.
    pub(crate) mutants: Vec<Mutant>,
    edits: Vec<Edit>,
}

/// An error in the edits or in the list of mutants.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EditProblem {
    #[error("`{file}` is not a file of edits: {why}")]
    Unreadable { file: String, why: String },
    #[error(
        "{edit}: `find` occurs {got} times in `{source_file}`, expected 1: adapt `find` and \
         `replace` to the present text ({GUIDE})"
    )]
    Matches {
        edit: Place,
        source_file: String,
        got: usize,
    },
    #[error("{second} overlaps {first} in `{source_file}`: make one edit of both")]
    Overlap {
        first: Place,
        second: Place,
        source_file: String,
    },
    #[error("{edit} holds mutant {number}, which no file lists: add its `[[mutant]]`")]
    UnknownMutant { edit: Place, number: u16 },
    #[error("no edit holds mutant {number} (`{name}`): add an edit, or remove the mutant")]
    NoEdit { number: u16, name: String },
    #[error("mutant `{name}` has number {got}, expected {expected}: number mutants without gaps")]
    Number {
        name: String,
        expected: u16,
        got: u16,
    },
    #[error("mutants {first} and {second} have the same name `{name}`")]
    SameName {
        first: u16,
        second: u16,
        name: String,
    },
    #[error(
        "{edit}: `replace` calls `active` with {}, expected the edit's mutants, {}",
        list(got),
        list(expected)
    )]
    Calls {
        edit: Place,
        expected: BTreeSet<u16>,
        got: BTreeSet<u16>,
    },
    #[error(
        "{edit} is for `{source_file}`, which is not in the copy: an edit may name a file of the \
         crates that the bridge links, {} ({GUIDE})",
        copied.join(", ")
    )]
    NotCopied {
        edit: Place,
        source_file: String,
        /// The directories of the copied crates, below the root.
        copied: Vec<String>,
    },
    #[error("`{directory}` has no edits")]
    Empty { directory: String },
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "edit `{}` of `{}`", self.name, self.file)
    }
}

fn list(numbers: &BTreeSet<u16>) -> String {
    if numbers.is_empty() {
        return "no number".to_owned();
    }
    let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
    numbers.join(", ")
}

impl Edits {
    /// Reads and checks all edits of a checkout.
    pub(crate) fn load(root: &Path) -> Result<Self, Problem> {
        let mut texts = BTreeMap::new();
        for directory in entries(&root.join(DIRECTORY))? {
            if !directory.is_dir() {
                continue;
            }
            for path in entries(&directory)? {
                if path
                    .extension()
                    .is_some_and(|extension| extension == "toml")
                {
                    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
                    let shown = path.strip_prefix(root).unwrap_or(&path);
                    texts.insert(shown.display().to_string(), text);
                }
            }
        }
        Ok(Self::of_texts(&texts)?)
    }

    /// Reads and checks files of edits, given by name.
    fn of_texts(texts: &BTreeMap<String, String>) -> Result<Self, EditProblem> {
        let (mut mutants, mut edits) = (Vec::new(), Vec::new());
        for (file, text) in texts {
            let rows: Rows = toml::from_str(text).map_err(|error| EditProblem::Unreadable {
                file: file.clone(),
                why: error.to_string().trim_end().to_owned(),
            })?;
            mutants.extend(rows.mutant);
            edits.extend(rows.edit.into_iter().map(|row| Edit {
                place: Place {
                    file: file.clone(),
                    name: row.name,
                },
                source: rows.file.clone(),
                mutants: row.mutants.into_iter().collect(),
                find: row.find,
                replace: row.replace,
            }));
        }
        mutants.sort_by_key(|mutant| mutant.number);
        let edits = Self { mutants, edits };
        edits.check()?;
        Ok(edits)
    }

    fn check(&self) -> Result<(), EditProblem> {
        if self.edits.is_empty() {
            let directory = DIRECTORY.to_owned();
            return Err(EditProblem::Empty { directory });
        }
        let mut names = BTreeMap::new();
        for (expected, Mutant { number, name, .. }) in (1..).zip(&self.mutants) {
            let (got, name) = (*number, name.clone());
            if got != expected {
                return Err(EditProblem::Number {
                    name,
                    expected,
                    got,
                });
            }
            if let Some(first) = names.insert(name.clone(), got) {
                return Err(EditProblem::SameName {
                    first,
                    second: got,
                    name,
                });
            }
        }
        let mut held = BTreeSet::new();
        for edit in &self.edits {
            let expected = edit.mutants.clone();
            let unknown = |number: &&u16| **number == 0 || usize::from(**number) > names.len();
            if let Some(number) = expected.iter().find(unknown) {
                return Err(EditProblem::UnknownMutant {
                    edit: edit.place.clone(),
                    number: *number,
                });
            }
            let got = calls(&edit.replace);
            if got != expected || got.is_empty() {
                return Err(EditProblem::Calls {
                    edit: edit.place.clone(),
                    expected,
                    got,
                });
            }
            held.extend(got);
        }
        match self.mutants.iter().find(|m| !held.contains(&m.number)) {
            None => Ok(()),
            Some(Mutant { number, name, .. }) => Err(EditProblem::NoEdit {
                number: *number,
                name: name.clone(),
            }),
        }
    }

    /// The edited source files, below the root.
    pub(crate) fn sources(&self) -> BTreeSet<&str> {
        self.edits.iter().map(|edit| edit.source.as_str()).collect()
    }

    /// The text of a source file after its edits.
    pub(crate) fn apply(&self, source: &str, text: &str) -> Result<String, EditProblem> {
        let mut found = Vec::new();
        for edit in self.edits.iter().filter(|edit| edit.source == source) {
            let mut places = occurrences(text, &edit.find);
            match (places.next(), places.count()) {
                (Some(at), 0) => found.push((at, edit)),
                (first, more) => {
                    return Err(EditProblem::Matches {
                        edit: edit.place.clone(),
                        source_file: source.to_owned(),
                        got: more + usize::from(first.is_some()),
                    });
                }
            }
        }
        found.sort_by_key(|(at, _)| *at);
        for pair in found.windows(2) {
            let [(at, first), (next, second)] = pair else {
                continue;
            };
            if at + first.find.len() > *next {
                return Err(EditProblem::Overlap {
                    first: first.place.clone(),
                    second: second.place.clone(),
                    source_file: source.to_owned(),
                });
            }
        }
        let (mut edited, mut from) = (String::new(), 0);
        for (at, edit) in found {
            edited += &text[from..at];
            edited += &edit.replace;
            from = at + edit.find.len();
        }
        Ok(format!("{edited}{}\n{IMPORT}\n", &text[from..]))
    }

    /// The problem of an edit whose source file is not copied. `copied` has the directories of the
    /// crates that are.
    pub(crate) fn not_copied(&self, source: &str, copied: &[String]) -> Option<EditProblem> {
        let edit = self.edits.iter().find(|edit| edit.source == source)?;
        Some(EditProblem::NotCopied {
            edit: edit.place.clone(),
            source_file: source.to_owned(),
            copied: copied.iter().map(|c| format!("`{c}`")).collect(),
        })
    }
}

/// The sorted entries of a directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let read = fs::read_dir(directory).map_err(Problem::file(directory))?;
    let paths: Result<Vec<PathBuf>, _> = read.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(Problem::file(directory))?;
    paths.sort();
    Ok(paths)
}

/// The places at which a text occurs, also where two occurrences overlap.
fn occurrences(text: &str, find: &str) -> impl Iterator<Item = usize> {
    let starts = text.char_indices().map(|(at, _)| at);
    starts.filter(move |at| text[*at..].starts_with(find))
}

/// The numbers in a text's calls `active(NUMBER)`.
fn calls(text: &str) -> BTreeSet<u16> {
    let calls = text.match_indices("active(").filter(|(at, _)| {
        let before = text[..*at].chars().next_back();
        before.is_none_or(|c| c != '_' && !c.is_alphanumeric())
    });
    let arguments = calls.filter_map(|(at, call)| text[at + call.len()..].split(')').next());
    // A call with another argument is reported by the compiler.
    arguments.filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn limit() -> u32 {\n    7\n}\nfn twice() -> u32 {\n    14 + 0\n}\n";

    fn mutant(number: u16, name: &str) -> String {
        format!("[[mutant]]\nnumber = {number}\nname = \"{name}\"\nwhat = \"an error\"\n")
    }

    fn edit(name: &str, mutants: &[u16], find: &str, replace: &str) -> String {
        format!(
            "[[edit]]\nname = \"{name}\"\nmutants = {mutants:?}\nfind = '{find}'\n\
             replace = '{replace}'\n"
        )
    }

    fn read(rows: &[String]) -> Result<Edits, EditProblem> {
        let text = format!("file = \"a/src/lib.rs\"\n{}", rows.concat());
        Edits::of_texts(&BTreeMap::from([("mutants/a.toml".to_owned(), text)]))
    }

    fn applied(rows: &[String]) -> Result<String, EditProblem> {
        read(rows)?.apply("a/src/lib.rs", SOURCE)
    }

    /// The message of the problem with these rows.
    fn problem(rows: &[String]) -> String {
        applied(rows).expect_err("a problem").to_string()
    }

    #[test]
    fn edits_are_applied_to_the_original_text() {
        // The first replacement has the text that the second edit looks for.
        let rows = [
            mutant(2, "B"),
            edit("sum", &[2], "14 + 0", "14 + u32::from(active(2))"),
            mutant(1, "A"),
            edit(
                "seven",
                &[1],
                "    7",
                "    if active(1) { 14 + 0 } else { 7 }",
            ),
        ];
        let expected = "fn limit() -> u32 {\n    if active(1) { 14 + 0 } else { 7 }\n}\n\
                        fn twice() -> u32 {\n    14 + u32::from(active(2))\n}\n\n\
                        use antiphon_mutants::active;\n";
        assert_eq!(applied(&rows).as_deref(), Ok(expected));
        let edits = read(&rows).expect("sound rows");
        assert_eq!(edits.sources(), BTreeSet::from(["a/src/lib.rs"]));
        let numbers: Vec<u16> = edits.mutants.iter().map(|m| m.number).collect();
        assert_eq!(numbers, [1, 2]);
        // A mutant may be held by two edits, and an edit may hold two mutants.
        let both = edit("seven", &[1, 2], "    7", "7 + active(1) + active(2)");
        let rows = [mutant(1, "A"), mutant(2, "B"), both];
        assert!(applied(&rows).is_ok());
    }

    #[test]
    fn a_text_without_a_match_and_one_with_two_name_the_edit() {
        let rows = |find: &str| [mutant(1, "A"), edit("seven", &[1], find, "active(1)")];
        assert_eq!(
            problem(&rows("8")),
            "edit `seven` of `mutants/a.toml`: `find` occurs 0 times in `a/src/lib.rs`, expected \
             1: adapt `find` and `replace` to the present text (docs/contributing.md, \"Mutants\")"
        );
        let got = |find: &str| match applied(&rows(find)) {
            Err(EditProblem::Matches { got, .. }) => got,
            other => panic!("{other:?}"),
        };
        assert_eq!(got("u32"), 2);
        let edits = read(&rows("aa")).expect("sound rows");
        let overlapping = edits.apply("a/src/lib.rs", "aaa");
        assert!(
            matches!(overlapping, Err(EditProblem::Matches { got: 2, .. })),
            "{overlapping:?}"
        );
        assert!(got("") > 1, "an empty text occurs everywhere");
    }

    #[test]
    fn edits_that_overlap_are_named() {
        let rows = |second: &str| {
            let first = edit("first", &[1], "14 +", "active(1)");
            [
                mutant(1, "A"),
                first,
                edit("second", &[1], second, "active(1)"),
            ]
        };
        assert_eq!(
            problem(&rows("+ 0")),
            "edit `second` of `mutants/a.toml` overlaps edit `first` of `mutants/a.toml` in \
             `a/src/lib.rs`: make one edit of both"
        );
        assert!(
            applied(&rows(" 0")).is_ok(),
            "adjacent edits do not overlap"
        );
    }

    #[test]
    fn an_unknown_mutant_and_a_mutant_without_an_edit_are_reported() {
        let unknown = [mutant(1, "A"), edit("seven", &[2], "    7", "active(2)")];
        assert_eq!(
            problem(&unknown),
            "edit `seven` of `mutants/a.toml` holds mutant 2, which no file lists: add its \
             `[[mutant]]`"
        );
        let unused = [mutant(1, "A"), edit("seven", &[1], "    7", "active(1)")];
        let unused = [unused.as_slice(), &[mutant(2, "B")]].concat();
        assert_eq!(
            problem(&unused),
            "no edit holds mutant 2 (`B`): add an edit, or remove the mutant"
        );
    }

    #[test]
    fn a_gap_a_repeated_number_and_a_repeated_name_are_reported() {
        let rows = |number, name| {
            let held = edit("seven", &[1], "    7", "active(1)");
            [mutant(1, "A"), mutant(number, name), held]
        };
        assert_eq!(
            problem(&rows(3, "C")),
            "mutant `C` has number 3, expected 2: number mutants without gaps"
        );
        assert_eq!(
            problem(&rows(1, "C")),
            "mutant `C` has number 1, expected 2: number mutants without gaps"
        );
        assert_eq!(
            problem(&rows(2, "A")),
            "mutants 1 and 2 have the same name `A`"
        );
    }

    #[test]
    fn a_replacement_calls_active_for_exactly_its_mutants() {
        let rows = |replace: &str| {
            let mutants = [mutant(1, "A"), mutant(2, "B")];
            let both = edit("sum", &[1, 2], "14 + 0", "active(1) || active(2)");
            [
                mutants.as_slice(),
                &[both, edit("seven", &[1], "    7", replace)],
            ]
            .concat()
        };
        assert_eq!(
            problem(&rows("is_active(1) && active(2)")),
            "edit `seven` of `mutants/a.toml`: `replace` calls `active` with 2, expected the \
             edit's mutants, 1"
        );
        assert!(problem(&rows("7")).contains("calls `active` with no number"));
        assert!(applied(&rows("u32::from(!active(1))")).is_ok());
    }

    #[test]
    fn a_file_that_is_not_a_file_of_edits_is_named() {
        let unknown_field = problem(&["edits = 1\n".to_owned()]);
        assert!(
            unknown_field.starts_with("`mutants/a.toml` is not a file of edits: "),
            "{unknown_field}"
        );
        assert_eq!(problem(&[]), "`rust/mutants` has no edits");
    }

    /// This finds an edit that no longer fits after a change of a crate, without a build of the
    /// copy.
    #[test]
    fn the_edits_of_the_checkout_fit_its_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let edits = Edits::load(&root).unwrap_or_else(|problem| panic!("{problem}"));
        for source in edits.sources() {
            let text = fs::read_to_string(root.join(source));
            let text = text.unwrap_or_else(|error| panic!("{source}: {error}"));
            if let Err(problem) = edits.apply(source, &text) {
                panic!("{problem}");
            }
        }
        assert!(
            edits.mutants.len() >= 107,
            "{} mutants",
            edits.mutants.len()
        );
    }
}
