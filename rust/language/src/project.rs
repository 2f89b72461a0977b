//! Projection: computes one local automaton per role from the global conversation, with full
//! merging.
//!
//! For one role the global graph is a finite automaton in which steps without the role are silent.
//! The subset construction makes it deterministic: a state is the set of places at which the
//! conversation may be, as far as the role can know. The set is a valid state when the role behaves
//! the same at all its places: all are the end, or all send the same, or all receive from one
//! sender. Anything else is a [`Conflict`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use antiphon_machine::{LabelId, RoleId, SortId, StateId, bounds};

use crate::automaton::{Action, LocalAutomaton, LocalBranch, LocalKind, LocalState, Origin};
use crate::global::{CheckedProtocol, Global, Node, NodeId, Payload, PayloadSource, VarId};
use crate::source::Span;

mod diagnose;

/// How many places one role's projection visits before it gives up. A subset construction can be
/// exponential; sixty-four times the size of the largest automaton leaves room for every protocol
/// written by hand.
pub const PLACES_MAX: usize = 64 * bounds::STATES_MAX;

/// Why a protocol has no local automaton for a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectError {
    /// The role.
    pub role: RoleId,
    /// The conflict.
    pub conflict: Conflict,
    /// What the role does in one branch.
    pub first: Site,
    /// What it does in the other; equal to `first` when only one place is involved.
    pub second: Site,
    /// The choice that the role does not learn of, if there is one.
    pub unseen: Option<UnseenChoice>,
}

/// What a role does at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Site {
    /// The statement's span; the protocol's name when there is no statement.
    pub span: Span,
    /// What the role does there.
    pub activity: Activity,
}

/// An activity of a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It is done.
    Nothing,
    /// It sends a message.
    Sends(LabelId, RoleId),
    /// It receives a message.
    Receives(LabelId, RoleId),
    /// It chooses what to send.
    Chooses,
    /// It performs a local action.
    Acts,
}

/// The choice that two conflicting places come from, which the role does not observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnseenChoice {
    /// The role that chooses.
    pub at: RoleId,
    /// The choice's span.
    pub choice: Span,
    /// Where the two branches begin, in the order of the conflict's places.
    pub branches: (Span, Span),
}

/// Why two places cannot be merged: what the role would have to do differently in one branch and in
/// the other, without knowing which was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// In one branch it is done, in the other it is not.
    EndsOrGoesOn,
    /// In one branch it sends, in the other it receives.
    SendsOrReceives,
    /// It receives from different senders.
    Senders(RoleId, RoleId),
    /// It sends to different receivers.
    Receivers(RoleId, RoleId),
    /// It may send a label in one branch that it must not send in the other.
    Labels(LabelId),
    /// A label has payloads of different sorts.
    Sorts(LabelId),
    /// A message that it sends takes its payload from different sources.
    Payloads(LabelId),
    /// It performs different local actions.
    Actions,
    /// It repeats local actions without receiving a message in between.
    ActsForever,
    /// A choice of the role does not begin with messages from it.
    BeginsOtherwise,
    /// The automaton would exceed [`bounds::STATES_MAX`], or the construction [`PLACES_MAX`].
    TooLarge,
}

/// Computes the local automaton of one role: minimal, deterministic, and numbered in breadth-first
/// order.
///
/// # Errors
/// The first conflict, in breadth-first order.
pub fn project(protocol: &CheckedProtocol, role: RoleId) -> Result<LocalAutomaton, ProjectError> {
    let mut places = PLACES_MAX;
    project_within(protocol, role, &mut places)
}

/// Like [`project`], but visits at most `places` places, and at most [`PLACES_MAX`]. Subtracts the
/// number of places visited from `places`.
fn project_within(
    protocol: &CheckedProtocol,
    role: RoleId,
    places: &mut usize,
) -> Result<LocalAutomaton, ProjectError> {
    let mut projection = Projection::new(protocol.body(), role, protocol.span());
    projection.places_max = (*places).min(PLACES_MAX);
    let projected = projection.run();
    *places -= projection.visits.len();
    projected
}

