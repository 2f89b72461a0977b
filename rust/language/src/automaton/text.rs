//! The text form of automata, which people read and the parser reads back.
//!
//! ```text
//! automaton Agent
//! 0 recv Host
//!   exec_request(spec: ExecSpec) -> 1
//! 1 send Host
//!   do pid = Guest.spawn(spec) else error
//!   started(=pid: Nat) -> 2
//!   error(GuestError) -> 2
//! 2 end
//! ```
//!
//! A `do` line below a state is an action on entry. A `do` line below a branch, one level deeper,
//! is an action before that branch is sent. `name: Sort` binds the payload to `name`; `=name: Sort`
//! sends the value of `name`.

use std::collections::BTreeMap;
use std::fmt::Write;

use antiphon_machine::text::Printer;
use antiphon_machine::{CodeImage, LabelId, Operation, OperationId, RoleId, SortId, StateId};

use super::{Action, LocalAutomaton, LocalBranch, LocalKind, LocalState, Operand, Origin};
use crate::global::{CheckedProtocol, VarId};

/// The names behind an automaton's ids. Names within a table are distinct.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    roles: Vec<String>,
    labels: Vec<String>,
    sorts: Vec<String>,
    operations: Vec<String>,
    vars: Vec<String>,
}

/// Why a text is not a valid automaton.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct TextError {
    /// The line number, from 1.
    pub line: usize,
    /// What is wrong with the line.
    pub kind: TextErrorKind,
}

/// The kinds of error in a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextErrorKind {
    /// The line does not have a form that is allowed here.
    #[error("expected {expected}, got `{got}`")]
    Form {
        /// The expected form.
        expected: &'static str,
        /// The line.
        got: String,
    },
    /// A name is in no table.
    #[error("no {what} is named `{name}`")]
    Unknown {
        /// The table that was searched.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// States are not numbered 0, 1, 2, …
    #[error("expected state {expected}, got `{got}`")]
    Number {
        /// The expected number.
        expected: usize,
        /// The text found instead.
        got: String,
    },
    /// A branch's target does not exist, a state has a label twice, or a state has no branch.
    #[error("the automaton is not well formed")]
    IllFormed,
}

impl Names {
    /// Builds the tables. When a table holds a name more than once, `#` and the index are appended
    /// to the later ones, so that every id has a name of its own.
    pub fn new(
        roles: Vec<String>,
        labels: Vec<String>,
        sorts: Vec<String>,
        operations: Vec<String>,
        mut vars: Vec<String>,
    ) -> Names {
        for (index, var) in vars.iter_mut().enumerate() {
            // An unnamed variable gets a name too, and no variable may be named like a boolean.
            if matches!(var.as_str(), "" | "true" | "false") {
                *var = format!("{var}#{index}");
            }
        }
        Names {
            roles: distinct(roles),
            labels: distinct(labels),
            sorts: distinct(sorts),
            operations: distinct(operations),
            vars: distinct(vars),
        }
    }

    /// The names of a protocol's tables.
    pub fn of(protocol: &CheckedProtocol) -> Names {
        let sorts = sort_texts(protocol);
        let operation = |operation: &Operation| {
            let interface = protocol.interfaces().get(usize::from(operation.interface));
            let interface = interface.map_or("", |interface| interface.name.as_str());
            format!("{interface}.{}", operation.name)
        };
        Names::new(
            protocol.roles().to_vec(),
            protocol.labels().to_vec(),
            sorts,
            protocol.operations().iter().map(operation).collect(),
            protocol.vars().iter().map(|var| var.name.clone()).collect(),
        )
    }

    /// The role's name.
    pub fn role(&self, id: RoleId) -> &str {
        self.roles.get(id.index()).map_or("?", String::as_str)
    }

    /// The label's name.
    pub fn label(&self, id: LabelId) -> &str {
        self.labels.get(id.index()).map_or("?", String::as_str)
    }

    /// The sort as text.
    pub fn sort(&self, id: SortId) -> &str {
        self.sorts.get(id.index()).map_or("?", String::as_str)
    }

    /// The operation as `Interface.operation`.
    pub fn operation(&self, id: OperationId) -> &str {
        self.operations.get(id.index()).map_or("?", String::as_str)
    }

    /// The variable's name.
    pub fn var(&self, id: VarId) -> &str {
        self.vars.get(id.0 as usize).map_or("?", String::as_str)
    }
}

