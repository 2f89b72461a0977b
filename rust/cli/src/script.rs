//! Scripts: prepared answers of the hosts of a protocol's roles.
//!
//! A script has one line for each answer, in the order in which its role is asked. Lines of
//! different roles are independent of each other. `docs/cli.md` describes the syntax.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use antiphon_machine::text::{ConvertError, Cursor, Literal, ParseError, Printer, show};
use antiphon_machine::{
    Class, CodeImage, EffectHandler, EffectRequest, FailureKind, LabelId, Outcome, Reply, RoleId,
    SortId, State, Value, VerifiedImage,
};

use crate::filter;

/// The most answers in a script once its repetitions are expanded.
const ANSWERS_MAX: usize = 1 << 20;

/// How deep `repeat` may nest.
const REPEAT_DEPTH_MAX: usize = 16;

/// The width of a value in a message, in characters.
const SHOWN: usize = 60;

/// A script that fits its protocol. Clones share the lines but advance independently.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    name: Arc<str>,
    entries: Arc<[Entry]>,
    /// For each role, its entries in order and the number of used ones.
    roles: BTreeMap<RoleId, (Arc<[u32]>, usize)>,
}

/// A line with an answer.
#[derive(Clone, Debug)]
struct Entry {
    line: usize,
    text: String,
    act: Act,
}

#[derive(Clone, Debug)]
enum Act {
    /// `A sends label [answer]`: answers a request for the choice of the label, a request for its
    /// payload, or both.
    Sends {
        label: LabelId,
        answer: Option<Answer>,
    },
    /// `A gets label [value]`: expects this message for the role.
    Gets {
        label: LabelId,
        value: Option<Value>,
    },
    /// `A answers Interface.operation [answer]`.
    Answers {
        interface: String,
        operation: String,
        answer: Answer,
    },
}

/// An answer of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Success(Value),
    Fails(FailureKind, String),
    /// No answer at all: the operation's budget ends the effect.
    Later,
}

/// An error in a script, with its location.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}{}: {fault}", column.map(|c| format!(":{c}")).unwrap_or_default())]
pub(crate) struct ScriptError {
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) column: Option<usize>,
    pub(crate) fault: ScriptFault,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScriptFault {
    #[error("expected {0}")]
    Expected(&'static str),
    #[error("the protocol has no role `{got}`; it has {known}")]
    NoSuchRole { got: String, known: String },
    #[error("the protocol has no label `{got}`; it has {known}")]
    NoSuchLabel { got: String, known: String },
    #[error("the protocol calls no operation `{got}`; it calls {known}")]
    NoSuchOperation { got: String, known: String },
    #[error("there is no failure `{got}`; there are {known}")]
    NoSuchFailure { got: String, known: String },
    #[error("`{role}` never sends `{label}`")]
    NeverSends { role: String, label: String },
    #[error("`{role}` is never asked for the payload of `{label}`: omit the value")]
    NeverAsked { role: String, label: String },
    #[error("{0}")]
    Value(#[from] ConvertError),
    #[error("the `repeat` has no `end`")]
    NoEnd,
    #[error("there is no `repeat` that this `end` could end")]
    NoRepeat,
    #[error("more than {ANSWERS_MAX} answers, or `repeat` more than {REPEAT_DEPTH_MAX} deep")]
    TooMany,
    #[error("`{0}` was never asked for")]
    Unused(String),
}

/// A request that the script does not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptMismatch {
    /// Describes the request in a sentence.
    asked: String,
    /// The script's next line for that role: file, number and text. `None` if no line is left.
    next: Option<(Arc<str>, usize, String)>,
}

impl fmt::Display for ScriptMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.next {
            Some((file, line, text)) => {
                write!(
                    f,
                    "{file}:{line}: {}, but the script says `{text}`",
                    self.asked
                )
            }
            None => write!(f, "{}, but the script has no line left for it", self.asked),
        }
    }
}

impl Script {
    /// Parses a script for a protocol.
    ///
    /// # Errors
    /// All errors of the script, ordered by line.
    pub(crate) fn parse(
        name: &str,
        text: &str,
        image: &VerifiedImage,
    ) -> Result<Script, Vec<ScriptError>> {
        let mut reader = Reader {
            image: image.image(),
            entries: Vec::new(),
            blocks: vec![Block {
                line: 0,
                times: 1,
                order: Vec::new(),
            }],
            errors: Vec::new(),
        };
        for (number, text) in text.lines().enumerate() {
            if let Err(error) = reader.line(&mut Line::new(number + 1, text)) {
                reader.errors.push(error);
            }
        }
        reader.finish(Arc::from(name))
    }

