//! Bad input of every kind ends in diagnostics, soon and with bounded memory: never in a panic,
//! never in a full stack.

mod common;

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use antiphon_language::diagnostic::{Code, DIAGNOSTICS_MAX, Diagnostic, Style, render_all};
use antiphon_language::source::{SOURCE_LEN_MAX, Source};
use antiphon_language::{
    LoadError, Loader, MODULES_MAX, Modules, NoModules, check, decode, format,
};
use proptest::prelude::*;

/// Far more than any of these texts takes on a slow machine without optimisation, far less than a
/// hang.
const SOON: Duration = Duration::from_secs(120);

/// The whole way of a text: reading, checking, rendering. Gives the codes it was refused with.
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
    assert!(begun.elapsed() < SOON, "took {:?}", begun.elapsed());
    diagnostics.iter().map(|d: &Diagnostic| d.code).collect()
}

/// A text of a part again and again, as long as one may be.
fn filled(head: &str, part: &str) -> String {
    let mut text = String::from(head);
    while text.len() + part.len() <= SOURCE_LEN_MAX {
        text.push_str(part);
    }
    text
}

const HEAD: &str = "global protocol P(role A, role B) {";

#[test]
fn ten_megabytes_of_brackets_are_too_long() {
    assert_eq!(codes(&"{".repeat(10 << 20)), [Code::SourceTooLong]);
}

