//! The list of theorems, `lean/theorems.json`: the name, file, first sentence, statement and hash
//! of each theorem among the proofs and contracts. The statement is the one that Lean has
//! elaborated, and the hash covers the definitions that it uses. The list's diff shows which
//! statements and which definitions changed, and which theorems were added or removed.

use std::collections::BTreeMap;
use std::fs;

use antiphon_lean_driver::{Module, Modules, Source, Token, tokens};
use serde_json::{Value, json};

use crate::lean::environment::Environment;
use crate::problem::Problem;
use crate::tree::Tree;

/// The name of the list, below `lean/`.
pub(crate) const FILE: &str = "theorems.json";

/// The files and directories whose theorems are listed. Theorems of tests and of the model's tools
/// are not claims of the project. `Recording.lean` is a tool and is listed, because its theorem
/// proves the theorem of a recording.
const PROOFS: [&str; 4] = [
    "Runtime/Recording.lean",
    "Runtime/Proofs/",
    "Runtime/Contracts/",
    "Runtime/TheoremPack/",
];

/// The list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Inventory {
    /// The Lean that elaborated the statements. Another one may print and hash them differently.
    lean: String,
    theorems: Theorems,
}

/// Theorems by full name and file: two files may each have a theorem of the same name, if it is
/// private or the files are never imported together.
type Theorems = BTreeMap<(String, String), Theorem>;

#[derive(Debug, PartialEq, Eq)]
struct Theorem {
    /// The first sentence of its doc string; empty if it has none.
    summary: String,
    /// The statement as Lean prints it, in one line.
    statement: String,
    /// The hash of the elaborated statement and of the definitions that it uses.
    hash: String,
}

/// How the list differs from the proofs, a line for each difference.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Differences {
    pub(crate) failures: Vec<String>,
    /// Differences that need not be one, because another Lean made the list.
    pub(crate) notes: Vec<String>,
}

/// The words that start a declaration or another command: a doc string before it belongs to it.
const COMMANDS: [&str; 19] = [
    "theorem",
    "def",
    "abbrev",
    "instance",
    "structure",
    "inductive",
    "class",
    "example",
    "namespace",
    "section",
    "end",
    "mutual",
    "variable",
    "universe",
    "open",
    "attribute",
    "macro",
    "syntax",
    "deriving",
];

/// The paths and texts of the files whose theorems are listed.
pub(crate) fn proofs(modules: &Modules) -> impl Iterator<Item = (&str, &str)> {
    let proofs = modules.iter().filter(|(_, module)| is_proof(module));
    proofs.map(|(_, module)| (module.file.as_str(), module.text.as_str()))
}

/// Whether the theorems of a module are listed.
pub(crate) fn is_proof(module: &Module) -> bool {
    is_listed(&module.file)
}

fn is_listed(file: &str) -> bool {
    PROOFS.iter().any(|place| file.starts_with(place))
}