    /// Returns the first unused line of each role.
    pub(crate) fn unused(&self) -> Vec<ScriptError> {
        let left = self
            .roles
            .values()
            .filter_map(|(order, used)| order.get(*used));
        let mut errors: Vec<_> = left
            .filter_map(|row| self.entries.get(*row as usize))
            .map(|entry| ScriptError {
                file: Arc::clone(&self.name),
                line: entry.line,
                column: None,
                fault: ScriptFault::Unused(entry.text.clone()),
            })
            .collect();
        errors.sort_by_key(|error| error.line);
        errors
    }

    fn next(&self, role: RoleId) -> Option<&Entry> {
        let (order, used) = self.roles.get(&role)?;
        self.entries.get(*order.get(*used)? as usize)
    }

    fn advance(&mut self, role: RoleId) {
        if let Some((_, used)) = self.roles.get_mut(&role) {
            *used += 1;
        }
    }
}

/// Reads the lines of a script.
struct Reader<'i> {
    image: &'i CodeImage,
    entries: Vec<Entry>,
    /// The open `repeat` blocks, outermost first. The first one is the script itself.
    blocks: Vec<Block>,
    errors: Vec<LineError>,
}

/// A line that is being read.
struct Line<'l> {
    /// Counted from 1.
    number: usize,
    text: &'l str,
    cursor: Cursor<'l>,
}

/// An error in a line, and its location.
struct LineError {
    line: usize,
    column: Option<usize>,
    fault: ScriptFault,
}

struct Block {
    line: usize,
    times: u64,
    order: Vec<(RoleId, u32)>,
}

