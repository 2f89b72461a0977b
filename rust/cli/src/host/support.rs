//! Checks whether `exec` can play the host's roles of a protocol, before anything is run.
//!
//! `exec` can send one command line, standard input and signals. A host role that is asked for
//! anything else would wait forever. Also, everything that the command line asks for needs a field
//! in the protocol's record: a deadline that is not sent to the guest has no effect.

use std::collections::BTreeSet;

use antiphon_machine::{
    Class, CodeImage, LabelId, RoleId, Sort, SortId, State, StateId, VerifiedImage,
};

use crate::fields::payload;
use crate::filter;

use super::messages::{
    CANCEL, DATA, DETACH, EOF, EXEC, InputCapacity, Job, OUTPUT, RESPONSE, SIGNAL, has_payload,
    request_fields,
};

/// Why `exec` cannot run a protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnsupportedProtocol {
    #[error(
        "no role of `{protocol}` is named {}, so no role is bound to the guest",
        either(roles)
    )]
    NoGuest {
        protocol: String,
        roles: &'static [&'static str],
    },
    #[error(
        "no role of the host sends `{EXEC}` to the guest in `{protocol}`: the command would not be \
         run"
    )]
    NoCommand { protocol: String },
    #[error(
        "`{protocol}` sends `{EXEC}` more than once, and there is one command line: it would be \
         run again"
    )]
    SecondCommand { protocol: String },
    #[error(
        "{role} sends `{label}` to {peer}, and `exec` has no payload for that: it sends `{EXEC}`, \
         `{DATA}` and `{SIGNAL}`"
    )]
    NoPayload {
        role: String,
        label: String,
        peer: String,
    },
    #[error(
        "{role} chooses among {labels}, and `exec` would never choose any of them by itself: it \
         chooses `{EXEC}`, `{DATA}`, `{EOF}` and `{DETACH}`, and `{SIGNAL}` and `{CANCEL}` after a \
         signal to this process"
    )]
    NoChoice { role: String, labels: String },
    #[error(
        "{roles} receive `{OUTPUT}`, and each piece would be written once for each of them: let \
         one role of the host receive it"
    )]
    TwoOutputs { roles: String },
    #[error(
        "{option} has no effect under `{protocol}`: the record of its `{EXEC}` has no field \
         `{field}`; add the field{}",
        hint(option)
    )]
    NoField {
        protocol: String,
        option: &'static str,
        field: &'static str,
    },
    #[error(
        "`--kill-after` has no effect under `{protocol}`: it has no message `{SIGNAL}`, so the \
         first signal cancels the command; add the message, or leave the option out"
    )]
    NoSignal { protocol: String },
    #[error(
        "standard input cannot reach the command under `{protocol}`: no role of the host sends \
         `{label}`; `-n` runs it without input"
    )]
    NoInput {
        protocol: String,
        label: &'static str,
    },
    #[error(
        "`{protocol}` does not report {what}: the record of its `{RESPONSE}` has no field \
         `{field}`; add the field"
    )]
    NoResult {
        protocol: String,
        what: &'static str,
        field: &'static str,
    },
    #[error("{role} sends `{label}` to {peer}, but no host can send that on the guest link")]
    NoMessage {
        role: String,
        label: String,
        peer: String,
    },
    #[error(
        "{role} waits for the end of the command in its choice among {labels}, and receives that \
         end only after it: let another role of the host make the choice, as in the shipped \
         protocol"
    )]
    NeverEnds { role: String, labels: String },
    #[error("the payload of `{EXEC}` in `{protocol}` cannot be made from the command line: {why}")]
    Spec { protocol: String, why: String },
}

fn either(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" or ")
}

fn hint(option: &str) -> &'static str {
    match option {
        STDIN => ", or use `-n` to run without input",
        _ => "",
    }
}

/// Names standard input where messages name an option.
const STDIN: &str = "standard input";

/// A request that the program of a role makes to its host.
#[derive(Debug)]
struct HostRequest<'i> {
    role: RoleId,
    class: &'i Class,
    /// The sort of the delivered payload.
    arg: Option<SortId>,
    result: SortId,
}