impl Inventory {
    /// The list of the built proofs, and the theorems that only Lean or only the sources have. A
    /// `theorem` command declares exactly the theorem that it names, unless a macro is involved.
    ///
    /// `proofs` are the paths and texts of the files whose theorems are listed.
    pub(crate) fn of<'a>(
        proofs: impl IntoIterator<Item = (&'a str, &'a str)>,
        environment: &Environment,
        lean: String,
    ) -> (Inventory, Vec<String>) {
        let mut summaries: BTreeMap<(String, String), String> = proofs
            .into_iter()
            .flat_map(|(file, text)| {
                let found = summaries(text).into_iter();
                found.map(|(name, summary)| ((name, file.to_owned()), summary))
            })
            .collect();
        let mut findings = Vec::new();
        let mut theorems = Theorems::new();
        let statements = environment.statements.iter();
        for (key, statement) in statements.filter(|((_, file), _)| is_listed(file)) {
            let (name, file) = key;
            let Some(summary) = summaries.remove(key) else {
                findings.push(format!(
                    "`{name}` is a theorem in lean/{file} that no `theorem` command names"
                ));
                continue;
            };
            let theorem = Theorem {
                summary,
                statement: statement.shown.clone(),
                hash: statement.hash.clone(),
            };
            theorems.insert(key.clone(), theorem);
        }
        findings.extend(
            summaries
                .into_keys()
                .map(|(name, file)| format!("Lean knows no theorem `{name}` of lean/{file}")),
        );
        (Inventory { lean, theorems }, findings)
    }

    /// The number of theorems.
    pub(crate) fn len(&self) -> usize {
        self.theorems.len()
    }

    pub(crate) fn write(&self, tree: &Tree) -> Result<(), Problem> {
        let path = tree.lean().sources.join(FILE);
        fs::write(&path, self.listed()).map_err(Problem::file(&path))
    }

    /// The differences between the list in the checkout and this one.
    pub(crate) fn differences(&self, tree: &Tree) -> Result<Differences, Problem> {
        let path = tree.lean().sources.join(FILE);
        let list = match fs::read_to_string(&path) {
            Ok(list) => list,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Problem::absent(
                    &path,
                    "write it with `cargo xtask lean --inventory`",
                ));
            }
            Err(error) => return Err(Problem::file(&path)(error)),
        };
        Ok(self.compare(&list))
    }

    fn compare(&self, list: &str) -> Differences {
        let mut differences = Differences::default();
        let Differences { failures, notes } = &mut differences;
        let Some(old) = Inventory::read(list) else {
            failures.push(format!("lean/{FILE} is not a list of theorems"));
            return differences;
        };
        let is_same_lean = old.lean == self.lean;
        if !is_same_lean {
            notes.push(format!(
                "lean/{FILE} is made by {}, this is {}: statements may be printed and hashed \
                 differently",
                old.lean, self.lean
            ));
        }
        for (key, theorem) in &self.theorems {
            let (name, file) = key;
            let Some(old) = old.theorems.get(key) else {
                failures.push(format!("`{name}` ({file}) is not listed"));
                continue;
            };
            let changed = if old.statement != theorem.statement {
                Some("the statement")
            } else if old.hash != theorem.hash {
                Some("a definition in the statement")
            } else {
                None
            };
            if let Some(what) = changed {
                let list = if is_same_lean {
                    &mut *failures
                } else {
                    &mut *notes
                };
                list.push(format!("{what} of `{name}` ({file}) changed"));
            }
            if old.summary != theorem.summary {
                failures.push(format!("the doc string of `{name}` ({file}) changed"));
            }
        }
        for (name, file) in old.theorems.keys() {
            if !self.theorems.contains_key(&(name.clone(), file.clone())) {
                failures.push(format!("`{name}` is listed, but {file} does not have it"));
            }
        }
        if failures.is_empty() && is_same_lean && list != self.listed() {
            failures.push(format!(
                "lean/{FILE} is not formatted as `cargo xtask lean --inventory` writes it"
            ));
        }
        differences
    }

    /// The text of the file: a theorem per line, sorted by name.
    fn listed(&self) -> String {
        let line = |((name, file), theorem): (&(String, String), &Theorem)| {
            let fields = [
                ("name", name),
                ("file", file),
                ("says", &theorem.summary),
                ("statement", &theorem.statement),
                ("hash", &theorem.hash),
            ];
            let fields = fields.map(|(field, value)| format!("\"{field}\": {}", json!(value)));
            format!("\n  {{{}}}", fields.join(", "))
        };
        let lines: Vec<String> = self.theorems.iter().map(line).collect();
        format!(
            "{{\"lean\": {}, \"theorems\": [{}\n]}}\n",
            json!(self.lean),
            lines.join(",")
        )
    }

    fn read(list: &str) -> Option<Inventory> {
        let json: Value = serde_json::from_str(list).ok()?;
        let row = |row: &Value| {
            let field = |name: &str| Some(row[name].as_str()?.to_owned());
            let theorem = Theorem {
                summary: field("says")?,
                statement: field("statement")?,
                hash: field("hash")?,
            };
            Some(((field("name")?, field("file")?), theorem))
        };
        let theorems = json["theorems"].as_array()?.iter().map(row);
        Some(Inventory {
            lean: json["lean"].as_str()?.to_owned(),
            theorems: theorems.collect::<Option<_>>()?,
        })
    }
}