impl<'l> Line<'l> {
    fn new(number: usize, text: &'l str) -> Line<'l> {
        let cursor = Cursor::new(text);
        Line {
            number,
            text,
            cursor,
        }
    }

    /// Takes the next word.
    fn word(&mut self, expected: &'static str) -> Result<&'l str, LineError> {
        let word = self.cursor.word(expected);
        word.map_err(|error| self.parse_error(error))
    }

    /// Takes a number of repetitions.
    fn count(&mut self, expected: &'static str) -> Result<u64, LineError> {
        let count = self.cursor.count(expected);
        count.map_err(|error| self.parse_error(error))
    }

    fn literal(&mut self) -> Result<Literal, LineError> {
        let literal = self.cursor.literal();
        literal.map_err(|error| self.parse_error(error))
    }

    /// Checks that the line has ended.
    fn end(&self) -> Result<(), LineError> {
        if self.cursor.is_done() {
            return Ok(());
        }
        let fault = ScriptFault::Expected("the end of the line");
        Err(self.error_at(self.cursor.at(), fault))
    }

    fn parse_error(&self, error: ParseError) -> LineError {
        self.error_at(error.at, ScriptFault::Expected(error.expected))
    }

    /// An error at a byte of the line.
    fn error_at(&self, at: usize, fault: ScriptFault) -> LineError {
        let before = self.text.char_indices().take_while(|(byte, _)| *byte < at);
        LineError {
            line: self.number,
            column: Some(1 + before.count()),
            fault,
        }
    }

    /// An error of the line as a whole.
    fn error(&self, fault: ScriptFault) -> LineError {
        LineError::of_line(self.number, fault)
    }
}

impl LineError {
    fn of_line(line: usize, fault: ScriptFault) -> LineError {
        LineError {
            line,
            column: None,
            fault,
        }
    }
}

impl Reader<'_> {
    fn line(&mut self, line: &mut Line<'_>) -> Result<(), LineError> {
        if line.cursor.is_done() {
            return Ok(());
        }
        let start = line.cursor.at();
        match line.word("a role, `repeat` or `end`")? {
            "repeat" => {
                let times = line.count("how many times")?;
                line.end()?;
                if self.blocks.len() > REPEAT_DEPTH_MAX {
                    return Err(line.error(ScriptFault::TooMany));
                }
                self.blocks.push(Block {
                    line: line.number,
                    times,
                    order: Vec::new(),
                });
                Ok(())
            }
            "end" => {
                line.end()?;
                self.end(line)
            }
            role => {
                let role = self
                    .role(role)
                    .map_err(|fault| line.error_at(start, fault))?;
                let act = self.act(line, role)?;
                line.end()?;
                let row = self.entries.len() as u32;
                self.entries.push(Entry {
                    line: line.number,
                    text: filter::line(line.text.trim()),
                    act,
                });
                if let Some(block) = self.blocks.last_mut() {
                    block.order.push((role, row));
                }
                Ok(())
            }
        }
    }

    /// Closes the innermost `repeat` block.
    fn end(&mut self, line: &Line<'_>) -> Result<(), LineError> {
        let block = if self.blocks.len() > 1 {
            self.blocks.pop()
        } else {
            None
        };
        let Some(block) = block else {
            return Err(line.error(ScriptFault::NoRepeat));
        };
        let outer = self.blocks.last().map_or(0, |outer| outer.order.len());
        let times = usize::try_from(block.times).unwrap_or(usize::MAX);
        let len = block
            .order
            .len()
            .saturating_mul(times)
            .saturating_add(outer);
        if len > ANSWERS_MAX {
            return Err(LineError::of_line(block.line, ScriptFault::TooMany));
        }
        if let Some(outer) = self.blocks.last_mut() {
            for _ in 0..if block.order.is_empty() { 0 } else { times } {
                outer.order.extend_from_slice(&block.order);
            }
        }
        Ok(())
    }

    fn finish(mut self, file: Arc<str>) -> Result<Script, Vec<ScriptError>> {
        while self.blocks.len() > 1 {
            if let Some(block) = self.blocks.pop() {
                let error = LineError::of_line(block.line, ScriptFault::NoEnd);
                self.errors.push(error);
            }
        }
        if !self.errors.is_empty() {
            self.errors.sort_by_key(|error| (error.line, error.column));
            let errors = self.errors.into_iter().map(|error| ScriptError {
                file: Arc::clone(&file),
                line: error.line,
                column: error.column,
                fault: error.fault,
            });
            return Err(errors.collect());
        }
        let mut roles: BTreeMap<RoleId, Vec<u32>> = BTreeMap::new();
        for (role, row) in self
            .blocks
            .pop()
            .map(|block| block.order)
            .unwrap_or_default()
        {
            roles.entry(role).or_default().push(row);
        }
        let unused = |(role, order): (RoleId, Vec<u32>)| (role, (order.into(), 0));
        Ok(Script {
            name: file,
            entries: self.entries.into(),
            roles: roles.into_iter().map(unused).collect(),
        })
    }

    fn act(&self, line: &mut Line<'_>, role: RoleId) -> Result<Act, LineError> {
        let at = line.cursor.at();
        match line.word("`sends`, `gets` or `answers`")? {
            "sends" => self.sends(line, role),
            "gets" => {
                let label = self.label(line)?;
                let value = if line.cursor.is_done() {
                    None
                } else {
                    Some(self.value(line, &self.deliveries(label))?)
                };
                Ok(Act::Gets { label, value })
            }
            "answers" => self.answers(line),
            _ => {
                let fault = ScriptFault::Expected("`sends`, `gets` or `answers`");
                Err(line.error_at(at, fault))
            }
        }
    }

    /// Reads what follows `sends`.
    fn sends(&self, line: &mut Line<'_>, role: RoleId) -> Result<Act, LineError> {
        let at = line.cursor.at();
        let label = self.label(line)?;
        let names = || (self.role_name(role), self.label_name(label));
        if !self.peers(label, role).any(|_| true) {
            let (role, label) = names();
            return Err(line.error_at(at, ScriptFault::NeverSends { role, label }));
        }
        if line.cursor.is_done() {
            return Ok(Act::Sends {
                label,
                answer: None,
            });
        }
        let payloads = self.payloads(label, role);
        if payloads.is_empty() {
            let (role, label) = names();
            let fault = ScriptFault::NeverAsked { role, label };
            return Err(line.error_at(line.cursor.at(), fault));
        }
        let answer = Some(self.answer(line, &payloads)?);
        Ok(Act::Sends { label, answer })
    }

    /// Reads what follows `answers`.
    fn answers(&self, line: &mut Line<'_>) -> Result<Act, LineError> {
        let at = line.cursor.at();
        let word = line.word("`Interface.operation`")?;
        let (interface, operation) = word.rsplit_once('.').unwrap_or(("", word));
        let results = self.results(interface, operation);
        if results.is_empty() {
            return Err(line.error_at(at, self.no_such_operation(word)));
        }
        let answer = if line.cursor.is_done() {
            Answer::Success(Value::Unit)
        } else {
            self.answer(line, &results)?
        };
        Ok(Act::Answers {
            interface: interface.to_owned(),
            operation: operation.to_owned(),
            answer,
        })
    }

    fn label(&self, line: &mut Line<'_>) -> Result<LabelId, LineError> {
        let at = line.cursor.at();
        let word = line.word("a label")?;
        match self.image.labels.iter().position(|label| label == word) {
            Some(row) => Ok(LabelId(row as u16)),
            None => {
                let (got, known) = (word.to_owned(), names(self.image.labels.iter()));
                Err(line.error_at(at, ScriptFault::NoSuchLabel { got, known }))
            }
        }
    }

    fn answer(&self, line: &mut Line<'_>, sorts: &[SortId]) -> Result<Answer, LineError> {
        let at = line.cursor.at();
        answer(&mut line.cursor, sorts, self.image)
            .map_err(|(offset, fault)| line.error_at(offset.unwrap_or(at), fault))
    }

    fn value(&self, line: &mut Line<'_>, sorts: &[SortId]) -> Result<Value, LineError> {
        let at = line.cursor.at();
        let literal = line.literal()?;
        value_of(&literal, sorts, self.image).map_err(|fault| line.error_at(at, fault))
    }

    fn role(&self, word: &str) -> Result<RoleId, ScriptFault> {
        match self.image.roles.iter().position(|role| role.name == word) {
            Some(row) => Ok(RoleId(row as u16)),
            None => Err(ScriptFault::NoSuchRole {
                got: word.to_owned(),
                known: names(self.image.roles.iter().map(|role| &role.name)),
            }),
        }
    }

    /// Returns the sorts of the payloads of that label that the role's host may be asked for.
    fn payloads(&self, wanted: LabelId, role: RoleId) -> Vec<SortId> {
        let produce = self
            .image
            .operations
            .iter()
            .filter(|operation| match operation.class {
                Class::Produce { label, peer } => {
                    label == wanted && self.peers(label, role).any(|to| to == peer)
                }
                Class::Decide { .. }
                | Class::Deliver { .. }
                | Class::Command
                | Class::Observe
                | Class::Check => false,
            });
        produce.map(|operation| operation.result).collect()
    }

    /// Returns the roles that the role sends that label to.
    fn peers(&self, wanted: LabelId, role: RoleId) -> impl Iterator<Item = RoleId> {
        let role = self.image.roles.get(role.index());
        let states = role.into_iter().flat_map(|role| &role.automaton.states);
        states.filter_map(move |state| match state {
            State::Send { to, branches } => branches
                .iter()
                .any(|branch| branch.label == wanted)
                .then_some(*to),
            State::Recv { .. } | State::End => None,
        })
    }

    /// Returns the sorts of the payloads of that label that are delivered to hosts.
    fn deliveries(&self, wanted: LabelId) -> Vec<SortId> {
        let deliver = self
            .image
            .operations
            .iter()
            .filter(|operation| match operation.class {
                Class::Deliver { label, .. } => label == wanted,
                Class::Produce { .. }
                | Class::Decide { .. }
                | Class::Command
                | Class::Observe
                | Class::Check => false,
            });
        deliver
            .filter_map(|operation| operation.args.first().copied())
            .collect()
    }

    /// Returns the sorts of the operation's results. There may be several, because calls of the
    /// same name may have different budgets.
    fn results(&self, interface: &str, name: &str) -> Vec<SortId> {
        let named = self
            .calls()
            .filter(|(i, operation, _)| *i == interface && *operation == name);
        named.map(|(_, _, result)| result).collect()
    }

    fn calls(&self) -> impl Iterator<Item = (&str, &str, SortId)> {
        self.image
            .operations
            .iter()
            .filter_map(|operation| match operation.class {
                Class::Command | Class::Observe | Class::Check => {
                    let interface = self
                        .image
                        .interfaces
                        .get(usize::from(operation.interface))?;
                    Some((
                        interface.name.as_str(),
                        operation.name.as_str(),
                        operation.result,
                    ))
                }
                Class::Produce { .. } | Class::Decide { .. } | Class::Deliver { .. } => None,
            })
    }

    fn no_such_operation(&self, got: &str) -> ScriptFault {
        let mut known: Vec<String> = self
            .calls()
            .map(|(interface, name, _)| format!("{interface}.{name}"))
            .collect();
        known.dedup();
        ScriptFault::NoSuchOperation {
            got: got.to_owned(),
            known: names(known.iter()),
        }
    }

    fn role_name(&self, role: RoleId) -> String {
        self.image
            .roles
            .get(role.index())
            .map(|role| role.name.clone())
            .unwrap_or_default()
    }

    fn label_name(&self, label: LabelId) -> String {
        self.image
            .labels
            .get(label.index())
            .cloned()
            .unwrap_or_default()
    }
}

fn names<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let quoted: Vec<String> = names
        .map(|name| format!("`{}`", filter::line(name)))
        .collect();
    if quoted.is_empty() {
        "none".to_owned()
    } else {
        quoted.join(", ")
    }
}

