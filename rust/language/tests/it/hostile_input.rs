//! Invalid and hostile input ends in diagnostics, in bounded time and memory; it never panics or
//! overflows the stack.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_language::diagnostic::{Code, DIAGNOSTICS_MAX, Diagnostic, Style, render_all};
use antiphon_language::source::{SOURCE_LEN_MAX, Source};
use antiphon_language::{
    LoadError, Loader, MODULES_MAX, Modules, NoModules, check, decode, format,
};
use proptest::prelude::*;

/// Much longer than any of these texts takes on a slow machine without optimisation, and much
/// shorter than a hang.
const DEADLINE: Duration = Duration::from_secs(120);

/// Parses, checks and renders a text. Returns the codes of its findings.
fn codes(text: &str) -> Vec<Code> {
    let begun = Instant::now();
    let source = Source {
        name: Arc::from("hostile"),
        text: Arc::from(text),
    };
    let modules = Modules::load(source, &NoModules);
    let diagnostics = check(&modules).diagnostics;
    let report = render_all(&diagnostics, modules.sources(), Style::Colour);
    assert!(
        report.len() < 1 << 20,
        "the report has {} bytes",
        report.len()
    );
    assert!(diagnostics.len() <= 2 * DIAGNOSTICS_MAX);
    if let Some(ast) = modules.root() {
        let _ = format(ast);
    }
    assert!(begun.elapsed() < DEADLINE, "took {:?}", begun.elapsed());
    diagnostics.iter().map(|d: &Diagnostic| d.code).collect()
}

/// A text of the maximum length that repeats `part`.
fn filled(head: &str, part: &str) -> String {
    let mut text = String::from(head);
    while text.len() + part.len() <= SOURCE_LEN_MAX {
        text.push_str(part);
    }
    text
}

const HEAD: &str = "global protocol P(role A, role B) {";

#[test]
fn rejects_ten_megabytes_of_brackets() {
    assert_eq!(codes(&"{".repeat(10 << 20)), [Code::SourceTooLong]);
}

#[test]
fn rejects_a_text_full_of_brackets() {
    for part in [
        "{", "}", "(", ")", "[", "]", "<", "{}", "(*", "/*", "\"", "\"\n", "(*)",
    ] {
        for head in [
            "",
            HEAD,
            "record R { a: ",
            "effect E { op a",
            "global protocol P(",
        ] {
            let codes = codes(&filled(head, part));
            assert!(
                !codes.is_empty() || part == "(*)" && head.is_empty(),
                "{head} {part}"
            );
        }
    }
}

#[test]
fn rejects_deep_nesting() {
    let parts = [
        "rec X {",
        "choice at A {",
        "choice at A { a() from A to B; } or {",
        "par {",
        "nested protocol N(role A) {",
    ];
    for part in parts {
        let codes = codes(&filled(HEAD, part));
        // Unsupported statements may be reported a hundred times before the nesting is too deep.
        let bounded = codes.contains(&Code::TooDeep) || codes.contains(&Code::TooManyErrors);
        assert!(bounded, "{part}: {codes:?}");
    }
    assert_eq!(codes(&filled("record R { a: ", "[")), [Code::TooDeep]);
    assert_eq!(codes(&filled("record R { a: Nat", "?")), [Code::TooDeep]);
}

#[test]
fn reports_a_bounded_number_of_errors() {
    for part in [
        "$ x ",
        "a b;\n",
        "ping() from C to D;\n",
        "do Q(A, B);\n",
        "continue X;\n",
        "ping() from A to A;\n",
    ] {
        let text = filled(HEAD, part) + "}";
        let text = text.get(..SOURCE_LEN_MAX).unwrap_or(&text);
        let codes = codes(text);
        assert!(codes.contains(&Code::TooManyErrors), "{part}: {codes:?}");
    }
}

#[test]
fn long_valid_texts_are_checked_quickly() {
    assert_eq!(
        codes(
            &(filled(HEAD, "ping() from A to B;\n")[..1_000_000]
                .rsplit_once('\n')
                .map_or("", |(text, _)| text)
                .to_string()
                + "}")
        ),
        []
    );
    // As many names in scope as fit, all used.
    let mut names = String::from(HEAD);
    for i in 0..12_000 {
        write!(names, "a(n{i}: Nat) from A to B; b(n{i}) from B to A;")
            .expect("writing to a string cannot fail");
    }
    assert_eq!(codes(&(names + "}")), []);
    // As many branches as fit, each with a bound name.
    let mut branches = String::from(
        "effect E { op f(n: Nat); } global protocol P(role A, role B) uses E at B { choice at A {",
    );
    for i in 0..9_000 {
        write!(
            branches,
            "m{i}(n: Nat) from A to B; at B {{ E.f(n); }} }} or {{"
        )
        .expect("writing to a string cannot fail");
    }
    assert_eq!(codes(&(branches + "last() from A to B; } }")), []);
}

