//! Every protocol of `fixtures/language/ok` passes the checks, projects, compiles, verifies and
//! runs to its end.
//!
//! `NNN_name.expected` contains its automata and the findings of the checks; `BLESS=1` rewrites it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common::Files;
use crate::host::{Rng, answer, with_else};
use antiphon_language::automaton::{LocalAutomaton, LocalKind, Names};
use antiphon_language::compile::{Compiled, compile};
use antiphon_language::diagnostic::{Style, render_all};
use antiphon_language::export;
use antiphon_language::global::CheckedProtocol;
use antiphon_language::safety::{Limits, Safety, explore};
use antiphon_language::source::Source;
use antiphon_language::{Modules, check};
use antiphon_machine::safety::SafetyCertificate;
use antiphon_machine::{
    EffectRequest, End, FromFn, Phase, ProtocolMachine, ProtocolMachineConfig, Reply, Rest,
    SchedulingPolicy, State, VerifiedImage,
};

/// The number of steps after which a protocol without end is known to continue.
const STEPS_ENDLESS: u64 = 10_000;

/// The number of steps within which a protocol with an end must reach it. A fair host leaves every
/// loop long before that.
const STEPS_MAX: u64 = 2_000_000;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/language/ok");
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn is_protocol(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "scr" || e == "anti")
}

/// The checked protocols of a file and the report of its findings.
fn checked(path: &Path) -> (Vec<CheckedProtocol>, String) {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let modules = Modules::load(
        Source {
            name: name.into(),
            text: text.into(),
        },
        &Files,
    );
    let checked = check(&modules);
    let report = render_all(&checked.diagnostics, modules.sources(), Style::Plain);
    assert!(
        checked.diagnostics.iter().all(|d| !d.is_error()),
        "{}\n{report}",
        path.display()
    );
    assert!(
        !checked.protocols.is_empty(),
        "{} has no protocol",
        path.display()
    );
    (checked.protocols, report)
}

fn compiled(path: &Path) -> Vec<(CheckedProtocol, Compiled)> {
    let compile = |protocol: CheckedProtocol| match compile(&protocol, &Limits::default()) {
        Ok(compiled) => (protocol, compiled),
        Err(errors) => panic!("{}: {errors:#?}", path.display()),
    };
    checked(path).0.into_iter().map(compile).collect()
}

/// Every fixture with its compiled protocols.
fn all() -> Vec<(PathBuf, CheckedProtocol, Compiled)> {
    let paths = fixtures().into_iter().filter(|path| is_protocol(path));
    paths
        .flat_map(|path| {
            let own = path.clone();
            compiled(&path)
                .into_iter()
                .map(move |(p, c)| (own.clone(), p, c))
        })
        .collect()
}

fn expected(path: &Path) -> String {
    let (_, report) = checked(path);
    let mut out = report;
    for (protocol, compiled) in compiled(path) {
        let names = Names::of(&protocol);
        out += &format!("protocol {}\n", protocol.name());
        for automaton in &compiled.automata {
            out += "\n";
            out += &automaton.text(&names);
        }
        out += &match &compiled.certificate {
            Some(certificate) => format!(
                "\nsafe: {} configurations with buffers of {}\n",
                certificate.configurations(),
                certificate.buffer_bound()
            ),
            None => "\nnot certified\n".to_owned(),
        };
    }
    out
}