/// The full name and the first sentence of the doc string of each theorem of a file.
fn summaries(text: &str) -> Vec<(String, String)> {
    let source = Source::read(text);
    let code = source.code();
    let tokens = tokens(&code);
    let mut scopes = Scopes::default();
    let mut theorems = Vec::new();
    // The start of the last command: a doc string before it does not belong to the next theorem.
    let mut last = 0;
    for (number, token) in tokens.iter().enumerate() {
        let rest = &tokens[number + 1..];
        let name = rest.first().filter(|next| next.is_word());
        let name_on_line = name.filter(|name| !code[token.end()..name.at].contains('\n'));
        match token.text {
            "namespace" => scopes.open_names(name),
            "section" => scopes.open_section(name_on_line),
            "mutual" => scopes.open_section(None),
            "end" => scopes.close(name_on_line),
            "theorem" => {
                let Some(name) = name else { continue };
                let doc = source.doc_before(token.at).filter(|(end, _)| *end > last);
                let summary = doc.map_or(String::new(), |(_, doc)| first_sentence(doc));
                theorems.push((scopes.full_name(name.text), summary));
            }
            _ => {}
        }
        if COMMANDS.contains(&token.text) {
            last = token.at;
        }
    }
    theorems
}

/// The open namespaces and sections. As in Lean, each part of a dotted name is a separate scope.
#[derive(Default)]
struct Scopes(Vec<Scope>);

enum Scope {
    Name(String),
    Section,
}

impl Scopes {
    fn open_names(&mut self, name: Option<&Token<'_>>) {
        let parts = name.map_or("", |name| name.text).split('.');
        self.0
            .extend(parts.map(|part| Scope::Name(part.to_owned())));
    }

    fn open_section(&mut self, name: Option<&Token<'_>>) {
        let parts = name.map_or(1, |name| name.text.split('.').count());
        self.0.extend((0..parts).map(|_| Scope::Section));
    }

    fn close(&mut self, name: Option<&Token<'_>>) {
        let parts = name.map_or(1, |name| name.text.split('.').count());
        self.0.truncate(self.0.len().saturating_sub(parts));
    }

    fn full_name(&self, name: &str) -> String {
        if let Some(absolute) = name.strip_prefix("_root_.") {
            return absolute.to_owned();
        }
        let names = self.0.iter().filter_map(|scope| match scope {
            Scope::Name(name) => Some(name.as_str()),
            Scope::Section => None,
        });
        names.chain([name]).collect::<Vec<_>>().join(".")
    }
}