/// Parses `VALUE`, `fails KIND ["detail"]` or `later`. An error has the byte offset where it is,
/// unless it is the start.
pub(crate) fn answer(
    cursor: &mut Cursor<'_>,
    sorts: &[SortId],
    image: &CodeImage,
) -> Result<Answer, (Option<usize>, ScriptFault)> {
    let parse_error = |error: ParseError| (Some(error.at), ScriptFault::Expected(error.expected));
    let literal = cursor.literal().map_err(parse_error)?;
    match &literal {
        Literal::Word(word) if word == "later" => Ok(Answer::Later),
        Literal::Word(word) if word == "fails" => {
            let at = cursor.at();
            let word = cursor.word("the kind of failure").map_err(parse_error)?;
            let kind = FailureKind::ALL
                .into_iter()
                .find(|kind| kind.name() == word);
            let kind = kind.ok_or_else(|| {
                let known = FailureKind::ALL.map(|kind| kind.name().to_owned());
                let known = names(known.iter());
                (
                    Some(at),
                    ScriptFault::NoSuchFailure {
                        got: word.to_owned(),
                        known,
                    },
                )
            })?;
            if cursor.is_done() {
                return Ok(Answer::Fails(kind, String::new()));
            }
            let at = cursor.at();
            match cursor.literal().map_err(parse_error)? {
                Literal::Text(detail) => Ok(Answer::Fails(kind, detail)),
                Literal::Word(_)
                | Literal::Number(_)
                | Literal::Bytes(_)
                | Literal::List(_)
                | Literal::Record(_)
                | Literal::Tuple(_)
                | Literal::Some(_) => Err((
                    Some(at),
                    ScriptFault::Expected("the detail as a text in quotes"),
                )),
            }
        }
        literal => value_of(literal, sorts, image)
            .map(Answer::Success)
            .map_err(|fault| (None, fault)),
    }
}

