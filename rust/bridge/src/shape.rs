//! The shapes of outputs: names for the fields of an output's tree, to describe a difference.
//!
//! The comparison itself is of bytes and does not use shapes. Where the bytes do not have the
//! expected form, fields are named by their positions.

use antiphon_codec::Item;

/// The meaning of an item.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A scalar, or an item without named fields.
    Plain,
    /// A structure with these fields.
    Fields(&'static [Field]),
    /// A list: the name and the shape of its items.
    List(&'static str, &'static Shape),
    /// One of several alternatives: the name and the fields of each, by number.
    Alternatives(&'static [(&'static str, &'static [Field])]),
    /// One of a closed list of names.
    Names(&'static [&'static str]),
}

type Field = (&'static str, &'static Shape);

use Shape::{Alternatives, Fields, List, Names, Plain};

impl Shape {
    /// The name and shape of the item at this position of an array.
    pub(crate) fn at(&self, items: &[Item], position: usize) -> (String, &'static Shape) {
        let named = |field: Option<&'static Field>| match field {
            Some((name, shape)) => ((*name).to_owned(), *shape),
            None => (format!("[{position}]"), &Plain),
        };
        match self {
            Plain | Names(_) => named(None),
            Fields(fields) => named(fields.get(position)),
            List(name, shape) => (format!("{name} {position}"), shape),
            Alternatives(_) if position == 0 => ("alternative".to_owned(), &Plain),
            Alternatives(_) => named(
                self.alternative(items)
                    .and_then(|(_, fields)| fields.get(position - 1)),
            ),
        }
    }

    fn alternative(&self, items: &[Item]) -> Option<&'static (&'static str, &'static [Field])> {
        let Alternatives(all) = self else {
            return None;
        };
        all.get(usize::try_from(items.first()?.as_uint()?).ok()?)
    }

    /// Describes the item, with the names of its fields and of its alternative.
    pub(crate) fn describe(&self, item: &Item) -> String {
        let text = match (self, item) {
            (Alternatives(_), Item::Array(items)) => match self.alternative(items) {
                Some((name, fields)) if items.len() == 1 + fields.len() => {
                    let parts = items[1..].iter().zip(*fields);
                    let parts: Vec<_> = parts
                        .map(|(item, (field, shape))| format!("{field} {}", shape.describe(item)))
                        .collect();
                    match parts.len() {
                        0 => (*name).to_owned(),
                        _ => format!("{name} {{{}}}", parts.join(", ")),
                    }
                }
                _ => item.to_string(),
            },
            (Fields(fields), Item::Array(items)) if items.len() == fields.len() => {
                let parts = items.iter().zip(*fields);
                let parts: Vec<_> = parts
                    .map(|(item, (field, shape))| format!("{field} {}", shape.describe(item)))
                    .collect();
                format!("{{{}}}", parts.join(", "))
            }
            (List(_, shape), Item::Array(items)) => {
                let parts: Vec<_> = items.iter().map(|item| shape.describe(item)).collect();
                format!("[{}]", parts.join(", "))
            }
            (Names(names), Item::Uint(n)) => {
                let name = usize::try_from(*n).ok().and_then(|n| names.get(n));
                name.map_or_else(|| item.to_string(), |name| (*name).to_owned())
            }
            _ => item.to_string(),
        };
        match text.char_indices().nth(DESCRIPTION_LEN_MAX) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }
}

/// The most characters of a description.
const DESCRIPTION_LEN_MAX: usize = 400;

/// The output of one action.
pub(crate) static ACTION_OUT: Shape = Fields(&[
    ("result", &RESULT),
    ("events", &List("event", &OBS_EVENT)),
    ("request", &REQUEST),
    ("state", &MACHINE),
]);

static RESULT: Shape = Alternatives(&[
    ("Stepped", &[("pick", &PICK), ("step", &STEP)]),
    ("Rested", &[("rest", &REST)]),
    ("Taken", &[("taken", &TAKEN)]),
    ("Refused", &[("refusal", &REFUSAL)]),
    (
        "Round",
        &[("picks", &List("pick", &PICK)), ("fell_back", &Plain)],
    ),
    ("NotReady", &[]),
    ("NoWidth", &[]),
]);

static PICK: Shape = Fields(&[("session", &Plain), ("coroutine", &Plain)]);
static EFFECT_ID: Shape = Fields(&[("session", &Plain), ("number", &Plain)]);

