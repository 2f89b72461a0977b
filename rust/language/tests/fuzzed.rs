//! Texts that fuzzing found: each was once taken wrongly.

use antiphon_language::{format, parse};

#[test]
fn carriage_returns_in_a_comment_are_taken_at_once() {
    let text = "/* two\r\r\nlines */ global protocol P(role A, role B) { m() from A to B; }";
    let once = format(&parse(Default::default(), text).ast).expect("the text is whole");
    let twice = format(&parse(Default::default(), &once).ast);
    assert!(!once.contains('\r'));
    assert_eq!(twice, Some(once));
}
