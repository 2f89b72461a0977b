//! Generated protocols: those that project have no reception errors, deadlocks or orphan messages;
//! they verify, and run without a fault under every policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use crate::common::{Files, fixtures};
use crate::host::{Rng, answer, with_else};
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

/// The number of generated protocols.
const PROTOCOLS: u64 = 300;

/// The number of steps of a run. Some protocols have no end.
const STEPS: u64 = 3_000;

const ROLES: [&str; 4] = ["A", "B", "C", "D"];

/// Generates the body of a protocol. It is well shaped by construction, but projectable only by
/// chance.
struct Generator<'c> {
    rng: &'c mut Rng,
    out: String,
    labels: u32,
    recursions: u32,
    names: u32,
    /// The names in scope, all of sort `Nat`, and the roles that know each.
    scope: Vec<(u32, BTreeSet<&'static str>)>,
}

impl Generator<'_> {
    fn write(rng: &mut Rng) -> String {
        let (out, scope) = (String::new(), vec![]);
        let mut generator = Generator {
            rng,
            out,
            labels: 0,
            recursions: 0,
            names: 0,
            scope,
        };
        generator.out.push_str(
            "effect E version 1 { op add(a: Nat, b: Nat) -> Nat; check is(a: Nat) -> Bool; }\n",
        );
        let roles: Vec<String> = ROLES.iter().map(|role| format!("role {role}")).collect();
        let uses: Vec<String> = ROLES.iter().map(|role| format!("E at {role}")).collect();
        let (roles, uses) = (roles.join(", "), uses.join(", "));
        let _ = writeln!(
            generator.out,
            "global protocol Random({roles}) uses {uses} {{"
        );
        generator.statements(3, &[]);
        generator.out.push_str("}\n");
        generator.out
    }

    /// Generates statements. Names that they bind go out of scope after them.
    fn statements(&mut self, depth: u32, around: &[u32]) {
        let scope = self.scope.clone();
        for _ in 0..1 + self.rng.below(3) {
            match self.rng.below(if depth == 0 { 4 } else { 7 }) {
                0..=2 => self.message(),
                3 => {
                    let role = ROLES[self.rng.below(ROLES.len())];
                    self.actions(role, "");
                }
                4 | 5 => self.choice(depth, &[]),
                _ => self.recursion(depth, around),
            }
        }
        self.scope = scope;
    }

    /// Uses few labels, so that branches often begin alike.
    fn message(&mut self) {
        let (from, to) = self.pair();
        let label = self.rng.below(3);
        let known = self.known(from);
        let payload = match self.rng.below(5) {
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

    /// Generates local actions over names that the role knows. `otherwise` is their `else` clause.
    fn actions(&mut self, role: &'static str, otherwise: &str) {
        let argument = self
            .known(role)
            .map_or("7".to_owned(), |name| format!("x{name}"));
        let _ = match self.rng.below(3) {
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

    /// A random name that the role knows.
    fn known(&mut self, role: &str) -> Option<u32> {
        let known: Vec<u32> = self
            .scope
            .iter()
            .filter(|(_, who)| who.contains(role))
            .map(|(name, _)| *name)
            .collect();
        (!known.is_empty()).then(|| known[self.rng.below(known.len())])
    }

    fn learn(&mut self, name: u32, role: &'static str) {
        for (known, who) in &mut self.scope {
            if *known == name {
                who.insert(role);
            }
        }
    }

    fn pair(&mut self) -> (&'static str, &'static str) {
        let from = self.rng.below(ROLES.len());
        let to = (from + 1 + self.rng.below(ROLES.len() - 1)) % ROLES.len();
        (ROLES[from], ROLES[to])
    }

    fn choice(&mut self, depth: u32, around: &[u32]) {
        let (at, to) = self.pair();
        // Informing all roles makes most choices projectable; not informing them tests the rest.
        let informs_all = self.rng.below(4) > 0;
        let _ = write!(self.out, "choice at {at} ");
        let branches = 2 + self.rng.below(2) as u32;
        let first = self.labels + 1;
        self.labels += branches;
        let last = self.labels;
        let scope = self.scope.clone();
        for label in first..=last {
            self.scope.clone_from(&scope);
            self.out
                .push_str(if label == first { "{\n" } else { "or {\n" });
            if label != last && self.rng.below(4) == 0 {
                self.actions(at, &format!(" else c{last}"));
            }
            let _ = writeln!(self.out, "c{label}() from {at} to {to};");
            for other in ROLES
                .iter()
                .filter(|role| informs_all && **role != at && **role != to)
            {
                let _ = writeln!(self.out, "c{label}() from {at} to {other};");
            }
            if self.rng.below(2) == 0 {
                self.statements(depth.saturating_sub(1), &[]);
            }
            // The last branch never continues, so that what follows the choice is reachable.
            if label != last && !around.is_empty() && self.rng.below(2) == 0 {
                let back = around[self.rng.below(around.len())];
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
        if self.rng.below(2) == 0 {
            self.message();
        }
        self.choice(depth.saturating_sub(1), &around);
        self.out.push_str("}\n");
    }
}

/// A generated protocol and the result of compiling it.
struct Generated {
    text: String,
    protocols: Vec<(CheckedProtocol, Compiled)>,
    codes: BTreeSet<Code>,
}

fn all() -> Vec<Generated> {
    let limits = Limits {
        configurations: 20_000,
        ..Limits::default()
    };
    (0..PROTOCOLS)
        .map(|seed| {
            let text = Generator::write(&mut Rng(seed));
            let source = Source {
                name: "random".into(),
                text: text.as_str().into(),
            };
            let result = compile_all(&Modules::load(source, &NoModules), &limits);
            let codes = result
                .diagnostics
                .iter()
                .map(|diagnostic| diagnostic.code)
                .collect();
            Generated {
                text,
                protocols: result.protocols,
                codes,
            }
        })
        .collect()
}

#[test]
fn projectable_protocols_are_safe_verify_and_run() {
    let mut ended = 0;
    let mut counts: BTreeMap<Code, u32> = BTreeMap::new();
    for Generated {
        text,
        protocols,
        codes,
    } in all()
    {
        for code in codes {
            *counts.entry(code).or_default() += 1;
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
                let image = compiled.image.clone().verify().expect("it verifies");
                assert!(certificate.check(&image).is_ok(), "{text}");
            }
            ended += u32::from(runs(&compiled, &text));
        }
    }
    // The test is meaningful only if a fair share of the protocols project and a fair share do not.
    assert!(
        u64::from(ended) > PROTOCOLS / 8,
        "only {ended} ran to their end; {counts:?}"
    );
    let refused = [
        Code::EndsOrGoesOn,
        Code::SendsOrReceives,
        Code::DifferentSenders,
    ];
    assert!(
        refused.iter().all(|code| counts.contains_key(code)),
        "{counts:?}"
    );
}

/// Runs a protocol under every policy, with buffer capacities 1 and 64. Returns whether it ended in
/// all runs.
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
            let mut rng = Rng(7);
            let host = FromFn(|request: &EffectRequest<'_>| {
                Reply::Now(answer(request, &may_fail, &mut rng))
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

/// The number of mutated fixtures.
const MUTATIONS: u64 = 1_500;

/// Fixtures with lines removed, repeated or swapped and words replaced by other words of the text.
/// Those that are still accepted verify and run; the others are reported.
#[test]
fn mutated_fixtures_are_rejected_or_run() {
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
    for seed in 0..MUTATIONS {
        let mut rng = Rng(seed);
        let mut text = texts[rng.below(texts.len())].clone();
        for _ in 0..1 + rng.below(3) {
            text = mutated(&text, &mut rng);
        }
        let source = Source {
            name: "mutated".into(),
            text: text.as_str().into(),
        };
        let result = compile_all(&Modules::load(source, &Files), &limits);
        refused.extend(
            result
                .diagnostics
                .iter()
                .filter(|d| d.is_error())
                .map(|d| d.code),
        );
        for (_, compiled) in &result.protocols {
            accepted += 1;
            runs(compiled, &text);
        }
    }
    assert!(accepted > MUTATIONS / 20, "only {accepted} were accepted");
    assert!(refused.len() > 20, "{refused:?}");
}

fn mutated(text: &str, rng: &mut Rng) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.is_empty() {
        return String::new();
    }
    let (one, two) = (rng.below(lines.len()), rng.below(lines.len()));
    match rng.below(4) {
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
                let new = words[rng.below(words.len())];
                lines[one] = lines[one].replacen(&old, new, 1);
            }
        }
    }
    lines.join("\n")
}