#[test]
fn inlining_of_mutually_recursive_protocols_is_bounded() {
    // Rotations and swaps of ten roles generate ten factorial instances.
    let roles: Vec<String> = (0..10).map(|i| format!("R{i}")).collect();
    let head: Vec<String> = roles.iter().map(|role| format!("role {role}")).collect();
    let rotated: Vec<&str> = roles
        .iter()
        .cycle()
        .skip(1)
        .take(10)
        .map(String::as_str)
        .collect();
    let mut swapped = roles.clone();
    swapped.swap(0, 1);
    let text = format!(
        "global protocol P({}) {{
            a() from R0 to R1;
            choice at R0 {{
                x() from R0 to R1;
                do P({});
            }} or {{
                y() from R0 to R1;
                do P({});
            }}
        }}",
        head.join(", "),
        rotated.join(", "),
        swapped.join(", "),
    );
    let codes = codes(&text);
    assert!(
        codes.contains(&Code::TooDeepInlined) || codes.contains(&Code::TooLarge),
        "{codes:?}"
    );
}

#[test]
fn exponential_inlining_is_bounded() {
    let mut text = String::new();
    for i in 0..4_000 {
        let aux = if i == 0 { "" } else { "aux " };
        let next = i + 1;
        writeln!(
            text,
            "{aux}global protocol P{i}(role A, role B) {{ do P{next}(A, B); do P{next}(B, A); }}"
        )
        .expect("writing to a string cannot fail");
    }
    text.push_str("aux global protocol P4000(role A, role B) { ping() from A to B; }");
    let codes = codes(&text);
    assert!(
        codes.contains(&Code::TooDeepInlined) || codes.contains(&Code::TooLarge),
        "{codes:?}"
    );
}

#[test]
fn the_total_size_of_protocols_is_bounded() {
    let mut text = String::new();
    for i in 0..15 {
        let next = i + 1;
        writeln!(
            text,
            "aux global protocol P{i}(role A, role B) {{ do P{next}(A, B); do P{next}(A, B); }}"
        )
        .expect("writing to a string cannot fail");
    }
    text.push_str("aux global protocol P15(role A, role B) { ping() from A to B; }");
    for i in 0..3_000 {
        writeln!(
            text,
            "global protocol Q{i}(role A, role B) {{ do P1(A, B); }}"
        )
        .expect("writing to a string cannot fail");
    }
    assert!(codes(&text).contains(&Code::TooLarge));
}

#[test]
fn suggestions_for_many_unknown_names_are_fast() {
    let mut sorts = String::new();
    let mut foreign = String::new();
    let mut names = String::from(HEAD);
    for i in 0..12_000 {
        writeln!(sorts, "record Record{i} {{ a: Rekord{i} }}")
            .expect("writing to a string cannot fail");
        writeln!(foreign, "type <a> \"b\" from \"c\" as Foreign{i};")
            .expect("writing to a string cannot fail");
        write!(names, "m{i}(n{i}: Foraign{i}) from A to B;")
            .expect("writing to a string cannot fail");
    }
    assert!(codes(&sorts).contains(&Code::TooManyErrors));
    assert!(codes(&(foreign + &names + "}")).contains(&Code::ImplicitSort));
}

#[test]
fn many_comments_and_blocks_are_handled_quickly() {
    let record = "record R { /* c */ a: Nat }\n// c\n";
    assert!(codes(&filled("", record)).contains(&Code::TooManyErrors));
    let action = "at A { /* c */ I.f(); }\n// c\n";
    let head =
        "effect I { op f(); } global protocol P(role A, role B) uses I at A { m() from A to B; ";
    assert_eq!(
        codes(
            &(filled(head, action)[..1_000_000]
                .rsplit_once("//")
                .map_or("", |(t, _)| t)
                .to_string()
                + "}")
        ),
        []
    );
}

#[test]
fn too_many_warnings_are_not_an_error() {
    let mut text = String::from(HEAD);
    for i in 0..500 {
        write!(text, "m{i} from A to B;").expect("writing to a string cannot fail");
    }
    let codes = codes(&(text + "}"));
    assert_eq!(codes, [Code::ImplicitSignature; DIAGNOSTICS_MAX]);
}

#[test]
fn chains_of_empty_protocols_are_fast() {
    let mut text = String::new();
    for i in 0..200 {
        let aux = if i == 0 { "" } else { "aux " };
        let again = format!("do P{}(A, B);", i + 1).repeat(100);
        writeln!(
            text,
            "{aux}global protocol P{i}(role A, role B) {{ {again} }}"
        )
        .expect("writing to a string cannot fail");
    }
    text.push_str("aux global protocol P200(role A, role B) { }");
    let codes = codes(&text);
    assert!(
        codes
            .iter()
            .all(|code| *code == Code::UnusedRole || *code == Code::TooManyErrors),
        "{codes:?}"
    );
}