/// Checks that the protocol runs the command once and carries everything that the command line asks
/// for. Returns how much standard input it carries; `has_input` is called only if it carries none.
pub(super) fn check(
    image: &VerifiedImage,
    guest_roles: &'static [&'static str],
    job: &Job,
    has_input: impl FnOnce() -> bool,
) -> Result<InputCapacity, UnsupportedProtocol> {
    let code = image.image();
    let protocol = || filter::line(&code.name);
    let is_guest = |role: RoleId| guest_roles.contains(&image.role_name(role));
    let roles = || (0..code.roles.len()).filter_map(|n| u16::try_from(n).ok().map(RoleId));
    if !roles().any(is_guest) {
        let (protocol, roles) = (protocol(), guest_roles);
        return Err(UnsupportedProtocol::NoGuest { protocol, roles });
    }
    let requests: Vec<HostRequest<'_>> = roles()
        .filter(|role| !is_guest(*role))
        .flat_map(|role| host_requests(code, role))
        .collect();
    for request in &requests {
        check_answerable(image, request)?;
    }
    check_single_output(image, &requests)?;
    let spec = requests.iter().find_map(|request| match request.class {
        Class::Produce { label, peer } => {
            let is_command = image.label_name(*label) == EXEC && is_guest(*peer);
            is_command.then_some(request.result)
        }
        Class::Decide { .. }
        | Class::Deliver { .. }
        | Class::Command
        | Class::Observe
        | Class::Check => None,
    });
    let protocol_name = protocol();
    let Some(sort) = spec else {
        return Err(UnsupportedProtocol::NoCommand {
            protocol: protocol_name,
        });
    };
    let commands = roles().filter(|role| !is_guest(*role));
    if commands
        .map(|role| command_count(image, role))
        .sum::<usize>()
        > 1
    {
        return Err(UnsupportedProtocol::SecondCommand {
            protocol: protocol_name,
        });
    }
    let hosts: Vec<RoleId> = roles().filter(|role| !is_guest(*role)).collect();
    for role in &hosts {
        check_sent_messages(image, *role, &is_guest)?;
        check_end_is_received(image, *role, &hosts, &is_guest)?;
    }
    let is_sent = |label| {
        hosts
            .iter()
            .any(|role| sends(image, *role, label, &is_guest))
    };
    let missing = [DATA, EOF].into_iter().find(|label| !is_sent(label));
    let has_field = check_request_fields(code, sort, job, missing.is_none(), &protocol_name)?;
    check_result_fields(code, job, &requests, image)?;
    let protocol = protocol_name;
    match (missing, has_field) {
        (None, true) if hosts.iter().any(|role| repeats_input(image, *role)) => {
            Ok(InputCapacity::Unlimited)
        }
        (None, true) => Ok(InputCapacity::Bounded),
        _ if !job.reads_input || !has_input() => Ok(InputCapacity::None),
        (Some(label), _) => Err(UnsupportedProtocol::NoInput { protocol, label }),
        (None, false) => Err(UnsupportedProtocol::NoField {
            protocol,
            option: STDIN,
            field: "stdin",
        }),
    }
}

/// Checks that every message that a role has to send to the guest exists on the guest link.
fn check_sent_messages(
    image: &VerifiedImage,
    role: RoleId,
    is_guest: &impl Fn(RoleId) -> bool,
) -> Result<(), UnsupportedProtocol> {
    for state in states(image, role) {
        let State::Send { to, branches } = state else {
            continue;
        };
        let [only] = &branches[..] else { continue };
        let label = image.label_name(only.label);
        if is_guest(*to) && ![EXEC, DATA, EOF, SIGNAL, CANCEL, DETACH].contains(&label) {
            return Err(UnsupportedProtocol::NoMessage {
                role: filter::line(image.role_name(role)),
                label: filter::line(label),
                peer: filter::line(image.role_name(*to)),
            });
        }
    }
    Ok(())
}

/// Checks that no role makes a choice wait for the end of the command if it receives that end only
/// after the choice.
fn check_end_is_received(
    image: &VerifiedImage,
    role: RoleId,
    hosts: &[RoleId],
    is_guest: &impl Fn(RoleId) -> bool,
) -> Result<(), UnsupportedProtocol> {
    let is_end = |label: LabelId| image.label_name(label) == RESPONSE;
    let receives_end = |state: &State| match state {
        State::Recv { from, branches } => {
            is_guest(*from) && branches.iter().any(|branch| is_end(branch.label))
        }
        State::Send { .. } | State::End => false,
    };
    let others = hosts.iter().filter(|other| **other != role);
    if others
        .clone()
        .any(|other| states(image, *other).iter().any(receives_end))
    {
        return Ok(());
    }
    let all = states(image, role);
    for state in all {
        let State::Send { branches, .. } = state else {
            continue;
        };
        let names: Vec<&str> = branches.iter().map(|b| image.label_name(b.label)).collect();
        let waits = names.contains(&DETACH) && ![EXEC, DATA, EOF].iter().any(|n| names.contains(n));
        let after = branches
            .iter()
            .flat_map(|branch| reachable(all, branch.next));
        if waits
            && after
                .into_iter()
                .any(|state| all.get(state).is_some_and(receives_end))
        {
            return Err(UnsupportedProtocol::NeverEnds {
                role: filter::line(image.role_name(role)),
                labels: quoted(&names),
            });
        }
    }
    Ok(())
}

