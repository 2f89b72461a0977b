//! Coverage: how often each possible result, event, fault and refusal occurs in a corpus. A result
//! that never occurs is reported, unless this module gives a reason why it is impossible. A result
//! that occurs although it is listed as impossible is reported, too.

use std::collections::BTreeMap;

use antiphon_machine::{
    Event, FailureKind, Fault, Ingress, Instruction, On, Refusal, Rest, Resumed, SchedulingPolicy,
    Step, Table, Taken,
};

use crate::case::{Action, Case};
use crate::run::{ActionOut, ActionResult};

/// A group, and up to three names in it; unused names are empty.
type Key = [&'static str; 4];

/// Counters of the results of a corpus.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    counts: BTreeMap<Key, u64>,
    cases: u64,
    actions: u64,
}

/// Stands for the instruction when a coroutine's control has left its program.
const NO_INSTRUCTION: &str = "(no instruction)";

const RESULTS: [&str; 7] = [
    "Ran",
    "Yielded",
    "Blocked(Empty)",
    "Blocked(Full)",
    "Effect",
    "Halted",
    "Faulted",
];

const TABLES: [(&str, Table); 5] = [
    ("Programs", Table::Programs),
    ("Operations", Table::Operations),
    ("Roles", Table::Roles),
    ("States", Table::States),
    ("Edges", Table::Edges),
];

const TAKEN: [&str; 7] = [
    "Opened",
    "Resumed(Ready)",
    "Resumed(Reissued)",
    "Resumed(Faulted)",
    "Advanced, nothing expired",
    "Advanced, something expired",
    "Cancelled",
];

const RESTS: [&str; 3] = ["Idle", "Done", "Stuck"];

/// Results that only waves have.
const WAVES: [&str; 5] = [
    "a wave of one step",
    "a wave of several",
    "fell back to one turn",
    "refused: no width",
    "no coroutine ready",
];

impl Coverage {
    /// Counts the results of a case.
    pub fn add(&mut self, case: &Case, outs: &[ActionOut]) {
        self.cases += 1;
        let policy = case.config.policy.name();
        for (action, out) in case.actions.iter().zip(outs) {
            self.actions += 1;
            self.add_result(policy, action, out);
            for event in &out.events {
                self.count(["event", Event::NAMES[event.event.number()], policy, ""]);
                self.add_event(&event.event);
            }
        }
    }

    fn count(&mut self, key: Key) {
        *self.counts.entry(key).or_default() += 1;
    }

    fn add_result(&mut self, policy: &'static str, action: &Action, out: &ActionOut) {
        let is_wave = matches!(action, Action::Round { .. } | Action::Wave(_));
        match &out.result {
            ActionResult::Stepped(_, step) => {
                let instruction = instruction(out.instruction);
                let by = if matches!(action, Action::Pick(_)) {
                    "Pick"
                } else {
                    "Turn"
                };
                self.count(["stepped by", by, policy, ""]);
                self.count(["step", instruction, result(step), policy]);
                if let Step::Faulted(fault) = step {
                    self.count(["fault of", instruction, Fault::NAMES[fault.number()], ""]);
                }
            }
            ActionResult::Rested(_) if is_wave => self.count(["wave", WAVES[4], "", ""]),
            ActionResult::Rested(rest) => {
                let rest = match rest {
                    Rest::Idle => RESTS[0],
                    Rest::Done => RESTS[1],
                    Rest::Stuck(_) => RESTS[2],
                };
                self.count(["rest", rest, policy, ""]);
            }
            ActionResult::Taken(taken) => {
                self.count(["taken", taken_name(taken), policy, ""]);
                self.count(["input taken", input(action), policy, ""]);
            }
            ActionResult::Refused(refusal) => {
                let refused = Refusal::NAMES[refusal.number()];
                self.count(["refused", input(action), refused, policy]);
                self.count(["input refused", input(action), policy, ""]);
            }
            ActionResult::Round(wave) => {
                let several = usize::from(wave.picks.len() > 1);
                self.count([
                    "wave",
                    WAVES[if wave.fell_back { 2 } else { several }],
                    "",
                    "",
                ]);
            }
            ActionResult::NotReady => self.count(["not ready", "Pick", policy, ""]),
            ActionResult::NoWidth => self.count(["wave", WAVES[3], "", ""]),
        }
    }

    fn add_event(&mut self, event: &Event) {
        match event {
            Event::Faulted { fault, .. } => {
                self.count(["fault", Fault::NAMES[fault.number()], "", ""]);
                if let Fault::NoSuchRow { table, .. } = fault {
                    let name = TABLES.iter().find(|(_, known)| known == table);
                    self.count(["row not in", name.map_or("", |(name, _)| name), "", ""]);
                }
            }
            Event::EffectFailed { failure, .. } => {
                self.count(["failure", failure.kind.name(), "", ""]);
            }
            _ => {}
        }
    }