/// Computes the local automata of all roles, in role order, visiting at most `places` places in
/// total.
///
/// # Errors
/// The first conflict of each role that has one.
pub(crate) fn project_all(
    protocol: &CheckedProtocol,
    places: &mut usize,
) -> Result<Vec<LocalAutomaton>, Vec<ProjectError>> {
    let mut automata = vec![];
    let mut errors = vec![];
    for role in 0..protocol.roles().len() {
        match project_within(protocol, RoleId(role as u16), places) {
            Ok(automaton) => automata.push(automaton),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(automata)
    } else {
        Err(errors)
    }
}

/// An index into [`Projection::visits`]: a node together with the path on which it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place(u32);

/// A node that was reached from an earlier place.
struct Visit {
    node: NodeId,
    from: Option<Place>,
}

/// A local action that the role performs at all places of a set.
struct CommonAction {
    action: Action,
    /// The span of its first occurrence.
    span: Span,
    /// The next place after each place.
    nexts: Vec<Place>,
}

/// A message that the role can send at a place.
struct Offer {
    to: RoleId,
    branch: LocalBranch,
    message: Place,
    next: Place,
}

struct Projection<'g> {
    global: &'g Global,
    role: RoleId,
    whole: Span,
    visits: Vec<Visit>,
    /// The maximum number of visits.
    places_max: usize,
    /// For each node, the closure in which it was visited last.
    visited_in: Vec<u32>,
    closures: u32,
    /// The sets of nodes that are states, and the sets still to be processed.
    known: BTreeMap<Vec<NodeId>, StateId>,
    waiting: VecDeque<Vec<Place>>,
}