#[test]
fn long_chains_of_records_do_not_overflow_the_stack() {
    let mut text = String::new();
    for i in 0..20_000 {
        writeln!(text, "record R{i} {{ a: R{} }}", i + 1).expect("writing to a string cannot fail");
    }
    text.push_str("record R20000 { a: Nat }");
    assert!(codes(&text).contains(&Code::SortTooDeep));
}

#[test]
fn rejects_too_many_protocols() {
    let mut text = String::new();
    for i in 0..5_000 {
        writeln!(
            text,
            "global protocol P{i}(role A, role B) {{ a() from A to B; }}"
        )
        .expect("writing to a string cannot fail");
    }
    assert!(codes(&text).contains(&Code::TooManyProtocols));
}

/// A loader whose every module imports two more.
struct Endless;

impl Loader for Endless {
    fn load(&self, module: &str) -> Result<Source, LoadError> {
        let text = format!("import {module}a; import {module}b;");
        Ok(Source {
            name: Arc::from(module),
            text: Arc::from(text),
        })
    }
}

#[test]
fn rejects_endless_imports() {
    let source = Source {
        name: Arc::from("root"),
        text: Arc::from("import m;"),
    };
    let modules = Modules::load(source, &Endless);
    assert!(
        modules
            .diagnostics()
            .iter()
            .any(|d| d.code == Code::TooManyModules)
    );
    assert!(
        modules
            .sources()
            .source(antiphon_language::source::FileId(MODULES_MAX as u16))
            .is_none()
    );
}

#[test]
fn reports_the_offset_of_invalid_utf8() {
    let (finding, source) = decode("binary", b"global \xff\xfe protocol").expect_err("not UTF-8");
    assert_eq!((finding.code, finding.span.start), (Code::NotUtf8, 7));
    assert!(source.text.starts_with("global \u{fffd}"));
    assert_eq!(
        decode("text", "é".as_bytes()).expect("UTF-8").text.as_ref(),
        "é"
    );
}

#[test]
fn reports_contain_no_control_characters() {
    let text =
        "global \"\u{1b}[2J\u{9b}m\" P(role A) { \u{1b}[2J\u{7}\u{9b}31m ping() from A to B; }";
    let source = Source {
        name: Arc::from("escapes"),
        text: Arc::from(text),
    };
    let modules = Modules::load(source, &NoModules);
    let report = render_all(modules.diagnostics(), modules.sources(), Style::Plain);
    assert!(
        !report.chars().any(|c| c.is_control() && c != '\n'),
        "{report:?}"
    );
}

/// Tokens and fragments of the language.
#[rustfmt::skip]
const TOKENS: [&str; 73] = [
    "module", "import", "type", "sig", "record", "enum", "effect", "version", "op", "check",
    "observe", "global", "aux", "protocol", "role", "uses", "at", "choice", "or", "rec",
    "continue", "do", "par", "and", "from", "to", "as", "let", "within", "retry", "else",
    "nested", "calls", "connect", "A", "B", "P", "X", "5s", "0", "Nat", "{", "}", "(", ")", "[",
    "]", "<", ">", ",", ";", ":", ".", "?", "=", "->", "-", "@", "\"a\"", "// c\n", "/* c */",
    "(* c *)", "\n", "é", "$", "global protocol P(role A, role B) {", "choice at A {", "} or {",
    "m() from A to B;", "rec X {", "continue X;", "at A { I.f(); }", "effect I { op f(); }",
];

/// Tokens in random order.
fn tokens() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..60)
        .prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn random_tokens_never_panic(text in tokens()) {
        let _ = codes(&text);
    }

    #[test]
    fn random_text_never_panics(text in "\\PC{0,200}") {
        let _ = codes(&text);
    }
}

/// Fixtures that are truncated, have a part removed, or have a part repeated.
#[test]
fn mutilated_fixtures_never_panic() {
    let folder = crate::common::fixtures().join("ok");
    for name in [
        "100_comments.scr",
        "107_effects.anti",
        "111_choice_in_choice.scr",
        "120_else_chain.anti",
    ] {
        let text = std::fs::read_to_string(folder.join(name)).expect("the fixture is readable");
        let places: Vec<usize> = (0..text.len())
            .filter(|at| text.is_char_boundary(*at))
            .collect();
        for (i, at) in places.iter().enumerate() {
            let further = places.get(i + 7).copied().unwrap_or(text.len());
            let _ = codes(&text[..*at]);
            let _ = codes(&format!("{}{}", &text[..*at], &text[further..]));
            let _ = codes(&format!("{}{}", &text[..further], &text[*at..]));
        }
    }
}
