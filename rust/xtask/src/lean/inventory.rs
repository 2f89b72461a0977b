//! The list of theorems, `lean/theorems.json`: the name, file, first sentence and statement hash of
//! each theorem among the proofs and contracts. Its diff shows statements that changed and theorems
//! that were added or removed.

use std::collections::BTreeMap;
use std::fs;

use antiphon_lean_driver::{Module, Modules, Source, Token, tokens};
use serde_json::{Value, json};

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

/// Theorems by full name and file: two files may each have a theorem of the same name, if it is
/// private or the files are never imported together.
pub(crate) type Theorems = BTreeMap<(String, String), Theorem>;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Theorem {
    /// The first sentence of its doc string; empty if it has none.
    pub(crate) summary: String,
    /// The hash of the statement and of the variables in scope, which may be hypotheses; comments
    /// are removed and white space is normalised.
    pub(crate) statement: String,
}

/// The words that start a declaration or another command. A statement ends before such a word, and
/// a doc string before it belongs to that command.
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

/// Whether the theorems of a module are listed.
pub(crate) fn is_proof(module: &Module) -> bool {
    PROOFS.iter().any(|place| module.file.starts_with(place))
}

/// The theorems of all proof files.
pub(crate) fn of(modules: &Modules) -> Result<Theorems, Problem> {
    let mut theorems = Theorems::new();
    let proofs = modules.iter().filter(|(_, module)| is_proof(module));
    for (_, Module { file, text, .. }) in proofs {
        let found = of_file(file, text)?.into_iter();
        theorems.extend(found.map(|(name, theorem)| ((name, file.clone()), theorem)));
    }
    Ok(theorems)
}

pub(crate) fn write(tree: &Tree, theorems: &Theorems) -> Result<(), Problem> {
    let path = tree.lean().sources.join(FILE);
    fs::write(&path, listed(theorems)).map_err(Problem::file(&path))
}

/// The differences between the list and the sources, a line each.
pub(crate) fn differences(tree: &Tree, theorems: &Theorems) -> Result<Vec<String>, Problem> {
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
    Ok(compare(&list, theorems))
}

fn compare(list: &str, theorems: &Theorems) -> Vec<String> {
    let Some(listed_theorems) = read(list) else {
        return vec![format!("lean/{FILE} is not a list of theorems")];
    };
    let mut differences = Vec::new();
    for (key, theorem) in theorems {
        let (name, file) = key;
        match listed_theorems.get(key) {
            None => differences.push(format!("`{name}` ({file}) is not listed")),
            Some(old) if old.statement != theorem.statement => {
                differences.push(format!("the statement of `{name}` ({file}) changed"));
            }
            Some(old) if old != theorem => {
                differences.push(format!("the doc string of `{name}` ({file}) changed"));
            }
            Some(_) => {}
        }
    }
    let removed = listed_theorems
        .keys()
        .filter(|key| !theorems.contains_key(*key));
    let not_found = |(name, file): &(String, String)| {
        format!("`{name}` is listed, but {file} does not have it")
    };
    differences.extend(removed.map(not_found));
    if differences.is_empty() && list != listed(theorems) {
        differences.push(format!(
            "lean/{FILE} is not formatted as `cargo xtask lean --inventory` writes it"
        ));
    }
    differences
}

/// The text of the file: a theorem per line, sorted by name.
fn listed(theorems: &Theorems) -> String {
    let line = |((name, file), theorem): (&(String, String), &Theorem)| {
        let fields = [
            ("name", name),
            ("file", file),
            ("says", &theorem.summary),
            ("statement", &theorem.statement),
        ];
        let fields = fields.map(|(field, value)| format!("\"{field}\": {}", json!(value)));
        format!("  {{{}}}", fields.join(", "))
    };
    let lines: Vec<String> = theorems.iter().map(line).collect();
    if lines.is_empty() {
        return "[]\n".to_owned();
    }
    format!("[\n{}\n]\n", lines.join(",\n"))
}

fn read(list: &str) -> Option<Theorems> {
    let json: Value = serde_json::from_str(list).ok()?;
    let row = |row: &Value| {
        let field = |name: &str| Some(row[name].as_str()?.to_owned());
        let theorem = Theorem {
            summary: field("says")?,
            statement: field("statement")?,
        };
        Some(((field("name")?, field("file")?), theorem))
    };
    json.as_array()?.iter().map(row).collect()
}

