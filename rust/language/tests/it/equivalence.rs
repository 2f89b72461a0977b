//! Equivalent protocols compile to equal images, however they are written; different protocols do
//! not.

use antiphon_language::compile::compile_all;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules};
use antiphon_machine::CodeImage;

fn image(body: &str) -> CodeImage {
    let text = format!(
        "effect E version 1 {{ op act(); }}
         global protocol P(role A, role B, role C) uses E at A {{ {body} }}
         aux global protocol Ask(role X, role Y) {{ ask() from X to Y; tell() from Y to X; }}"
    );
    let modules = Modules::load(
        Source {
            name: "p".into(),
            text: text.into(),
        },
        &NoModules,
    );
    let mut result = compile_all(&modules, &Limits::default());
    match result.protocols.pop() {
        Some((_, compiled)) => compiled.image,
        None => panic!("{body}: {:?}", result.diagnostics),
    }
}

fn same(one: &str, two: &str) {
    assert_eq!(image(one), image(two), "\n{one}\n{two}");
}

fn different(one: &str, two: &str) {
    assert_ne!(image(one), image(two), "\n{one}\n{two}");
}

#[test]
fn inlining_equals_writing_it_out() {
    same(
        "do Ask(A, B); do Ask(B, C);",
        "ask() from A to B; tell() from B to A; ask() from B to C; tell() from C to B;",
    );
}

#[test]
fn unrolled_loops_are_equal() {
    same(
        "rec X { choice at A { m() from A to B; continue X; } or { end() from A to B; } }",
        "rec X { choice at A { m() from A to B;
            choice at A { m() from A to B; continue X; } or { end() from A to B; }
         } or { end() from A to B; } }",
    );
    same(
        "rec X { m() from A to B; n() from B to A; continue X; }",
        "m() from A to B; rec X { n() from B to A; m() from A to B; continue X; }",
    );
}

#[test]
fn a_continuation_may_be_copied_into_the_branches() {
    same(
        "choice at A { l() from A to B; } or { r() from A to B; } n() from B to C;",
        "choice at A { l() from A to B; n() from B to C; }
         or { r() from A to B; n() from B to C; }",
    );
}

#[test]
fn an_unused_recursion_makes_no_difference() {
    same(
        "m() from A to B; n() from A to C; o() from B to C;",
        "m() from A to B; n() from A to C; rec X { o() from B to C; }",
    );
}

#[test]
fn unread_names_make_no_difference() {
    same(
        "m(x: Nat) from A to B; n(Nat) from B to C;",
        "m(Nat) from A to B; n(y: Nat) from B to C;",
    );
    different(
        "m(x: Nat) from A to B; n(x) from B to C;",
        "m(x: Nat) from A to B; n(Nat) from B to C;",
    );
}

#[test]
fn order_labels_sorts_and_actions_matter() {
    different(
        "m() from A to B; n() from A to B;",
        "n() from A to B; m() from A to B;",
    );
    different("m() from A to B;", "m() from B to A;");
    different("m(Nat) from A to B;", "m(Int) from A to B;");
    different("m() from A to B;", "at A { E.act(); } m() from A to B;");
    different(
        "at A { E.act(); } m() from A to B;",
        "m() from A to B; at A { E.act(); }",
    );
}
