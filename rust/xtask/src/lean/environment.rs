//! Reads the built proofs and tests back from Lean: which axioms they depend on, which names of
//! Lean they hide, what each theorem states, and whether the tests apply and refute each headline
//! theorem. A search of the sources cannot see these: a statement is what Lean has elaborated,
//! together with the definitions that it uses.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;

use antiphon_build_support::console::Console;
use antiphon_lean_driver::{Modules, examine};

use crate::lean::inventory::is_proof;
use crate::problem::Problem;
use crate::tree::Tree;

/// The Lean file that reads the environment, without its imports and the path of its output.
const READER: &str = include_str!("environment.lean");

/// Texts by which the lines of its output are recognised: the summaries, and findings.
const SUMMARY: &str = " theorems among ";
const TABLE: &str = " headlines, ";
const FINDINGS: [&str; 3] = [" depends on ", " hides ", " of the headline "];

/// The file that names the headline theorems, and what precedes each name in its line. The bridge's
/// `theorems` reads the same lines.
const PACK: &str = "Runtime/TheoremPack/API.lean";
const NAMED: &str = "example := @";

/// The files of the tests, which have the table of headlines. Their theorems are not listed.
const TESTS: &str = "Runtime/Tests/";

/// The last line of the file that it writes.
const COMPLETE: &str = "complete";

/// What the built proofs contain.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// How many theorems and declarations were checked, as text.
    pub(crate) checked: String,
    /// How many headlines there are, and how many of them the tests apply and refute, as text.
    pub(crate) table: String,
    /// The declarations that depend on an axiom that is not allowed or hide a name of Lean, and the
    /// headlines that the tests do not apply or refute.
    pub(crate) findings: Vec<String>,
    /// The theorems of all modules, by name and file. Those that Lean declares by itself are not
    /// among them.
    pub(crate) statements: BTreeMap<(String, String), Statement>,
}

/// What a theorem states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    /// The statement as Lean prints it, in one line.
    pub(crate) shown: String,
    /// The hash of the elaborated statement and of all definitions of this project that it uses,
    /// directly or through other definitions.
    pub(crate) hash: String,
}

/// Reads every listed theorem and all of this project's declarations that it depends on. All
/// modules must be built.
pub(crate) fn read(
    tree: &Tree,
    modules: &Modules,
    console: &mut Console,
) -> Result<Environment, Problem> {
    let read = modules
        .iter()
        .filter(|(_, module)| is_proof(module) || module.file.starts_with(TESTS));
    let read = read.map(|(name, _)| name.to_owned()).collect();
    let folder = tree.target.join("lean");
    let (reader, output) = (folder.join("Environment.lean"), folder.join("environment"));
    let headlines = headlines(modules)?;
    let output_text = output.display().to_string();
    let text = file(&modules.order(&read)?, &output_text, &headlines);
    fs::write(&reader, text).map_err(Problem::file(&reader))?;
    // The output of an earlier run must not pass for this one's.
    match fs::remove_file(&output) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Problem::file(&output)(error));
        }
        _ => {}
    }
    let examined = examine(&tree.lean(), &reader, console)?;
    let environment = checks(&examined.lines, examined.failure)?;
    let written = fs::read_to_string(&output).map_err(Problem::file(&output))?;
    let statements = statements(&written).ok_or_else(|| Problem::Environment {
        why: format!("`{}` is not complete", output.display()),
    })?;
    Ok(Environment {
        statements,
        ..environment
    })
}

/// The full names of the headline theorems.
fn headlines(modules: &Modules) -> Result<Vec<String>, Problem> {
    let pack = modules.iter().find(|(_, module)| module.file == PACK);
    let names = pack.map_or(Vec::new(), |(_, module)| named(&module.text));
    if names.is_empty() {
        return Err(Problem::Environment {
            why: format!("lean/{PACK} names no headline"),
        });
    }
    Ok(names)
}

/// The full names of the headline theorems in the text of the pack.
fn named(pack: &str) -> Vec<String> {
    let names = pack.lines().filter_map(|line| line.strip_prefix(NAMED));
    names.map(|name| format!("Antiphon.{name}")).collect()
}