/// Converts the literal to a value of the first sort that it fits.
fn value_of(literal: &Literal, sorts: &[SortId], image: &CodeImage) -> Result<Value, ScriptFault> {
    let mut wrong = None;
    for sort in sorts {
        match literal.value(*sort, image) {
            Ok(value) => return Ok(value),
            Err(error) => wrong = wrong.or(Some(error)),
        }
    }
    match wrong {
        Some(error) => Err(ScriptFault::Value(error)),
        // No sort at all: the caller has already reported that as an error.
        None => Ok(Value::Unit),
    }
}

/// Hosts of all roles that answer from a script.
#[derive(Debug)]
pub(crate) struct Scripted {
    script: Script,
    /// Roles whose next line has given its label but not yet its payload.
    chosen: Vec<RoleId>,
    mismatch: Option<ScriptMismatch>,
}

impl Scripted {
    pub(crate) fn new(script: Script) -> Scripted {
        Scripted {
            script,
            chosen: Vec::new(),
            mismatch: None,
        }
    }

    /// The first request that the script did not answer, if there is one. No request is answered
    /// after it.
    pub(crate) fn mismatch(&self) -> Option<&ScriptMismatch> {
        self.mismatch.as_ref()
    }

    /// The script, for its unused lines.
    pub(crate) fn script(&self) -> &Script {
        &self.script
    }

