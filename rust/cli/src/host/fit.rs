//! Whether `exec` can play the host's roles of a protocol, found out before anything is run.
//!
//! `exec` has one command line, standard input, signals and their like; a role of the host that would be asked for
//! anything else could never go on. And what the command line asks for must have a place in the protocol's record: a
//! deadline that the guest is never sent is a deadline that does not hold.

use std::collections::BTreeSet;

use antiphon_machine::{
    Class, CodeImage, Instruction, LabelId, OperationId, RoleId, Sort, SortId, State, StateId,
    VerifiedImage,
};

use super::{CANCEL, DATA, DETACH, EOF, EXEC, Job, SIGNAL};
use crate::fields::payload;
use crate::filter;

/// Why `exec` cannot run a protocol.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    #[error(
        "no role of `{protocol}` is named {}: nothing would be the guest's",
        either(roles)
    )]
    NoGuest {
        protocol: String,
        roles: &'static [&'static str],
    },
    #[error(
        "no role of the host sends `{EXEC}` to the guest in `{protocol}`: the command would not be run"
    )]
    NoCommand { protocol: String },
    #[error(
        "`{protocol}` sends `{EXEC}` more than once, and there is one command line: it would be run again"
    )]
    SecondCommand { protocol: String },
    #[error(
        "{role} sends `{label}` to {peer}, and `exec` has no payload for that: it sends `{EXEC}`, `{DATA}` and `{SIGNAL}`"
    )]
    NoPayload {
        role: String,
        label: String,
        peer: String,
    },
    #[error(
        "{role} chooses among {labels}, and `exec` would never choose any of them by itself: it chooses `{EXEC}`, \
         `{DATA}`, `{EOF}` and `{DETACH}`, and `{SIGNAL}` and `{CANCEL}` when it is told to"
    )]
    NoChoice { role: String, labels: String },
    #[error(
        "{option} has no effect under `{protocol}`: the record of its `{EXEC}` has no field `{field}`; add the field{}",
        hint(option)
    )]
    NoField {
        protocol: String,
        option: &'static str,
        field: &'static str,
    },
    #[error(
        "standard input cannot reach the command under `{protocol}`: no role of the host sends `{DATA}`; `-n` runs it \
         without input"
    )]
    NoInput { protocol: String },
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

/// What is said of standard input where an option is named.
const STDIN: &str = "standard input";

/// How a role is asked for what it sends.
#[derive(Debug)]
struct Asked<'i> {
    role: RoleId,
    class: &'i Class,
    result: SortId,
}

/// Checks that the protocol runs the command, once, with all that is asked for it. Says whether the command's
/// standard input can be sent; `has_input` is called where it cannot.
pub(super) fn check(
    image: &VerifiedImage,
    guest_roles: &'static [&'static str],
    job: &Job,
    has_input: impl FnOnce() -> bool,
) -> Result<bool, Unfit> {
    let code = image.image();
    let protocol = || filter::line(&code.name);
    let is_guest = |role: RoleId| guest_roles.contains(&image.role_name(role));
    let roles = || (0..code.roles.len()).filter_map(|n| u16::try_from(n).ok().map(RoleId));
    if !roles().any(is_guest) {
        let (protocol, roles) = (protocol(), guest_roles);
        return Err(Unfit::NoGuest { protocol, roles });
    }
    let asked: Vec<Asked<'_>> = roles()
        .filter(|role| !is_guest(*role))
        .flat_map(|role| asked(code, role))
        .collect();
    for question in &asked {
        answerable(image, question)?;
    }
    let spec = asked.iter().find_map(|question| match question.class {
        Class::Produce { label, peer } => {
            let is_command = image.label_name(*label) == EXEC && is_guest(*peer);
            is_command.then_some(question.result)
        }
        Class::Decide { .. }
        | Class::Deliver { .. }
        | Class::Command
        | Class::Observe
        | Class::Check => None,
    });
    let protocol_name = protocol();
    let Some(sort) = spec else {
        return Err(Unfit::NoCommand {
            protocol: protocol_name,
        });
    };
    let commands = roles().filter(|role| !is_guest(*role));
    if commands
        .map(|role| command_count(image, role))
        .sum::<usize>()
        > 1
    {
        return Err(Unfit::SecondCommand {
            protocol: protocol_name,
        });
    }
    let sends_input = asked
        .iter()
        .any(|question| names(image, question).contains(&DATA));
    let takes_input = fields(code, sort, job, sends_input, &protocol_name)?;
    if job.reads_input && !takes_input && has_input() {
        let protocol = protocol_name;
        return Err(match sends_input {
            true => Unfit::NoField {
                protocol,
                option: STDIN,
                field: "stdin",
            },
            false => Unfit::NoInput { protocol },
        });
    }
    Ok(takes_input)
}