/// The number of characters after which a sort's text is cut. [`Names`] then appends the sort's
/// number where two are equal.
const SORT_TEXT_MAX: usize = 200;

/// The texts of a protocol's sorts, by index.
fn sort_texts(protocol: &CheckedProtocol) -> Vec<String> {
    // The printer takes its names from an image.
    let tables = CodeImage {
        sorts: protocol.sorts().to_vec(),
        labels: protocol.labels().to_vec(),
        ..CodeImage::default()
    };
    let printer = Printer::new(&tables).with_width(SORT_TEXT_MAX);
    let sorts = (0..tables.sorts.len()).map(|sort| SortId(sort as u16));
    sorts.map(|sort| printer.sort(sort)).collect()
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    let mut seen = BTreeMap::new();
    for (index, name) in names.iter_mut().enumerate() {
        if seen.insert(name.clone(), index).is_some() {
            *name = format!("{name}#{index}");
        }
    }
    names
}

impl LocalAutomaton {
    /// The automaton as text. [`LocalAutomaton::parse`] reads it back.
    pub fn text(&self, names: &Names) -> String {
        let mut out = format!("automaton {}\n", names.role(self.role));
        for (number, state) in self.states.iter().enumerate() {
            let (word, peer) = match state.kind {
                LocalKind::End => ("end", None),
                LocalKind::Send { to, .. } => ("send", Some(to)),
                LocalKind::Recv { from, .. } => ("recv", Some(from)),
            };
            let _ = write!(out, "{number} {word}");
            if let Some(peer) = peer {
                let _ = write!(out, " {}", names.role(peer));
            }
            out.push('\n');
            for action in &state.entry {
                let _ = writeln!(out, "  do {}", action_text(action, names));
            }
            for branch in state.kind.branches() {
                let _ = writeln!(out, "  {} -> {}", branch_text(branch, names), branch.next);
                for action in &branch.before {
                    let _ = writeln!(out, "    do {}", action_text(action, names));
                }
            }
        }
        out
    }

    /// Reads the text that [`LocalAutomaton::text`] writes, with the same names.
    ///
    /// # Errors
    /// The first line that has an unknown form or an unknown name, or an automaton that is not well
    /// formed.
    pub fn parse(text: &str, names: &Names) -> Result<LocalAutomaton, TextError> {
        let mut reader = Reader {
            tables: Tables::of(names),
            automaton: None,
        };
        let mut line = 0;
        for (index, content) in text.lines().enumerate() {
            line = index + 1;
            reader
                .line(content)
                .map_err(|kind| TextError { line, kind })?;
        }
        match reader.automaton {
            Some(automaton) if automaton.is_well_formed() => Ok(automaton),
            _ => Err(TextError {
                line,
                kind: TextErrorKind::IllFormed,
            }),
        }
    }
}

/// A branch's message as `label(payload)`.
pub(crate) fn branch_text(branch: &LocalBranch, names: &Names) -> String {
    let sort = names.sort(branch.sort);
    let binds: Vec<&str> = branch.binds.iter().map(|v| names.var(*v)).collect();
    let payload = match branch.origin {
        Origin::Var(var) if binds.is_empty() => format!("={}: {sort}", names.var(var)),
        Origin::Var(var) => format!("={}, {}: {sort}", names.var(var), binds.join(", ")),
        Origin::Host if !binds.is_empty() => format!("{}: {sort}", binds.join(", ")),
        Origin::Host if sort == UNIT => String::new(),
        Origin::Host => sort.to_owned(),
    };
    format!("{}({payload})", names.label(branch.label))
}

/// The name of the sort `Unit`, which a message without payload has.
const UNIT: &str = "Unit";

/// An action as `x = Iface.op(a, 3n) within 5000 else label`, with the budget in ticks.
pub(crate) fn action_text(action: &Action, names: &Names) -> String {
    let args: Vec<String> = action
        .args
        .iter()
        .map(|arg| operand_text(arg, names))
        .collect();
    let mut out = String::new();
    if let Some(var) = action.bind {
        let _ = write!(out, "{} = ", names.var(var));
    }
    let _ = write!(
        out,
        "{}({})",
        names.operation(action.operation),
        args.join(", ")
    );
    if let Some(ticks) = action.within {
        let _ = write!(out, " within {ticks}");
    }
    if let Some(label) = action.otherwise {
        let _ = write!(out, " else {}", names.label(label));
    }
    out
}

