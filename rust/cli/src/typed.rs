//! The hosts of a protocol's roles, as a person at the terminal plays them.

use std::io::{self, BufRead, Write};

use antiphon_machine::{Class, EffectHandler, EffectRequest, Outcome, Reply, Sort};

use crate::filter;
use crate::literal::{Cursor, sort_name};
use crate::script::{Answer, answer};

/// Asks for each answer on standard error and reads it from standard input.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    gone: bool,
}

impl Typed {
    /// Whether nobody answers any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// The next line, or nothing at the end of input.
    fn line(&mut self, prompt: &str) -> Option<String> {
        let mut err = io::stderr().lock();
        // Who cannot see the prompt can still type.
        let _ = write!(err, "{prompt}").and_then(|()| err.flush());
        let mut line = String::new();
        match io::stdin().lock().read_line(&mut line) {
            Ok(len) if len > 0 => Some(line),
            Ok(_) | Err(_) => {
                let _ = writeln!(err);
                self.gone = true;
                None
            }
        }
    }
}

impl EffectHandler for Typed {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        if let Class::Deliver { .. } = request.class() {
            return Reply::Now(Outcome::done());
        }
        let prompt = prompt(request);
        while !self.gone {
            let Some(line) = self.line(&prompt) else {
                break;
            };
            match read(&line, request) {
                Ok(reply) => return reply,
                Err(wrong) => {
                    let _ = writeln!(io::stderr(), "  {wrong}");
                }
            }
        }
        Reply::Later
    }
}

fn read(line: &str, request: &EffectRequest<'_>) -> Result<Reply, String> {
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
    let sort = sort_name(request.result_sort(), image.image());
    match request.class() {
        Class::Decide { peer, .. } => {
            format!(
                "{role} tells {}, one of {sort}: ",
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