fn first_sentence(doc: &str) -> String {
    let doc = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    doc.find(". ")
        .map_or(doc.as_str(), |end| &doc[..=end])
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lean::environment::Statement;

    const TEXT: &str = r#"module

public import Runtime.Model

/-! # theorem nothing : False := -/

namespace Antiphon.Session

/-- About a definition. -/
def two := 2

theorem bare : two = 2 := rfl

/-- A role keeps to its
path. More about it. -/
@[simp] private theorem fidelity {a : Nat} (h : a = 1 := by simp) -- why
    : let b := a; f (c := b) = 'x' := by
  have c : 1 = 1 := rfl
  exact h
  where d : 2 = 2 := rfl

section Waves
open Nat in
/-- By cases. -/
theorem cases : ∀ n : Nat, 0 ≤ n
  | 0 => by simp
  | _ + 1 => by simp
end Waves

namespace Inner
theorem _root_.Other.name : 1 = 1 := rfl
theorem «odd name» : (match 1 with | _ => True) := trivial
end Inner
end Antiphon.Session

theorem last : "-- x" = "-- x" := rfl
"#;

    #[test]
    fn theorems_have_full_names_and_summaries() {
        let found = summaries(TEXT);
        let found: Vec<(&str, &str)> = found
            .iter()
            .map(|(name, summary)| (name.as_str(), summary.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("Antiphon.Session.bare", ""),
                ("Antiphon.Session.fidelity", "A role keeps to its path."),
                ("Antiphon.Session.cases", "By cases."),
                ("Other.name", ""),
                ("Antiphon.Session.Inner.«odd name»", ""),
                ("last", ""),
            ]
        );
    }

    const A: &str = "Runtime/Proofs/A.lean";

    /// A list of `(name, summary, statement, hash)`.
    fn list(lean: &str, theorems: &[(&str, &str, &str, &str)]) -> Inventory {
        let theorems = theorems.iter().map(|(name, summary, statement, hash)| {
            let theorem = Theorem {
                summary: (*summary).to_owned(),
                statement: (*statement).to_owned(),
                hash: (*hash).to_owned(),
            };
            (((*name).to_owned(), A.to_owned()), theorem)
        });
        Inventory {
            lean: lean.to_owned(),
            theorems: theorems.collect(),
        }
    }

    #[test]
    fn the_list_round_trips_and_every_difference_is_a_failure() {
        let old = list(
            "Lean 1",
            &[
                ("bare", "", "two = 2", "a"),
                ("cases", "By cases.", "∀ n, \"0\" ≤ n", "b"),
                ("last", "", "x = x", "c"),
                ("safe", "", "¬Deadlock", "d"),
            ],
        );
        assert_eq!(Inventory::read(&old.listed()).as_ref(), Some(&old));
        assert_eq!(old.compare(&old.listed()), Differences::default());
        let new = list(
            "Lean 1",
            &[
                ("bare", "", "two = 1 + 1", "e"),
                ("cases", "By induction.", "∀ n, \"0\" ≤ n", "b"),
                ("newest", "", "x = x", "c"),
                ("safe", "", "¬Deadlock", "f"),
            ],
        );
        let differences = new.compare(&old.listed());
        assert_eq!(
            differences.failures,
            [
                "the statement of `bare` (Runtime/Proofs/A.lean) changed",
                "the doc string of `cases` (Runtime/Proofs/A.lean) changed",
                "`newest` (Runtime/Proofs/A.lean) is not listed",
                "a definition in the statement of `safe` (Runtime/Proofs/A.lean) changed",
                "`last` is listed, but Runtime/Proofs/A.lean does not have it",
            ]
        );
        assert_eq!(differences.notes, Vec::<String>::new());
        let spaced = old.listed().replace("[\n", "[\n\n");
        assert_eq!(old.compare(&spaced).failures.len(), 1);
        assert_eq!(
            old.compare("{}").failures,
            ["lean/theorems.json is not a list of theorems"]
        );
    }

    #[test]
    fn hashes_of_another_lean_are_noted_and_names_are_still_compared() {
        let old = list("Lean 1", &[("a", "", "x = x", "1"), ("b", "", "y", "2")]);
        let new = list("Lean 2", &[("a", "", "x = x", "3"), ("c", "", "y", "2")]);
        let differences = new.compare(&old.listed());
        assert_eq!(
            differences.notes[1..],
            ["a definition in the statement of `a` (Runtime/Proofs/A.lean) changed"]
        );
        assert_eq!(
            differences.failures,
            [
                "`c` (Runtime/Proofs/A.lean) is not listed",
                "`b` is listed, but Runtime/Proofs/A.lean does not have it",
            ]
        );
    }

    #[test]
    fn a_theorem_that_no_command_names_is_a_finding() {
        let text = "/-- Two. -/\ntheorem two : 1 = 1 := rfl\ntheorem gone : 1 = 1 := rfl\n";
        let statement = |name: &str| {
            let statement = Statement {
                shown: "1 = 1".to_owned(),
                hash: "0".to_owned(),
            };
            ((name.to_owned(), A.to_owned()), statement)
        };
        let environment = Environment {
            statements: [statement("two"), statement("hidden")].into(),
            ..Environment::default()
        };
        let (inventory, findings) = Inventory::of([(A, text)], &environment, "Lean 1".to_owned());
        assert_eq!(inventory, list("Lean 1", &[("two", "Two.", "1 = 1", "0")]));
        assert_eq!(
            findings,
            [
                "`hidden` is a theorem in lean/Runtime/Proofs/A.lean \
                 that no `theorem` command names",
                "Lean knows no theorem `gone` of lean/Runtime/Proofs/A.lean",
            ]
        );
    }
}