impl<'g> Projection<'g> {
    fn new(global: &'g Global, role: RoleId, whole: Span) -> Projection<'g> {
        Projection {
            global,
            role,
            whole,
            visits: vec![],
            places_max: PLACES_MAX,
            visited_in: vec![0; global.nodes.len()],
            closures: 0,
            known: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    fn run(&mut self) -> Result<LocalAutomaton, ProjectError> {
        let start = self.visit(self.global.start, None)?;
        self.state_of(&[start])?;
        let mut states = vec![];
        while let Some(places) = self.waiting.pop_front() {
            states.push(self.state(places)?);
        }
        let mut automaton = LocalAutomaton {
            role: self.role,
            states,
        };
        automaton.forget_unread();
        Ok(automaton.minimal())
    }

    fn visit(&mut self, node: NodeId, from: Option<Place>) -> Result<Place, ProjectError> {
        if self.visits.len() >= self.places_max {
            return Err(self.error_at(Conflict::TooLarge, self.whole));
        }
        self.visits.push(Visit { node, from });
        Ok(Place(self.visits.len() as u32 - 1))
    }

    fn node(&self, place: Place) -> &'g Node {
        self.global.node(self.visits[place.0 as usize].node)
    }

    /// The number of the state in which the role may be at any of the places. It is assigned on
    /// first use.
    fn state_of(&mut self, seeds: &[Place]) -> Result<StateId, ProjectError> {
        let places = self.closure(seeds)?;
        let fresh = StateId(self.known.len() as u32);
        let number = *self.known.entry(self.key(&places)).or_insert(fresh);
        if number == fresh {
            if fresh.index() >= bounds::STATES_MAX {
                return Err(self.error_at(Conflict::TooLarge, self.whole));
            }
            self.waiting.push_back(places);
        }
        Ok(number)
    }

    fn key(&self, places: &[Place]) -> Vec<NodeId> {
        let mut key: Vec<_> = places
            .iter()
            .map(|p| self.visits[p.0 as usize].node)
            .collect();
        key.sort_unstable();
        key
    }

    /// The next places that concern the role, or the end, in source order.
    fn closure(&mut self, seeds: &[Place]) -> Result<Vec<Place>, ProjectError> {
        self.closures += 1;
        let mut places = vec![];
        let mut stack: Vec<Place> = seeds.iter().rev().copied().collect();
        while let Some(place) = stack.pop() {
            let visited_in = &mut self.visited_in[self.visits[place.0 as usize].node.index()];
            if std::mem::replace(visited_in, self.closures) == self.closures {
                continue;
            }
            match self.node(place) {
                Node::End => places.push(place),
                Node::Message { from, to, next, .. } => {
                    if *from == self.role || *to == self.role {
                        places.push(place);
                    } else {
                        stack.push(self.visit(*next, Some(place))?);
                    }
                }
                Node::Local { at, next, .. } => {
                    if *at == self.role {
                        places.push(place);
                    } else {
                        stack.push(self.visit(*next, Some(place))?);
                    }
                }
                Node::Choice { at, branches, .. } => {
                    if *at == self.role {
                        places.push(place);
                    } else {
                        for branch in branches.iter().rev() {
                            stack.push(self.visit(*branch, Some(place))?);
                        }
                    }
                }
            }
        }
        Ok(places)
    }

    /// The state for a set of places.
    fn state(&mut self, mut places: Vec<Place>) -> Result<LocalState, ProjectError> {
        let mut entry = vec![];
        let mut entered = BTreeSet::new();
        while let Some(CommonAction {
            action,
            span,
            nexts,
        }) = self.common_action(&places)?
        {
            if !entered.insert(self.key(&places)) {
                return Err(self.error_at(Conflict::ActsForever, span));
            }
            entry.push(action);
            places = self.closure(&nexts)?;
        }
        let mut kind = self.kind(&places)?;
        if let [only] = kind.branches_mut() {
            // Nothing is decided here, so the actions before the message become actions on entry.
            entry.append(&mut only.before);
        }
        Ok(LocalState { entry, kind })
    }

    /// The local action that the role performs at all of the places, and the places that follow;
    /// `None` when it performs none.
    fn common_action(&mut self, places: &[Place]) -> Result<Option<CommonAction>, ProjectError> {
        let mut common: Option<(Action, Span, Place)> = None;
        let mut nexts = vec![];
        for &place in places {
            let Node::Local {
                action, next, span, ..
            } = self.node(place)
            else {
                continue;
            };
            let action = Action::from(action);
            match &common {
                None => common = Some((action, *span, place)),
                Some((known, ..)) if *known == action => {}
                Some((.., first)) => return Err(self.conflict(Conflict::Actions, *first, place)),
            }
            nexts.push(self.visit(*next, Some(place))?);
        }
        let Some((action, span, first)) = common else {
            return Ok(None);
        };
        let idle = places
            .iter()
            .find(|p| !matches!(self.node(**p), Node::Local { .. }));
        match idle {
            Some(&idle) => Err(self.conflict(Conflict::Actions, first, idle)),
            None => Ok(Some(CommonAction {
                action,
                span,
                nexts,
            })),
        }
    }

    /// The communication that the role performs at the places.
    fn kind(&mut self, places: &[Place]) -> Result<LocalKind, ProjectError> {
        let Some(&first) = places.first() else {
            // From here on only other roles communicate, and forever. So this role is done.
            return Ok(LocalKind::End);
        };
        for &other in &places[1..] {
            let (a, b) = (self.turn(first), self.turn(other));
            let conflict = match (a, b) {
                (Turn::End, Turn::End) | (Turn::Send, Turn::Send) => continue,
                (Turn::Recv(one), Turn::Recv(two)) if one == two => continue,
                (Turn::Recv(one), Turn::Recv(two)) => Conflict::Senders(one, two),
                (Turn::End, _) | (_, Turn::End) => Conflict::EndsOrGoesOn,
                (Turn::Send, Turn::Recv(_)) | (Turn::Recv(_), Turn::Send) => {
                    Conflict::SendsOrReceives
                }
            };
            return Err(self.conflict(conflict, first, other));
        }
        match self.turn(first) {
            Turn::End => Ok(LocalKind::End),
            Turn::Send => self.send(places),
            Turn::Recv(from) => self.recv(from, places),
        }
    }

    fn turn(&self, place: Place) -> Turn {
        match self.node(place) {
            Node::End => Turn::End,
            Node::Message { from, .. } if *from != self.role => Turn::Recv(*from),
            Node::Message { .. } | Node::Choice { .. } | Node::Local { .. } => Turn::Send,
        }
    }

    fn recv(&mut self, from: RoleId, places: &[Place]) -> Result<LocalKind, ProjectError> {
        let mut branches: Vec<(LocalBranch, Place, Vec<Place>)> = vec![];
        let mut rows: BTreeMap<LabelId, usize> = BTreeMap::new();
        for &place in places {
            let Node::Message {
                label,
                payload,
                next,
                ..
            } = self.node(place)
            else {
                continue;
            };
            let next = self.visit(*next, Some(place))?;
            let row = *rows.entry(*label).or_insert(branches.len());
            match branches.get_mut(row) {
                Some((branch, other, _)) if branch.sort != payload.sort => {
                    let other = *other;
                    return Err(self.conflict(Conflict::Sorts(*label), other, place));
                }
                Some((branch, _, nexts)) => {
                    add_bind(&mut branch.binds, payload.bind);
                    nexts.push(next);
                }
                None => {
                    let branch = plain_branch(*label, payload, Origin::Host);
                    branches.push((branch, place, vec![next]));
                }
            }
        }
        let branches = branches.into_iter().map(|(mut branch, _, nexts)| {
            branch.next = self.state_of(&nexts)?;
            Ok(branch)
        });
        Ok(LocalKind::Recv {
            from,
            branches: branches.collect::<Result<_, _>>()?,
        })
    }

    fn send(&mut self, places: &[Place]) -> Result<LocalKind, ProjectError> {
        let first = places[0];
        let mut offers = self.offers(first)?;
        let to = offers[0].to;
        if let Some(other) = offers.iter().find(|offer| offer.to != to) {
            let conflict = Conflict::Receivers(to, other.to);
            let (one, two) = (offers[0].message, other.message);
            return Err(self.conflict(conflict, one, two));
        }
        let mut nexts: Vec<Vec<Place>> = offers.iter().map(|offer| vec![offer.next]).collect();
        let rows: BTreeMap<LabelId, usize> = offers
            .iter()
            .enumerate()
            .map(|(row, offer)| (offer.branch.label, row))
            .collect();
        for &place in &places[1..] {
            let others = self.offers(place)?;
            if let Some(conflict) = mismatch(&offers, &others) {
                return Err(self.conflict(conflict, first, place));
            }
            for other in others {
                // Both places send the same labels, so each label has its row.
                let row = rows.get(&other.branch.label).copied().unwrap_or(0);
                nexts[row].push(other.next);
                for bind in other.branch.binds {
                    add_bind(&mut offers[row].branch.binds, Some(bind));
                }
            }
        }
        let mut branches = vec![];
        for (offer, nexts) in offers.into_iter().zip(nexts) {
            let next = self.state_of(&nexts)?;
            branches.push(LocalBranch {
                next,
                ..offer.branch
            });
        }
        Ok(LocalKind::Send { to, branches })
    }

    /// The messages that the role can send at a place where it is its turn, at least one.
    fn offers(&mut self, place: Place) -> Result<Vec<Offer>, ProjectError> {
        let Node::Choice { branches, .. } = self.node(place) else {
            return Ok(vec![self.offer(place)?]);
        };
        let mut offers = vec![];
        for &branch in branches {
            let head = self.visit(branch, Some(place))?;
            offers.push(self.offer(head)?);
        }
        Ok(offers)
    }

    /// The message that the role sends at a place, after its local actions.
    fn offer(&mut self, mut place: Place) -> Result<Offer, ProjectError> {
        let mut before = vec![];
        loop {
            match self.node(place) {
                Node::Local {
                    at, action, next, ..
                } if *at == self.role => {
                    before.push(Action::from(action));
                    place = self.visit(*next, Some(place))?;
                }
                Node::Message {
                    from,
                    to,
                    label,
                    payload,
                    next,
                    ..
                } if *from == self.role => {
                    let origin = match payload.source {
                        PayloadSource::Unit | PayloadSource::Host => Origin::Host,
                        PayloadSource::Bound(var) => Origin::Var(var),
                    };
                    let branch = LocalBranch {
                        before,
                        ..plain_branch(*label, payload, origin)
                    };
                    let next = self.visit(*next, Some(place))?;
                    return Ok(Offer {
                        to: *to,
                        branch,
                        message: place,
                        next,
                    });
                }
                Node::Local { span, .. }
                | Node::Message { span, .. }
                | Node::Choice { span, .. } => {
                    return Err(self.error_at(Conflict::BeginsOtherwise, *span));
                }
                Node::End => return Err(self.error_at(Conflict::BeginsOtherwise, self.whole)),
            }
        }
    }

    fn error_at(&self, conflict: Conflict, span: Span) -> ProjectError {
        let site = Site {
            span,
            activity: Activity::Acts,
        };
        ProjectError {
            role: self.role,
            conflict,
            first: site,
            second: site,
            unseen: None,
        }
    }

    fn conflict(&self, conflict: Conflict, first: Place, second: Place) -> ProjectError {
        ProjectError {
            role: self.role,
            conflict,
            first: self.site(first),
            second: self.site(second),
            unseen: self.unseen(first, second),
        }
    }

    fn site(&self, place: Place) -> Site {
        let activity = match self.node(place) {
            Node::End => Activity::Nothing,
            Node::Message {
                from, to, label, ..
            } if *from == self.role => Activity::Sends(*label, *to),
            Node::Message { from, label, .. } => Activity::Receives(*label, *from),
            Node::Choice { .. } => Activity::Chooses,
            Node::Local { .. } => Activity::Acts,
        };
        Site {
            span: span_of(self.node(place)).unwrap_or(self.whole),
            activity,
        }
    }

    /// The last choice on the common prefix of the paths to the two places.
    fn unseen(&self, first: Place, second: Place) -> Option<UnseenChoice> {
        let (one, two) = (self.path_to(first), self.path_to(second));
        let common = one.iter().zip(&two).take_while(|(a, b)| a == b).count();
        let Node::Choice { at, span, .. } = self.global.node(*one.get(common.checked_sub(1)?)?)
        else {
            return None;
        };
        let begin = |path: &[NodeId]| Some(self.global.node(*path.get(common)?));
        let branches = (span_of(begin(&one)?)?, span_of(begin(&two)?)?);
        Some(UnseenChoice {
            at: *at,
            choice: *span,
            branches,
        })
    }

    /// The nodes on the path from the start to a place.
    fn path_to(&self, place: Place) -> Vec<NodeId> {
        let mut path = vec![];
        let mut next = Some(place);
        while let Some(place) = next {
            let visit = &self.visits[place.0 as usize];
            path.push(visit.node);
            next = visit.from;
        }
        path.reverse();
        path
    }
}

/// What the role does next at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    End,
    Send,
    Recv(RoleId),
}

fn span_of(node: &Node) -> Option<Span> {
    match node {
        Node::Message { span, .. } | Node::Choice { span, .. } | Node::Local { span, .. } => {
            Some(*span)
        }
        Node::End => None,
    }
}

fn plain_branch(label: LabelId, payload: &Payload, origin: Origin) -> LocalBranch {
    let binds = payload.bind.into_iter().collect();
    let (sort, next): (SortId, StateId) = (payload.sort, StateId(0));
    LocalBranch {
        label,
        sort,
        origin,
        binds,
        before: vec![],
        next,
    }
}

fn add_bind(binds: &mut Vec<VarId>, bind: Option<VarId>) {
    binds.extend(bind);
    binds.sort_unstable();
    binds.dedup();
}

/// Why two places at which the role sends cannot be merged, or `None` if they can.
fn mismatch(known: &[Offer], others: &[Offer]) -> Option<Conflict> {
    for (these, those) in [(known, others), (others, known)] {
        let twins: BTreeMap<LabelId, &Offer> = those
            .iter()
            .map(|offer| (offer.branch.label, offer))
            .collect();
        for offer in these {
            let branch = &offer.branch;
            let Some(twin) = twins.get(&branch.label) else {
                return Some(Conflict::Labels(branch.label));
            };
            if offer.to != twin.to {
                return Some(Conflict::Receivers(offer.to, twin.to));
            }
            if branch.sort != twin.branch.sort {
                return Some(Conflict::Sorts(branch.label));
            }
            if branch.origin != twin.branch.origin {
                return Some(Conflict::Payloads(branch.label));
            }
            if branch.before != twin.branch.before {
                return Some(Conflict::Actions);
            }
        }
    }
    None
}
