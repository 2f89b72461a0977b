//! Searches the Lean files for words that could make an unproved statement pass as proved, give a
//! statement another meaning than it seems to have, or let code outside the model pass as the
//! model. They are refused outside comments and literals. [`environment`](super::environment) finds
//! what a search for words cannot.

use antiphon_lean_driver::{Source, Token, tokens};

/// Each refused word, and where it is allowed.
const REFUSED: [(&str, Allowed); 42] = [
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
    ("builtin_initialize", Allowed::Nowhere),
    ("partial", Allowed::OutsideTheModel),
    // They change how a statement is read or printed.
    ("macro", Allowed::Nowhere),
    ("macro_rules", Allowed::Nowhere),
    ("syntax", Allowed::Nowhere),
    ("declare_syntax_cat", Allowed::Nowhere),
    ("notation", Allowed::Nowhere),
    ("notation3", Allowed::Nowhere),
    ("infix", Allowed::Nowhere),
    ("infixl", Allowed::Nowhere),
    ("infixr", Allowed::Nowhere),
    ("prefix", Allowed::Nowhere),
    ("postfix", Allowed::Nowhere),
    ("binder_predicate", Allowed::Nowhere),
    ("elab", Allowed::Schema),
    ("elab_rules", Allowed::Nowhere),
    ("app_unexpander", Allowed::Nowhere),
    ("unif_hint", Allowed::Nowhere),
    // It gives a name another meaning.
    ("export", Allowed::Nowhere),
    ("renaming", Allowed::Nowhere),
    ("hiding", Allowed::Nowhere),
    // They run a program while a file is elaborated.
    ("meta", Allowed::Schema),
    ("run_cmd", Allowed::Nowhere),
    ("run_elab", Allowed::Nowhere),
    ("run_meta", Allowed::Nowhere),
    ("simproc", Allowed::Nowhere),
    ("dsimproc", Allowed::Nowhere),
    // An operator means what its instance says. `deriving` makes the instances.
    ("instance", Allowed::Nowhere),
    ("class", Allowed::Nowhere),
    // It gives an attribute to a declaration that is elsewhere.
    ("attribute", Allowed::Nowhere),
    ("default_instance", Allowed::Nowhere),
];

/// The attributes that are allowed: none changes what a statement means. `export` names a function
/// for programs that link the compiled model.
const ATTRIBUTES: [&str; 6] = [
    "expose",
    "simp",
    "inline",
    "noinline",
    "specialize",
    "export",
];

/// The options that may be set: they bound the time of a proof.
const OPTIONS: [&str; 2] = ["maxHeartbeats", "maxRecDepth"];

/// The classes whose instances may be derived.
const DERIVED: [&str; 9] = [
    "BEq",
    "DecidableEq",
    "Hashable",
    "Inhabited",
    "LawfulBEq",
    "Nonempty",
    "Ord",
    "ReflBEq",
    "Repr",
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
    /// In the program that prints the types of the model.
    Schema,
}

impl Allowed {
    fn allows(self, file: &str) -> bool {
        match self {
            Allowed::Nowhere => false,
            Allowed::OutsideTheModel => {
                file == "Runtime/Oracle.lean" || file.starts_with("Runtime/Tests/")
            }
            Allowed::Schema => file == "Runtime/Schema.lean",
        }
    }
}

/// Lists what is refused in one file, a line each. `file` is its path below `lean/`.
pub(crate) fn findings(file: &str, text: &str) -> Vec<String> {
    let source = Source::read(text);
    let code = source.code();
    let tokens = tokens(&code);
    let mut findings = Vec::new();
    let mut refuse = |token: &Token<'_>, what: &str| {
        let line = source.line(token.at);
        findings.push(format!(
            "lean/{file}:{line}: {what}`{}` is refused",
            token.text
        ));
    };
    // The brackets that are open since `@[`.
    let mut attributes = 0_usize;
    for (number, token) in tokens.iter().enumerate() {
        let before = |back: usize| number.checked_sub(back).map_or("", |at| tokens[at].text);
        match token.text {
            "[" if attributes > 0 || before(1) == "@" => attributes += 1,
            "]" => attributes = attributes.saturating_sub(1),
            word => {
                let is_attribute = attributes == 1
                    && (matches!(before(1), "[" | ",") || matches!(before(1), "local" | "scoped"))
                    && !matches!(word, "local" | "scoped");
                if is_attribute {
                    if !ATTRIBUTES.contains(&word) {
                        refuse(token, "the attribute ");
                    }
                } else if before(1) == "set_option" {
                    if !OPTIONS.contains(&word) {
                        refuse(token, "the option ");
                    }
                } else if is_refused(file, word) {
                    refuse(token, "");
                }
            }
        }
        if token.text == "deriving" {
            for class in derived(&tokens[number + 1..]) {
                if !DERIVED.contains(&class.text) {
                    refuse(class, "the derived class ");
                }
            }
        }
    }
    findings
}

