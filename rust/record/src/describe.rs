//! Values, instructions, requests, events and entries as one line of text, with the image's names
//! where there is one.

use std::fmt::Write;

use antiphon_machine::{
    Class, EdgeId, Event, Ingress, Instruction, LabelId, Message, ObsEvent, OperationId, Outcome,
    Pick, ProtocolMachineKernel, RoleId, SessionId, Value, VerifiedImage,
};

use crate::entry::{Checkpoint, Entry, Request};

/// Characters of a text, bytes of a byte string, and elements of a list that are shown of it.
const PREVIEW_LEN: usize = 24;

/// The image of a session, if the kernel has the session.
pub fn image_of(kernel: &ProtocolMachineKernel, session: SessionId) -> Option<&VerifiedImage> {
    let session = kernel.session(session)?;
    Some(kernel.image(session).as_ref())
}

/// A value, shortened.
pub fn value(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(out: &mut String, value: &Value) {
    match value {
        Value::Unit => out.push_str("()"),
        Value::Bool(b) => push(out, format_args!("{b}")),
        Value::Nat(n) => push(out, format_args!("{n}")),
        Value::Int(i) => push(out, format_args!("{i:+}")),
        Value::Text(text) => write_text(out, text),
        Value::Bytes(bytes) => {
            out.push_str("h'");
            for byte in bytes.iter().take(PREVIEW_LEN) {
                push(out, format_args!("{byte:02x}"));
            }
            out.push('\'');
            if bytes.len() > PREVIEW_LEN {
                push(out, format_args!("… ({} bytes)", bytes.len()));
            }
        }
        Value::List(items) => write_items(out, '[', items, ']'),
        Value::Record(items) => write_items(out, '{', items, '}'),
        Value::Endpoint(role) => push(out, format_args!("endpoint {role}")),
        Value::Evidence(number) => push(out, format_args!("evidence {number}")),
    }
}

fn write_text(out: &mut String, text: &str) {
    let end = text.char_indices().nth(PREVIEW_LEN).map(|(at, _)| at);
    // The debug form escapes what would move a terminal's cursor.
    push(
        out,
        format_args!("{:?}", &text[..end.unwrap_or(text.len())]),
    );
    if end.is_some() {
        push(out, format_args!("… ({} bytes)", text.len()));
    }
}

fn write_items(out: &mut String, open: char, items: &[Value], close: char) {
    out.push(open);
    for (n, item) in items.iter().take(PREVIEW_LEN).enumerate() {
        if n > 0 {
            out.push_str(", ");
        }
        // What is long gets cut rather than walked: a line is a line.
        if out.len() > 16 * PREVIEW_LEN {
            out.push('…');
            break;
        }
        write_value(out, item);
    }
    if items.len() > PREVIEW_LEN {
        push(out, format_args!(", … ({} items)", items.len()));
    }
    out.push(close);
}

/// Writing into a `String` cannot fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// A role's name, or its number.
pub fn role(image: Option<&VerifiedImage>, id: RoleId) -> String {
    match image.and_then(|i| i.image().roles.get(id.index())) {
        Some(role) => role.name.clone(),
        None => format!("role {id}"),
    }
}

/// A label's name, or its number.
pub fn label(image: Option<&VerifiedImage>, id: LabelId) -> String {
    match image.and_then(|i| i.image().labels.get(id.index())) {
        Some(name) => name.clone(),
        None => format!("label {id}"),
    }
}

/// An operation: `interface.name`, and for those of the host what they are about.
pub fn operation(image: Option<&VerifiedImage>, id: OperationId) -> String {
    let Some((image, row)) = image.and_then(|i| Some((i, i.image().operations.get(id.index())?)))
    else {
        return format!("operation {id}");
    };
    let interface = image.image().interfaces.get(usize::from(row.interface));
    let mut text = interface.map_or_else(String::new, |i| format!("{}.", i.name));
    text.push_str(&row.name);
    let image = Some(image);
    match &row.class {
        Class::Produce { label: l, peer } => {
            push(
                &mut text,
                format_args!(" {} to {}", label(image, *l), role(image, *peer)),
            );
        }
        Class::Decide { labels, peer } => {
            let names: Vec<_> = labels.iter().map(|l| label(image, *l)).collect();
            let (names, peer) = (names.join("|"), role(image, *peer));
            push(&mut text, format_args!(" {names} to {peer}"));
        }
        Class::Deliver { label: l, peer } => {
            push(
                &mut text,
                format_args!(" {} from {}", label(image, *l), role(image, *peer)),
            );
        }
        Class::Command | Class::Observe | Class::Check => {}
    }
    text
}

/// An instruction with its operands.
pub fn instruction(image: &VerifiedImage, instruction: &Instruction) -> String {
    let image = Some(image);
    let name = |l: &LabelId| label(image, *l);
    match instruction {
        Instruction::Send { chan, label, val } => format!("send r{chan} {} r{val}", name(label)),
        Instruction::Receive { chan, label, dst } => {
            format!("r{dst} := receive r{chan} {}", name(label))
        }
        Instruction::Offer {
            chan,
            selector,
            arms,
        } => {
            let arms = arms.iter();
            let arms: Vec<_> = arms
                .map(|a| format!("{} r{} -> {}", name(&a.label), a.val, a.target))
                .collect();
            format!("offer r{chan} by r{selector} {{ {} }}", arms.join(", "))
        }
        Instruction::Choose { chan, dst, table } => {
            let rows = table.iter();
            let rows: Vec<_> = rows.map(|(l, pc)| format!("{} -> {pc}", name(l))).collect();
            format!("r{dst} := choose r{chan} {{ {} }}", rows.join(", "))
        }
        Instruction::Invoke {
            operation: id,
            args,
            dst,
            on_failure,
        } => {
            let (name, args) = (operation(image, *id), registers(args));
            let failure = on_failure.map_or_else(String::new, |pc| format!(", on failure -> {pc}"));
            format!("r{dst} := invoke {name} ({args}){failure}")
        }
        Instruction::Check {
            operation: id,
            args,
            dst,
            witness,
            on_failure,
        } => {
            let (name, args) = (operation(image, *id), registers(args));
            let failure = on_failure.map_or_else(String::new, |pc| format!(", on failure -> {pc}"));
            format!("r{dst}, r{witness} := check {name} ({args}){failure}")
        }
        Instruction::Spawn { program, args, dst } => {
            format!("r{dst} := spawn program {program} ({})", registers(args))
        }
        Instruction::Set { dst, value: v } => format!("r{dst} := {}", value(v)),
        Instruction::Move { dst, src } => format!("r{dst} := r{src}"),
        Instruction::Jump { target } => format!("jump -> {target}"),
        Instruction::Branch { cond, table } => {
            let rows = table.iter();
            let rows: Vec<_> = rows.map(|(n, pc)| format!("{n} -> {pc}")).collect();
            format!("branch r{cond} {{ {} }}", rows.join(", "))
        }
        Instruction::Yield => "yield".to_owned(),
        Instruction::Close => "close".to_owned(),
        Instruction::Halt => "halt".to_owned(),
    }
}

fn registers(registers: &[antiphon_machine::Reg]) -> String {
    let names: Vec<_> = registers.iter().map(|r| format!("r{r}")).collect();
    names.join(", ")
}

/// A request: who asks what, with which arguments.
pub fn request(image: Option<&VerifiedImage>, request: &Request) -> String {
    let who = match request.role {
        Some(id) => role(image, id),
        None => "a spawned coroutine".to_owned(),
    };
    let args: Vec<_> = request.args.iter().map(value).collect();
    let name = operation(image, request.operation);
    let mut text = format!("{} {who} asks {name} ({})", request.effect, args.join(", "));
    if request.attempt > 0 {
        push(&mut text, format_args!(", attempt {}", request.attempt));
    }
    if let Some(deadline) = request.deadline {
        push(&mut text, format_args!(", until {deadline}"));
    }
    text
}

/// An outcome.
pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Success(v) => value(v),
        Outcome::Failure(f) if f.detail.is_empty() => format!("failed: {}", f.kind),
        Outcome::Failure(f) => {
            let mut text = format!("failed: {}, ", f.kind);
            write_text(&mut text, &f.detail);
            text
        }
    }
}

