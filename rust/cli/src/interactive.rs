//! Hosts of a protocol's roles whose answers a person types.

use std::io;

use antiphon_machine::text::{Cursor, Printer};
use antiphon_machine::{Class, EffectHandler, EffectRequest, Outcome, Reply, Sort};

use crate::filter;
use crate::output::to_stderr;
use crate::script::{Answer, answer};
use crate::standard::Lines;

/// The longest typed line in bytes: a payload has at most 64 KiB, and a byte is written with at
/// most 10.
const LINE_LEN_MAX: u64 = 1 << 20;

/// Prompts for each answer on standard error and reads it from standard input.
#[derive(Debug, Default)]
pub(crate) struct Interactive {
    lines: Lines,
    ended: bool,
    error: Option<io::Error>,
}

impl Interactive {
    /// Whether the input has ended, so that there are no more answers.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Why standard input cannot be read, if it cannot.
    pub(crate) fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Reads the next line. Returns `None` at the end of the input or on an error.
    fn line(&mut self, prompt: &str) -> Option<Vec<u8>> {
        to_stderr(prompt);
        let line = self.lines.next(LINE_LEN_MAX);
        let line = line.unwrap_or_else(|error| {
            self.error = Some(error);
            None
        });
        if line.is_none() {
            to_stderr("\n");
            self.ended = true;
        }
        line
    }
}

impl EffectHandler for Interactive {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        if let Class::Deliver { .. } = request.class() {
            return Reply::Now(Outcome::done());
        }
        let prompt = prompt(request);
        while !self.ended {
            let Some(line) = self.line(&prompt) else {
                break;
            };
            match read(&line, request) {
                Ok(reply) => return reply,
                Err(wrong) => to_stderr(&format!("  {wrong}\n")),
            }
        }
        Reply::Later
    }
}

fn read(line: &[u8], request: &EffectRequest<'_>) -> Result<Reply, String> {
    let line = str::from_utf8(line)
        .map_err(|error| format!("byte {} is not UTF-8 text", error.valid_up_to()))?;
    let mut cursor = Cursor::new(line);
    if cursor.is_done() && matches!(request.result(), Sort::Unit) {
        return Ok(Reply::Now(Outcome::done()));
    }
    let sorts = [request.result_sort()];
    let answer = answer(&mut cursor, &sorts, request.image().image());
    let answer: Answer = answer.map_err(|(_, fault)| fault.to_string())?;
    if !cursor.is_done() {
        return Err("expected the end of the line".to_owned());
    }
    Ok(answer.reply())
}

fn prompt(request: &EffectRequest<'_>) -> String {
    let image = request.image();
    let role = filter::line(request.role_name());
    let sort = Printer::new(image.image()).sort(request.result_sort());
    match request.class() {
        Class::Decide { peer, .. } => {
            format!(
                "{role} chooses a message to {}, one of {sort}: ",
                filter::line(image.role_name(*peer))
            )
        }
        Class::Produce { label, peer } => {
            let (label, peer) = (image.label_name(*label), image.role_name(*peer));
            format!(
                "{role} sends `{}` to {}, {sort}: ",
                filter::line(label),
                filter::line(peer)
            )
        }
        Class::Deliver { .. } => String::new(),
        Class::Command | Class::Observe | Class::Check => {
            let call = format!("{}.{}", request.interface_name(), request.operation().name);
            format!("{role} calls {}, {sort}: ", filter::line(&call))
        }
    }
}
