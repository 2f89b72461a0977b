//! The tables of an image under construction: the protocol's own rows, then the rows that
//! compilation adds.

use std::collections::BTreeMap;

use antiphon_machine::{Class, Interface, LabelId, Operation, OperationId, RoleId, Sort, SortId};

use crate::global::CheckedProtocol;

/// The name of the interface to the role's host.
pub(super) const HOST: &str = "host";

/// Identifies an operation that compilation adds. Operations with equal keys share a row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Produce(LabelId, RoleId, SortId),
    Decide(Vec<LabelId>, RoleId),
    Deliver(LabelId, RoleId, SortId),
    /// An operation of the protocol with a different budget.
    Within(OperationId, u64),
}

/// Sorts, interfaces and operations. The protocol's own rows come first and keep their numbers.
pub(super) struct Tables<'p> {
    protocol: &'p CheckedProtocol,
    pub(super) sorts: Vec<Sort>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) operations: Vec<Operation>,
    known: BTreeMap<Key, OperationId>,
    arms: BTreeMap<Vec<LabelId>, SortId>,
}

impl<'p> Tables<'p> {
    pub(super) fn new(protocol: &'p CheckedProtocol) -> Tables<'p> {
        let mut interfaces = protocol.interfaces().to_vec();
        interfaces.push(Interface {
            name: HOST.to_owned(),
            version: 1,
        });
        Tables {
            protocol,
            sorts: protocol.sorts().to_vec(),
            interfaces,
            operations: protocol.operations().to_vec(),
            known: BTreeMap::new(),
            arms: BTreeMap::new(),
        }
    }

    pub(super) fn is_unit(&self, sort: SortId) -> bool {
        self.sorts.get(sort.index()) == Some(&Sort::Unit)
    }

    pub(super) fn is_check(&self, operation: OperationId) -> bool {
        self.operations
            .get(operation.index())
            .is_some_and(|o| o.class == Class::Check)
    }

    pub(super) fn produce(&mut self, label: LabelId, peer: RoleId, sort: SortId) -> OperationId {
        let class = Class::Produce { label, peer };
        self.host(
            Key::Produce(label, peer, sort),
            "produce",
            class,
            vec![],
            sort,
        )
    }

    pub(super) fn deliver(&mut self, label: LabelId, peer: RoleId, sort: SortId) -> OperationId {
        let args = if self.is_unit(sort) {
            vec![]
        } else {
            vec![sort]
        };
        let unit = self.unit();
        let class = Class::Deliver { label, peer };
        self.host(
            Key::Deliver(label, peer, sort),
            "deliver",
            class,
            args,
            unit,
        )
    }

    pub(super) fn decide(&mut self, labels: Vec<LabelId>, peer: RoleId) -> OperationId {
        let sort = self.arm(&labels);
        let class = Class::Decide {
            labels: labels.clone(),
            peer,
        };
        self.host(Key::Decide(labels, peer), "decide", class, vec![], sort)
    }

    /// A protocol's operation, with another budget when the call sets one.
    pub(super) fn call(&mut self, operation: OperationId, within: Option<u64>) -> OperationId {
        let Some(ticks) = within else {
            return operation;
        };
        let own = self.protocol.operations().get(operation.index());
        let Some(own) = own.filter(|own| own.budget != Some(ticks)) else {
            return operation;
        };
        let own = Operation {
            budget: Some(ticks),
            ..own.clone()
        };
        self.add(Key::Within(operation, ticks), own)
    }

    fn host(
        &mut self,
        key: Key,
        name: &str,
        class: Class,
        args: Vec<SortId>,
        result: SortId,
    ) -> OperationId {
        let interface = self.interfaces.len() as u16 - 1;
        let name = name.to_owned();
        let own = Operation {
            interface,
            name,
            class,
            args,
            result,
            budget: None,
            retries: 0,
        };
        self.add(key, own)
    }

    fn add(&mut self, key: Key, operation: Operation) -> OperationId {
        // A table that exceeds its id type is rejected by its length afterwards; until then ids may
        // wrap.
        let fresh = OperationId(self.operations.len() as u16);
        let id = *self.known.entry(key).or_insert(fresh);
        if id == fresh {
            self.operations.push(operation);
        }
        id
    }

    /// The sort `Unit`. The checker makes it the first row; it is added when missing.
    fn unit(&mut self) -> SortId {
        self.sort(Sort::Unit)
    }

    fn sort(&mut self, sort: Sort) -> SortId {
        let known = self.sorts.iter().position(|own| *own == sort);
        let index = known.unwrap_or_else(|| {
            self.sorts.push(sort);
            self.sorts.len() - 1
        });
        SortId(index as u16)
    }

    fn arm(&mut self, labels: &[LabelId]) -> SortId {
        if let Some(known) = self.arms.get(labels) {
            return *known;
        }
        let sort = self.sort(Sort::Arm(labels.to_vec()));
        self.arms.insert(labels.to_vec(), sort);
        sort
    }
}
