//! Verification of images: compares the kernel's verdict with the model's, about which
//! `verified_faults` is proved.
//!
//! A verdict is `verified` or the kind of the first error. [`verdict`] returns the kernel's, and
//! [`Oracle::verify`](crate::oracle::Oracle::verify) returns the model's. The model's error has no
//! place and no values.

use std::io::{self, BufRead, Write};

use antiphon_codec::Encoder;
use antiphon_machine::bounds::{
    BRANCHES_MAX, CONSTANT_LEN_MAX, NAME_LEN_MAX, REGISTERS_MAX, ROLES_MAX, SORT_DEPTH_MAX,
    TABLE_LEN_MAX,
};
use antiphon_machine::build::*;
use antiphon_machine::{
    Arm, Class, CodeImage, Instruction, LabelId, Pc, Reg, RoleId, Sort, SortId, Value,
    VerifyErrorKind,
};

/// The text at the start of a file of images.
pub const IMAGES_TAG: &str = "antiphon.images.v1";

/// The last line of a file of verdicts.
const VERDICTS_END: &str = "complete";

/// The verdict on an image without an error.
pub const VERIFIED: &str = "verified";

/// The name of each kind of error, in the order of the declaration.
pub const KINDS: [&str; 19] = [
    "TooLong",
    "Empty",
    "Twice",
    "NoSuchRow",
    "SortOrder",
    "SelfMessage",
    "ProgramPerRole",
    "FallsOff",
    "PathsDisagree",
    "NotEndpoint",
    "WrongAction",
    "WrongLabel",
    "Unhandled",
    "WrongSort",
    "NotTotal",
    "WrongOperation",
    "SpawnsRole",
    "EndsEarly",
    "ForgedConstant",
];

/// The position of a kind in [`KINDS`].
fn kind_row(kind: &VerifyErrorKind) -> usize {
    match kind {
        VerifyErrorKind::TooLong { .. } => 0,
        VerifyErrorKind::Empty { .. } => 1,
        VerifyErrorKind::Twice { .. } => 2,
        VerifyErrorKind::NoSuchRow { .. } => 3,
        VerifyErrorKind::SortOrder { .. } => 4,
        VerifyErrorKind::SelfMessage => 5,
        VerifyErrorKind::ProgramPerRole { .. } => 6,
        VerifyErrorKind::FallsOff => 7,
        VerifyErrorKind::PathsDisagree(..) => 8,
        VerifyErrorKind::NotEndpoint(_) => 9,
        VerifyErrorKind::WrongAction { .. } => 10,
        VerifyErrorKind::WrongLabel { .. } => 11,
        VerifyErrorKind::Unhandled { .. } => 12,
        VerifyErrorKind::WrongSort { .. } => 13,
        VerifyErrorKind::NotTotal { .. } => 14,
        VerifyErrorKind::WrongOperation(_) => 15,
        VerifyErrorKind::SpawnsRole(_) => 16,
        VerifyErrorKind::EndsEarly(_) => 17,
        VerifyErrorKind::ForgedConstant(_) => 18,
    }
}

/// The kernel's verdict on an image.
pub fn verdict(image: &CodeImage) -> &'static str {
    match image.clone().verify() {
        Ok(_) => VERIFIED,
        Err(error) => KINDS[kind_row(&error.kind)],
    }
}

/// Writes a file of images, each in its canonical bytes.
///
/// # Errors
/// When writing fails.
pub fn write_images<'i>(
    mut to: impl Write,
    images: impl IntoIterator<Item = &'i [u8]>,
) -> io::Result<()> {
    let mut scratch = Vec::new();
    Encoder::new(&mut scratch).text(IMAGES_TAG);
    to.write_all(&scratch)?;
    for image in images {
        scratch.clear();
        Encoder::new(&mut scratch).bytes(image);
        to.write_all(&scratch)?;
    }
    to.flush()
}