/// Checks that the response has the fields that `exec` needs.
fn check_result_fields(
    code: &CodeImage,
    job: &Job,
    requests: &[HostRequest<'_>],
    image: &VerifiedImage,
) -> Result<(), UnsupportedProtocol> {
    for request in requests {
        let Class::Deliver { label, .. } = request.class else {
            continue;
        };
        let sort = request.arg.and_then(|sort| code.sorts.get(sort.index()));
        let (true, Some(Sort::Record { fields, .. })) =
            (image.label_name(*label) == RESPONSE, sort)
        else {
            continue;
        };
        let wanted = [
            ("the exit code", "exit_code", true),
            (
                "whether `--deadline` has passed",
                "timed_out",
                job.deadline_ms.is_some(),
            ),
        ];
        for (what, field, is_wanted) in wanted {
            if is_wanted && !fields.iter().any(|(name, _)| name == field) {
                return Err(UnsupportedProtocol::NoResult {
                    protocol: filter::line(&code.name),
                    what,
                    field,
                });
            }
        }
    }
    Ok(())
}

/// Whether a role sends that label to the guest in any state.
fn sends(
    image: &VerifiedImage,
    role: RoleId,
    wanted: &str,
    is_guest: &impl Fn(RoleId) -> bool,
) -> bool {
    states(image, role).iter().any(|state| match state {
        State::Send { to, branches } => {
            is_guest(*to) && branches.iter().any(|b| image.label_name(b.label) == wanted)
        }
        State::Recv { .. } | State::End => false,
    })
}

/// Whether a role may send input any number of times.
fn repeats_input(image: &VerifiedImage, role: RoleId) -> bool {
    let all = states(image, role);
    all.iter().enumerate().any(|(n, state)| match state {
        State::Send { branches, .. } => branches.iter().any(|branch| {
            image.label_name(branch.label) == DATA && reachable(all, branch.next).contains(&n)
        }),
        State::Recv { .. } | State::End => false,
    })
}

fn quoted(names: &[&str]) -> String {
    let names = names.iter().map(|name| format!("`{}`", filter::line(name)));
    names.collect::<Vec<_>>().join(", ")
}

/// Checks that the request has a field for everything that was asked for. Returns whether it
/// carries input.
fn check_request_fields(
    code: &CodeImage,
    sort: SortId,
    job: &Job,
    sends_input: bool,
    protocol: &str,
) -> Result<bool, UnsupportedProtocol> {
    let has = |wanted: &str| match code.sorts.get(sort.index()) {
        Some(Sort::Record { fields, .. }) => fields.iter().any(|(name, _)| name == wanted),
        // A payload that is not a record carries only the one required field.
        _ => wanted == "cmd",
    };
    let wanted = [
        ("the command", "cmd", true),
        ("an argument", "argv", job.command.len() > 1),
        ("`--env`", "env", !job.env.is_empty()),
        ("`--cwd`", "cwd", job.cwd.is_some()),
        ("`--deadline`", "deadline_ms", job.deadline_ms.is_some()),
    ];
    for (option, field, is_wanted) in wanted {
        if is_wanted && !has(field) {
            return Err(UnsupportedProtocol::NoField {
                protocol: protocol.to_owned(),
                option,
                field,
            });
        }
    }
    let takes_input = has("stdin") && sends_input;
    let made = payload(request_fields(job, takes_input), sort, code);
    made.map(|_| takes_input)
        .map_err(|why| UnsupportedProtocol::Spec {
            protocol: protocol.to_owned(),
            why,
        })
}

/// Returns the requests of a role's program to its host.
fn host_requests(code: &CodeImage, role: RoleId) -> impl Iterator<Item = HostRequest<'_>> {
    let program = code.programs.get(role.index());
    let instructions = program.map_or(&[][..], |program| &program.code);
    let operations = instructions
        .iter()
        .filter_map(|instruction| instruction.operation())
        .filter_map(|operation| code.operations.get(operation.index()));
    operations.map(move |operation| HostRequest {
        role,
        class: &operation.class,
        arg: operation.args.first().copied(),
        result: operation.result,
    })
}

