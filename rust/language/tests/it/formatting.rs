//! The canonical format: snapshots, and the properties that formatting is idempotent and preserves
//! every tree.

use crate::common::{fixtures, read};
use antiphon_language::ast::Ast;
use antiphon_language::{format, parse};
use proptest::prelude::*;

fn printed(name: &str) -> String {
    let source = read(&fixtures().join("ok").join(name));
    let parsed = parse(Default::default(), &source.text);
    assert_eq!(parsed.diagnostics, []);
    format(&parsed.ast).expect("the fixture is complete")
}

#[test]
fn comments_keep_their_places() {
    insta::assert_snapshot!(printed("100_comments.scr"));
}

#[test]
fn long_heads_are_split_into_lines() {
    insta::assert_snapshot!(printed("117_long_heads.anti"));
}

#[test]
fn long_records_are_split_into_lines() {
    insta::assert_snapshot!(printed("106_records_and_enums.anti"));
}

#[test]
fn a_single_action_stays_on_one_line() {
    insta::assert_snapshot!(printed("120_else_chain.anti"));
}

#[test]
fn dense_text_is_reformatted() {
    insta::assert_snapshot!(printed("125_dense.scr"));
}

/// The comments, sorted, because a comment in the middle of a statement moves before it.
fn sorted(ast: &Ast) -> Vec<String> {
    let mut comments = crate::common::comments(ast);
    comments.sort();
    comments
}

#[test]
fn comments_in_unusual_places_are_kept() {
    let text = "\
// a
module /* b */ m; // c

/* d */ /* e */
record /* f */ R /* { g } */ { // h
  a /* i */: Nat, // j
  // k
  b: /* l */ Text // m
  // n
} // o
enum E { x /* p */, y }
effect /* q */ I { // r
  op a(/* s */); op b(); // t

  // u
}
global protocol P(role A, // v
  role B) /* w */ uses I at A { choice /* x */ at A /* y */ { // z
      one() from A to B; /* 1 */ /* 2
      3 */ two() from A to B;


      // 4


    } /* 5 */ or /* 6 */ { // 7
      three() from A // 8
        to B; } // 9
  at A { // 10
    I.a(); }
  at A /* 11 */ { I.a(); I.b(/* 12 */); // 13
  } rec X { /* 14 */ a() from A to B; continue X; /* 15 */ } /* 16 */ } // 17
// 18";
    let first = parse(Default::default(), text);
    assert_eq!(first.diagnostics, []);
    let once = format(&first.ast).expect("the text is complete");
    let second = parse(Default::default(), &once).ast;
    assert_eq!(first.ast, second);
    assert_eq!(sorted(&first.ast), sorted(&second));
    assert_eq!(format(&second).as_ref(), Some(&once));
    insta::assert_snapshot!(once);
}

/// Fixtures without strings and comments, in which every blank separates two tokens.
const PLAIN: [&str; 6] = [
    "106_records_and_enums.anti",
    "108_named_payloads.anti",
    "111_choice_in_choice.scr",
    "117_long_heads.anti",
    "119_actions_in_every_place.anti",
    "120_else_chain.anti",
];

/// The text with comments in place of some of its blanks.
fn commented(text: &str, places: &[(usize, u8)]) -> String {
    let mut pieces: Vec<String> = text.split(' ').map(String::from).collect();
    for (number, (place, kind)) in places.iter().enumerate() {
        let at = place % pieces.len();
        let comment = match kind % 5 {
            0 => format!(" /* c{number} */"),
            1 => format!(" // c{number}\n"),
            2 => format!("\n\n // c{number} \n\n"),
            3 => format!(" (* c{number}\n   more *)"),
            _ => format!("\n/* c{number} */ // c{number}\n"),
        };
        pieces[at].push_str(&comment);
    }
    pieces.join(" ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn comments_anywhere_are_kept_and_stable(
        fixture in prop::sample::select(PLAIN.to_vec()),
        places in prop::collection::vec((any::<usize>(), any::<u8>()), 1..12),
    ) {
        let text = read(&fixtures().join("ok").join(fixture)).text;
        let plain = parse(Default::default(), &text).ast;
        let first = parse(Default::default(), &commented(&text, &places));
        prop_assert_eq!(&first.diagnostics, &vec![]);
        prop_assert_eq!(&first.ast, &plain);
        let once = format(&first.ast).expect("the text is complete");
        let second = parse(Default::default(), &once).ast;
        prop_assert_eq!(&second, &plain);
        prop_assert_eq!(sorted(&first.ast), sorted(&second), "{}", once);
        prop_assert_eq!(format(&second), Some(once));
    }
}