fn of_file(file: &str, text: &str) -> Result<Vec<(String, Theorem)>, Problem> {
    let source = Source::read(text);
    let (code, uncommented) = (source.code(), source.uncommented());
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
            "variable" => scopes.declare(in_one_line(
                &uncommented[token.at..binders_end(token, rest)],
            )),
            "include" | "omit" => {
                let line = uncommented[token.at..].lines().next();
                scopes.declare(in_one_line(line.unwrap_or_default()));
            }
            "theorem" => {
                let Some(name) = name else { continue };
                let end = statement_end(&rest[1..]).ok_or_else(|| Problem::Statement {
                    file: format!("lean/{file}"),
                    line: source.line(token.at),
                    name: name.text.to_owned(),
                })?;
                let doc = source.doc_before(token.at).filter(|(end, _)| *end > last);
                let statement = scopes.variables() + &in_one_line(&uncommented[token.at..end]);
                let theorem = Theorem {
                    summary: doc.map_or(String::new(), |(_, doc)| first_sentence(doc)),
                    statement: blake3::hash(statement.as_bytes()).to_hex().to_string(),
                };
                theorems.push((scopes.full_name(name.text), theorem));
            }
            _ => {}
        }
        if COMMANDS.contains(&token.text) {
            last = token.at;
        }
    }
    Ok(theorems)
}

/// Where the statement ends: at the `:=` of the theorem itself, or at the first `|` or `where` of a
/// proof by cases. `rest` are the words after the theorem's name.
fn statement_end(rest: &[Token<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    // Each binding within the statement has its own `:=`.
    let mut bindings = 0_usize;
    let mut matches = 0_usize;
    for token in rest {
        match token.text {
            "(" | "[" | "{" | "⟨" | "⦃" => depth += 1,
            ")" | "]" | "}" | "⟩" | "⦄" => depth = depth.checked_sub(1)?,
            "let" | "have" | "letI" | "haveI" if depth == 0 => bindings += 1,
            "match" if depth == 0 => matches += 1,
            ":=" if depth == 0 && bindings > 0 => bindings -= 1,
            ":=" if depth == 0 => return Some(token.at),
            "|" | "where" if depth == 0 && matches == 0 => return Some(token.at),
            word if depth == 0 && COMMANDS.contains(&word) => return None,
            _ => {}
        }
    }
    None
}

/// The end of the bracketed binders after `variable`.
fn binders_end(variable: &Token<'_>, rest: &[Token<'_>]) -> usize {
    let mut depth = 0_usize;
    let mut end = variable.end();
    for token in rest {
        match token.text {
            "(" | "[" | "{" | "⦃" => depth += 1,
            ")" | "]" | "}" | "⦄" => depth = depth.saturating_sub(1),
            _ if depth == 0 => break,
            _ => {}
        }
        end = token.end();
    }
    end
}

/// The open namespaces and sections, and their variables. As in Lean, each part of a dotted name is
/// a separate scope.
#[derive(Default)]
struct Scopes {
    open: Vec<Scope>,
    /// Each with the number of scopes that were open at its declaration.
    variables: Vec<(usize, String)>,
}

enum Scope {
    Name(String),
    Section,
}

impl Scopes {
    fn open_names(&mut self, name: Option<&Token<'_>>) {
        let parts = name.map_or("", |name| name.text).split('.');
        self.open
            .extend(parts.map(|part| Scope::Name(part.to_owned())));
    }

    fn open_section(&mut self, name: Option<&Token<'_>>) {
        let parts = name.map_or(1, |name| name.text.split('.').count());
        self.open.extend((0..parts).map(|_| Scope::Section));
    }

    fn close(&mut self, name: Option<&Token<'_>>) {
        let parts = name.map_or(1, |name| name.text.split('.').count());
        self.open.truncate(self.open.len().saturating_sub(parts));
        self.variables
            .retain(|(depth, _)| *depth <= self.open.len());
    }

    fn declare(&mut self, variables: String) {
        self.variables.push((self.open.len(), variables));
    }

    /// The declarations of all variables in scope.
    fn variables(&self) -> String {
        let texts = self.variables.iter().map(|(_, text)| text.as_str());
        texts.flat_map(|text| [text, " "]).collect()
    }

    fn full_name(&self, name: &str) -> String {
        if let Some(absolute) = name.strip_prefix("_root_.") {
            return absolute.to_owned();
        }
        let names = self.open.iter().filter_map(|scope| match scope {
            Scope::Name(name) => Some(name.as_str()),
            Scope::Section => None,
        });
        names.chain([name]).collect::<Vec<_>>().join(".")
    }
}