    fn reply(&mut self, role: RoleId, request: &EffectRequest<'_>) -> Option<Reply> {
        let entry = self.script.next(role);
        let chosen = self.chosen.contains(&role);
        let (reply, used) = match (request.class(), entry.map(|entry| &entry.act)) {
            (Class::Decide { labels, .. }, Some(Act::Sends { label, answer }))
                if labels.contains(label) && !chosen =>
            {
                let reply = Reply::Now(Outcome::chosen(*label));
                if answer.is_some() {
                    self.chosen.push(role);
                }
                (reply, answer.is_none())
            }
            (
                Class::Produce { label, .. },
                Some(Act::Sends {
                    label: named,
                    answer: Some(answer),
                }),
            ) if named == label && answer.fits(request) => (answer.reply(), true),
            (
                Class::Deliver { label, .. },
                Some(Act::Gets {
                    label: named,
                    value,
                }),
            ) => {
                let same = value
                    .as_ref()
                    .is_none_or(|value| request.arg(0) == Some(value));
                if named != label || !same {
                    return None;
                }
                (Reply::Now(Outcome::done()), true)
            }
            (Class::Deliver { .. }, _) if !chosen => (Reply::Now(Outcome::done()), false),
            (
                Class::Command | Class::Observe | Class::Check,
                Some(Act::Answers {
                    interface,
                    operation,
                    answer,
                }),
            ) if interface == request.interface_name()
                && operation == &request.operation().name
                && answer.fits(request) =>
            {
                (answer.reply(), true)
            }
            (
                Class::Decide { .. }
                | Class::Produce { .. }
                | Class::Deliver { .. }
                | Class::Command
                | Class::Observe
                | Class::Check,
                _,
            ) => return None,
        };
        if used {
            self.script.advance(role);
            self.chosen.retain(|other| *other != role);
        }
        Some(reply)
    }
}

impl Answer {
    /// The reply to the machine.
    pub(crate) fn reply(&self) -> Reply {
        match self {
            Answer::Success(value) => Reply::Now(Outcome::Success(value.clone())),
            Answer::Fails(kind, detail) => Reply::Now(Outcome::failure(*kind, detail)),
            Answer::Later => Reply::Later,
        }
    }

    fn fits(&self, request: &EffectRequest<'_>) -> bool {
        match self {
            Answer::Success(value) => {
                value.is_of(request.result_sort(), &request.image().image().sorts)
            }
            Answer::Fails(..) | Answer::Later => true,
        }
    }
}

impl EffectHandler for Scripted {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        if self.mismatch.is_some() {
            return Reply::Later;
        }
        // Only a spawned coroutine has no role, and it has no lines either.
        let role = request.role().unwrap_or(RoleId(u16::MAX));
        if let Some(reply) = self.reply(role, request) {
            return reply;
        }
        let next = self.script.next(role);
        let next = next.map(|e| (Arc::clone(&self.script.name), e.line, e.text.clone()));
        self.mismatch = Some(ScriptMismatch {
            asked: describe_request(request),
            next,
        });
        Reply::Later
    }
}

/// Describes a request in a sentence that begins with the role.
pub(crate) fn describe_request(request: &EffectRequest<'_>) -> String {
    let (image, role) = (request.image(), filter::line(request.role_name()));
    let sort = || Printer::new(image.image()).sort(request.result_sort());
    match request.class() {
        Class::Decide { labels, peer } => {
            let labels: Vec<String> = labels
                .iter()
                .map(|l| format!("`{}`", filter::line(image.label_name(*l))))
                .collect();
            let (labels, peer) = (labels.join(", "), filter::line(image.role_name(*peer)));
            format!("{role} was asked to choose among {labels} to {peer}")
        }
        Class::Produce { label, peer } => {
            let label = filter::line(image.label_name(*label));
            let peer = filter::line(image.role_name(*peer));
            format!(
                "{role} was asked for the payload ({}) of `{label}` to {peer}",
                sort()
            )
        }
        Class::Deliver { label, peer } => {
            let label = filter::line(image.label_name(*label));
            let peer = filter::line(image.role_name(*peer));
            let payload = request.arg(0).map(|value| {
                let sort = request.operation().args.first().copied();
                format!(" {}", show(value, sort, image.image(), SHOWN))
            });
            format!(
                "{role} received `{label}`{} from {peer}",
                payload.unwrap_or_default()
            )
        }
        Class::Command | Class::Observe | Class::Check => {
            let call = format!("{}.{}", request.interface_name(), request.operation().name);
            format!("{role} called `{}` ({})", filter::line(&call), sort())
        }
    }
}