/// The file that reads these modules. `import all` also imports the proofs of theorems.
fn file(modules: &[&str], output: &str, headlines: &[String]) -> String {
    let imports = modules.iter().map(|name| format!("import all {name}\n"));
    let imports: String = imports.collect();
    let headlines = headlines.iter().map(|name| format!("`{name}"));
    let headlines = headlines.collect::<Vec<_>>().join(", ");
    format!(
        "module\n{imports}public meta import Lean\n\n\
         meta def outputFile : String := {output:?}\n\
         meta def headlines : List Lean.Name := [{headlines}]\n{READER}"
    )
}

/// The results of the checks, from the output of Lean.
fn checks(lines: &[String], failure: Option<String>) -> Result<Environment, Problem> {
    // The native Lean puts the position before the message.
    let summary = |text| {
        let line = lines.iter().find(|line| line.contains(text));
        line.map_or("", |line| line.rsplit(": ").next().unwrap_or(line))
            .to_owned()
    };
    let findings = lines
        .iter()
        .filter(|line| FINDINGS.iter().any(|text| line.contains(text)));
    let environment = Environment {
        checked: summary(SUMMARY),
        table: summary(TABLE),
        findings: findings.cloned().collect(),
        statements: BTreeMap::new(),
    };
    let is_complete = !environment.checked.is_empty() && !environment.table.is_empty();
    match failure {
        Some(_) if !environment.findings.is_empty() && is_complete => Ok(environment),
        None if environment.findings.is_empty() && is_complete => Ok(environment),
        why => {
            let why = why.unwrap_or_else(|| "the output lacks a summary".to_owned());
            let output: String = lines.iter().map(|line| format!("\n    {line}")).collect();
            Err(Problem::Environment { why: why + &output })
        }
    }
}

/// A declaration of this project.
struct Declaration<'a> {
    name: &'a str,
    /// The hash of its own text: its type and, except for a theorem, its value.
    own: blake3::Hash,
    uses: Vec<&'a str>,
}

/// Parses the written file; `None` if it is not complete.
fn statements(written: &str) -> Option<BTreeMap<(String, String), Statement>> {
    let mut declarations: HashMap<&str, Declaration<'_>> = HashMap::new();
    let mut theorems = Vec::new();
    let mut module = "";
    let mut is_complete = false;
    for line in written.lines() {
        let mut fields = line.split('\t');
        match fields.next()? {
            "module" => module = fields.next()?,
            "declaration" => {
                let name = fields.next()?;
                let own = blake3::hash(fields.next()?.as_bytes());
                let uses = fields.filter(|name| !name.is_empty()).collect();
                declarations.insert(name, Declaration { name, own, uses });
            }
            "theorem" => theorems.push((module, fields.next()?, fields.next()?)),
            COMPLETE => is_complete = true,
            _ => return None,
        }
    }
    let statement = |(module, name, shown): (&str, &str, &str)| {
        let file = format!("{}.lean", module.replace('.', "/"));
        let statement = Statement {
            shown: one_line(&serde_json::from_str::<String>(shown).ok()?),
            hash: closure(&declarations, declarations.get(name)?),
        };
        Some(((public_name(name), file), statement))
    };
    let statements = theorems.into_iter().map(statement).collect::<Option<_>>()?;
    is_complete.then_some(statements)
}

/// The hash of a declaration and of all that it uses, directly or not. A declaration that is not in
/// the table is Lean's.
fn closure(declarations: &HashMap<&str, Declaration<'_>>, from: &Declaration<'_>) -> String {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(declaration) = next.pop() {
        if reached.insert((declaration.name, declaration.own.as_bytes())) {
            let used = declaration.uses.iter();
            next.extend(used.filter_map(|name| declarations.get(name)));
        }
    }
    let mut hasher = blake3::Hasher::new();
    // The name of the theorem is not part of its statement.
    hasher.update(from.own.as_bytes());
    for (name, own) in reached.into_iter().filter(|(name, _)| *name != from.name) {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(own);
    }
    hasher.finalize().to_hex().to_string()
}