static STEP: Shape = Alternatives(&[
    ("Ran", &[]),
    ("Yielded", &[]),
    ("Blocked", &[("on", &ON)]),
    ("Effect", &[("effect", &EFFECT_ID)]),
    ("Halted", &[]),
    ("Faulted", &[("fault", &FAULT)]),
]);

static ON: Shape = Alternatives(&[
    ("Empty", &[("edge", &Plain)]),
    ("Full", &[("edge", &Plain)]),
    ("Effect", &[("number", &Plain)]),
]);

static REST: Shape = Alternatives(&[
    ("Idle", &[]),
    ("Done", &[]),
    ("Stuck", &[("waits", &List("wait", &WAIT))]),
]);

static WAIT: Shape = Fields(&[
    ("pick", &PICK),
    ("role", &Plain),
    ("on", &ON),
    ("server", &Plain),
]);

static TAKEN: Shape = Alternatives(&[
    ("Opened", &[("session", &Plain)]),
    ("Resumed", &[("resumed", &RESUMED)]),
    ("Advanced", &[("expired", &Plain)]),
    ("Cancelled", &[]),
]);

static RESUMED: Shape = Alternatives(&[
    ("Ready", &[("coroutine", &Plain)]),
    ("Reissued", &[("effect", &EFFECT_ID)]),
    ("Faulted", &[("fault", &FAULT)]),
]);

static REFUSAL: Shape = Alternatives(&[
    ("NoSuchSession", &[("session", &Plain)]),
    ("SessionEnded", &[("session", &Plain)]),
    ("Late", &[("effect", &EFFECT_ID)]),
    ("NeverIssued", &[("effect", &EFFECT_ID)]),
    ("NotOwner", &[("session", &Plain)]),
    ("NoSuchImage", &[]),
    ("SessionBound", &[("max", &Plain)]),
    ("OwnerTooLong", &[("len", &Plain), ("max", &Plain)]),
    ("ClockOverflow", &[("ticks", &Plain)]),
]);

static ACTION: Shape = Names(&["End", "Send", "Receive"]);
static TABLE: Shape = Names(&["Programs", "Operations", "Roles", "States", "Edges"]);
static FORM: Shape = Names(&[
    "Unit", "Bool", "Nat", "Int", "Text", "Bytes", "List", "Record", "Endpoint", "Evidence",
]);
static KIND: Shape = Names(&[
    "Denied",
    "Timeout",
    "Cancelled",
    "Unavailable",
    "InvalidInput",
    "StaleAuthority",
    "ContractViolation",
    "Lost",
    "Busy",
    "Internal",
]);
static END: Shape = Names(&["Closed", "Cancelled", "Faulted"]);

static FAULT: Shape = Alternatives(&[
    ("OutOfRegisters", &[("register", &Plain), ("count", &Plain)]),
    ("PcOutOfBounds", &[("pc", &Plain), ("len", &Plain)]),
    ("NoSuchRow", &[("table", &TABLE), ("index", &Plain)]),
    ("NotAnEndpoint", &[("register", &Plain), ("got", &FORM)]),
    ("NotHolder", &[("role", &Plain), ("holder", &Plain)]),
    (
        "WrongState",
        &[
            ("role", &Plain),
            ("state", &Plain),
            ("expected", &ACTION),
            ("got", &ACTION),
        ],
    ),
    (
        "WrongLabel",
        &[("role", &Plain), ("state", &Plain), ("got", &Plain)],
    ),
    ("WrongSort", &[("expected", &Plain), ("got", &FORM)]),
    ("PayloadTooLarge", &[("len", &Plain), ("max", &Plain)]),
    ("UnexpectedMessage", &[("edge", &Plain), ("got", &Plain)]),
    ("SelectorOutside", &[("got", &Plain)]),
    ("NoSuchBranch", &[("got", &Plain)]),
    ("NotANumber", &[("got", &FORM)]),
    ("WrongOperation", &[]),
    ("CoroutineBound", &[("max", &Plain)]),
    ("EffectFailed", &[("number", &Plain), ("kind", &KIND)]),
    ("EndpointOpen", &[("role", &Plain), ("state", &Plain)]),
    ("EdgeNotEmpty", &[("edge", &Plain), ("len", &Plain)]),
]);

