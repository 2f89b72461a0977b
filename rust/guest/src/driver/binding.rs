//! The check of an image before a session is bound to a guest: every message that the session shows
//! as sent by the guest must have come in a frame.
//!
//! The machine requests payloads (`produce`) and choices (`decide`) from the link. It requests
//! nothing before it sends a message without payload, or with a payload that is in a register
//! already, so a recording could show messages that the guest never sent. [`Binding::of`] analyses
//! all paths of the program of each role of the guest. For each register it tracks whether the
//! value came in a frame that was not used yet. It refuses a send that may not have its own frame.
//!
//! Each frame allows one send: that of its payload, or that of the arm without payload that it
//! chose. The copies of one message to several receivers count as one send. Messages between two
//! roles of the guest stay in the guest and are not checked.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::{
    Arm, Class, Instruction, LabelId, OperationId, Pc, Program, Reg, RoleId, Sort, SortId, State,
    StateId, Transition, VerifiedImage,
};

use super::known::{Copying, Held, Known, Source};
use super::refusal::{OpenError, Unbacked};

/// The roles of a session that are bound to a guest, and the choices of these roles that are
/// followed by a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binding {
    roles: Vec<RoleId>,
    payloads: BTreeSet<(RoleId, OperationId, LabelId)>,
}

impl Binding {
    /// Binds these roles, and the interfaces in these rows of the image, to one guest.
    ///
    /// # Errors
    /// The first send of one of the roles that may not have a frame of the guest.
    pub fn of(
        image: &VerifiedImage,
        roles: Vec<RoleId>,
        interfaces: &[u16],
    ) -> Result<Binding, OpenError> {
        let mut payloads = BTreeSet::new();
        for role in &roles {
            let Some(program) = image.image().programs.get(role.index()) else {
                continue;
            };
            let walk = Walk {
                image,
                role: *role,
                program,
                roles: &roles,
                interfaces,
            };
            let asked = walk.check()?.into_iter();
            payloads.extend(
                asked
                    .filter(|(_, is_asked)| *is_asked)
                    .map(|((operation, label), _)| (*role, operation, label)),
            );
        }
        Ok(Binding { roles, payloads })
    }

    /// Whether the role is bound to the guest. Messages between two such roles stay inside the
    /// guest.
    pub fn is_inside(&self, role: RoleId) -> bool {
        self.roles.contains(&role)
    }

    /// Whether the role requests a payload after this decision has chosen this label. If not, the
    /// decision takes the frame.
    pub fn has_payload(&self, role: RoleId, decision: OperationId, label: LabelId) -> bool {
        self.payloads.contains(&(role, decision, label))
    }
}

/// A message that an instruction would send.
#[derive(Clone, Copy)]
struct Sending {
    label: LabelId,
    val: Reg,
    /// For an arm, the register with the decision.
    selector: Option<Reg>,
}

/// The analysis of the program of one role.
struct Walk<'a> {
    image: &'a VerifiedImage,
    role: RoleId,
    program: &'a Program,
    roles: &'a [RoleId],
    interfaces: &'a [u16],
}