/// The name in the source: a private declaration of the file `Runtime/A.lean` has the name
/// `_private.Runtime.A.0.NAME`.
fn public_name(name: &str) -> String {
    let private = name
        .strip_prefix("_private.")
        .and_then(|rest| rest.split_once(".0."));
    private.map_or(name, |(_, name)| name).to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn findings_are_reported_and_an_empty_output_is_an_error() {
        let clean = lines(
            "Environment.lean:75:0: info: 267 theorems among 2323 declarations\n\
             45 headlines, 45 applied, 45 refuted",
        );
        let read = checks(&clean, None).expect("it has both summaries");
        assert_eq!(read.checked, "267 theorems among 2323 declarations");
        assert_eq!(read.table, "45 headlines, 45 applied, 45 refuted");
        assert_eq!(read.findings, Vec::<String>::new());

        let text = "2 theorems among 3 declarations\n\
                    2 headlines, 2 applied, 1 refuted\n\
                    Antiphon.a depends on b, which is an axiom\n\
                    Antiphon.List.range hides List.range, which is Lean's\n\
                    the row of the headline Antiphon.a is missing\n";
        let bad = lines(text);
        let read = checks(&bad, Some("1 errors, 0 warnings".to_owned())).expect("findings");
        assert_eq!(read.findings, bad[2..]);

        assert!(checks(&[], None).is_err());
        assert!(checks(&clean[..1], None).is_err());
        assert!(checks(&clean[1..], None).is_err());
        assert!(checks(&clean, Some("1 errors, 0 warnings".to_owned())).is_err());
        assert!(checks(&bad, None).is_err());
    }

    #[test]
    fn modules_are_imported_with_their_proofs() {
        let pack = "module\n\nnamespace Antiphon\n\n/-! Steps: example -/\n\n\
                    example := @step_frame\nexample := @plan_checks\n\nend Antiphon\n";
        let headlines = named(pack);
        assert_eq!(headlines, ["Antiphon.step_frame", "Antiphon.plan_checks"]);
        let text = file(&["Runtime.A", "Runtime.B"], "/out \"x\"", &headlines);
        let start = "module\nimport all Runtime.A\nimport all Runtime.B\n\
                     public meta import Lean\n\n\
                     meta def outputFile : String := \"/out \\\"x\\\"\"\n\
                     meta def headlines : List Lean.Name := \
                     [`Antiphon.step_frame, `Antiphon.plan_checks]\n";
        assert!(text.starts_with(start), "{text}");
    }

    /// A theorem about `stuck`, which is defined by `waits`, of a type with the constructor `mk`.
    const WRITTEN: &str = "module\tRuntime.Model\n\
        declaration\tA.waits\tc Nat|l#0 \tNat\t\n\
        declaration\tA.stuck\tcNat |cA.waits \tNat\tA.waits\t\n\
        declaration\tA.other\tcNat |cA.waits \tNat\tA.waits\t\n\
        module\tRuntime.Proofs.Safe\n\
        declaration\t_private.Runtime.Proofs.Safe.0.A.safe\tcA.stuck |\tA.stuck\tNot\t\n\
        theorem\t_private.Runtime.Proofs.Safe.0.A.safe\t\"¬\\nA.stuck\"\n\
        complete\n";

    fn safe(written: &str) -> Statement {
        let statements = statements(written).expect("it is complete");
        let key = ("A.safe".to_owned(), "Runtime/Proofs/Safe.lean".to_owned());
        statements[&key].clone()
    }

    #[test]
    fn the_hash_of_a_statement_covers_every_definition_that_it_uses() {
        let written = safe(WRITTEN);
        assert_eq!(written.shown, "¬ A.stuck");
        for (what, old, new) in [
            ("statement", "cA.stuck |\tA", "acA.stuck |\tA"),
            (
                "definition",
                "A.stuck\tcNat |cA.waits",
                "A.stuck\tcNat |acA.waits",
            ),
            ("indirect definition", "l#0 ", "l#1 "),
        ] {
            assert_eq!(WRITTEN.matches(old).count(), 1, "{what}");
            let changed = safe(&WRITTEN.replace(old, new));
            assert_ne!(changed.hash, written.hash, "{what}");
        }
        let unrelated = WRITTEN.replace("A.other\tcNat |cA", "A.other\tcNat |acA");
        assert_ne!(unrelated, WRITTEN);
        assert_eq!(safe(&unrelated), written);
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        assert_eq!(statements(&WRITTEN.replace("complete\n", "")), None);
        assert_eq!(statements("nonsense\ncomplete\n"), None);
        assert_eq!(statements(""), None);
    }
}