#[test]
fn automata_are_as_expected() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = vec![];
    let paths = fixtures();
    for path in paths.iter().filter(|path| is_protocol(path)) {
        let got = expected(path);
        let golden = path.with_extension("expected");
        if bless {
            std::fs::write(&golden, &got).unwrap();
        }
        if std::fs::read_to_string(&golden).ok().as_ref() != Some(&got) {
            wrong.push(format!("{} differs; got\n{got}", golden.display()));
        }
    }
    for path in paths.iter().filter(|path| !is_protocol(path)) {
        let has_source = ["scr", "anti"]
            .iter()
            .any(|e| path.with_extension(e).exists());
        let is_golden = path.extension().is_some_and(|e| e == "expected");
        if !is_golden || !has_source {
            wrong.push(format!("{} belongs to no protocol", path.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nBLESS=1 accepts the new text",
        wrong.join("\n")
    );
}

#[test]
fn at_least_sixty_fixtures_exist() {
    assert!(fixtures().iter().filter(|path| is_protocol(path)).count() >= 60);
}

#[test]
fn printed_automata_parse_to_the_same() {
    for (path, protocol, compiled) in all() {
        let names = Names::of(&protocol);
        for automaton in &compiled.automata {
            let text = automaton.text(&names);
            let read = LocalAutomaton::parse(&text, &names);
            assert_eq!(read.as_ref(), Ok(automaton), "{}\n{text}", path.display());
            assert_eq!(automaton.minimal(), *automaton, "{}", path.display());
        }
    }
}

#[test]
fn certificates_hold_and_decode() {
    let (mut certified, mut larger) = (0, 0);
    for (path, _, compiled) in all() {
        let Some(certificate) = &compiled.certificate else {
            continue;
        };
        certified += 1;
        let read = SafetyCertificate::decode(&certificate.encode());
        assert_eq!(read.as_ref(), Ok(certificate), "{}", path.display());
        // The image and its certificate are enough; the certificate does not hold for another
        // image.
        let mut image = compiled.image.clone();
        let verified = image.clone().verify().unwrap();
        let coverage = certificate.check(&verified).unwrap();
        assert!(coverage.covers(certificate.buffer_bound().into()));
        larger += u32::from(coverage.covers(64));
        image.roles[0].automaton.states.insert(0, State::End);
        let other = VerifiedImage::unchecked(image);
        assert!(certificate.check(&other).is_err(), "{}", path.display());
    }
    assert!(
        larger >= 30 && larger < certified,
        "{larger} of {certified}"
    );
    assert!(certified >= 60, "only {certified} certified");
}

/// With larger buffers there are further configurations exactly if a role waits for room in the
/// certificate's.
#[test]
fn coverage_states_whether_larger_buffers_make_a_difference() {
    let mut seen = [0, 0];
    for (path, _, compiled) in all() {
        let Some(certificate) = compiled.certificate.filter(|c| c.configurations() < 2_000) else {
            continue;
        };
        let image = compiled.image.verify().unwrap();
        let coverage = certificate.check(&image).unwrap();
        let buffer = certificate.buffer_bound() + 1;
        let limits = Limits {
            buffer,
            buffer_max: buffer,
            ..Limits::default()
        };
        let more = match explore(&compiled.automata, &limits) {
            Safety::Safe(larger) => larger.configurations() > certificate.configurations(),
            Safety::Unsafe(_) | Safety::Uncertified { .. } => true,
        };
        let is_covered = coverage.covers(buffer.into());
        assert_eq!(is_covered, !more, "{}", path.display());
        seen[usize::from(is_covered)] += 1;
    }
    assert!(seen.iter().all(|count| *count >= 10), "{seen:?}");
}

#[test]
fn images_verify() {
    for (path, _, compiled) in all() {
        if let Err(error) = compiled.image.clone().verify() {
            let listing = export::disassemble(&compiled.image);
            panic!("{}: {error}\n{listing}", path.display());
        }
    }
}

#[test]
fn exports_are_well_formed() {
    for (path, protocol, compiled) in all() {
        let names = Names::of(&protocol);
        let sequence = export::sequence_diagram(&protocol);
        let opened = sequence.lines().map(str::trim_start);
        let opened = opened
            .filter(|l| l.starts_with("alt ") || *l == "loop")
            .count();
        let closed = sequence.lines().filter(|line| line.trim() == "end").count();
        assert_eq!(opened, closed, "{}\n{sequence}", path.display());
        for automaton in &compiled.automata {
            let branches: usize = automaton
                .states
                .iter()
                .map(|state| state.kind.branches().len())
                .sum();
            let dot = export::dot(automaton, &names);
            assert_eq!(dot.matches(" -> ").count(), branches + 1, "{dot}");
            let states = export::state_diagram(automaton, &names);
            assert!(states.starts_with("stateDiagram-v2\n"));
        }
    }
}

#[test]
fn protocols_run_to_their_end_under_every_policy() {
    for (path, _, compiled) in all() {
        let image = Arc::new(compiled.image.clone().verify().unwrap());
        let endless = compiled.automata.iter().any(|automaton| {
            automaton
                .states
                .iter()
                .all(|state| state.kind != LocalKind::End)
        });
        for policy in SchedulingPolicy::ALL {
            for (buffer_len_max, failing) in [(64, false), (1, false), (64, true)] {
                let what = format!("{} {policy:?} {buffer_len_max} {failing}", path.display());
                let config = config(&image, policy, buffer_len_max);
                run(&image, config, endless, failing, &what);
            }
        }
    }
}

fn config(
    image: &VerifiedImage,
    policy: SchedulingPolicy,
    buffer_len_max: u32,
) -> ProtocolMachineConfig {
    let roles = image.image().roles.iter().enumerate();
    let priorities = roles
        .map(|(index, role)| (role.name.clone(), index as u8))
        .collect();
    ProtocolMachineConfig {
        policy,
        buffer_len_max,
        priorities,
        ..Default::default()
    }
}

fn run(
    image: &Arc<VerifiedImage>,
    config: ProtocolMachineConfig,
    endless: bool,
    failing: bool,
    what: &str,
) {
    let mut rng = Rng(0x9e37_79b9_7f4a_7c15);
    let may_fail = if failing {
        with_else(image)
    } else {
        BTreeSet::new()
    };
    let host =
        FromFn(|request: &EffectRequest<'_>| Reply::Now(answer(request, &may_fail, &mut rng)));
    let mut machine = ProtocolMachine::new(config, host);
    let session = machine.load_choreography(image, "test").unwrap();
    let rest = machine.run(if endless { STEPS_ENDLESS } else { STEPS_MAX });
    let phase = machine.kernel().session(session).unwrap().phase();
    if endless {
        assert_eq!((rest, phase), (None, Phase::Active), "{what}");
    } else {
        assert_eq!(
            (rest, phase),
            (Some(Rest::Done), Phase::Terminal(End::Closed)),
            "{what}"
        );
    }
}