/// An operand. Numbers carry their sort as a suffix, `n` or `i`.
fn operand_text(operand: &Operand, names: &Names) -> String {
    match operand {
        Operand::Var(var) => names.var(*var).to_owned(),
        Operand::Bool(b) => b.to_string(),
        Operand::Nat(n) => format!("{n}n"),
        Operand::Int(n) => format!("{n}i"),
        Operand::Text(text) => quoted(text),
    }
}

/// The text in quotes, escaped to fit on one line.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The tables of [`Names`], inverted.
struct Tables<'n> {
    roles: BTreeMap<&'n str, RoleId>,
    labels: BTreeMap<&'n str, LabelId>,
    sorts: BTreeMap<&'n str, SortId>,
    operations: BTreeMap<&'n str, OperationId>,
    vars: BTreeMap<&'n str, VarId>,
}

impl<'n> Tables<'n> {
    fn of(names: &'n Names) -> Tables<'n> {
        fn invert<I>(table: &[String], id: fn(u16) -> I) -> BTreeMap<&str, I> {
            table
                .iter()
                .enumerate()
                .map(|(i, name)| (name.as_str(), id(i as u16)))
                .collect()
        }
        Tables {
            roles: invert(&names.roles, RoleId),
            labels: invert(&names.labels, LabelId),
            sorts: invert(&names.sorts, SortId),
            operations: invert(&names.operations, OperationId),
            vars: names
                .vars
                .iter()
                .enumerate()
                .map(|(i, n)| (&**n, VarId(i as _)))
                .collect(),
        }
    }
}

struct Reader<'n> {
    tables: Tables<'n>,
    automaton: Option<LocalAutomaton>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), TextErrorKind> {
        let form = |expected| TextErrorKind::Form {
            expected,
            got: line.to_owned(),
        };
        let Some(automaton) = &mut self.automaton else {
            let name = line
                .strip_prefix("automaton ")
                .ok_or_else(|| form("`automaton ROLE`"))?;
            let role = look_up(&self.tables.roles, "role", name)?;
            self.automaton = Some(LocalAutomaton {
                role,
                states: vec![],
            });
            return Ok(());
        };
        if let Some(action) = line.strip_prefix("    do ") {
            let action = read_action(action, &self.tables)?;
            let branches = automaton
                .states
                .last_mut()
                .map(|state| state.kind.branches_mut());
            let branch = branches.and_then(<[LocalBranch]>::last_mut);
            branch
                .ok_or_else(|| form("a branch above its actions"))?
                .before
                .push(action);
        } else if let Some(action) = line.strip_prefix("  do ") {
            let action = read_action(action, &self.tables)?;
            let state = automaton.states.last_mut();
            state
                .ok_or_else(|| form("a state above its actions"))?
                .entry
                .push(action);
        } else if let Some(branch) = line.strip_prefix("  ") {
            let branch = read_branch(branch, &self.tables)?;
            match automaton.states.last_mut().map(|state| &mut state.kind) {
                Some(LocalKind::Send { branches, .. } | LocalKind::Recv { branches, .. }) => {
                    branches.push(branch);
                }
                Some(LocalKind::End) | None => {
                    return Err(form("a `send` or `recv` state above its branches"));
                }
            }
        } else {
            let state = read_state(line, automaton.states.len(), &self.tables)?;
            automaton.states.push(state);
        }
        Ok(())
    }
}

fn read_state(
    line: &str,
    expected: usize,
    tables: &Tables<'_>,
) -> Result<LocalState, TextErrorKind> {
    let mut words = line.split(' ');
    let number = words.next().unwrap_or_default();
    if number != expected.to_string() {
        return Err(TextErrorKind::Number {
            expected,
            got: number.to_owned(),
        });
    }
    let kind = match (words.next(), words.next(), words.next()) {
        (Some("end"), None, None) => LocalKind::End,
        (Some("send"), Some(peer), None) => LocalKind::Send {
            to: look_up(&tables.roles, "role", peer)?,
            branches: vec![],
        },
        (Some("recv"), Some(peer), None) => LocalKind::Recv {
            from: look_up(&tables.roles, "role", peer)?,
            branches: vec![],
        },
        _ => {
            let expected = "`N end`, `N send ROLE` or `N recv ROLE`";
            return Err(TextErrorKind::Form {
                expected,
                got: line.to_owned(),
            });
        }
    };
    Ok(LocalState {
        entry: vec![],
        kind,
    })
}

