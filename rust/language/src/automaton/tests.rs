use antiphon_machine::{LabelId, OperationId, RoleId, SortId, StateId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{Action, LocalAutomaton, LocalBranch, LocalKind, LocalState, Names, Operand, Origin};
use crate::global::VarId;

const LABELS: u16 = 4;

fn names() -> Names {
    let table = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    Names::new(
        table(&["A", "B", "C"]),
        table(&["ping", "pong", "stop", "else"]),
        table(&[
            "Unit",
            "Nat",
            "[Nat]?",
            "(Nat, Text)",
            "(a: Nat, b: [Text])",
        ]),
        table(&["World.go", "World.go", "World.ready"]),
        table(&["x", "y", "x", "true_x"]),
    )
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![
        (0..4u32).prop_map(|v| Operand::Var(VarId(v))),
        any::<bool>().prop_map(Operand::Bool),
        any::<u64>().prop_map(Operand::Nat),
        any::<i64>().prop_map(Operand::Int),
        any::<String>().prop_map(Operand::Text),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let var = (0..4u32).prop_map(VarId);
    let label = (0..LABELS).prop_map(LabelId);
    let args = vec(operand(), 0..3);
    (
        0..3u16,
        args,
        option::of(var),
        option::of(any::<u64>()),
        option::of(label),
    )
        .prop_map(|(operation, args, bind, within, otherwise)| Action {
            operation: OperationId(operation),
            args,
            bind,
            within,
            otherwise,
        })
}

fn branches(states: u32) -> impl Strategy<Value = Vec<LocalBranch>> {
    let binds = vec((0..4u32).prop_map(VarId), 0..3);
    let origin = prop_oneof![
        Just(Origin::Host),
        (0..4u32).prop_map(|v| Origin::Var(VarId(v))),
    ];
    let branch = (
        0..LABELS,
        0..5u16,
        origin,
        binds,
        vec(action(), 0..2),
        0..states,
    );
    vec(branch, 1..4).prop_map(|branches| {
        let mut all: Vec<LocalBranch> = vec![];
        for (label, sort, origin, mut binds, before, next) in branches {
            binds.sort_unstable();
            binds.dedup();
            let (label, sort, next) = (LabelId(label), SortId(sort), StateId(next));
            if all.iter().all(|known| known.label != label) {
                all.push(LocalBranch {
                    label,
                    sort,
                    origin,
                    binds,
                    before,
                    next,
                });
            }
        }
        all
    })
}

fn automaton() -> impl Strategy<Value = LocalAutomaton> {
    (1..7u32).prop_flat_map(|states| {
        let peer = (0..3u16).prop_map(RoleId);
        let kind = prop_oneof![
            Just(LocalKind::End),
            (peer.clone(), branches(states))
                .prop_map(|(to, b)| LocalKind::Send { to, branches: b }),
            (peer, branches(states)).prop_map(|(from, b)| LocalKind::Recv { from, branches: b }),
        ];
        let state =
            (vec(action(), 0..2), kind).prop_map(|(entry, kind)| LocalState { entry, kind });
        (0..3u16, vec(state, states as usize)).prop_map(|(role, states)| LocalAutomaton {
            role: RoleId(role),
            states,
        })
    })
}

/// Duplicates every state. The bits of `to_second` choose which copy each branch leads to.
fn doubled(automaton: &LocalAutomaton, to_second: u64) -> LocalAutomaton {
    let len = automaton.states.len();
    let mut states = [&automaton.states[..], &automaton.states[..]].concat();
    let mut bit = 0;
    for state in &mut states {
        for branch in state.kind.branches_mut() {
            bit = (bit + 1) % 64;
            branch.next.0 += (to_second >> bit & 1) as u32 * len as u32;
        }
    }
    LocalAutomaton {
        role: automaton.role,
        states,
    }
}

/// Whether two automata admit the same runs with the same local code, compared pair by pair.
fn same_runs(one: &LocalAutomaton, two: &LocalAutomaton) -> bool {
    let mut pairs = vec![(0, 0)];
    let mut next = 0;
    while let Some(&(a, b)) = pairs.get(next) {
        next += 1;
        let (a, b) = (&one.states[a], &two.states[b]);
        let same_kind = match (&a.kind, &b.kind) {
            (LocalKind::End, LocalKind::End) => true,
            (LocalKind::Send { to: p, .. }, LocalKind::Send { to: q, .. })
            | (LocalKind::Recv { from: p, .. }, LocalKind::Recv { from: q, .. }) => p == q,
            _ => false,
        };
        if !same_kind || a.entry != b.entry {
            return false;
        }
        let (these, those) = (a.kind.branches(), b.kind.branches());
        if these.len() != those.len() {
            return false;
        }
        for branch in these {
            let Some(twin) = those.iter().find(|twin| twin.label == branch.label) else {
                return false;
            };
            if (LocalBranch {
                next: branch.next,
                ..twin.clone()
            }) != *branch
            {
                return false;
            }
            let pair = (branch.next.index(), twin.next.index());
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
    }
    true
}

proptest! {
    #[test]
    fn parsing_printed_text_gives_the_same_automaton(automaton in automaton()) {
        let names = names();
        let text = automaton.text(&names);
        prop_assert_eq!(LocalAutomaton::parse(&text, &names), Ok(automaton), "{}", text);
    }

    #[test]
    fn parsing_any_text_returns_a_well_formed_automaton_or_an_error(
        text in concat!(
            "(automaton A\n)?",
            "([0-2] (end|send B|recv C)?\n|  [a-z(): =,\"0-9>-]*\n){0,6}",
        )
    ) {
        if let Ok(automaton) = LocalAutomaton::parse(&text, &names()) {
            prop_assert!(automaton.is_well_formed());
        }
    }

    #[test]
    fn the_minimal_automaton_has_the_same_runs(automaton in automaton()) {
        let minimal = automaton.minimal();
        prop_assert!(same_runs(&automaton, &minimal));
        prop_assert!(minimal.is_well_formed());
        prop_assert_eq!(minimal.minimal(), minimal);
    }

    #[test]
    fn duplicated_states_do_not_change_the_minimal_automaton(
        automaton in automaton(),
        to_second: u64,
    ) {
        let copy = doubled(&automaton, to_second);
        prop_assert!(copy.states.len() > automaton.states.len());
        prop_assert_eq!(copy.minimal(), automaton.minimal());
    }
}

#[test]
fn minimising_a_long_chain_of_states_is_fast() {
    // A splitter that always moved the larger half would need hundreds of millions of moves here.
    let len = 20_000;
    let state = |next| LocalState {
        entry: vec![],
        kind: LocalKind::Send {
            to: RoleId(1),
            branches: vec![LocalBranch {
                label: LabelId(0),
                sort: SortId(0),
                origin: Origin::Host,
                binds: vec![],
                before: vec![],
                next: StateId(next),
            }],
        },
    };
    let mut states: Vec<_> = (1..len).map(state).collect();
    states.push(LocalState {
        entry: vec![],
        kind: LocalKind::End,
    });
    let automaton = LocalAutomaton {
        role: RoleId(0),
        states,
    };
    assert_eq!(automaton.minimal(), automaton);
}
