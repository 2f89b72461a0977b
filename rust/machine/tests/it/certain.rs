//! The sort that verification derives for a register is the sort of the value that the machine
//! writes to it.

use crate::common::*;
use antiphon_machine::*;

/// The two sorts that [`hands_over`] adds.
const FROM: SortId = SortId(7);
const TO: SortId = SortId(8);

fn operation(
    image: &mut CodeImage,
    class: Class,
    args: Vec<SortId>,
    result: SortId,
) -> OperationId {
    let name = format!("op{}", image.operations.len());
    let (interface, budget, retries) = (0, None, 0);
    image.operations.push(Operation {
        interface,
        name,
        class,
        args,
        result,
        budget,
        retries,
    });
    OperationId(image.operations.len() as u16 - 1)
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
fn hands_over(from: Sort, to: Sort, class: Class, failed: bool, given: Reg) -> CodeImage {
    let mut image = image(vec![silent()]);
    image.sorts.extend([from, to]);
    let check = class == Class::Check;
    let get = operation(&mut image, class, vec![], FROM);
    let put = operation(&mut image, Class::Command, vec![TO], UNIT);
    let on_failure = failed.then_some(Pc(2));
    let get = match check {
        true => Instruction::Check {
            operation: get,
            args: vec![],
            dst: R1,
            witness: R2,
            on_failure,
        },
        false => Instruction::Invoke {
            operation: get,
            args: vec![],
            dst: R1,
            on_failure,
        },
    };
    let on_failure = None;
    let put = Instruction::Invoke {
        operation: put,
        args: vec![given],
        dst: Reg(3),
        on_failure,
    };
    let first = if failed {
        Instruction::Halt
    } else {
        put.clone()
    };
    image.programs[0].code = vec![get, first, put, Instruction::Halt];
    if !failed {
        image.programs[0].code.remove(2);
    }
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
        let args = vec![arg];
        let code = vec![
            set(R1, 1u64),
            Instruction::Spawn {
                program: ProgramId(1),
                args,
                dst: R2,
            },
            Instruction::Halt,
        ];
        let mut image = image(vec![(code, vec![State::End])]);
        let code = vec![act(R0, R1), Instruction::Halt];
        image.programs.push(Program {
            name: "child".to_owned(),
            registers: 2,
            code,
        });
        image.verify().is_ok()
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
        let arm = |label, target| Arm {
            label,
            val: R2,
            target: Pc(target),
        };
        let arms = if n == 2 {
            vec![arm(X, n + 1), arm(Y, n + 3)]
        } else {
            vec![arm(Y, n + 1)]
        };
        let branches = arms.iter().map(|arm| go(arm.label, UNIT, 1)).collect();
        code.push(Instruction::Offer {
            chan: R0,
            selector: R1,
            arms,
        });
        code.extend([send(X, R1), Instruction::Halt]);
        if n == 2 {
            code.extend([send(X, R1), Instruction::Halt]);
        }
        let a = (
            code,
            vec![to_b(branches), to_b(vec![go(X, payload, 2)]), State::End],
        );
        let mut image = image(vec![a, silent()]);
        operation(&mut image, Class::Command, vec![], BOOL);
        image
    };
    let decided = || {
        let (operation, args, dst) = (OperationId(2), vec![], R1);
        vec![
            set(R2, Value::Unit),
            Instruction::Invoke {
                operation,
                args,
                dst,
                on_failure: None,
            },
        ]
    };
    let fixed = || vec![set(R2, Value::Unit), set(R1, true), Instruction::Yield];
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
    let constant = |value: Value| {
        image(vec![(
            vec![set(R1, value), Instruction::Halt],
            vec![State::End],
        )])
    };
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
    let solo = |code| image(vec![(code, vec![State::End])]);
    let constant = |len| set(R1, Value::bytes(&vec![0; len]));
    let longest = bounds::CONSTANT_LEN_MAX - 3;
    assert!(
        solo(vec![constant(longest), Instruction::Halt])
            .verify()
            .is_ok()
    );
    assert_eq!(
        wrong(solo(vec![constant(longest + 3), Instruction::Halt])),
        "program 0, instruction 0: bytes of a constant: 65541 is over the bound of 65536"
    );
    let mut many = vec![constant(longest); bounds::IMAGE_LEN_MAX / longest + 1];
    many.push(Instruction::Halt);
    let error = wrong(solo(many));
    let bound = "is over the bound of 8388608";
    assert!(
        error.starts_with("image: bytes: ") && error.ends_with(bound),
        "{error}"
    );
}
