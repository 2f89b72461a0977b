//! Searches the Lean files for words that could make an unproved statement pass as proved, or code
//! outside the model pass as the model. They are refused outside comments and literals.
//! [`axioms`](super::axioms) finds what a search for words cannot.

use antiphon_lean_driver::{Source, tokens};

/// Each refused word, and where it is allowed.
const REFUSED: [(&str, Allowed); 12] = [
    ("sorry", Allowed::Nowhere),
    ("admit", Allowed::Nowhere),
    ("axiom", Allowed::Nowhere),
    ("native_decide", Allowed::Nowhere),
    // `decide +native` has the same effect.
    ("native", Allowed::Nowhere),
    // It trusts the compiler, as `native_decide` does.
    ("bv_decide", Allowed::Nowhere),
    ("unsafe", Allowed::Nowhere),
    ("implemented_by", Allowed::Nowhere),
    ("extern", Allowed::Nowhere),
    ("opaque", Allowed::Nowhere),
    // It declares something opaque.
    ("initialize", Allowed::Nowhere),
    ("partial", Allowed::OutsideTheModel),
];

/// Declarations of Lean that are refused, whatever namespace precedes the name.
const REFUSED_NAMES: [&str; 10] = [
    "addDecl",
    "addDeclWithoutChecking",
    "axiomDecl",
    "lcProof",
    "sorryAx",
    "ofReduceBool",
    "ofReduceNat",
    "trustCompiler",
    "skipKernelTC",
    "warningAsError",
];

#[derive(Clone, Copy)]
enum Allowed {
    Nowhere,
    /// In the oracle, which runs the model on a file, and in tests.
    OutsideTheModel,
}

/// Lists the refused words of one file, a line each. `file` is its path below `lean/`.
pub(crate) fn findings(file: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let code = source.code();
    let mut findings = Vec::new();
    for token in tokens(&code) {
        let last = token.text.rsplit('.').next().unwrap_or(token.text);
        let keyword = REFUSED.iter().find(|(word, _)| *word == token.text);
        let refused = match keyword {
            Some((_, Allowed::Nowhere)) => true,
            Some((_, Allowed::OutsideTheModel)) => !is_outside_the_model(file),
            None => REFUSED_NAMES.contains(&last),
        };
        if refused {
            let line = source.line(token.at);
            findings.push(format!("lean/{file}:{line}: `{}` is refused", token.text));
        }
    }
    findings
}

fn is_outside_the_model(file: &str) -> bool {
    file == "Runtime/Oracle.lean" || file.starts_with("Runtime/Tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "Runtime/ProtocolMachine/Step.lean";

    #[test]
    fn a_refused_word_is_found_with_its_line() {
        let text = "module\n\ntheorem x : 1 = 2 := by\n  sorry\n";
        assert_eq!(
            findings(MODEL, text),
            ["lean/Runtime/ProtocolMachine/Step.lean:4: `sorry` is refused"]
        );
        for word in [
            "@[extern \"f\"] opaque x : Nat",
            "axiom a : False",
            "@[implemented_by g] def f := 1",
            "unsafe def f := 1",
            "example : 1 = 1 := by decide +native",
            "example := by (admit)",
            "s!\"{unsafe f}\"",
            "set_option debug.skipKernelTC true",
            "set_option warningAsError false in",
            "exact Lean.ofReduceBool _ _ rfl",
            "initialize x : IO.Ref Nat ← IO.mkRef 0",
            "run_cmd liftCoreM (addDecl (.axiomDecl d))",
            "example : 1 = 2 := by native_decide",
        ] {
            assert!(!findings(MODEL, word).is_empty(), "{word}");
        }
    }

    #[test]
    fn words_in_comments_literals_and_names_are_allowed() {
        let text = r#"
/-- sorry, this is unsafe /- axiom -/ extern -/
def unsafeFoo := "sorry" -- admit
def partial_x (native' : Nat) := x.opaque ++ 'a' ++ r"axiom"
theorem sorry_free : policy.admit = «sorry» := rfl
set_option maxRecDepth 4096
"#;
        assert_eq!(findings(MODEL, text), Vec::<String>::new());
    }

    #[test]
    fn partial_is_allowed_in_the_oracle_and_in_tests() {
        let text = "partial def loop : IO Unit := loop";
        assert_eq!(findings(MODEL, text).len(), 1);
        assert!(findings("Runtime/Oracle.lean", text).is_empty());
        assert!(findings("Runtime/Tests/Loop.lean", text).is_empty());
        assert_eq!(
            findings("Runtime/Oracle.lean", "unsafe def x := 1").len(),
            1
        );
    }
}