fn is_refused(file: &str, word: &str) -> bool {
    match REFUSED.iter().find(|(refused, _)| *refused == word) {
        Some((_, allowed)) => !allowed.allows(file),
        None => {
            let last = word.rsplit('.').next().unwrap_or(word);
            REFUSED_NAMES.contains(&last)
        }
    }
}

/// The classes after `deriving`: names separated by commas.
fn derived<'t, 'a>(rest: &'t [Token<'a>]) -> impl Iterator<Item = &'t Token<'a>> {
    let commas = rest.iter().skip(1).step_by(2);
    let names = 1 + commas.take_while(|token| token.text == ",").count();
    rest.iter().step_by(2).take(names)
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
    fn what_changes_the_meaning_of_a_statement_is_refused() {
        for (text, refused) in [
            (
                "local macro_rules\n | `($a = $b) => `(Eq $a $b ∨ True)",
                "macro_rules",
            ),
            ("local macro \"safe\" : term => `(True)", "macro"),
            ("scoped notation a \" ≈ \" b => True", "notation"),
            ("local infix:50 \" = \" => fun _ _ => True", "infix"),
            ("local syntax:max \"¬\" term : term", "syntax"),
            ("elab \"safe\" : term => return mkConst ``True", "elab"),
            ("instance : BEq Value := ⟨fun _ _ => true⟩", "instance"),
            ("class Safe (i : Image) where", "class"),
            ("public meta import Lean", "meta"),
            ("run_meta modifyEnv id", "run_meta"),
            ("open Honest renaming Safe → Deadlock", "renaming"),
            ("open Model hiding Deadlock", "hiding"),
            ("export Weak (Deadlock)", "export"),
        ] {
            let line = format!("`{refused}` is refused");
            let found = findings("Runtime/Proofs/A.lean", text);
            assert!(
                found.iter().any(|found| found.ends_with(&line)),
                "{text}: {found:?}"
            );
        }
        let proofs = "Runtime/Proofs/A.lean";
        for (text, expected) in [
            (
                "@[simp, instance] def a := 1",
                "the attribute `instance` is refused",
            ),
            (
                "@[local csimp] theorem a : 1 = 1",
                "the attribute `csimp` is refused",
            ),
            ("attribute [irreducible] f", "`attribute` is refused"),
            (
                "set_option autoImplicit true",
                "the option `autoImplicit` is refused",
            ),
            (
                "set_option pp.notation false in",
                "the option `pp.notation` is refused",
            ),
            (
                "inductive A deriving BEq, Weird",
                "the derived class `Weird` is refused",
            ),
        ] {
            let expected = format!("lean/{proofs}:1: {expected}");
            assert_eq!(findings(proofs, text), [expected], "{text}");
        }
    }

    #[test]
    fn usual_attributes_options_and_derived_classes_are_allowed() {
        let text = "@[expose] public section\n@[simp, inline] def a (x : List Nat) := x[0]\n\
                    @[local simp] theorem b : 1 = 1 := by simp [a, b]\n\
                    set_option maxHeartbeats 400000 in\n\
                    inductive C | d deriving DecidableEq, Repr\n";
        assert_eq!(
            findings("Runtime/Proofs/A.lean", text),
            Vec::<String>::new()
        );
        assert_eq!(
            findings("Runtime/Schema.lean", "public meta import Lean"),
            Vec::<String>::new()
        );
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
