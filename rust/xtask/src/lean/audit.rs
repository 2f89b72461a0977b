//! Searches the Lean files for words that could make an unproved statement pass as proved, give a
//! statement another meaning than it seems to have, or let code outside the model pass as the
//! model. They are refused outside comments and literals. [`environment`](super::environment) finds
//! what a search for words cannot.

use antiphon_lean_driver::{Source, Token, tokens};

/// Each refused word, and where it is allowed.
const REFUSED: [(&str, Allowed); 45] = [
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
    ("run_tac", Allowed::Nowhere),
    ("by_elab", Allowed::Nowhere),
    ("simproc", Allowed::Nowhere),
    ("dsimproc", Allowed::Nowhere),
    ("#eval", Allowed::Nowhere),
    // An operator means what its instance says. `deriving` makes the instances.
    ("instance", Allowed::Nowhere),
    ("class", Allowed::Nowhere),
    // It gives an attribute to a declaration that is elsewhere.
    ("attribute", Allowed::Nowhere),
    ("default_instance", Allowed::Nowhere),
];

/// The attributes that are allowed: none changes what a statement means.
const ATTRIBUTES: [&str; 5] = ["expose", "simp", "inline", "noinline", "specialize"];

/// The file that may give a function a name for programs that link the compiled model, by the
/// attribute `export`. In another file it could replace a function of Lean's runtime.
const NATIVE: &str = "Runtime/Native.lean";

/// The characters outside ASCII that code may contain. A letter that looks like another one would
/// give a name that reads as another name.
const SYMBOLS: &str = "·⟨⟩→∧∀×∈≠←¬∃≤↔▸⊢∨«»∉‹›≥∘∣⁻¹₀₁₂₃αβγδεμνσ…";

/// Characters that are not visible, or that change the order in which text is shown. They are
/// refused in comments and literals, too: they can make code look like a comment.
fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

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

/// The program that prints the types of the model.
const SCHEMA: &str = "Runtime/Schema.lean";

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
            Allowed::Schema => file == SCHEMA,
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
    for (at, c) in text.char_indices().filter(|(_, c)| is_invisible(*c)) {
        let shown = format!("U+{:04X}", u32::from(c));
        refuse(&Token { at, text: &shown }, "the character ");
    }
    let is_foreign = |c: &char| !c.is_ascii() && !SYMBOLS.contains(*c) && !is_invisible(*c);
    for (at, c) in code.char_indices().filter(|(_, c)| is_foreign(c)) {
        let text = &code[at..at + c.len_utf8()];
        refuse(&Token { at, text }, "the character ");
    }
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
                    if !is_allowed_attribute(file, word) {
                        refuse(token, "the attribute ");
                    }
                } else if before(1) == "#" && is_refused(file, &format!("#{word}")) {
                    let (at, text) = (token.at, format!("#{word}"));
                    refuse(&Token { at, text: &text }, "");
                } else if before(1) == "import" || (before(1) == "all" && before(2) == "import") {
                    if word != "all" && !is_ours(word) && file != SCHEMA {
                        refuse(token, "the import ");
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

fn is_allowed_attribute(file: &str, word: &str) -> bool {
    ATTRIBUTES.contains(&word) || (word == "export" && file == NATIVE)
}

/// Whether a module belongs to the project. Lean's own modules that every file has need no import.
fn is_ours(module: &str) -> bool {
    module.starts_with("Runtime.")
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
                "@[export lean_nat_add] def add := f",
                "the attribute `export` is refused",
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
    fn code_that_runs_in_lean_or_hides_from_a_reader_is_refused() {
        for (text, refused) in [
            // They add declarations that no command names.
            ("import Lean", "the import `Lean"),
            ("public import all Lean.Elab", "the import `Lean.Elab"),
            ("#eval (pure () : IO Unit)", "#eval"),
            (
                "theorem a : 1 = 1 := by\n  run_tac pure ()\n  rfl",
                "run_tac",
            ),
            ("def a : Nat := by_elab pure x", "by_elab"),
            // The first letter of the second word is Cyrillic.
            ("def \u{410}dmitted := 1", "the character `\u{410}"),
            ("def a := \u{3bb}x => x", "the character `\u{3bb}"),
            // The macro looks like a part of the comment.
            ("/- \u{202e} -/", "the character `U+202E"),
            ("def a\u{200b} := 1", "the character `U+200B"),
            // A reader that ends the literal or the comment elsewhere overlooks the macro.
            ("def a := f 1'\"'\nmacro \"b\" : term => `(c '\"')", "macro"),
            (
                "def a := get!\"{\"\nmacro \"b\" : term => `(1)\ndef c := \"}\"",
                "macro",
            ),
            ("/--/ \" -/\nmacro \"b\" : term => `(1) /- \" -/", "macro"),
        ] {
            let refused = format!("{refused}` is refused");
            let found = findings("Runtime/Proofs/A.lean", text);
            assert!(
                found.iter().any(|found| found.ends_with(&refused)),
                "{text}: {found:?}"
            );
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
