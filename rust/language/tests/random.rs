//! Protocols that nobody wrote: whatever projects is free of reception errors, deadlocks and
//! orphans, verifies, and runs without a fault under every policy.

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
use host::{Coins, answer};

/// How many protocols are made up.
const PROTOCOLS: u64 = 400;

/// Steps of a run; some protocols have no end.
const STEPS: u64 = 3_000;

const ROLES: [&str; 4] = ["A", "B", "C", "D"];

/// Writes the body of a protocol by coins: well shaped by construction, projectable only by luck.
struct Author<'c> {
    coins: &'c mut Coins,
    out: String,
    labels: u32,
    recursions: u32,
}

impl Author<'_> {
    fn write(coins: &mut Coins) -> String {
        let mut author = Author {
            coins,
            out: String::new(),
            labels: 0,
            recursions: 0,
        };
        let roles: Vec<String> = ROLES.iter().map(|role| format!("role {role}")).collect();
        let _ = writeln!(
            author.out,
            "global protocol Random({}) {{",
            roles.join(", ")
        );
        author.statements(3, &[]);
        author.out.push_str("}\n");
        author.out
    }

    /// Some statements, the last of which may go back to one of the recursions around.
    fn statements(&mut self, depth: u32, around: &[u32]) {
        for _ in 0..1 + self.coins.below(3) {
            match self.coins.below(if depth == 0 { 3 } else { 6 }) {
                0..=2 => self.message(),
                3 | 4 => self.choice(depth, &[]),
                _ => self.recursion(depth, around),
            }
        }
    }

    /// Few labels, so that branches often begin alike.
    fn message(&mut self) {
        let (from, to) = self.pair();
        let (label, sort) = (
            self.coins.below(3),
            ["", "Nat", "Text"][self.coins.below(3)],
        );
        let _ = writeln!(
            self.out,
            "m{label}{}({sort}) from {from} to {to};",
            &sort.to_lowercase()
        );
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
        let branches = 2 + self.coins.below(2);
        for branch in 0..branches {
            self.labels += 1;
            let label = self.labels;
            self.out
                .push_str(if branch == 0 { "{\n" } else { "or {\n" });
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
            if branch + 1 < branches && !around.is_empty() && self.coins.below(2) == 0 {
                let _ = writeln!(
                    self.out,
                    "continue X{};",
                    around[self.coins.below(around.len())]
                );
            }
            self.out.push_str("} ");
        }
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
                Reply::Now(answer(request, &BTreeSet::new(), &mut coins))
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
