//! Inputs found by fuzzing that once caused errors.

use antiphon_language::{format, parse};

#[test]
fn formatting_removes_repeated_carriage_returns_at_once() {
    let text = "/* two\r\r\nlines */ global protocol P(role A, role B) { m() from A to B; }";
    let once = format(&parse(Default::default(), text).ast).expect("the text is complete");
    let twice = format(&parse(Default::default(), &once).ast);
    assert!(!once.contains('\r'));
    assert_eq!(twice, Some(once));
}