    fn of(&self, key: &Key) -> u64 {
        self.counts.get(key).copied().unwrap_or(0)
    }

    /// The findings: possible results that never occur, and impossible ones that do. Waves are not
    /// included.
    pub fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (key, impossible) in expected() {
            match (self.of(&key), impossible) {
                (0, None) => findings.push(format!("never: {}", describe(&key))),
                (n, Some(why)) if n > 0 => {
                    findings.push(format!(
                        "{n} times, which was held to be impossible because {why}: {}",
                        describe(&key)
                    ));
                }
                _ => {}
            }
        }
        findings
    }

    /// As [`findings`](Self::findings), for the results that only waves have.
    pub fn wave_findings(&self) -> Vec<String> {
        let zero = |what: &&&'static str| self.of(&["wave", what, "", ""]) == 0;
        WAVES
            .iter()
            .filter(zero)
            .map(|what| format!("never: wave: {what}"))
            .collect()
    }
}

/// A line for each counter, with a number for each policy if it is counted by policy.
impl std::fmt::Display for Coverage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} cases, {} actions", self.cases, self.actions)?;
        let mut rows: BTreeMap<String, Vec<(&str, u64)>> = BTreeMap::new();
        let is_policy = |name: &str| SchedulingPolicy::ALL.iter().any(|p| p.name() == name);
        for (key, count) in &self.counts {
            let (policies, names): (Vec<&str>, Vec<&str>) = key
                .iter()
                .filter(|name| !name.is_empty())
                .partition(|name| is_policy(name));
            let row = rows.entry(names.join(" · ")).or_default();
            row.push((policies.first().copied().unwrap_or(""), *count));
        }
        for (name, counts) in rows {
            write!(f, "  {name:<46}")?;
            for policy in SchedulingPolicy::ALL {
                let count = counts.iter().find(|(name, _)| *name == policy.name());
                if let Some((_, count)) = count {
                    write!(f, " {count:>8}")?;
                }
            }
            if let Some((_, count)) = counts.iter().find(|(name, _)| name.is_empty()) {
                write!(f, " {count:>8}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn describe(key: &Key) -> String {
    let parts: Vec<&str> = key
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" · ")
}

/// Every counter except those of waves, with a reason if the result is impossible.
fn expected() -> Vec<(Key, Option<&'static str>)> {
    let mut all: Vec<(Key, Option<&'static str>)> = Vec::new();
    let policies = SchedulingPolicy::ALL.map(SchedulingPolicy::name);
    for row in Instruction::ROWS {
        let faults: Vec<&str> = row.faults().collect();
        expect_steps(&mut all, row.name, row.results, &faults);
    }
    expect_steps(
        &mut all,
        NO_INSTRUCTION,
        &[],
        &["PcOutOfBounds", "NoSuchRow"],
    );
    for policy in policies {
        for event in Event::NAMES {
            all.push((["event", event, policy, ""], None));
        }
        for taken in TAKEN {
            all.push((["taken", taken, policy, ""], None));
        }
        for rest in RESTS {
            all.push((["rest", rest, policy, ""], None));
        }
        for (input, refusals) in Ingress::NAMES.iter().zip(Ingress::REFUSALS) {
            all.push((["input taken", input, policy, ""], None));
            for refusal in *refusals {
                all.push((["refused", input, refusal, policy], None));
            }
        }
        for by in ["Turn", "Pick"] {
            all.push((["stepped by", by, policy, ""], None));
        }
        all.push((["not ready", "Pick", policy, ""], None));
    }
    let faults = Fault::NAMES.iter();
    all.extend(faults.map(|fault| (["fault", fault, "", ""], None)));
    all.extend(FailureKind::ALL.map(|kind| (["failure", kind.name(), "", ""], None)));
    for (name, table) in TABLES {
        let why = "an edge has no number only where an image has more than 65,535 of them";
        let why = (table == Table::Edges).then_some(why);
        all.push((["row not in", name, "", ""], why));
    }
    all
}

/// Adds the results and the faults of a step of an instruction. It can have these results, and
/// these faults; any other is impossible.
fn expect_steps(
    all: &mut Vec<(Key, Option<&'static str>)>,
    instruction: &'static str,
    results: &[&str],
    faults: &[&str],
) {
    let policies = SchedulingPolicy::ALL.map(SchedulingPolicy::name);
    for result in RESULTS {
        let can = match result {
            "Faulted" => !faults.is_empty(),
            result => results.contains(&result),
        };
        let why = (!can).then_some("the instruction does not have that result");
        all.extend(policies.map(|policy| (["step", instruction, result, policy], why)));
    }
    for fault in Fault::NAMES {
        let why = (!faults.contains(fault)).then_some("the instruction does not check that");
        all.push((["fault of", instruction, fault, ""], why));
    }
}

/// The name of the action's input; empty if the action is not an input.
fn input(action: &Action) -> &'static str {
    match action {
        Action::Input(input) => Ingress::NAMES[input.number()],
        Action::Turn | Action::Pick(_) | Action::Round { .. } | Action::Wave(_) => "",
    }
}

fn instruction(number: Option<usize>) -> &'static str {
    let row = number.and_then(|number| Instruction::ROWS.get(number));
    row.map_or(NO_INSTRUCTION, |row| row.name)
}

fn result(step: &Step) -> &'static str {
    match step {
        Step::Ran => RESULTS[0],
        Step::Yielded => RESULTS[1],
        Step::Blocked(On::Empty(_)) => RESULTS[2],
        Step::Blocked(On::Full(_)) => RESULTS[3],
        Step::Effect(_) | Step::Blocked(On::Effect(_)) => RESULTS[4],
        Step::Halted => RESULTS[5],
        Step::Faulted(_) => RESULTS[6],
    }
}