/// Reads a file of verdicts: a line for each image, in the images' order.
///
/// # Errors
/// When reading fails, or the file's last line is missing.
pub fn read_verdicts(from: impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = from.lines().collect::<io::Result<Vec<_>>>()?;
    if lines.pop().is_none_or(|last| last != VERDICTS_END) {
        let error = format!("the verdicts do not end with `{VERDICTS_END}`");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
    }
    Ok(lines)
}

/// Images at each bound of `rust/machine/src/bounds.rs` and one over it, and images with an error
/// that random changes seldom make.
///
/// Three bounds are left out, because the model's interpreter needs too much memory for their
/// images: states, instructions, and bytes of an image.
pub fn edges() -> Vec<(String, CodeImage)> {
    let mut all = Vec::new();
    for over in [0, 1] {
        let side = if over == 0 { "at" } else { "over" };
        let bounds = [
            ("roles", roles(ROLES_MAX + over)),
            ("labels", labels(TABLE_LEN_MAX * over + over)),
            ("bytes of a name", named(NAME_LEN_MAX + over)),
            ("registers", registers(REGISTERS_MAX + over as u8)),
            ("arguments", arguments(usize::from(REGISTERS_MAX) + over)),
            ("variants", variants(BRANCHES_MAX + over)),
            (
                "nesting of sorts",
                nested_sorts(SORT_DEPTH_MAX as usize + over),
            ),
            (
                "nesting of a constant",
                nested_constant(SORT_DEPTH_MAX as usize + over),
            ),
            (
                "bytes of a constant",
                long_constant(CONSTANT_LEN_MAX - 3 + over),
            ),
        ];
        all.extend(bounds.map(|(what, image)| (format!("{side} the bound: {what}"), image)));
    }
    let errors = table_errors().chain(program_errors());
    all.extend(errors.map(|(what, image)| (what.to_owned(), image)));
    all
}

/// An image of one role that runs this code in this many registers.
fn one_role(count: u8, code: Vec<Instruction>) -> CodeImage {
    CodeImage {
        sorts: vec![Sort::Nat, Sort::Unit],
        ..image("edge", [role("A", count, code, [END])])
    }
}

fn roles(count: usize) -> CodeImage {
    let one = |n: usize| role(&format!("role {n}"), 1, [HALT], [END]);
    image("edge", (0..count).map(one))
}

fn labels(count: usize) -> CodeImage {
    CodeImage {
        labels: (0..count).map(|n| n.to_string()).collect(),
        ..one_role(1, vec![HALT])
    }
}

fn named(len: usize) -> CodeImage {
    image("edge", [role(&"n".repeat(len), 1, [HALT], [END])])
}

fn registers(count: u8) -> CodeImage {
    one_role(count, vec![set(usize::from(count) as u8 - 1, 1u64), HALT])
}

fn arguments(count: usize) -> CodeImage {
    CodeImage {
        interfaces: vec![interface("world")],
        operations: vec![operation(
            "many",
            Class::Command,
            &vec![SortId(1); count],
            SortId(1),
        )],
        ..one_role(1, vec![HALT])
    }
}

fn variants(count: usize) -> CodeImage {
    let variants = (0..count).map(|n| n.to_string()).collect();
    let mut made = one_role(1, vec![HALT]);
    made.sorts.push(Sort::Enum {
        name: String::new(),
        variants,
    });
    made
}

fn nested_sorts(depth: usize) -> CodeImage {
    let mut made = one_role(1, vec![HALT]);
    made.sorts = vec![Sort::Unit];
    made.sorts
        .extend((1..depth).map(|n| Sort::List(SortId(n as u16 - 1))));
    made
}

fn nested_constant(depth: usize) -> CodeImage {
    let mut value = Value::Unit;
    for _ in 1..depth {
        value = Value::list(vec![value]);
    }
    one_role(1, vec![set(0, value), HALT])
}

