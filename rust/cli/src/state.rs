//! The state of a session: as text, and as JSON.

use antiphon_machine::text::show;
use antiphon_machine::{On, Phase, ProtocolMachineKernel, Session, Status, VerifiedImage};
use antiphon_record::{RegisterSorts, describe};

use crate::filter;
use crate::json;
use crate::output::{NAME, Output};

/// The width of a value, in characters.
const SHOWN: usize = 60;

/// Returns a session's state as text.
pub(crate) fn text(kernel: &ProtocolMachineKernel, session: &Session, output: &Output) -> String {
    let image = kernel.image(session);
    let mut text = format!(
        "\nsession {} of {}, {}, at step {}, clock {}\n",
        session.id(),
        filter::line(&image.image().name),
        phase(session),
        kernel.step_index(),
        kernel.clock(),
    );
    for coroutine in session.coroutines() {
        let role = coroutine
            .role
            .map(|role| filter::line(image.role_name(role)));
        let role = role.unwrap_or_else(|| "spawned".to_owned());
        let state = coroutine
            .role
            .and_then(|role| session.endpoints().get(role.index()));
        let state = state.map_or(String::new(), |endpoint| {
            format!("state {}", endpoint.state)
        });
        let at = instruction(image, coroutine.program.index(), coroutine.pc.index());
        let status = status(coroutine.status, image);
        let role = output.paint(NAME, &format!("{role:<12}"));
        text.push_str(&format!("  {role} {state:<10} {status:<28} {at}\n"));
        let sorts = RegisterSorts::of(image, coroutine.program);
        for (n, value) in coroutine.registers.iter().enumerate() {
            let shown = show(value, sorts.sort(n, value), image.image(), SHOWN);
            text.push_str(&format!("    r{n:<3} {shown}\n"));
        }
    }
    for ((from, to), edge) in image.edges().iter().zip(session.edges()) {
        for parcel in edge.queue.iter() {
            let sort = describe::payload_sort(image, (*from, *to), parcel.label, &parcel.payload);
            let (from, to) = (image.role_name(*from), image.role_name(*to));
            let payload = show(&parcel.payload, sort, image.image(), SHOWN);
            let label = image.label_name(parcel.label);
            let line = format!("{from} → {to} #{}: {label}", parcel.sequence);
            text.push_str(&format!(
                "  in flight    {} {payload}\n",
                filter::line(&line)
            ));
        }
    }
    text
}

/// Returns a session's state as JSON.
pub(crate) fn document(kernel: &ProtocolMachineKernel, session: &Session) -> serde_json::Value {
    let image = kernel.image(session);
    let code = Some(image.image());
    let coroutines = session.coroutines().iter().map(|coroutine| {
        let sorts = RegisterSorts::of(image, coroutine.program);
        let registers = coroutine.registers.iter().enumerate();
        let registers = registers.map(|(n, value)| json::value(value, sorts.sort(n, value), code));
        let state = coroutine
            .role
            .and_then(|role| session.endpoints().get(role.index()));
        serde_json::json!({
            "role": coroutine.role.map(|role| image.role_name(role)),
            "state": state.map(|endpoint| endpoint.state.0),
            "status": status(coroutine.status, image),
            "pc": coroutine.pc.0,
            "instruction": instruction(image, coroutine.program.index(), coroutine.pc.index()),
            "registers": registers.collect::<Vec<_>>(),
        })
    });
    let edges = image
        .edges()
        .iter()
        .zip(session.edges())
        .map(|((from, to), edge)| {
            let queue = edge.queue.iter().map(|parcel| {
                let (label, payload) = (parcel.label, &parcel.payload);
                let sort = describe::payload_sort(image, (*from, *to), label, payload);
                serde_json::json!({
                    "label": image.label_name(label),
                    "number": parcel.sequence,
                    "payload": json::value(payload, sort, code),
                })
            });
            serde_json::json!({
                "from": image.role_name(*from), "to": image.role_name(*to), "sent": edge.sent,
                "queue": queue.collect::<Vec<_>>(),
            })
        });
    serde_json::json!({
        "session": session.id().0, "phase": phase(session),
        "coroutines": coroutines.collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>(),
    })
}

fn phase(session: &Session) -> &'static str {
    match session.phase() {
        Phase::Active => "active",
        Phase::Terminal(end) => end.name(),
    }
}

/// Describes a coroutine's status.
pub(crate) fn status(status: Status, image: &VerifiedImage) -> String {
    let edge = |id: antiphon_machine::EdgeId| match image.edges().get(id.index()) {
        Some((from, to)) => filter::line(&format!(
            "{} → {}",
            image.role_name(*from),
            image.role_name(*to)
        )),
        None => format!("edge {id}"),
    };
    match status {
        Status::Ready => "ready".to_owned(),
        Status::Halted => "done".to_owned(),
        Status::Faulted => "faulted".to_owned(),
        Status::Blocked(On::Empty(id)) => format!("waits for {}", edge(id)),
        Status::Blocked(On::Full(id)) => format!("waits for room in {}", edge(id)),
        Status::Blocked(On::Effect(number)) => format!("waits for effect {number}"),
    }
}

fn instruction(image: &VerifiedImage, program: usize, pc: usize) -> String {
    let program = image.image().programs.get(program);
    let instruction = program.and_then(|program| program.code.get(pc));
    let text = instruction
        .map(|code| describe::instruction(image, code))
        .unwrap_or_default();
    filter::line(&format!("{pc}: {text}"))
}