static OBS_EVENT: Shape = Fields(&[("stamp", &STAMP), ("event", &EVENT)]);
static STAMP: Shape = Fields(&[
    ("session", &Plain),
    ("index", &Plain),
    ("step", &Plain),
    ("clock", &Plain),
]);
static MESSAGE: Shape = Fields(&[
    ("edge", &Plain),
    ("label", &Plain),
    ("sequence", &Plain),
    ("payload", &Plain),
]);
static FAILURE: Shape = Fields(&[("kind", &KIND), ("detail", &Plain)]);

static EVENT: Shape = Alternatives(&[
    ("Opened", &[("image", &Plain), ("owner", &Plain)]),
    ("Sent", &[("message", &MESSAGE)]),
    ("Offered", &[("message", &MESSAGE)]),
    ("Received", &[("message", &MESSAGE)]),
    ("Chose", &[("message", &MESSAGE)]),
    (
        "EffectIssued",
        &[
            ("number", &Plain),
            ("coroutine", &Plain),
            ("operation", &Plain),
            ("attempt", &Plain),
            ("deadline", &Plain),
        ],
    ),
    ("EffectResolved", &[("number", &Plain), ("result", &Plain)]),
    ("EffectFailed", &[("number", &Plain), ("failure", &FAILURE)]),
    ("EffectInvalidated", &[("number", &Plain)]),
    ("WitnessIssued", &[("witness", &Plain), ("number", &Plain)]),
    ("WitnessExpired", &[("witness", &Plain)]),
    ("TimeoutIssued", &[("number", &Plain), ("witness", &Plain)]),
    ("CancellationRequested", &[("witness", &Plain)]),
    ("Cancelled", &[("witness", &Plain)]),
    (
        "FailureBranchEntered",
        &[("coroutine", &Plain), ("cause", &FAULT)],
    ),
    ("Spawned", &[("coroutine", &Plain), ("program", &Plain)]),
    ("Halted", &[("coroutine", &Plain)]),
    ("Faulted", &[("coroutine", &Plain), ("fault", &FAULT)]),
    ("Closed", &[]),
    ("SessionTerminal", &[("end", &END)]),
    ("EpochAdvanced", &[("epoch", &Plain)]),
]);

static REQUEST: Shape = Fields(&[
    ("effect", &EFFECT_ID),
    ("role", &Plain),
    ("operation", &Plain),
    ("deadline", &Plain),
    ("attempt", &Plain),
    ("args", &List("arg", &Plain)),
]);

static MACHINE: Shape = Fields(&[
    ("tag", &Plain),
    ("step index", &Plain),
    ("clock", &Plain),
    ("ready queue", &List("place", &PICK)),
    ("sessions", &List("session", &SESSION)),
]);

static SESSION: Shape = Fields(&[
    ("number", &Plain),
    ("image", &Plain),
    ("phase", &PHASE),
    ("live", &Plain),
    ("epoch", &Plain),
    ("events", &Plain),
    ("effects issued", &Plain),
    ("witnesses issued", &Plain),
    ("endpoints", &List("role", &ENDPOINT)),
    ("coroutines", &List("coroutine", &COROUTINE)),
    ("edges", &List("edge", &EDGE)),
    ("effects", &List("effect", &EFFECT)),
    ("witnesses", &List("witness", &WITNESS)),
    ("owner", &Plain),
]);

static PHASE: Shape = Alternatives(&[("Active", &[]), ("Terminal", &[("end", &END)])]);
static ENDPOINT: Shape = Fields(&[("holder", &Plain), ("state", &Plain)]);
static COROUTINE: Shape = Fields(&[
    ("program", &Plain),
    ("role", &Plain),
    ("priority", &Plain),
    ("status", &STATUS),
    ("pc", &Plain),
    ("registers", &List("register", &Plain)),
]);
static STATUS: Shape = Alternatives(&[
    ("Ready", &[]),
    ("Blocked", &[("on", &ON)]),
    ("Halted", &[]),
    ("Faulted", &[]),
]);
static EDGE: Shape = Fields(&[("sent", &Plain), ("queue", &List("parcel", &PARCEL))]);
static PARCEL: Shape = Fields(&[("payload", &Plain), ("sequence", &Plain), ("label", &Plain)]);
static EFFECT: Shape = Fields(&[
    ("number", &Plain),
    ("deadline", &Plain),
    ("operation", &Plain),
    ("coroutine", &Plain),
    ("attempt", &Plain),
]);
static WITNESS: Shape = Fields(&[
    ("number", &Plain),
    ("expires", &Plain),
    ("effect", &Plain),
    ("kind", &Names(&["Check", "Timeout"])),
]);
