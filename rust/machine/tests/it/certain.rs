//! What verification takes for certain of a register is what the machine puts there.

use crate::common::*;
use antiphon_machine::*;

/// The sorts that a test adds.
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

/// One role that gets a value of sort `FROM` in R1, by success or by failure, and hands `given` over as `TO`.
fn hands_over(from: Sort, to: Sort, class: Class, failed: bool, given: Reg) -> CodeImage {
    let mut image = image(vec![silent()]);
    image.sorts.extend([from, to]);
    let check = class == Class::Check;
    let get = operation(&mut image, class, vec![], FROM);
    let put = operation(&mut image, Class::Command, vec![TO], UNIT);
    let on_failure = Some(Pc(if failed { 2 } else { 1 }));
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
    let get = match (failed, get) {
        (
            false,
            Instruction::Invoke {
                operation,
                args,
                dst,
                ..
            },
        ) => Instruction::Invoke {
            operation,
            args,
            dst,
            on_failure: None,
        },
        (
            false,
            Instruction::Check {
                operation,
                args,
                dst,
                witness,
                ..
            },
        ) => Instruction::Check {
            operation,
            args,
            dst,
            witness,
            on_failure: None,
        },
        (_, get) => get,
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
fn a_sort_stands_for_one_that_has_all_its_values() {
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
fn after_a_failure_there_is_its_code_and_not_a_result() {
    for class in [Class::Command, Class::Check] {
        let failed = |to| {
            hands_over(Sort::Text, to, class.clone(), true, R1)
                .verify()
                .is_ok()
        };
        assert!(failed(Sort::Nat));
        assert!(failed(enumeration(10)));
        assert!(!failed(enumeration(9)), "there are ten kinds");
        assert!(!failed(Sort::Text), "there is no result");
    }
}

#[test]
fn evidence_is_of_no_sort() {
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
fn an_endpoint_handed_to_a_child_is_nothing_there() {
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

/// A choice may be made by a truth value; what holds it afterwards holds a truth value still.
#[test]
fn a_selector_keeps_its_form() {
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
    let asked = || {
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
    for select in [asked(), fixed()] {
        assert!(chosen_by(select.clone(), NAT).verify().is_err());
        chosen_by(select, BOOL)
            .verify()
            .expect("a truth value was sent as one");
    }
    // What the machine does about it, without verification.
    assert!(matches!(
        fault_of(chosen_by(fixed(), NAT)),
        Fault::WrongSort { .. }
    ));
}

#[test]
fn a_constant_is_what_anybody_can_make_and_no_deeper_than_sorts() {
    let constant = |value: Value| {
        image(vec![(
            vec![set(R1, value), Instruction::Halt],
            vec![State::End],
        )])
    };
    let nested = |levels: u32| (1..levels).fold(Value::Unit, |inner, _| Value::list(vec![inner]));
    let deepest = constant(nested(bounds::SORT_DEPTH_MAX))
        .verify()
        .expect("the deepest there is");
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

/// Two sorts that share no part and stand for trees of 64 to the 14th leaves: comparing them takes no time.
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
    image.verify().expect("they have the same values");
}

/// A constant is as long as a payload at most, and an image as long as a loader reads: what is verified can be read back.
#[test]
fn constants_and_images_have_a_length() {
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
    let told = wrong(solo(many));
    let bound = "is over the bound of 8388608";
    assert!(
        told.starts_with("image: bytes: ") && told.ends_with(bound),
        "{told}"
    );
}
