//! Which axioms the proofs rest on, asked of what Lean has built: words can be searched for in sources,
//! but only the built theorems know what they come down to.

use std::fs;

use crate::lean::inventory::is_proof;
use crate::lean::modules::Modules;
use crate::lean::program;
use crate::problem::Problem;
use crate::tree::Tree;

/// The file that looks, without its imports.
const LOOK: &str = include_str!("axioms.lean");

/// What it says of how much it has looked through, and of each finding.
const LOOKED: &str = " theorems among ";
const FINDING: &str = " rests on ";

/// What rests on axioms that are not allowed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Axioms {
    /// How much was looked through, in words.
    pub(crate) looked: String,
    pub(crate) findings: Vec<String>,
}

/// Looks through every theorem that is listed, and all that it rests on of ours; all of it is built.
pub(crate) fn look(tree: &Tree, modules: &Modules) -> Result<Axioms, Problem> {
    let proofs = modules.iter().filter(|(_, module)| is_proof(module));
    let proofs = proofs.map(|(name, _)| name.to_owned()).collect();
    let text = file(&modules.order(&proofs)?);
    let path = tree.target.join("lean/Axioms.lean");
    fs::write(&path, text).map_err(Problem::file(&path))?;
    let said = program::examine(tree, &path)?;
    read(&said.lines, said.failure)
}

/// The file that looks through these modules. `import all` has the proofs of theorems too.
fn file(modules: &[&str]) -> String {
    let imports = modules.iter().map(|name| format!("import all {name}\n"));
    let imports: String = imports.collect();
    format!("module\n{imports}public meta import Lean\n{LOOK}")
}

fn read(lines: &[String], failure: Option<String>) -> Result<Axioms, Problem> {
    let looked = lines.iter().find(|line| line.contains(LOOKED));
    let findings = lines.iter().filter(|line| line.contains(FINDING));
    let axioms = Axioms {
        // Some Leans put the place in front.
        looked: looked
            .map_or("", |line| line.rsplit(": ").next().unwrap_or(line))
            .to_owned(),
        findings: findings.cloned().collect(),
    };
    match failure {
        Some(_) if !axioms.findings.is_empty() => Ok(axioms),
        None if axioms.findings.is_empty() && !axioms.looked.is_empty() => Ok(axioms),
        why => {
            let why = why.unwrap_or_else(|| "it did not say what it looked through".to_owned());
            let said: String = lines.iter().map(|line| format!("\n    {line}")).collect();
            Err(Problem::Axioms { why: why + &said })
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
    fn what_is_found_is_told_and_silence_is_no_success() {
        let clean = lines("Axioms.lean:75:0: info: 267 theorems among 2323 declarations");
        let looked = "267 theorems among 2323 declarations".to_owned();
        let axioms = read(&clean, None).expect("it looked");
        assert_eq!((axioms.looked, axioms.findings.len()), (looked, 0));

        let bad =
            lines("2 theorems among 3 declarations\nAntiphon.a rests on b, which is an axiom\n");
        let axioms = read(&bad, Some("1 errors, 0 warnings".to_owned())).expect("it looked");
        assert_eq!(
            axioms.findings,
            ["Antiphon.a rests on b, which is an axiom"]
        );

        assert!(read(&[], None).is_err());
        assert!(read(&clean, Some("1 errors, 0 warnings".to_owned())).is_err());
        assert!(read(&bad, None).is_err());
    }

    #[test]
    fn proofs_are_imported_whole() {
        let text = file(&["Runtime.A", "Runtime.B"]);
        let start = "module\nimport all Runtime.A\nimport all Runtime.B\npublic meta import Lean\n";
        assert!(text.starts_with(start), "{text}");
    }
}
