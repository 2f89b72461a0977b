//! The sort that verification derives for a register is the sort of the value that the machine
//! writes to it.

use crate::common::*;
use antiphon_machine::*;

/// The two sorts that [`hands_over`] adds.
const FROM: SortId = SortId(7);
const TO: SortId = SortId(8);

/// Adds an operation and returns its row.
fn add_operation(image: &mut CodeImage, class: Class, args: &[SortId], result: SortId) -> u16 {
    let row = image.operations.len() as u16;
    let name = format!("op{row}");
    image.operations.push(operation(&name, class, args, result));
    row
}

fn enumeration(variants: usize) -> Sort {
    let variants = (0..variants).map(|n| format!("v{n}")).collect();
    Sort::Enum {
        name: "e".to_owned(),
        variants,
    }
}

/// One role that receives the outcome of an operation with result sort `FROM` in R1, by success or
/// by failure, and passes register `given` to an operation that takes `TO`.
fn hands_over(from: Sort, to: Sort, class: Class, failed: bool, given: u8) -> CodeImage {
    let mut image = image(vec![silent()]);
    image.sorts.extend([from, to]);
    let is_check = class == Class::Check;
    let get = add_operation(&mut image, class, &[], FROM);
    let put = add_operation(&mut image, Class::Command, &[TO], UNIT);
    let put = invoke(put, &[given], 3, None);
    let on_failure = failed.then_some(2);
    let get = if is_check {
        check(get, &[], R1, R2, on_failure)
    } else {
        invoke(get, &[], R1, on_failure)
    };
    image.programs[0].code = if failed {
        vec![get, HALT, put, HALT]
    } else {
        vec![get, put, HALT]
    };
    image
}

fn fits(from: Sort, to: Sort) -> bool {
    hands_over(from, to, Class::Command, false, R1)
        .verify()
        .is_ok()
}

#[test]
fn a_sort_fits_where_all_its_values_do() {
    let arm = |labels: &[LabelId]| Sort::Arm(labels.to_vec());
    let foreign = || Sort::Foreign {
        name: "f".to_owned(),
    };
    let yes = [
        (enumeration(2), enumeration(3)),
        (enumeration(2), enumeration(2)),
        (enumeration(2), Sort::Nat),
        (arm(&[X]), arm(&[Y, X])),
        (arm(&[X]), Sort::Nat),
        (Sort::Option(NAT), Sort::List(NAT)),
        (foreign(), Sort::Bytes),
        (Sort::Bytes, foreign()),
    ];
    for (from, to) in yes {
        assert!(fits(from.clone(), to.clone()), "{from:?} is {to:?}");
    }
    let no = [
        (enumeration(3), enumeration(2)),
        (Sort::Nat, enumeration(3)),
        (arm(&[X, Y]), arm(&[X])),
        (Sort::Nat, arm(&[X, Y])),
        (Sort::List(NAT), Sort::Option(NAT)),
        (Sort::List(TEXT), Sort::List(NAT)),
        (Sort::Nat, Sort::Int),
        (Sort::Bool, Sort::Nat),
    ];
    for (from, to) in no {
        assert!(!fits(from.clone(), to.clone()), "{from:?} is not {to:?}");
    }
}

#[test]
fn a_failure_leaves_its_code_in_the_result_register() {
    for class in [Class::Command, Class::Check] {
        let failed = |to| {
            hands_over(Sort::Text, to, class.clone(), true, R1)
                .verify()
                .is_ok()
        };
        assert!(failed(Sort::Nat));
        assert!(failed(enumeration(10)));
        assert!(!failed(enumeration(9)), "there are ten kinds of failure");
        assert!(!failed(Sort::Text), "a failure has no result");
    }
}

#[test]
fn evidence_has_no_sort() {
    assert!(
        hands_over(Sort::Nat, Sort::Nat, Class::Check, false, R1)
            .verify()
            .is_ok()
    );
    assert!(
        hands_over(Sort::Nat, Sort::Nat, Class::Check, false, R2)
            .verify()
            .is_err()
    );
}

#[test]
fn a_child_cannot_use_an_endpoint_passed_to_it() {
    let spawn = |arg| {
        let image = solo(vec![set(R1, 1u64), spawn(1, &[arg], R2), HALT]);
        with_child(image, 2, [act(R0, R1), HALT]).verify().is_ok()
    };
    assert!(spawn(R1));
    assert!(!spawn(R0));
}

