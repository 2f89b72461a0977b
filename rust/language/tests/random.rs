//! Protocols that nobody wrote: whatever projects is free of reception errors, deadlocks and
//! orphans, verifies, and runs without a fault under every policy.

mod common;
mod host;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use antiphon_language::automaton::{LocalAutomaton, Names};
use antiphon_language::compile::{Compiled, compile_all};
use antiphon_language::diagnostic::Code;
use antiphon_language::global::CheckedProtocol;
use antiphon_language::safety::Limits;
use antiphon_language::source::Source;
use antiphon_language::{Modules, NoModules};
use antiphon_machine::{
    EffectRequest, End, FromFn, Phase, ProtocolMachine, ProtocolMachineConfig, Reply, Rest,
    SchedulingPolicy,
};
use common::{Files, fixtures};
use host::{Coins, answer, with_else};

/// How many protocols are made up.
const PROTOCOLS: u64 = 300;

/// Steps of a run; some protocols have no end.
const STEPS: u64 = 3_000;

const ROLES: [&str; 4] = ["A", "B", "C", "D"];

/// Writes the body of a protocol by coins: well shaped by construction, projectable only by luck.
struct Author<'c> {
    coins: &'c mut Coins,
    out: String,
    labels: u32,
    recursions: u32,
    names: u32,
    /// The names in scope, all of them numbers, and who knows each.
    scope: Vec<(u32, BTreeSet<&'static str>)>,
}

impl Author<'_> {
    fn write(coins: &mut Coins) -> String {
        let (out, scope) = (String::new(), vec![]);
        let mut author = Author {
            coins,
            out,
            labels: 0,
            recursions: 0,
            names: 0,
            scope,
        };
        author.out.push_str(
            "effect E version 1 { op add(a: Nat, b: Nat) -> Nat; check is(a: Nat) -> Bool; }\n",
        );
        let roles: Vec<String> = ROLES.iter().map(|role| format!("role {role}")).collect();
        let uses: Vec<String> = ROLES.iter().map(|role| format!("E at {role}")).collect();
        let (roles, uses) = (roles.join(", "), uses.join(", "));
        let _ = writeln!(author.out, "global protocol Random({roles}) uses {uses} {{");
        author.statements(3, &[]);
        author.out.push_str("}\n");
        author.out
    }

    /// Some statements; what they bind is forgotten behind them.
    fn statements(&mut self, depth: u32, around: &[u32]) {
        let scope = self.scope.clone();
        for _ in 0..1 + self.coins.below(3) {
            match self.coins.below(if depth == 0 { 4 } else { 7 }) {
                0..=2 => self.message(),
                3 => {
                    let role = ROLES[self.coins.below(ROLES.len())];
                    self.actions(role, "");
                }
                4 | 5 => self.choice(depth, &[]),
                _ => self.recursion(depth, around),
            }
        }
        self.scope = scope;
    }

    /// Few labels, so that branches often begin alike.
    fn message(&mut self) {
        let (from, to) = self.pair();
        let label = self.coins.below(3);
        let known = self.known(from);
        let payload = match self.coins.below(5) {
            0 => String::new(),
            1 => "Nat".to_owned(),
            2 => "Text".to_owned(),
            3 if known.is_some() => known.map_or_else(String::new, |name| {
                self.learn(name, to);
                format!("x{name}")
            }),
            _ => format!("x{}: Nat", self.bind(&[from, to])),
        };
        let kind = payload.len().min(1) + usize::from(payload == "Text");
        let _ = writeln!(self.out, "m{label}{kind}({payload}) from {from} to {to};");
    }

    /// Local actions over what the role knows; a failure goes where `otherwise` says.
    fn actions(&mut self, role: &'static str, otherwise: &str) {
        let argument = self
            .known(role)
            .map_or("7".to_owned(), |name| format!("x{name}"));
        let _ = match self.coins.below(3) {
            0 => writeln!(
                self.out,
                "at {role} {{ check E.is({argument}){otherwise}; }}"
            ),
            1 => writeln!(self.out, "at {role} {{ E.add({argument}, 2){otherwise}; }}"),
            _ => {
                let name = self.bind(&[role]);
                let call = format!("E.add({argument}, {argument}) within 5s{otherwise}");
                writeln!(self.out, "at {role} {{ let x{name} = {call}; }}")
            }
        };
    }

    fn bind(&mut self, roles: &[&'static str]) -> u32 {
        self.names += 1;
        self.scope
            .push((self.names, roles.iter().copied().collect()));
        self.names
    }

    /// A name that the role knows.
    fn known(&mut self, role: &str) -> Option<u32> {
        let known: Vec<u32> = self
            .scope
            .iter()
            .filter(|(_, who)| who.contains(role))
            .map(|(name, _)| *name)
            .collect();
        (!known.is_empty()).then(|| known[self.coins.below(known.len())])
    }

    fn learn(&mut self, name: u32, role: &'static str) {
        for (known, who) in &mut self.scope {
            if *known == name {
                who.insert(role);
            }
        }
    }

    fn pair(&mut self) -> (&'static str, &'static str) {
        let from = self.coins.below(ROLES.len());
        let to = (from + 1 + self.coins.below(ROLES.len() - 1)) % ROLES.len();
        (ROLES[from], ROLES[to])
    }

    fn choice(&mut self, depth: u32, around: &[u32]) {
        let (at, to) = self.pair();
        // Telling everybody makes most choices projectable; not telling makes the others
        // interesting.
        let told = self.coins.below(4) > 0;
        let _ = write!(self.out, "choice at {at} ");
        let branches = 2 + self.coins.below(2) as u32;
        let first = self.labels + 1;
        self.labels += branches;
        let last = self.labels;
        let scope = self.scope.clone();
        for label in first..=last {
            self.scope.clone_from(&scope);
            self.out
                .push_str(if label == first { "{\n" } else { "or {\n" });
            if label != last && self.coins.below(4) == 0 {
                self.actions(at, &format!(" else c{last}"));
            }
            let _ = writeln!(self.out, "c{label}() from {at} to {to};");
            for other in ROLES
                .iter()
                .filter(|role| told && **role != at && **role != to)
            {
                let _ = writeln!(self.out, "c{label}() from {at} to {other};");
            }
            if self.coins.below(2) == 0 {
                self.statements(depth.saturating_sub(1), &[]);
            }
            // The last branch goes on, so that what follows can be reached.
            if label != last && !around.is_empty() && self.coins.below(2) == 0 {
                let back = around[self.coins.below(around.len())];
                let _ = writeln!(self.out, "continue X{back};");
            }
            self.out.push_str("} ");
        }
        self.scope = scope;
        self.out.push('\n');
    }

    fn recursion(&mut self, depth: u32, around: &[u32]) {
        self.recursions += 1;
        let around = [around, &[self.recursions]].concat();
        let _ = writeln!(self.out, "rec X{} {{", self.recursions);
        if self.coins.below(2) == 0 {
            self.message();
        }
        self.choice(depth.saturating_sub(1), &around);
        self.out.push_str("}\n");
    }
}