fn first_sentence(doc: &str) -> String {
    let doc = in_one_line(doc);
    doc.find(". ")
        .map_or(doc.as_str(), |end| &doc[..=end])
        .to_owned()
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"module

public import Runtime.Model

@[expose] public section

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

theorem more : (fun b => true || b) <| true || false := rfl
"#;

    const A: &str = "Runtime/Proofs/A.lean";

    fn statement(theorems: &Theorems, name: &str) -> String {
        theorems[&(name.to_owned(), A.to_owned())].statement.clone()
    }

    fn read_text(text: &str) -> Theorems {
        let found = of_file(A, text).expect("it can be read").into_iter();
        found
            .map(|(name, theorem)| ((name, A.to_owned()), theorem))
            .collect()
    }

    fn hash(statement: &str) -> String {
        blake3::hash(statement.as_bytes()).to_hex().to_string()
    }

    #[test]
    fn theorems_have_names_summaries_and_statements() {
        let theorems = read_text(TEXT);
        let summaries: Vec<_> = theorems
            .iter()
            .map(|((name, _), t)| (name.as_str(), t.summary.as_str()))
            .collect();
        assert_eq!(
            summaries,
            [
                ("Antiphon.Session.Inner.«odd name»", ""),
                ("Antiphon.Session.bare", ""),
                ("Antiphon.Session.cases", "By cases."),
                ("Antiphon.Session.fidelity", "A role keeps to its path."),
                ("Other.name", ""),
                ("last", ""),
                ("more", ""),
            ]
        );
        for (name, expected) in [
            ("Antiphon.Session.bare", "theorem bare : two = 2"),
            (
                "Antiphon.Session.fidelity",
                "theorem fidelity {a : Nat} (h : a = 1 := by simp) : let b := a; f (c := b) = 'x'",
            ),
            ("Antiphon.Session.cases", "theorem cases : ∀ n : Nat, 0 ≤ n"),
            ("last", "theorem last : \"-- x\" = \"-- x\""),
            (
                "more",
                "theorem more : (fun b => true || b) <| true || false",
            ),
        ] {
            assert_eq!(statement(&theorems, name), hash(expected), "{name}");
        }
    }

    #[test]
    fn the_list_round_trips_and_differences_are_found() {
        let theorems = read_text(TEXT);
        assert_eq!(read(&listed(&theorems)).as_ref(), Some(&theorems));
        assert_eq!(compare(&listed(&theorems), &theorems), Vec::<String>::new());
        let changed = read_text(
            &TEXT
                .replace("two = 2", "two = 1 + 1")
                .replace("By cases", "By induction")
                .replace("theorem last", "theorem newest"),
        );
        assert_eq!(
            compare(&listed(&theorems), &changed),
            [
                "the statement of `Antiphon.Session.bare` (Runtime/Proofs/A.lean) changed",
                "the doc string of `Antiphon.Session.cases` (Runtime/Proofs/A.lean) changed",
                "`newest` (Runtime/Proofs/A.lean) is not listed",
                "`last` is listed, but Runtime/Proofs/A.lean does not have it",
            ]
        );
        let spaced = listed(&theorems).replace("[\n", "[\n\n");
        assert_eq!(compare(&spaced, &theorems).len(), 1);
        assert_eq!(
            compare("{}", &theorems),
            ["lean/theorems.json is not a list of theorems"]
        );
        assert_eq!(compare("[]\n", &Theorems::new()), Vec::<String>::new());
    }

    #[test]
    fn layout_and_comments_do_not_change_a_statement() {
        let of = |text: &str| statement(&read_text(text), "a");
        let one = of("theorem a : 1 = 1 := rfl");
        assert_eq!(
            one,
            of("/-- Says. -/ theorem a /- b -/ :\n    1 = 1 -- c\n  := by simp")
        );
        assert_ne!(one, of("theorem a : 1 = 2 := rfl"));
    }

    #[test]
    fn a_statement_includes_the_variables_in_scope_and_no_others() {
        let text = "section\nvariable {a : Nat} (h : a = 1) -- why\n  [Inhabited Nat]\n\
                    include h\n@[simp] theorem one : a = a := rfl\nend\n\
                    theorem two : 1 = 1 := rfl\n";
        let theorems = read_text(text);
        let one = "variable {a : Nat} (h : a = 1) [Inhabited Nat] include h theorem one : a = a";
        assert_eq!(statement(&theorems, "one"), hash(one));
        assert_eq!(statement(&theorems, "two"), hash("theorem two : 1 = 1"));
    }

    #[test]
    fn a_statement_without_end_is_an_error() {
        let problem = of_file("Runtime/Proofs/A.lean", "\ntheorem a : 1 = 1\ndef b := 2");
        let message = problem.expect_err("it has no end").to_string();
        assert_eq!(
            message,
            "lean/Runtime/Proofs/A.lean:2: the statement of `a` has no end"
        );
    }
}
