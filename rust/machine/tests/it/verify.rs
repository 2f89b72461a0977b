//! Every reason to refuse an image, each shown with a valid image in which one thing is changed.

use crate::common::*;
use antiphon_machine::*;

/// The valid image that tests change: A issues an effect and offers x or y; B chooses.
fn valid() -> CodeImage {
    let decide = 2;
    let choice = vec![go(X, NAT, 1), go(Y, UNIT, 1)];
    let a = vec![
        set(R1, 7u64),
        invoke(decide, &[], R2, None),
        offer(R2, &[(X, R1, 3), (Y, 3, 3)]),
        HALT,
    ];
    let b = vec![choose(R1, &[(X, 1), (Y, 2)]), act(R1, R2), HALT];
    let mut image = image(vec![
        (a, vec![to_b(choice.clone()), END]),
        (b, vec![from_a(choice), END]),
    ]);
    let labels = vec![X, Y];
    let class = Class::Decide { labels, peer: B };
    let decide = operation("decide", class, &[], SortId(6));
    image.operations.push(decide);
    image
}

/// The error of the valid image after this change, as `place: reason`.
fn error(change: impl FnOnce(&mut CodeImage)) -> String {
    let mut image = valid();
    change(&mut image);
    image
        .verify()
        .expect_err("the changed image is invalid")
        .to_string()
}

fn set_code(program: usize, at: usize, instruction: Instruction) -> impl FnOnce(&mut CodeImage) {
    move |image| image.programs[program].code[at] = instruction
}

#[test]
fn the_image_without_a_change_is_valid() {
    let image = valid().verify().expect("nothing is wrong with it");
    assert_eq!(image.edges(), [(A, B)]);
    assert_eq!(image.role_name(B), "B");
    assert_eq!(image.label_name(Y), "y");
}

#[test]
fn reports_every_error_of_tables() {
    let decides = |labels| Class::Decide { labels, peer: B };
    let produces = |label| Class::Produce { label, peer: B };
    let delivers_from = |peer| Class::Deliver { label: X, peer };
    let wrong = [
        error(|i| i.roles.clear()),
        error(|i| i.roles = vec![i.roles[0].clone(); 65]),
        error(|i| i.labels = vec!["l".to_owned(); 4097]),
        error(|i| i.sorts = vec![Sort::Unit; 4097]),
        error(|i| i.programs.truncate(1)),
        error(|i| i.name = "n".repeat(257)),
        error(|i| i.roles[1].name = "A".to_owned()),
        error(|i| i.labels[1] = "x".to_owned()),
        error(|i| i.labels[1] = "y".repeat(257)),
        error(|i| i.interfaces.push(i.interfaces[0].clone())),
        error(|i| i.operations[0].interface = 3),
        error(|i| i.operations[0].args = vec![SortId(90)]),
        error(|i| i.operations[0].result = SortId(90)),
        error(|i| i.operations[2].class = decides(vec![])),
        error(|i| i.operations[2].class = decides(vec![X, X])),
        error(|i| i.operations[2].class = produces(LabelId(9))),
        error(|i| i.operations[2].class = delivers_from(RoleId(9))),
    ];
    insta::assert_snapshot!(wrong.join("\n"));
}

#[test]
fn reports_every_error_of_sorts() {
    let fields = |names: &[&str]| {
        names
            .iter()
            .map(|n| (n.to_string(), UNIT))
            .collect::<Vec<_>>()
    };
    let record = |names: &[&str]| Sort::Record {
        name: "R".to_owned(),
        fields: fields(names),
    };
    let variants = vec!["a".to_owned(), "a".to_owned()];
    let wrong = [
        error(|i| i.sorts[5] = Sort::List(SortId(5))),
        error(|i| i.sorts[5] = Sort::Option(SortId(6))),
        error(|i| i.sorts[5] = record(&["a", "b", "a"])),
        error(|i| {
            i.sorts[5] = Sort::Enum {
                name: "E".to_owned(),
                variants,
            }
        }),
        error(|i| i.sorts[6] = Sort::Arm(vec![X, LabelId(7)])),
        error(|i| i.sorts[6] = Sort::Arm(vec![])),
        error(|i| (0..16).for_each(|_| i.sorts.push(Sort::List(SortId(i.sorts.len() as u16 - 1))))),
        error(|i| {
            let last = SortId(i.sorts.len() as u16 - 1);
            i.sorts.push(Sort::Record {
                name: "n".repeat(300),
                fields: vec![("f".to_owned(), last)],
            });
        }),
    ];
    insta::assert_snapshot!(wrong.join("\n"));
}