/// Returns the names of the labels in a request.
fn names<'i>(image: &'i VerifiedImage, request: &HostRequest<'i>) -> Vec<&'i str> {
    match request.class {
        Class::Produce { label, .. } => vec![image.label_name(*label)],
        Class::Decide { labels, .. } => labels.iter().map(|l| image.label_name(*l)).collect(),
        Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => Vec::new(),
    }
}

/// Checks that `exec` can answer a request at some time.
fn check_answerable(
    image: &VerifiedImage,
    request: &HostRequest<'_>,
) -> Result<(), UnsupportedProtocol> {
    let role = || filter::line(image.role_name(request.role));
    let names = names(image, request);
    // A message that is never chosen needs no payload.
    let is_sent = |label: LabelId| {
        let name = image.label_name(label);
        [EXEC, DATA, EOF, SIGNAL, CANCEL, DETACH].contains(&name)
            || is_sent_without_choice(image, request.role, label)
    };
    match request.class {
        Class::Produce { label, peer }
            if is_sent(*label) && !has_payload(image, *label, request.result) =>
        {
            Err(UnsupportedProtocol::NoPayload {
                role: role(),
                label: filter::line(image.label_name(*label)),
                peer: filter::line(image.role_name(*peer)),
            })
        }
        Class::Decide { .. } if !names.iter().any(|n| [EXEC, DATA, EOF, DETACH].contains(n)) => {
            Err(UnsupportedProtocol::NoChoice {
                role: role(),
                labels: quoted(&names),
            })
        }
        Class::Produce { .. }
        | Class::Decide { .. }
        | Class::Deliver { .. }
        | Class::Command
        | Class::Observe
        | Class::Check => Ok(()),
    }
}

/// Checks that at most one role of the host receives the command's output.
fn check_single_output(
    image: &VerifiedImage,
    requests: &[HostRequest<'_>],
) -> Result<(), UnsupportedProtocol> {
    let receives = |request: &&HostRequest<'_>| match request.class {
        Class::Deliver { label, .. } => image.label_name(*label) == OUTPUT,
        Class::Produce { .. }
        | Class::Decide { .. }
        | Class::Command
        | Class::Observe
        | Class::Check => false,
    };
    let roles: BTreeSet<RoleId> = requests.iter().filter(receives).map(|q| q.role).collect();
    if roles.len() < 2 {
        return Ok(());
    }
    let names = roles
        .iter()
        .map(|role| filter::line(image.role_name(*role)));
    Err(UnsupportedProtocol::TwoOutputs {
        roles: names.collect::<Vec<_>>().join(" and "),
    })
}

/// Whether a role sends a label in a state that has no other label.
fn is_sent_without_choice(image: &VerifiedImage, role: RoleId, label: LabelId) -> bool {
    states(image, role).iter().any(|state| match state {
        State::Send { branches, .. } => {
            matches!(&branches[..], [only] if only.label == label)
        }
        State::Recv { .. } | State::End => false,
    })
}

fn states(image: &VerifiedImage, role: RoleId) -> &[State] {
    let role = image.image().roles.get(role.index());
    role.map_or(&[][..], |role| &role.automaton.states)
}

/// Returns how many requests a role may send in one session: 0, 1, or 2 for more.
fn command_count(image: &VerifiedImage, role: RoleId) -> usize {
    let states = states(image, role);
    let is_command = |label: LabelId| image.label_name(label) == EXEC;
    let sends = |state: &State| match state {
        State::Send { branches, .. } => branches
            .iter()
            .filter(|branch| is_command(branch.label))
            .map(|branch| branch.next)
            .collect::<Vec<StateId>>(),
        State::Recv { .. } | State::End => Vec::new(),
    };
    let after: Vec<StateId> = states.iter().flat_map(sends).collect();
    let is_again = after.iter().any(|state| {
        let reached = reachable(states, *state);
        reached
            .iter()
            .any(|state| states.get(*state).is_some_and(|s| !sends(s).is_empty()))
    });
    after.len().min(1) + usize::from(is_again)
}

/// Returns the states that are reachable from a state, itself included.
fn reachable(states: &[State], from: StateId) -> BTreeSet<usize> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![from]);
    while let Some(state) = open.pop() {
        if !reached.insert(state.index()) {
            continue;
        }
        match states.get(state.index()) {
            Some(State::Send { branches, .. } | State::Recv { branches, .. }) => {
                open.extend(branches.iter().map(|branch| branch.next));
            }
            Some(State::End) | None => {}
        }
    }
    reached
}
