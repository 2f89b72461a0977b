//! Equal protocols give equal images, however they are written; and protocols that differ do not.

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
    let mut whole = compile_all(&modules, &Limits::default());
    match whole.protocols.pop() {
        Some((_, compiled)) => compiled.image,
        None => panic!("{body}: {:?}", whole.diagnostics),
    }
}

fn same(one: &str, two: &str) {
    assert_eq!(image(one), image(two), "\n{one}\n{two}");
}

fn different(one: &str, two: &str) {
    assert_ne!(image(one), image(two), "\n{one}\n{two}");
}

#[test]
fn what_is_done_is_what_is_written_out() {
    same(
        "do Ask(A, B); do Ask(B, C);",
        "ask() from A to B; tell() from B to A; ask() from B to C; tell() from C to B;",
    );
}

#[test]
fn a_round_written_twice_is_the_same_loop() {
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
fn what_follows_a_choice_is_the_same_in_each_branch() {
    same(
        "choice at A { l() from A to B; } or { r() from A to B; } n() from B to C;",
        "choice at A { l() from A to B; n() from B to C; } or { r() from A to B; n() from B to C; }",
    );
}

#[test]
fn who_speaks_with_nobody_between_makes_no_difference() {
    same(
        "m() from A to B; n() from A to C; o() from B to C;",
        "m() from A to B; n() from A to C; rec X { o() from B to C; }",
    );
}

#[test]
fn a_name_that_nobody_reads_is_no_difference() {
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
fn order_labels_sorts_and_actions_are_differences() {
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