impl Walk<'_> {
    /// Checks every send. Returns for each decision and sent label whether the payload is
    /// requested.
    fn check(&self) -> Result<BTreeMap<(OperationId, LabelId), bool>, OpenError> {
        let mut asked = BTreeMap::new();
        for (pc, known) in self.follow() {
            match self.program.code.get(pc.index()) {
                Some(Instruction::Send { label, val, .. }) => {
                    self.check_send(&known, Sending::message(*label, *val))?;
                }
                Some(Instruction::Offer { selector, arms, .. }) => {
                    for arm in arms {
                        let sending = Sending::arm(arm, *selector);
                        self.check_send(&known, sending)?;
                        self.record_payload(&known, sending, &mut asked)?;
                    }
                }
                Some(_) | None => {}
            }
        }
        Ok(asked)
    }

    /// The knowledge before each reachable instruction.
    ///
    /// It terminates because each visit reduces the knowledge, and each register has a bounded
    /// number of origins.
    fn follow(&self) -> BTreeMap<Pc, Known> {
        let count = usize::from(self.program.registers);
        let start = Known {
            state: Some(StateId(0)),
            registers: vec![Held::Other(Source::Constant); count],
            copying: None,
        };
        let mut all = BTreeMap::from([(Pc(0), start)]);
        let mut work = vec![Pc(0)];
        while let Some(pc) = work.pop() {
            let Some(known) = all.get(&pc).cloned() else {
                continue;
            };
            for (next, after) in self.after(pc, known) {
                let changed = match all.get_mut(&next) {
                    Some(old) => old.join(after),
                    None => {
                        all.insert(next, after);
                        true
                    }
                };
                if changed {
                    work.push(next);
                }
            }
        }
        all
    }

    /// The successors of an instruction, with the knowledge before each.
    fn after(&self, pc: Pc, mut known: Known) -> Vec<(Pc, Known)> {
        let next = Pc(pc.0.saturating_add(1));
        let Some(instruction) = self.program.code.get(pc.index()) else {
            return Vec::new();
        };
        match instruction {
            Instruction::Send { label, val, .. } => {
                self.send(&mut known, Sending::message(*label, *val));
                vec![(next, known)]
            }
            Instruction::Offer { selector, arms, .. } => {
                let arm = |arm: &Arm| {
                    let mut known = known.clone();
                    self.send(&mut known, Sending::arm(arm, *selector));
                    (arm.target, known)
                };
                arms.iter().map(arm).collect()
            }
            Instruction::Receive { label, dst, .. } => {
                vec![(next, self.receive(known, *label, *dst))]
            }
            Instruction::Choose { dst, table, .. } => {
                let row = |(label, target): &(LabelId, Pc)| {
                    (*target, self.receive(known.clone(), *label, *dst))
                };
                table.iter().map(row).collect()
            }
            Instruction::Invoke {
                operation,
                dst,
                on_failure,
                ..
            } => self.ask(pc, known, *operation, (*dst, None), *on_failure),
            Instruction::Check {
                operation,
                dst,
                witness,
                on_failure,
                ..
            } => self.ask(pc, known, *operation, (*dst, Some(*witness)), *on_failure),
            Instruction::Set { dst, .. } => {
                known.set(*dst, Held::Other(Source::Constant));
                vec![(next, known)]
            }
            Instruction::Move { dst, src } => {
                let held = known.get(*src).clone();
                known.set(*dst, held);
                vec![(next, known)]
            }
            Instruction::Jump { target } => vec![(*target, known)],
            Instruction::Branch { table, .. } => table
                .iter()
                .map(|(_, target)| (*target, known.clone()))
                .collect(),
            // What any other instruction writes does not come from the guest. A spawned program has
            // no endpoint, so it sends nothing.
            other => {
                known.copying = None;
                for register in other.written() {
                    known.set(register, Held::Other(Source::Constant));
                }
                let next = other.successors(pc).into_iter();
                next.map(|next| (next, known.clone())).collect()
            }
        }
    }

    /// The receiver of a message that the role sends in this state, and the automaton's transition.
    fn transition(&self, known: &Known, label: LabelId) -> Option<(RoleId, Transition)> {
        let role = self.image.image().roles.get(self.role.index())?;
        match role.automaton.states.get(known.state?.index())? {
            State::Send { to, branches } => {
                let found = branches.iter().find(|branch| branch.label == label)?;
                Some((*to, *found))
            }
            State::Recv { .. } | State::End => None,
        }
    }

    fn send(&self, known: &mut Known, sending: Sending) {
        let Some((to, transition)) = self.transition(known, sending.label) else {
            known.state = None;
            return;
        };
        known.state = Some(transition.next);
        if self.roles.contains(&to) {
            return;
        }
        if self.is_copy(known, sending, transition.sort) {
            if let Some(copying) = &mut known.copying {
                copying.to.push(to);
            }
            return;
        }
        let from = match known.get(sending.val) {
            Held::Frame { from, .. } => from.clone(),
            Held::Decision { .. } | Held::Other(_) => Vec::new(),
        };
        known.mark_sent(&from);
        if let Some(selector) = sending.selector {
            known.mark_used(selector);
        }
        let label = sending.label;
        let may_be_copied = !from.is_empty() || sending.selector.is_some();
        known.copying = may_be_copied.then(|| Copying {
            label,
            from,
            to: vec![to],
        });
    }

    /// Whether a message is a copy of the previous one for another receiver.
    fn is_copy(&self, known: &Known, sending: Sending, sort: SortId) -> bool {
        let Some(copying) = &known.copying else {
            return false;
        };
        let same_payload = match known.get(sending.val) {
            Held::Frame { from, .. } => *from == copying.from,
            Held::Decision { .. } | Held::Other(_) => copying.from.is_empty() && self.is_unit(sort),
        };
        let to = self.transition(known, sending.label).map(|(to, _)| to);
        let is_new = to.is_some_and(|to| !copying.to.contains(&to));
        sending.selector.is_none() && copying.label == sending.label && same_payload && is_new
    }

    fn receive(&self, mut known: Known, label: LabelId, dst: Reg) -> Known {
        let role = self.image.image().roles.get(self.role.index());
        let state =
            known
                .state
                .and_then(|state| match role?.automaton.states.get(state.index())? {
                    State::Recv { branches, .. } => branches
                        .iter()
                        .find(|branch| branch.label == label)
                        .map(|branch| branch.next),
                    State::Send { .. } | State::End => None,
                });
        known.state = state;
        known.copying = None;
        known.set(dst, Held::Other(Source::Received));
        known
    }

    /// The successors of an effect: after its result, and after its failure if the program handles
    /// that.
    fn ask(
        &self,
        pc: Pc,
        mut known: Known,
        operation: OperationId,
        (dst, witness): (Reg, Option<Reg>),
        on_failure: Option<Pc>,
    ) -> Vec<(Pc, Known)> {
        known.copying = None;
        known.forget(pc);
        let class = self.class(operation);
        if let Some(Class::Produce { .. }) = class {
            known.note_asked(operation);
        }
        let mut after = Vec::new();
        if let Some(target) = on_failure {
            let mut failed = known.clone();
            failed.set(dst, Held::Other(Source::FailureCode));
            after.push((target, failed));
        }
        known.set(dst, self.result(pc, operation));
        if let Some(witness) = witness {
            known.set(witness, Held::Other(Source::Constant));
        }
        after.push((Pc(pc.0.saturating_add(1)), known));
        after
    }

    /// The origin of the result of an operation.
    fn result(&self, pc: Pc, operation: OperationId) -> Held {
        let frame = Held::Frame {
            from: vec![pc],
            is_sent: false,
        };
        match self.class(operation) {
            Some(Class::Produce { peer, .. } | Class::Decide { peer, .. })
                if self.roles.contains(peer) =>
            {
                Held::Other(Source::Inside)
            }
            Some(Class::Produce { .. }) => frame,
            Some(Class::Decide { .. }) => Held::Decision {
                at: pc,
                asked: None,
                is_certain: true,
            },
            Some(Class::Command | Class::Observe | Class::Check) => {
                let row = self.image.image().operations.get(operation.index());
                match row {
                    Some(row) if self.interfaces.contains(&row.interface) => frame,
                    Some(_) | None => Held::Other(Source::Operation(operation)),
                }
            }
            Some(Class::Deliver { .. }) | None => Held::Other(Source::Constant),
        }
    }

    fn class(&self, operation: OperationId) -> Option<&Class> {
        let row = self.image.image().operations.get(operation.index())?;
        Some(&row.class)
    }

    /// The operation that is requested here.
    fn asked_at(&self, pc: Pc) -> Option<OperationId> {
        self.program.code.get(pc.index())?.operation()
    }

    fn is_unit(&self, sort: SortId) -> bool {
        self.image.image().sorts.get(sort.index()) == Some(&Sort::Unit)
    }

    fn check_send(&self, known: &Known, sending: Sending) -> Result<(), OpenError> {
        let Some((to, transition)) = self.transition(known, sending.label) else {
            // Not reachable with a verified image. With another one the machine would fault here.
            return Err(self.refused(sending.label, None, Unbacked::Unfollowed));
        };
        if self.roles.contains(&to) || self.is_copy(known, sending, transition.sort) {
            return Ok(());
        }
        self.check_backed(known, sending, to, transition.sort)
            .map_err(|reason| self.refused(sending.label, Some(to), reason))
    }

    /// Checks that a message to a role outside of the guest has its own frame.
    fn check_backed(
        &self,
        known: &Known,
        sending: Sending,
        to: RoleId,
        sort: SortId,
    ) -> Result<(), Unbacked> {
        match known.get(sending.val) {
            Held::Frame { is_sent: true, .. } => Err(Unbacked::SentBefore),
            Held::Frame { from, .. } => from
                .iter()
                .try_for_each(|pc| self.check_label(*pc, sending.label)),
            Held::Decision { .. } | Held::Other(_) if self.is_unit(sort) => {
                let Some(selector) = sending.selector else {
                    return Err(Unbacked::NoPayload);
                };
                if self.is_decided(known.get(selector), sending.label, to) {
                    Ok(())
                } else {
                    Err(Unbacked::NotChosen)
                }
            }
            Held::Decision { .. } => Err(Unbacked::Constant),
            Held::Other(source) => Err(self.reason(*source)),
        }
    }

    /// Checks that the payload requested by an instruction can be that of this label.
    fn check_label(&self, pc: Pc, sent: LabelId) -> Result<(), Unbacked> {
        match self.asked_at(pc).and_then(|asked| self.class(asked)) {
            Some(Class::Produce { label, .. }) if *label != sent => Err(Unbacked::OfAnother {
                label: self.image.label_name(*label).to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the guest has chosen this label with a frame that was not used otherwise.
    fn is_decided(&self, selector: &Held, sent: LabelId, to: RoleId) -> bool {
        let Held::Decision {
            at,
            asked,
            is_certain: true,
        } = selector
        else {
            return false;
        };
        if asked.is_some_and(|asked| self.is_payload_of(asked, sent)) {
            return false;
        }
        match self.asked_at(*at).and_then(|asked| self.class(asked)) {
            Some(Class::Decide { labels, peer }) => *peer == to && labels.contains(&sent),
            Some(_) | None => false,
        }
    }

    fn is_payload_of(&self, asked: OperationId, sent: LabelId) -> bool {
        match self.class(asked) {
            Some(Class::Produce { label, .. }) => *label == sent,
            Some(_) | None => false,
        }
    }

    /// Records whether the payload of an arm is requested after its decision. The link knows only
    /// the operation of the decision, so the answer must be the same wherever the operation is
    /// used.
    fn record_payload(
        &self,
        known: &Known,
        sending: Sending,
        all: &mut BTreeMap<(OperationId, LabelId), bool>,
    ) -> Result<(), OpenError> {
        let selector = sending.selector.map(|selector| known.get(selector));
        let Some(Held::Decision { at, asked, .. }) = selector else {
            return Ok(());
        };
        let Some(decision) = self.asked_at(*at) else {
            return Ok(());
        };
        let is_asked = asked.is_some_and(|asked| self.is_payload_of(asked, sending.label));
        let known_as = *all.entry((decision, sending.label)).or_insert(is_asked);
        if known_as == is_asked {
            return Ok(());
        }
        let to = self.transition(known, sending.label).map(|(to, _)| to);
        Err(self.refused(sending.label, to, Unbacked::BothWays))
    }

    fn reason(&self, source: Source) -> Unbacked {
        match source {
            Source::Constant | Source::FailureCode | Source::Used => Unbacked::Constant,
            Source::Received => Unbacked::Received,
            Source::Inside => Unbacked::Inside,
            Source::Mixed => Unbacked::Mixed,
            Source::Operation(id) => {
                let code = self.image.image();
                let row = code.operations.get(id.index());
                let interface = row.and_then(|row| code.interfaces.get(usize::from(row.interface)));
                Unbacked::Operation {
                    interface: interface.map_or_else(String::new, |of| of.name.clone()),
                    operation: row.map_or_else(String::new, |row| row.name.clone()),
                }
            }
        }
    }

    fn refused(&self, label: LabelId, to: Option<RoleId>, reason: Unbacked) -> OpenError {
        OpenError::Unbacked {
            role: self.image.role_name(self.role).to_owned(),
            label: self.image.label_name(label).to_owned(),
            receiver: to.map_or_else(String::new, |to| self.image.role_name(to).to_owned()),
            reason,
        }
    }
}

impl Sending {
    fn message(label: LabelId, val: Reg) -> Sending {
        let selector = None;
        Sending {
            label,
            val,
            selector,
        }
    }

    fn arm(arm: &Arm, selector: Reg) -> Sending {
        Sending {
            label: arm.label,
            val: arm.val,
            selector: Some(selector),
        }
    }
}