/// Checks that the record of the request has a field for each thing that was asked for. Says whether input can be sent.
fn fields(
    code: &CodeImage,
    sort: SortId,
    job: &Job,
    sends_input: bool,
    protocol: &str,
) -> Result<bool, Unfit> {
    let has = |wanted: &str| match code.sorts.get(sort.index()) {
        Some(Sort::Record { fields, .. }) => fields.iter().any(|(name, _)| name == wanted),
        // A payload that is not a record is the one key that the request requires.
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
            return Err(Unfit::NoField {
                protocol: protocol.to_owned(),
                option,
                field,
            });
        }
    }
    let takes_input = has("stdin") && sends_input;
    let made = payload(super::spec(job, takes_input), sort, code);
    made.map(|_| takes_input).map_err(|why| Unfit::Spec {
        protocol: protocol.to_owned(),
        why,
    })
}

/// What the host of a role is asked, once for each place in its program.
fn asked(code: &CodeImage, role: RoleId) -> impl Iterator<Item = Asked<'_>> {
    let program = code.programs.get(role.index());
    let instructions = program.map_or(&[][..], |program| &program.code);
    let operations = instructions
        .iter()
        .filter_map(|instruction| match instruction {
            Instruction::Invoke { operation, .. } => {
                code.operations.get(OperationId::index(*operation))
            }
            Instruction::Send { .. }
            | Instruction::Receive { .. }
            | Instruction::Offer { .. }
            | Instruction::Choose { .. }
            | Instruction::Check { .. }
            | Instruction::Spawn { .. }
            | Instruction::Set { .. }
            | Instruction::Move { .. }
            | Instruction::Jump { .. }
            | Instruction::Branch { .. }
            | Instruction::Yield
            | Instruction::Close
            | Instruction::Halt => None,
        });
    operations.map(move |operation| Asked {
        role,
        class: &operation.class,
        result: operation.result,
    })
}

/// The names of the labels that a question is about.
fn names<'i>(image: &'i VerifiedImage, question: &Asked<'i>) -> Vec<&'i str> {
    match question.class {
        Class::Produce { label, .. } => vec![image.label_name(*label)],
        Class::Decide { labels, .. } => labels.iter().map(|l| image.label_name(*l)).collect(),
        Class::Deliver { .. } | Class::Command | Class::Observe | Class::Check => Vec::new(),
    }
}

/// Checks that there is an answer to a question, now or at some time.
fn answerable(image: &VerifiedImage, question: &Asked<'_>) -> Result<(), Unfit> {
    let role = || filter::line(image.role_name(question.role));
    let names = names(image, question);
    // A message that is never chosen is never made.
    let is_sent = |label: LabelId| {
        let name = image.label_name(label);
        [EXEC, DATA, EOF, SIGNAL, CANCEL, DETACH].contains(&name)
            || is_sent_without_choice(image, question.role, label)
    };
    match question.class {
        Class::Produce { label, peer }
            if is_sent(*label) && !super::has_payload(image, *label, question.result) =>
        {
            Err(Unfit::NoPayload {
                role: role(),
                label: filter::line(image.label_name(*label)),
                peer: filter::line(image.role_name(*peer)),
            })
        }
        Class::Decide { .. } if !names.iter().any(|n| [EXEC, DATA, EOF, DETACH].contains(n)) => {
            let labels: Vec<String> = names
                .iter()
                .map(|n| format!("`{}`", filter::line(n)))
                .collect();
            Err(Unfit::NoChoice {
                role: role(),
                labels: labels.join(", "),
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

/// Whether a role sends a label in a state that has no other.
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

/// How many requests a role may send in one session, as far as it matters: 0, 1, or 2 for more.
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

/// The states that can be reached from a state, itself included.
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