fn read_branch(line: &str, tables: &Tables<'_>) -> Result<LocalBranch, TextErrorKind> {
    let form = || TextErrorKind::Form {
        expected: "`LABEL(PAYLOAD) -> N`",
        got: line.to_owned(),
    };
    let (message, next) = line.rsplit_once(" -> ").ok_or_else(form)?;
    let (label, rest) = message.split_once('(').ok_or_else(form)?;
    let payload = rest.strip_suffix(')').ok_or_else(form)?;
    let next: u32 = next.parse().map_err(|_| form())?;
    let mut branch = LocalBranch {
        label: look_up(&tables.labels, "label", label)?,
        sort: SortId(0),
        origin: Origin::Host,
        binds: vec![],
        before: vec![],
        next: StateId(next),
    };
    // A tuple sort contains `: ` too, but bound names contain no bracket, so a bracket before the
    // first `: ` means that no name is bound.
    let (vars, sort) = match payload.split_once(": ") {
        Some((vars, sort)) if !vars.contains(['(', '[']) => (vars, sort),
        _ => ("", if payload.is_empty() { UNIT } else { payload }),
    };
    branch.sort = look_up(&tables.sorts, "sort", sort)?;
    for var in vars.split(", ").filter(|var| !var.is_empty()) {
        match var.strip_prefix('=') {
            Some(source) => branch.origin = Origin::Var(look_up(&tables.vars, "name", source)?),
            None => branch.binds.push(look_up(&tables.vars, "name", var)?),
        }
    }
    Ok(branch)
}

fn read_action(line: &str, tables: &Tables<'_>) -> Result<Action, TextErrorKind> {
    let expected = "`NAME = INTERFACE.OPERATION(ARGUMENTS) within TICKS else LABEL`";
    let form = || TextErrorKind::Form {
        expected,
        got: line.to_owned(),
    };
    let (head, mut rest) = line.split_once('(').ok_or_else(form)?;
    let (bind, operation) = match head.split_once(" = ") {
        Some((var, operation)) => (Some(look_up(&tables.vars, "name", var)?), operation),
        None => (None, head),
    };
    let operation = look_up(&tables.operations, "operation", operation)?;
    let mut action = Action {
        operation,
        args: vec![],
        bind,
        within: None,
        otherwise: None,
    };
    while !rest.starts_with(')') {
        let (operand, after) = read_operand(rest, tables).ok_or_else(form)?;
        action.args.push(operand);
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    let mut rest = &rest[1..];
    if let Some(after) = rest.strip_prefix(" within ") {
        let (ticks, after) = after.split_at(after.find(' ').unwrap_or(after.len()));
        action.within = Some(ticks.parse().map_err(|_| form())?);
        rest = after;
    }
    if let Some(label) = rest.strip_prefix(" else ") {
        action.otherwise = Some(look_up(&tables.labels, "label", label)?);
        rest = "";
    }
    if rest.is_empty() {
        Ok(action)
    } else {
        Err(form())
    }
}

/// Reads an operand; returns it and the rest of the text.
fn read_operand<'l>(text: &'l str, tables: &Tables<'_>) -> Option<(Operand, &'l str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        return read_quoted(quoted);
    }
    let (word, rest) = text.split_at(text.find([',', ')'])?);
    let number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    let operand = match (word, word.strip_suffix('n'), word.strip_suffix('i')) {
        ("true" | "false", ..) => Operand::Bool(word == "true"),
        (_, Some(digits), _) if number => Operand::Nat(digits.parse().ok()?),
        (_, _, Some(digits)) if number => Operand::Int(digits.parse().ok()?),
        _ => Operand::Var(*tables.vars.get(word)?),
    };
    Some((operand, rest))
}

/// Reads text up to the closing quote; returns it and the rest of the text.
fn read_quoted(text: &str) -> Option<(Operand, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Operand::Text(out), &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'u' => {
                    let digits: String = chars
                        .by_ref()
                        .map(|(_, c)| c)
                        .take_while(|c| *c != '}')
                        .collect();
                    let code = u32::from_str_radix(digits.strip_prefix('{')?, 16).ok()?;
                    out.push(char::from_u32(code)?);
                }
                c => out.push(c),
            },
            c => out.push(c),
        }
    }
    None
}

fn look_up<I: Copy>(
    table: &BTreeMap<&str, I>,
    what: &'static str,
    name: &str,
) -> Result<I, TextErrorKind> {
    table
        .get(name)
        .copied()
        .ok_or_else(|| TextErrorKind::Unknown {
            what,
            name: name.to_owned(),
        })
}