fn long_constant(len: usize) -> CodeImage {
    one_role(1, vec![set(0, Value::bytes(&vec![0; len])), HALT])
}

/// Images with one error each, in a table.
fn table_errors() -> impl Iterator<Item = (&'static str, CodeImage)> {
    let sort_of = |sort: Sort| {
        let mut made = one_role(1, vec![HALT]);
        made.sorts.push(sort);
        made
    };
    let record = |names: [&str; 2]| Sort::Record {
        name: String::new(),
        fields: names.map(|name| (name.to_owned(), SortId(0))).into(),
    };
    let one = || role("A", 1, [HALT], [END]);
    let no_interface = CodeImage {
        operations: vec![operation("op", Class::Command, &[], SortId(1))],
        ..one_role(1, vec![HALT])
    };
    let unknown_label = Sort::Arm(vec![LabelId(0)]);
    [
        ("no roles", CodeImage::default()),
        ("two roles of one name", image("edge", [one(), one()])),
        ("a sort of itself", sort_of(Sort::List(SortId(2)))),
        (
            "an option of a later sort",
            sort_of(Sort::Option(SortId(9))),
        ),
        ("a field twice", sort_of(record(["a", "a"]))),
        ("two fields", sort_of(record(["a", "b"]))),
        ("no labels in a sort", sort_of(Sort::Arm(vec![]))),
        ("an unknown label in a sort", sort_of(unknown_label)),
        ("no interface", no_interface),
    ]
    .into_iter()
}

/// Images with one error each, in an automaton or a program.
fn program_errors() -> impl Iterator<Item = (&'static str, CodeImage)> {
    let constant = |value| one_role(1, vec![set(0, value), HALT]);
    let evidence = Value::record(vec![Value::Unit, Value::Evidence(0)]);
    let (chan, selector, cond) = (Reg(0), Reg(0), Reg(0));
    let arms: Vec<Arm> = vec![];
    let offer = Instruction::Offer {
        chan,
        selector,
        arms,
    };
    let table = vec![(0, Pc(0)), (0, Pc(0))];
    let branch = Instruction::Branch { cond, table };
    [
        ("no states", image("edge", [role("A", 1, [HALT], [])])),
        ("no code", image("edge", [role("A", 1, [], [END])])),
        (
            "an endpoint as a constant",
            constant(Value::Endpoint(RoleId(0))),
        ),
        ("evidence in a constant", constant(evidence)),
        ("a number twice", one_role(1, vec![branch])),
        ("an offer without arms", one_role(1, vec![offer])),
        ("no registers", one_role(0, vec![HALT])),
        (
            "the last instruction continues",
            one_role(1, vec![set(0, 1u64)]),
        ),
    ]
    .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_byte_string_after_the_tag() {
        let mut bytes = Vec::new();
        write_images(&mut bytes, [&[1, 2][..], &[3]]).expect("memory");
        let tail = bytes
            .strip_prefix(b"\x72antiphon.images.v1")
            .expect("the tag");
        assert_eq!(tail, b"\x42\x01\x02\x41\x03");
    }

    #[test]
    fn cut_off_verdicts_are_refused() {
        let read = read_verdicts(&b"verified\nTwice\ncomplete\n"[..]);
        assert_eq!(read.expect("a complete file"), ["verified", "Twice"]);
        for cut in [&b""[..], b"verified\n", b"verified\ncompl"] {
            let error = read_verdicts(cut).expect_err("cut off").to_string();
            assert_eq!(error, "the verdicts do not end with `complete`");
        }
    }

    #[test]
    fn images_at_a_bound_verify_and_images_over_it_are_too_long() {
        for (name, image) in edges() {
            if name.starts_with("at the bound") {
                assert_eq!(verdict(&image), VERIFIED, "{name}");
            } else if name.starts_with("over the bound") {
                assert_eq!(verdict(&image), "TooLong", "{name}");
            }
        }
    }
}
