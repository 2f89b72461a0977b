//! Checks which axioms the proofs depend on. Lean computes this from the built theorems, because a
//! search of the sources cannot see indirect dependencies.

use std::fs;

use antiphon_build_support::console::Console;
use antiphon_lean_driver::{Modules, examine};

use crate::lean::inventory::is_proof;
use crate::problem::Problem;
use crate::tree::Tree;

/// The Lean file that does the check, without its imports.
const CHECK: &str = include_str!("axioms.lean");

/// Texts by which the lines of its output are recognised: the summary, and a finding.
const SUMMARY: &str = " theorems among ";
const FINDING: &str = " depends on ";

/// The result of the check.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Axioms {
    /// How many theorems and declarations were checked, as text.
    pub(crate) checked: String,
    /// The declarations that depend on an axiom that is not allowed.
    pub(crate) findings: Vec<String>,
}

/// Checks every listed theorem and all of this project's declarations that it depends on. All
/// modules must be built.
pub(crate) fn check(
    tree: &Tree,
    modules: &Modules,
    console: &mut Console,
) -> Result<Axioms, Problem> {
    let proofs = modules.iter().filter(|(_, module)| is_proof(module));
    let proofs = proofs.map(|(name, _)| name.to_owned()).collect();
    let text = file(&modules.order(&proofs)?);
    let path = tree.target.join("lean/Axioms.lean");
    fs::write(&path, text).map_err(Problem::file(&path))?;
    let examined = examine(&tree.lean(), &path, console)?;
    read(&examined.lines, examined.failure)
}

/// The file that checks these modules. `import all` also imports the proofs of theorems.
fn file(modules: &[&str]) -> String {
    let imports = modules.iter().map(|name| format!("import all {name}\n"));
    let imports: String = imports.collect();
    format!("module\n{imports}public meta import Lean\n{CHECK}")
}

fn read(lines: &[String], failure: Option<String>) -> Result<Axioms, Problem> {
    let summary = lines.iter().find(|line| line.contains(SUMMARY));
    let findings = lines.iter().filter(|line| line.contains(FINDING));
    let axioms = Axioms {
        // The native Lean puts the position before the message.
        checked: summary
            .map_or("", |line| line.rsplit(": ").next().unwrap_or(line))
            .to_owned(),
        findings: findings.cloned().collect(),
    };
    match failure {
        Some(_) if !axioms.findings.is_empty() => Ok(axioms),
        None if axioms.findings.is_empty() && !axioms.checked.is_empty() => Ok(axioms),
        why => {
            let why = why.unwrap_or_else(|| "the output has no summary".to_owned());
            let output: String = lines.iter().map(|line| format!("\n    {line}")).collect();
            Err(Problem::Axioms { why: why + &output })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn findings_are_reported_and_an_empty_output_is_an_error() {
        let clean = lines("Axioms.lean:75:0: info: 267 theorems among 2323 declarations");
        let checked = "267 theorems among 2323 declarations".to_owned();
        let axioms = read(&clean, None).expect("it has a summary");
        assert_eq!((axioms.checked, axioms.findings.len()), (checked, 0));

        let bad =
            lines("2 theorems among 3 declarations\nAntiphon.a depends on b, which is an axiom\n");
        let axioms = read(&bad, Some("1 errors, 0 warnings".to_owned())).expect("it has findings");
        assert_eq!(
            axioms.findings,
            ["Antiphon.a depends on b, which is an axiom"]
        );

        assert!(read(&[], None).is_err());
        assert!(read(&clean, Some("1 errors, 0 warnings".to_owned())).is_err());
        assert!(read(&bad, None).is_err());
    }

    #[test]
    fn modules_are_imported_with_their_proofs() {
        let text = file(&["Runtime.A", "Runtime.B"]);
        let start = "module\nimport all Runtime.A\nimport all Runtime.B\npublic meta import Lean\n";
        assert!(text.starts_with(start), "{text}");
    }
}