/// A boolean can select an arm; the register still holds a boolean afterwards, not a nat.
#[test]
fn a_boolean_selector_stays_a_boolean() {
    let chosen_by = |select: Vec<Instruction>, payload: SortId| {
        let mut code = select;
        let n = code.len() as u32;
        let arms = if n == 2 {
            vec![(X, R2, n + 1), (Y, R2, n + 3)]
        } else {
            vec![(Y, R2, n + 1)]
        };
        let branches: Vec<_> = arms.iter().map(|(label, ..)| go(*label, UNIT, 1)).collect();
        code.push(offer(R1, &arms));
        code.extend([send(X, R1), HALT]);
        if n == 2 {
            code.extend([send(X, R1), HALT]);
        }
        let a = (code, vec![to_b(branches), to_b([go(X, payload, 2)]), END]);
        let mut image = image(vec![a, silent()]);
        add_operation(&mut image, Class::Command, &[], BOOL);
        image
    };
    let decided = || vec![set(R2, Value::Unit), invoke(2, &[], R1, None)];
    let fixed = || vec![set(R2, Value::Unit), set(R1, true), YIELD];
    for select in [decided(), fixed()] {
        assert!(chosen_by(select.clone(), NAT).verify().is_err());
        chosen_by(select, BOOL)
            .verify()
            .expect("the boolean is sent as a boolean");
    }
    // Without verification, the machine faults.
    assert!(matches!(
        fault_of(chosen_by(fixed(), NAT)),
        Fault::WrongSort { .. }
    ));
}

#[test]
fn a_constant_holds_no_endpoint_or_evidence_and_is_bounded_in_depth() {
    let constant = |value: Value| solo(vec![set(R1, value), HALT]);
    let nested = |levels: u32| (1..levels).fold(Value::Unit, |inner, _| Value::list(vec![inner]));
    let deepest = constant(nested(bounds::SORT_DEPTH_MAX))
        .verify()
        .expect("as deep as allowed");
    let bytes = deepest.image().to_bytes();
    assert_eq!(
        CodeImage::from_bytes(&bytes, CodeImage::LIMITS).as_ref(),
        Ok(deepest.image())
    );
    assert!(
        constant(nested(bounds::SORT_DEPTH_MAX + 1))
            .verify()
            .is_err()
    );
    for forged in [Value::Endpoint(A), Value::Evidence(0)] {
        assert!(
            constant(Value::list(vec![forged.clone()]))
                .verify()
                .is_err()
        );
        assert!(
            constant(Value::record(vec![Value::Unit, forged]))
                .verify()
                .is_err()
        );
    }
}

/// Two sorts that share no parts, each a tree with 64 to the 14th leaves when unfolded: comparing
/// them must not unfold them.
#[test]
fn comparing_sorts_does_not_unfold_them() {
    let mut image = hands_over(Sort::Unit, Sort::Unit, Class::Command, false, R1);
    let mut last = [NAT, NAT];
    for _ in 0..14 {
        last = last.map(|inner| {
            let fields = (0..64).map(|n| (format!("f{n}"), inner)).collect();
            image.sorts.push(Sort::Record {
                name: "r".to_owned(),
                fields,
            });
            SortId(image.sorts.len() as u16 - 1)
        });
    }
    image.operations[2].result = last[0];
    image.operations[3].args = vec![last[1]];
    image.verify().expect("both sorts have the same values");
}

/// A constant is at most as long as a payload, and an image at most as long as a loader accepts, so
/// every verified image can be read back.
#[test]
fn constants_and_images_are_bounded_in_length() {
    let wrong = |image: CodeImage| image.verify().expect_err("it is too long").to_string();
    let constant = |len| set(R1, Value::bytes(&vec![0; len]));
    let longest = bounds::CONSTANT_LEN_MAX - 3;
    assert!(solo(vec![constant(longest), HALT]).verify().is_ok());
    assert_eq!(
        wrong(solo(vec![constant(longest + 3), HALT])),
        "program 0, instruction 0: bytes of a constant: 65541 is over the bound of 65536"
    );
    let mut many = vec![constant(longest); bounds::IMAGE_LEN_MAX / longest + 1];
    many.push(HALT);
    let error = wrong(solo(many));
    let bound = "is over the bound of 8388608";
    assert!(
        error.starts_with("image: bytes: ") && error.ends_with(bound),
        "{error}"
    );
}