/// What a made-up protocol came to.
struct Made {
    text: String,
    protocols: Vec<(CheckedProtocol, Compiled)>,
    codes: BTreeSet<Code>,
}

fn all() -> Vec<Made> {
    let limits = Limits {
        configurations: 20_000,
        ..Limits::default()
    };
    (0..PROTOCOLS)
        .map(|seed| {
            let text = Author::write(&mut Coins(seed));
            let source = Source {
                name: "random".into(),
                text: text.as_str().into(),
            };
            let whole = compile_all(&Modules::load(source, &NoModules), &limits);
            let codes = whole
                .diagnostics
                .iter()
                .map(|diagnostic| diagnostic.code)
                .collect();
            Made {
                text,
                protocols: whole.protocols,
                codes,
            }
        })
        .collect()
}

#[test]
fn whatever_projects_is_safe_verifies_and_runs() {
    let mut ended = 0;
    let mut said: BTreeMap<Code, u32> = BTreeMap::new();
    for Made {
        text,
        protocols,
        codes,
    } in all()
    {
        for code in codes {
            *said.entry(code).or_default() += 1;
            let projected = [
                Code::ReceptionError,
                Code::Deadlock,
                Code::OrphanMessage,
                Code::NeverReceived,
            ];
            assert!(!projected.contains(&code), "{code}\n{text}");
        }
        for (protocol, compiled) in protocols {
            let names = Names::of(&protocol);
            for automaton in &compiled.automata {
                let read = LocalAutomaton::parse(&automaton.text(&names), &names);
                assert_eq!(read.as_ref(), Ok(automaton), "{text}");
            }
            if let Some(certificate) = &compiled.certificate {
                assert_eq!(certificate.check(&compiled.automata), Ok(()), "{text}");
            }
            ended += u32::from(runs(&compiled, &text));
        }
    }
    // The test is about something only if a fair part projects, and a fair part does not.
    assert!(
        u64::from(ended) > PROTOCOLS / 8,
        "only {ended} ran to their end; {said:?}"
    );
    let refused = [
        Code::EndsOrGoesOn,
        Code::SendsOrReceives,
        Code::DifferentSenders,
    ];
    assert!(
        refused.iter().all(|code| said.contains_key(code)),
        "{said:?}"
    );
}