/// An input.
pub fn input(input: &Ingress) -> String {
    match input {
        Ingress::Open { image, owner } => {
            let mut text = format!("open a session of {} for ", digest(image));
            write_text(&mut text, owner);
            text
        }
        Ingress::Outcome { effect, outcome: o } => format!("{effect} answered: {}", outcome(o)),
        Ingress::AdvanceClock { ticks } => format!("{ticks} ticks pass"),
        Ingress::Cancel { session, owner } => {
            let mut text = format!("session {session} called off by ");
            write_text(&mut text, owner);
            text
        }
    }
}

/// The first bytes of a digest.
pub fn digest(digest: &[u8; 32]) -> String {
    let mut text = String::new();
    for byte in &digest[..6] {
        push(&mut text, format_args!("{byte:02x}"));
    }
    text.push('…');
    text
}

/// An entry of a recording. `image` is that of the entry's session, where it is about one.
pub fn entry(image: Option<&VerifiedImage>, entry: &Entry) -> String {
    match entry {
        Entry::Header(header) => format!("recorded by {}", header.tool),
        Entry::Image(bytes) => format!(
            "image {} ({} bytes)",
            digest(blake3::hash(bytes).as_bytes()),
            bytes.len()
        ),
        Entry::Request(r) => request(image, r),
        Entry::Answer(o) => format!("answered: {}", outcome(o)),
        Entry::Input { input: i, .. } => input(i),
        Entry::Refused(refusal) => format!("refused: {refusal}"),
        Entry::Checkpoint(point) => checkpoint(point),
        Entry::Wave { picks, .. } => wave(picks),
        Entry::End(end) => format!("end, {}: {}", end.stop, checkpoint(&end.last)),
    }
}

