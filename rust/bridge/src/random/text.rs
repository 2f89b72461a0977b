//! Random protocols as text, compiled to images.

use std::fmt::Write as _;

use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{NoModules, compile_source};
use antiphon_machine::CodeImage;

use crate::coins::Coins;

const ROLES: [&str; 3] = ["A", "B", "C"];

/// The most texts that are tried; about half can be projected.
const TRIES: u32 = 12;

/// The image of a random protocol. `None` if no text could be compiled.
pub(super) fn image(coins: &mut Coins) -> Option<CodeImage> {
    let limits = Limits {
        configurations: 2_000,
        ..Limits::default()
    };
    for _ in 0..TRIES {
        let text = Author::write(coins);
        let source = Source::new("random.anti", &text);
        if let Ok(built) = compile_source(source, &NoModules, &limits)
            && let Some((_, compiled)) = built.protocols.into_iter().next()
        {
            return Some(compiled.image);
        }
    }
    None
}

struct Author<'c> {
    coins: &'c mut Coins,
    out: String,
    labels: u32,
    names: u32,
}

impl Author<'_> {
    fn write(coins: &mut Coins) -> String {
        let mut author = Author {
            coins,
            out: String::new(),
            labels: 0,
            names: 0,
        };
        let out = "effect E version 1 { op add(a: Nat, b: Nat) -> Nat; check is(a: Nat) -> Bool; }
global protocol Random(role A, role B, role C) uses E at A, E at B, E at C {\n";
        author.out.push_str(out);
        let loops = author.coins.once_in(2);
        if loops {
            author.out.push_str("rec X {\n");
        }
        author.statements(2);
        if loops {
            author.choice(1, true);
            author.out.push_str("}\n");
        }
        author.out.push_str("}\n");
        author.out
    }

    fn statements(&mut self, depth: u32) {
        for _ in 0..1 + self.coins.below(2) {
            match self.coins.below(if depth == 0 { 5 } else { 7 }) {
                0..=2 => self.message(),
                3 | 4 => self.actions(),
                _ => self.choice(depth - 1, false),
            }
        }
    }

    fn message(&mut self) {
        let (from, to) = self.pair();
        let payload = ["", "Nat", "Text", "Bool", "[Nat]", "Bytes"];
        let kind = self.coins.below(payload.len());
        let _ = writeln!(self.out, "m{kind}({}) from {from} to {to};", payload[kind]);
    }

    fn actions(&mut self) {
        let role = ROLES[self.coins.below(3)];
        let _ = match self.coins.below(4) {
            0 => writeln!(self.out, "at {role} {{ check E.is(7); }}"),
            1 => writeln!(self.out, "at {role} {{ check E.is(7) within 20ms; }}"),
            2 => writeln!(self.out, "at {role} {{ E.add(1, 2) within 5ms; }}"),
            _ => {
                self.names += 1;
                let name = self.names;
                writeln!(self.out, "at {role} {{ let x{name} = E.add(3, 4); }}")
            }
        };
    }

    fn pair(&mut self) -> (&'static str, &'static str) {
        let from = self.coins.below(3);
        let to = (from + 1 + self.coins.below(2)) % 3;
        (ROLES[from], ROLES[to])
    }

    /// Writes a choice. Every role gets the chosen label, so that most choices can be projected.
    /// The last branch of a loop's choice leaves the loop; with `goes_back`, the others continue
    /// it.
    fn choice(&mut self, depth: u32, goes_back: bool) {
        let (at, to) = self.pair();
        let third = ROLES.iter().find(|role| **role != at && **role != to);
        let branches = 2 + self.coins.below(2) as u32;
        let first = self.labels + 1;
        self.labels += branches;
        let _ = write!(self.out, "choice at {at} ");
        for label in first..first + branches {
            let or = if label == first { "" } else { "or " };
            let _ = writeln!(self.out, "{or}{{\nc{label}() from {at} to {to};");
            if let Some(third) = third {
                let _ = writeln!(self.out, "c{label}() from {at} to {third};");
            }
            if self.coins.once_in(2) {
                self.statements(depth);
            }
            if goes_back && label + 1 < first + branches {
                self.out.push_str("continue X;\n");
            }
            self.out.push_str("} ");
        }
        self.out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_texts_compile_to_valid_images() {
        let made: Vec<_> = (0..40)
            .filter_map(|seed| image(&mut Coins::new(seed)))
            .collect();
        assert!(made.len() >= 36, "{} of 40", made.len());
        for image in made {
            image.verify().expect("a compiled image verifies");
        }
    }
}