#[test]
fn reports_every_error_of_automata() {
    let states = |i: &mut CodeImage, state: State| i.roles[0].automaton.states[0] = state;
    let wrong = [
        error(|i| i.roles[0].automaton.states.clear()),
        error(|i| states(i, to(A, [go(X, UNIT, 1)]))),
        error(|i| states(i, to(RoleId(7), [go(X, UNIT, 1)]))),
        error(|i| states(i, to_b([]))),
        error(|i| states(i, to_b([go(X, UNIT, 1), go(X, NAT, 1)]))),
        error(|i| states(i, to_b([go(LabelId(8), UNIT, 1)]))),
        error(|i| states(i, to_b([go(X, SortId(99), 1)]))),
        error(|i| states(i, to_b([go(X, UNIT, 2)]))),
    ];
    insta::assert_snapshot!(wrong.join("\n"));
}

#[test]
fn reports_every_error_of_operands() {
    let evidence = set(R1, Value::Evidence(0));
    let twice = branch(R1, &[(1, 0), (1, 2)]);
    let wrong = [
        error(|i| i.programs[0].registers = 17),
        error(|i| i.programs[0].code.clear()),
        error(set_code(0, 0, set(4, 1u64))),
        error(set_code(0, 0, jump(4))),
        error(set_code(0, 0, invoke(9, &[], R1, None))),
        error(set_code(0, 0, send(LabelId(5), R1))),
        error(set_code(0, 0, evidence)),
        error(set_code(0, 0, spawn(6, &[], R1))),
        error(set_code(0, 0, spawn(1, &[R1; 5], R1))),
        error(set_code(0, 0, twice)),
        error(set_code(1, 0, choose(R1, &[]))),
    ];
    insta::assert_snapshot!(wrong.join("\n"));
}

#[test]
fn reports_every_error_of_paths() {
    let wrong = [
        // Control runs off the end, ends before the automaton does, or two paths meet in different
        // states.
        error(set_code(1, 2, YIELD)),
        error(set_code(0, 2, HALT)),
        error(set_code(0, 3, jump(1))),
        // The endpoint is overwritten, or the action, label or sort is not the automaton's.
        error(set_code(0, 0, set(R0, 1u64))),
        error(set_code(0, 2, receive(X, R1))),
        error(set_code(0, 2, send(X, 3))),
        error(|i| {
            i.labels.push("z".to_owned());
            i.programs[0].code[2] = send(LabelId(2), R1);
        }),
        // Arms and tables that do not match the selector or the automaton.
        error(set_code(0, 2, offer(R2, &[(X, R1, 3)]))),
        error(set_code(0, 1, set(R2, 0u64))),
        error(set_code(0, 1, set(R2, "x"))),
        error(set_code(1, 0, choose(R1, &[(X, 2)]))),
        error(set_code(1, 0, receive(X, R1))),
        error(|i| {
            i.labels.push("z".to_owned());
            i.programs[1].code[0] = choose(R1, &[(X, 1), (Y, 2), (LabelId(2), 2)]);
        }),
        // A result of a choice is a nat in one branch only.
        error(set_code(1, 0, choose(R1, &[(X, 1), (Y, 1)]))),
        // An operation of the wrong class, and a spawn of a role's program.
        error(set_code(1, 1, check(DO, &[R1], R1, R2, None))),
        error(set_code(1, 1, spawn(0, &[], R2))),
        error(|i| i.operations[0].args.push(NAT)),
        // A branch that lacks a row for a boolean.
        error(|i| {
            i.operations[0].result = BOOL;
            i.programs[1].code.insert(2, branch(R2, &[(0, 3)]));
            i.programs[1].code[0] = choose(R1, &[(X, 1), (Y, 3)]);
        }),
    ];
    insta::assert_snapshot!(wrong.join("\n"));
}