/// Runs a protocol under every policy, with buffers of one and of many; whether it ended in all
/// runs.
fn runs(compiled: &Compiled, text: &str) -> bool {
    let image = match compiled.image.clone().verify() {
        Ok(image) => Arc::new(image),
        Err(error) => panic!("{error}\n{text}"),
    };
    let may_fail = with_else(&image);
    let mut ended = true;
    for policy in SchedulingPolicy::ALL {
        for buffer_len_max in [1, 64] {
            let config = ProtocolMachineConfig {
                policy,
                buffer_len_max,
                ..Default::default()
            };
            let mut coins = Coins(7);
            let host = FromFn(|request: &EffectRequest<'_>| {
                Reply::Now(answer(request, &may_fail, &mut coins))
            });
            let mut machine = ProtocolMachine::new(config, host);
            let session = machine.load_choreography(&image, "test").unwrap();
            let rest = machine.run(STEPS);
            let phase = machine.kernel().session(session).unwrap().phase();
            match rest {
                None => {
                    assert_eq!(phase, Phase::Active, "{policy:?}\n{text}");
                    ended = false;
                }
                Some(rest) => {
                    let end = (rest, phase);
                    assert_eq!(
                        end,
                        (Rest::Done, Phase::Terminal(End::Closed)),
                        "{policy:?}\n{text}"
                    );
                }
            }
        }
    }
    ended
}

/// How many fixtures are spoiled.
const SPOILED: u64 = 1_500;

/// The corpus with lines lost, doubled, moved and words changed for other words of the same text: whatever is still
/// accepted verifies and runs, whatever is not is reported.
#[test]
fn spoiled_fixtures_are_refused_or_run() {
    let mut texts = vec![];
    for entry in std::fs::read_dir(fixtures().join("ok")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "scr" || e == "anti") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts.sort();
    let limits = Limits {
        configurations: 2_000,
        ..Limits::default()
    };
    let (mut accepted, mut refused) = (0, BTreeSet::new());
    for seed in 0..SPOILED {
        let mut coins = Coins(seed);
        let mut text = texts[coins.below(texts.len())].clone();
        for _ in 0..1 + coins.below(3) {
            text = spoiled(&text, &mut coins);
        }
        let source = Source {
            name: "spoiled".into(),
            text: text.as_str().into(),
        };
        let whole = compile_all(&Modules::load(source, &Files), &limits);
        refused.extend(
            whole
                .diagnostics
                .iter()
                .filter(|d| d.is_error())
                .map(|d| d.code),
        );
        for (_, compiled) in &whole.protocols {
            accepted += 1;
            runs(compiled, &text);
        }
    }
    assert!(accepted > SPOILED / 20, "only {accepted} were accepted");
    assert!(refused.len() > 20, "{refused:?}");
}

fn spoiled(text: &str, coins: &mut Coins) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return String::new();
    }
    let (one, two) = (coins.below(lines.len()), coins.below(lines.len()));
    match coins.below(4) {
        0 => drop(lines.remove(one)),
        1 => lines.insert(two, lines[one].clone()),
        2 => lines.swap(one, two),
        _ => {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let words: Vec<&str> = text
                .split(|c| !is_word(c))
                .filter(|word| !word.is_empty())
                .collect();
            if let (false, Some(old)) = (
                words.is_empty(),
                lines[one]
                    .split(|c| !is_word(c))
                    .find(|word| !word.is_empty())
                    .map(str::to_owned),
            ) {
                let new = words[coins.below(words.len())];
                lines[one] = lines[one].replacen(&old, new, 1);
            }
        }
    }
    lines.join("\n")
}