#[test]
fn a_text_full_of_brackets_is_refused() {
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
fn deep_nesting_is_refused() {
    let parts = [
        "rec X {",
        "choice at A {",
        "choice at A { a() from A to B; } or {",
        "par {",
        "nested protocol N(role A) {",
    ];
    for part in parts {
        let codes = codes(&filled(HEAD, part));
        // What is refused anyway may be refused a hundred times before it is too deep.
        let bounded = codes.contains(&Code::TooDeep) || codes.contains(&Code::TooManyErrors);
        assert!(bounded, "{part}: {codes:?}");
    }
    assert_eq!(codes(&filled("record R { a: ", "[")), [Code::TooDeep]);
    assert_eq!(codes(&filled("record R { a: Nat", "?")), [Code::TooDeep]);
}

#[test]
fn many_errors_are_cut_off() {
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
fn long_texts_that_are_right_are_read_soon() {
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
    // As many names in scope as fit, each used.
    let mut names = String::from(HEAD);
    for i in 0..12_000 {
        write!(names, "a(n{i}: Nat) from A to B; b(n{i}) from B to A;")
            .expect("a string takes all");
    }
    assert_eq!(codes(&(names + "}")), []);
    // As many branches as fit, each of which binds and forgets a name.
    let mut branches = String::from(
        "effect E { op f(n: Nat); } global protocol P(role A, role B) uses E at B { choice at A {",
    );
    for i in 0..9_000 {
        write!(
            branches,
            "m{i}(n: Nat) from A to B; at B {{ E.f(n); }} }} or {{"
        )
        .expect("a string takes all");
    }
    assert_eq!(codes(&(branches + "last() from A to B; } }")), []);
}

#[test]
fn protocols_that_do_each_other_in_every_way_are_bounded() {
    // Every rotation and every swap of ten roles: ten factorial instances.
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
fn protocols_that_double_are_bounded() {
    let mut text = String::new();
    for i in 0..4_000 {
        let aux = if i == 0 { "" } else { "aux " };
        let next = i + 1;
        writeln!(
            text,
            "{aux}global protocol P{i}(role A, role B) {{ do P{next}(A, B); do P{next}(B, A); }}"
        )
        .expect("a string takes all");
    }
    text.push_str("aux global protocol P4000(role A, role B) { ping() from A to B; }");
    let codes = codes(&text);
    assert!(
        codes.contains(&Code::TooDeepInlined) || codes.contains(&Code::TooLarge),
        "{codes:?}"
    );
}

#[test]
fn many_protocols_that_are_all_large_are_bounded_together() {
    let mut text = String::new();
    for i in 0..15 {
        let next = i + 1;
        writeln!(
            text,
            "aux global protocol P{i}(role A, role B) {{ do P{next}(A, B); do P{next}(A, B); }}"
        )
        .expect("a string takes all");
    }
    text.push_str("aux global protocol P15(role A, role B) { ping() from A to B; }");
    for i in 0..3_000 {
        writeln!(
            text,
            "global protocol Q{i}(role A, role B) {{ do P1(A, B); }}"
        )
        .expect("a string takes all");
    }
    assert!(codes(&text).contains(&Code::TooLarge));
}

#[test]
fn many_wrong_names_among_many_right_ones_take_no_time() {
    let mut sorts = String::new();
    let mut foreign = String::new();
    let mut names = String::from(HEAD);
    for i in 0..12_000 {
        writeln!(sorts, "record Record{i} {{ a: Rekord{i} }}").expect("a string takes all");
        writeln!(foreign, "type <a> \"b\" from \"c\" as Foreign{i};").expect("a string takes all");
        write!(names, "m{i}(n{i}: Foraign{i}) from A to B;").expect("a string takes all");
    }
    assert!(codes(&sorts).contains(&Code::TooManyErrors));
    assert!(codes(&(foreign + &names + "}")).contains(&Code::ImplicitSort));
}

#[test]
fn many_comments_among_many_blocks_take_no_time() {
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
fn warnings_alone_are_never_an_error() {
    let mut text = String::from(HEAD);
    for i in 0..500 {
        write!(text, "m{i} from A to B;").expect("a string takes all");
    }
    let codes = codes(&(text + "}"));
    assert_eq!(codes, [Code::ImplicitSignature; DIAGNOSTICS_MAX]);
}

#[test]
fn chains_of_empty_protocols_take_no_time() {
    let mut text = String::new();
    for i in 0..200 {
        let aux = if i == 0 { "" } else { "aux " };
        let again = format!("do P{}(A, B);", i + 1).repeat(100);
        writeln!(
            text,
            "{aux}global protocol P{i}(role A, role B) {{ {again} }}"
        )
        .expect("a string takes all");
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
fn long_chains_of_records_do_not_fill_the_stack() {
    let mut text = String::new();
    for i in 0..20_000 {
        writeln!(text, "record R{i} {{ a: R{} }}", i + 1).expect("a string takes all");
    }
    text.push_str("record R20000 { a: Nat }");
    assert!(codes(&text).contains(&Code::SortTooDeep));
}

#[test]
fn too_many_protocols_are_refused() {
    let mut text = String::new();
    for i in 0..5_000 {
        writeln!(
            text,
            "global protocol P{i}(role A, role B) {{ a() from A to B; }}"
        )
        .expect("a string takes all");
    }
    assert!(codes(&text).contains(&Code::TooManyProtocols));
}

/// Every module imports two more.
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
fn endless_imports_are_refused() {
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
fn bytes_that_are_no_text_are_located() {
    let (finding, source) = decode("binary", b"global \xff\xfe protocol").expect_err("not UTF-8");
    assert_eq!((finding.code, finding.span.start), (Code::NotUtf8, 7));
    assert!(source.text.starts_with("global \u{fffd}"));
    assert_eq!(
        decode("text", "é".as_bytes()).expect("UTF-8").text.as_ref(),
        "é"
    );
}

#[test]
fn a_report_cannot_speak_to_the_terminal() {
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

/// Words and signs of the language in any order: what a reader of grammars stumbles over.
fn soup() -> impl Strategy<Value = String> {
    let words = vec![
        "module",
        "import",
        "type",
        "sig",
        "record",
        "enum",
        "effect",
        "version",
        "op",
        "check",
        "observe",
        "global",
        "aux",
        "protocol",
        "role",
        "uses",
        "at",
        "choice",
        "or",
        "rec",
        "continue",
        "do",
        "par",
        "and",
        "from",
        "to",
        "as",
        "let",
        "within",
        "retry",
        "else",
        "nested",
        "calls",
        "connect",
        "A",
        "B",
        "P",
        "X",
        "5s",
        "0",
        "Nat",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        ",",
        ";",
        ":",
        ".",
        "?",
        "=",
        "->",
        "-",
        "@",
        "\"a\"",
        "// c\n",
        "/* c */",
        "(* c *)",
        "\n",
        "é",
        "$",
        "global protocol P(role A, role B) {",
        "choice at A {",
        "} or {",
        "m() from A to B;",
        "rec X {",
        "continue X;",
        "at A { I.f(); }",
        "effect I { op f(); }",
    ];
    prop::collection::vec(prop::sample::select(words), 0..60).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_soup_of_words_is_too_much(text in soup()) {
        let _ = codes(&text);
    }

    #[test]
    fn no_text_is_too_much(text in "\\PC{0,200}") {
        let _ = codes(&text);
    }
}

/// Fixtures cut anywhere, with a part taken out, or with a part doubled.
#[test]
fn mutilated_fixtures_are_no_harm() {
    let folder = common::fixtures().join("ok");
    for name in [
        "100_comments.scr",
        "107_effects.anti",
        "111_choice_in_choice.scr",
        "120_else_chain.anti",
    ] {
        let text = std::fs::read_to_string(folder.join(name)).expect("the fixture can be read");
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