/// The picks of a wave: how many, and the first of them.
fn wave(picks: &[(Pick, u32)]) -> String {
    const SHOWN: usize = 4;
    let shown = picks.iter().take(SHOWN).map(|(pick, quantum)| {
        let Pick { session, coroutine } = pick;
        format!("session {session} from coroutine {coroutine} (at most {quantum})")
    });
    let mut text = format!(
        "wave of {}: {}",
        picks.len(),
        shown.collect::<Vec<_>>().join(", ")
    );
    if let Some(more) = picks.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        push(&mut text, format_args!(", and {more} more"));
    }
    text
}

fn checkpoint(point: &Checkpoint) -> String {
    let or_none = |d: &Option<[u8; 32]>| d.as_ref().map_or_else(|| "-".to_owned(), digest);
    let (state, trace) = (or_none(&point.state), or_none(&point.trace));
    let Checkpoint { step, clock, .. } = point;
    format!("step {step}, clock {clock}, state {state}, trace {trace}")
}

/// An event, without its stamp.
pub fn event(image: Option<&VerifiedImage>, event: &ObsEvent) -> String {
    let message = |verb: &str, m: &Message| {
        let (from, to) = edge(image, m.edge);
        let (l, payload) = (label(image, m.label), value(&m.payload));
        format!("{verb} {from} -> {to} #{}: {l} {payload}", m.sequence)
    };
    match &event.event {
        Event::Opened { owner, .. } => format!("opened for {owner:?}"),
        Event::Sent(m) => message("sent", m),
        Event::Offered(m) => message("offered", m),
        Event::Received(m) => message("received", m),
        Event::Chose(m) => message("chose", m),
        Event::EffectIssued {
            number,
            coroutine,
            operation: id,
            ..
        } => {
            let name = operation(image, *id);
            format!("effect {number} of coroutine {coroutine}: {name}")
        }
        Event::EffectResolved { number, result } => {
            format!("effect {number} resolved: {}", value(result))
        }
        Event::EffectFailed { number, failure } => {
            format!(
                "effect {number} {}",
                outcome(&Outcome::Failure(failure.clone()))
            )
        }
        Event::EffectInvalidated { number } => format!("effect {number} invalidated"),
        Event::WitnessIssued { witness, number } => {
            format!("witness {witness} issued for effect {number}")
        }
        Event::WitnessExpired { witness } => format!("witness {witness} expired"),
        Event::TimeoutIssued { number, witness } => {
            format!("effect {number} timed out, witness {witness}")
        }
        Event::CancellationRequested { witness } => {
            format!("cancellation requested, witness {witness}")
        }
        Event::Cancelled { witness } => format!("cancelled, witness {witness}"),
        Event::FailureBranchEntered { coroutine, cause } => {
            format!("coroutine {coroutine} failed: {cause}")
        }
        Event::Spawned { coroutine, program } => {
            format!("coroutine {coroutine} started with program {program}")
        }
        Event::Halted { coroutine } => format!("coroutine {coroutine} halted"),
        Event::Faulted { coroutine, fault } => format!("coroutine {coroutine} faulted: {fault}"),
        Event::Closed => "closed".to_owned(),
        Event::SessionTerminal { end } => format!("session ended: {}", end.name()),
        Event::EpochAdvanced { epoch } => format!("epoch {epoch}"),
    }
}

fn edge(image: Option<&VerifiedImage>, id: EdgeId) -> (String, String) {
    match image.and_then(|i| i.edges().get(id.index())) {
        Some((from, to)) => (role(image, *from), role(image, *to)),
        None => (format!("edge {id}"), "?".to_owned()),
    }
}
