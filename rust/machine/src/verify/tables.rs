//! Tables: sorts, labels, operations and automata.

use super::*;

pub(super) fn check_tables(image: &CodeImage) -> Checked {
    let whole = Place::Image;
    if image.roles.is_empty() {
        return refuse(whole, Kind::Empty { what: "roles" });
    }
    at_most(whole, "roles", image.roles.len(), ROLES_MAX)?;
    at_most(whole, "labels", image.labels.len(), TABLE_LEN_MAX)?;
    at_most(whole, "sorts", image.sorts.len(), SORTS_MAX)?;
    at_most(whole, "interfaces", image.interfaces.len(), TABLE_LEN_MAX)?;
    at_most(whole, "operations", image.operations.len(), TABLE_LEN_MAX)?;
    at_most(whole, "programs", image.programs.len(), TABLE_LEN_MAX)?;
    if image.programs.len() < image.roles.len() {
        let (roles, programs) = (image.roles.len(), image.programs.len());
        return refuse(whole, Kind::ProgramPerRole { roles, programs });
    }
    at_most(whole, "bytes of the name", image.name.len(), NAME_LEN_MAX)?;
    let role_names = image.roles.iter().map(|r| r.name.as_str());
    for (n, name) in (0u16..).zip(role_names.clone()) {
        at_most(
            Place::Role(RoleId(n)),
            "bytes of the name",
            name.len(),
            NAME_LEN_MAX,
        )?;
    }
    distinct(whole, role_names, |name| format!("role `{name}`"))?;
    for (n, name) in (0u16..).zip(&image.labels) {
        at_most(
            Place::Label(LabelId(n)),
            "bytes of the name",
            name.len(),
            NAME_LEN_MAX,
        )?;
    }
    distinct(whole, image.labels.iter().map(String::as_str), |name| {
        format!("label `{name}`")
    })?;
    for (n, interface) in (0u16..).zip(&image.interfaces) {
        let len = interface.name.len();
        at_most(Place::Interface(n), "bytes of the name", len, NAME_LEN_MAX)?;
    }
    let interfaces = image.interfaces.iter().map(|i| i.name.as_str());
    distinct(whole, interfaces, |name| format!("interface `{name}`"))?;
    check_sorts(image)?;
    check_operations(image)
}

pub(super) fn check_sorts(image: &CodeImage) -> Checked {
    let mut depths: Vec<u32> = Vec::with_capacity(image.sorts.len());
    for (n, sort) in (0u16..).zip(&image.sorts) {
        let place = Place::Sort(SortId(n));
        let depth_of = |inner: SortId| match depths.get(inner.index()) {
            Some(depth) => Ok(*depth),
            None => refuse(place, Kind::SortOrder { got: inner }),
        };
        let mut depth = 1;
        match sort {
            Sort::Unit | Sort::Bool | Sort::Nat | Sort::Int | Sort::Text | Sort::Bytes => {}
            Sort::List(inner) | Sort::Option(inner) => depth += depth_of(*inner)?,
            Sort::Record { name, fields } => {
                at_most(place, "bytes of the name", name.len(), NAME_LEN_MAX)?;
                at_most(place, "fields", fields.len(), BRANCHES_MAX)?;
                for (field, inner) in fields {
                    at_most(place, "bytes of a field's name", field.len(), NAME_LEN_MAX)?;
                    depth = depth.max(1 + depth_of(*inner)?);
                }
                let names = fields.iter().map(|f| f.0.as_str());
                distinct(place, names, |name| format!("field `{name}`"))?;
            }
            Sort::Enum { name, variants } => {
                at_most(place, "bytes of the name", name.len(), NAME_LEN_MAX)?;
                at_most(place, "variants", variants.len(), BRANCHES_MAX)?;
                for variant in variants {
                    at_most(place, "bytes of a variant", variant.len(), NAME_LEN_MAX)?;
                }
                let names = variants.iter().map(String::as_str);
                distinct(place, names, |name| format!("variant `{name}`"))?;
            }
            Sort::Foreign { name } => {
                at_most(place, "bytes of the name", name.len(), NAME_LEN_MAX)?;
            }
            Sort::Arm(labels) => check_labels(image, place, labels.iter().copied())?,
        }
        at_most(
            place,
            "levels of nesting",
            depth as usize,
            SORT_DEPTH_MAX as usize,
        )?;
        depths.push(depth);
    }
    Ok(())
}

pub(super) fn check_labels(
    image: &CodeImage,
    place: Place,
    labels: impl ExactSizeIterator<Item = LabelId> + Clone,
) -> Checked {
    if labels.len() == 0 {
        return refuse(place, Kind::Empty { what: "labels" });
    }
    at_most(place, "labels", labels.len(), BRANCHES_MAX)?;
    for label in labels.clone() {
        row(place, "label", label.index(), image.labels.len())?;
    }
    distinct(place, labels, |label| format!("label {label}"))
}

pub(super) fn check_operations(image: &CodeImage) -> Checked {
    for (n, operation) in (0u16..).zip(&image.operations) {
        let place = Place::Operation(OperationId(n));
        at_most(
            place,
            "bytes of the name",
            operation.name.len(),
            NAME_LEN_MAX,
        )?;
        row(
            place,
            "interface",
            operation.interface.into(),
            image.interfaces.len(),
        )?;
        at_most(
            place,
            "arguments",
            operation.args.len(),
            usize::from(REGISTERS_MAX),
        )?;
        for sort in operation.args.iter().chain([&operation.result]) {
            row(place, "sort", sort.index(), image.sorts.len())?;
        }
        match &operation.class {
            Class::Produce { label, peer } | Class::Deliver { label, peer } => {
                row(place, "label", label.index(), image.labels.len())?;
                row(place, "role", peer.index(), image.roles.len())?;
            }
            Class::Decide { labels, peer } => {
                check_labels(image, place, labels.iter().copied())?;
                row(place, "role", peer.index(), image.roles.len())?;
            }
            Class::Command | Class::Observe | Class::Check => {}
        }
    }
    Ok(())
}

pub(super) fn check_automata(image: &CodeImage) -> Checked {
    for (r, role) in (0u16..).map(RoleId).zip(&image.roles) {
        let states = &role.automaton.states;
        if states.is_empty() {
            return refuse(Place::Role(r), Kind::Empty { what: "states" });
        }
        at_most(Place::Role(r), "states", states.len(), STATES_MAX)?;
        for (n, state) in (0u32..).zip(states) {
            let place = Place::State(r, StateId(n));
            let (peer, branches) = match state {
                State::End => continue,
                State::Send { to, branches } => (*to, branches),
                State::Recv { from, branches } => (*from, branches),
            };
            row(place, "role", peer.index(), image.roles.len())?;
            if peer == r {
                return refuse(place, Kind::SelfMessage);
            }
            check_labels(image, place, branches.iter().map(|t| t.label))?;
            for t in branches {
                row(place, "sort", t.sort.index(), image.sorts.len())?;
                row(place, "state", t.next.index(), states.len())?;
            }
        }
    }
    Ok(())
}

pub(super) fn distinct<T: Copy + Eq + std::hash::Hash>(
    place: Place,
    items: impl Iterator<Item = T>,
    name: impl Fn(T) -> String,
) -> Checked {
    let mut seen = HashSet::new();
    for item in items {
        if !seen.insert(item) {
            return refuse(place, Kind::Twice { what: name(item) });
        }
    }
    Ok(())
}
