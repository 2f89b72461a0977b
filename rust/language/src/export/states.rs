//! Local automata as Graphviz and as Mermaid state diagrams.

use std::fmt::Write;

use crate::automaton::{
    LocalAutomaton, LocalBranch, LocalKind, LocalState, Names, action_text, branch_text,
};

/// The automaton as a Graphviz digraph. Sends are labelled `Peer ! label(…)`, receives `Peer ?
/// label(…)`.
pub fn dot(automaton: &LocalAutomaton, names: &Names) -> String {
    let role = names.role(automaton.role);
    let mut out = format!("digraph {} {{\n", dot_quoted(role));
    out.push_str("  rankdir=LR;\n  node [shape=circle];\n  start [shape=point];\n");
    for (number, state) in automaton.states.iter().enumerate() {
        let mut lines = vec![number.to_string()];
        lines.extend(entry(state, names));
        let shape = match state.kind {
            LocalKind::End => ", shape=doublecircle",
            LocalKind::Send { .. } | LocalKind::Recv { .. } if lines.len() > 1 => ", shape=box",
            LocalKind::Send { .. } | LocalKind::Recv { .. } => "",
        };
        let _ = writeln!(
            out,
            "  {number} [label={}{shape}];",
            dot_quoted(&lines.join("\n"))
        );
    }
    out.push_str("  start -> 0;\n");
    for (number, state) in automaton.states.iter().enumerate() {
        for branch in state.kind.branches() {
            let label = dot_quoted(&edge(state, branch, names).join("\n"));
            let _ = writeln!(out, "  {number} -> {} [label={label}];", branch.next);
        }
    }
    out.push_str("}\n");
    out
}

/// The automaton as a Mermaid state diagram, with the same labels as [`dot`].
pub fn state_diagram(automaton: &LocalAutomaton, names: &Names) -> String {
    let mut out = String::from("stateDiagram-v2\n  direction LR\n  [*] --> s0\n");
    for (number, state) in automaton.states.iter().enumerate() {
        let mut lines = vec![number.to_string()];
        lines.extend(entry(state, names));
        let _ = writeln!(out, "  s{number} : {}", label_text(&lines));
        for branch in state.kind.branches() {
            let label = label_text(&edge(state, branch, names));
            let _ = writeln!(out, "  s{number} --> s{} : {label}", branch.next);
        }
        if state.kind == LocalKind::End {
            let _ = writeln!(out, "  s{number} --> [*]");
        }
    }
    out
}

fn entry(state: &LocalState, names: &Names) -> Vec<String> {
    state
        .entry
        .iter()
        .map(|action| format!("do {}", action_text(action, names)))
        .collect()
}

/// A branch's actions and its message, one line each.
fn edge(state: &LocalState, branch: &LocalBranch, names: &Names) -> Vec<String> {
    let (peer, sign) = match state.kind {
        LocalKind::End => return vec![],
        LocalKind::Send { to, .. } => (to, '!'),
        LocalKind::Recv { from, .. } => (from, '?'),
    };
    let before = branch
        .before
        .iter()
        .map(|action| format!("do {}", action_text(action, names)));
    let message = format!("{} {sign} {}", names.role(peer), branch_text(branch, names));
    before.chain([message]).collect()
}

fn dot_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The lines of a state diagram's label, where colons must be escaped too.
fn label_text(lines: &[String]) -> String {
    mermaid_text(lines).replace(':', "#58;")
}

/// The lines joined and escaped. Mermaid ends a text at `;` and at a line break, and reads `#…;` as
/// a character.
pub(super) fn mermaid_text(lines: &[String]) -> String {
    let escape = |line: &String| {
        let mut out = String::new();
        for c in line.chars() {
            match c {
                '#' => out.push_str("#35;"),
                ';' => out.push_str("#59;"),
                '<' => out.push_str("#lt;"),
                '>' => out.push_str("#gt;"),
                c => out.push(c),
            }
        }
        out
    };
    lines.iter().map(escape).collect::<Vec<_>>().join("<br/>")
}