fn taken_name(taken: &Taken) -> &'static str {
    TAKEN[match taken {
        Taken::Opened(_) => 0,
        Taken::Resumed(Resumed::Ready(_)) => 1,
        Taken::Resumed(Resumed::Reissued(_)) => 2,
        Taken::Resumed(Resumed::Faulted(_)) => 3,
        Taken::Advanced { expired: 0 } => 4,
        Taken::Advanced { .. } => 5,
        Taken::Cancelled => 6,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand;
    use crate::run::run;

    /// The hand-written cases alone cover everything that is possible.
    #[test]
    fn the_hand_written_cases_cover_everything() {
        let mut coverage = Coverage::default();
        for case in hand::cases() {
            coverage.add(&case, &run(&case));
        }
        let findings = coverage.findings();
        assert!(findings.is_empty(), "{}\n{coverage}", findings.join("\n"));
    }

    /// Each input has a counter of its own, so results that another input also has do not hide one
    /// that is always refused.
    #[test]
    fn an_input_that_is_never_taken_is_a_finding() {
        let mut coverage = Coverage::default();
        let is_taken_clock = |action: &Action, out: &ActionOut| {
            matches!(action, Action::Input(Ingress::AdvanceClock { .. }))
                && matches!(out.result, ActionResult::Taken(_))
        };
        for mut case in hand::cases() {
            let outs = run(&case);
            let actions = std::mem::take(&mut case.actions).into_iter().zip(outs);
            let (actions, outs): (Vec<_>, Vec<_>) = actions
                .filter(|(action, out)| !is_taken_clock(action, out))
                .unzip();
            case.actions = actions;
            coverage.add(&case, &outs);
        }
        let findings = coverage.findings();
        for policy in SchedulingPolicy::ALL.map(SchedulingPolicy::name) {
            let never = |input: &str| format!("never: input taken · {input} · {policy}");
            assert!(findings.contains(&never("AdvanceClock")), "{findings:?}");
            let others = Ingress::NAMES.iter().filter(|n| **n != "AdvanceClock");
            let wrong: Vec<_> = others.filter(|n| findings.contains(&never(n))).collect();
            assert!(wrong.is_empty(), "{wrong:?}");
        }
    }

    /// A misspelt name in a column of a table would be a row that no case can cover.
    #[test]
    fn the_columns_of_the_tables_have_names_that_exist() {
        for row in Instruction::ROWS {
            let unknown: Vec<_> = row
                .results
                .iter()
                .filter(|r| !RESULTS.contains(r))
                .collect();
            assert!(unknown.is_empty(), "results of {}: {unknown:?}", row.name);
            let unknown: Vec<_> = row.faults().filter(|f| !Fault::NAMES.contains(f)).collect();
            assert!(unknown.is_empty(), "faults of {}: {unknown:?}", row.name);
        }
        for (input, refusals) in Ingress::NAMES.iter().zip(Ingress::REFUSALS) {
            let known = |refusal: &&&str| !Refusal::NAMES.contains(refusal);
            let unknown: Vec<_> = refusals.iter().filter(known).collect();
            assert!(unknown.is_empty(), "refusals of {input}: {unknown:?}");
        }
    }

    #[test]
    fn an_empty_corpus_covers_nothing() {
        let coverage = Coverage::default();
        let possible = expected().iter().filter(|(_, why)| why.is_none()).count();
        assert_eq!(coverage.findings().len(), possible);
        assert_eq!(coverage.wave_findings().len(), WAVES.len());
    }
}
