//! Differences of the headers, which are not differences of the conversations.

use std::collections::BTreeSet;

use antiphon_machine::{ProtocolMachineConfig, text};

use crate::describe;
use crate::entry::Header;

/// Describes each difference of the headers.
pub(super) fn notes(left: &Header, right: &Header) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |field: &str, left: String, right: String| {
        if left != right {
            let (left, right) = (text::line(&left), text::line(&right));
            notes.push(format!("{field} differs: {left}, {right}"));
        }
    };
    note("the tool", left.tool.clone(), right.tool.clone());
    config(&left.config, &right.config, &mut note);
    let (a, b) = describe::sources(left, right);
    note("the protocol's source", a, b);
    let names: BTreeSet<&String> = [left, right]
        .iter()
        .flat_map(|header| header.notes.iter().map(|(name, _)| name))
        .collect();
    for name in names {
        let value = |header: &Header| {
            let found = header.notes.iter().find(|(known, _)| known == name);
            found.map_or("none".to_owned(), |(_, value)| value.clone())
        };
        note(
            &format!("the note {}", text::line(name)),
            value(left),
            value(right),
        );
    }
    notes
}

fn config(
    left: &ProtocolMachineConfig,
    right: &ProtocolMachineConfig,
    note: &mut impl FnMut(&str, String, String),
) {
    let fields = |config: &ProtocolMachineConfig| {
        let ProtocolMachineConfig {
            policy,
            priorities,
            buffer_len_max,
            payload_len_max,
            coroutines_max,
            sessions_max,
            witnesses_max,
            witness_ttl,
            effect_budget,
            determinism_mode,
        } = config;
        [
            ("policy", policy.name().to_owned()),
            ("priorities", format!("{priorities:?}")),
            ("buffer_len_max", buffer_len_max.to_string()),
            ("payload_len_max", payload_len_max.to_string()),
            ("coroutines_max", coroutines_max.to_string()),
            ("sessions_max", sessions_max.to_string()),
            ("witnesses_max", witnesses_max.to_string()),
            ("witness_ttl", witness_ttl.to_string()),
            ("effect_budget", format!("{effect_budget:?}")),
            ("determinism_mode", format!("{determinism_mode:?}")),
        ]
    };
    for ((name, left), (_, right)) in fields(left).into_iter().zip(fields(right)) {
        note(&format!("the configuration's {name}"), left, right);
    }
}
