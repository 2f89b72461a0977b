//! Name resolution: every name is bound to its declaration, or reported.

mod action;
mod protocol;
mod scope;

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::Class;

use crate::ast::{
    self, Foreign, ForeignKind, Item, Name, OperationClass, Path, SortKind, SortTerm,
};
use crate::diagnostic::{Code, Diagnostic, Findings, closest};
use crate::hir;
use crate::module::{Module, Modules};
use crate::sorts::{Shape, SortRef, Sorts};
use crate::source::Span;

/// The most protocols of one run. The search for protocols that never end is quadratic in their
/// number.
pub(crate) const PROTOCOLS_MAX: usize = 4096;

/// How many nested records may be in progress while one is resolved. It exceeds the allowed depth
/// of sorts, so that a cycle is reported as a cycle.
const PENDING_MAX: u32 = 64;

/// The built-in sorts: first the names of this language, then those that files of the base language
/// use without a declaration.
const BUILT_IN: [(&str, Shape); 10] = [
    ("Unit", Shape::Unit),
    ("Bool", Shape::Bool),
    ("Nat", Shape::Nat),
    ("Int", Shape::Int),
    ("Text", Shape::Text),
    ("Bytes", Shape::Bytes),
    ("unit", Shape::Unit),
    ("bool", Shape::Bool),
    ("int", Shape::Int),
    ("string", Shape::Text),
];

/// Everything that has a name, resolved.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) protocols: Vec<hir::Protocol>,
    pub(crate) interfaces: Vec<hir::Interface>,
    pub(crate) sorts: Sorts,
}

/// Resolves the names of all modules. `endless` holds the indices of protocols known never to end,
/// in the order of resolution.
pub(crate) fn resolve(
    modules: &Modules,
    endless: &BTreeSet<usize>,
    findings: &mut Findings,
) -> Resolved {
    let mut resolver = Resolver {
        modules: &modules.modules,
        tables: Vec::new(),
        protocols: Vec::new(),
        interfaces: Vec::new(),
        sorts: Sorts::default(),
        resolving: BTreeMap::new(),
        implicit: BTreeSet::new(),
        endless,
        findings,
    };
    for index in 0..modules.modules.len() {
        resolver.declare(index);
    }
    resolver.all_sorts();
    resolver.all_interfaces();
    let all: Vec<(usize, &ast::Protocol)> = resolver.protocols.clone();
    if let Some((_, beyond)) = all.get(PROTOCOLS_MAX) {
        let message = format!("one run checks at most {PROTOCOLS_MAX} protocols");
        resolver.report(Diagnostic::new(
            Code::TooManyProtocols,
            beyond.name.at.0,
            message,
        ));
    }
    let protocols = all
        .into_iter()
        .take(PROTOCOLS_MAX)
        .map(|(module, ast)| protocol::resolve(&mut resolver, module, ast))
        .collect();
    Resolved {
        protocols,
        interfaces: resolver
            .interfaces
            .into_iter()
            .map(|(_, _, interface)| interface)
            .collect(),
        sorts: resolver.sorts,
    }
}

/// A module's declarations by name, with one namespace per kind.
#[derive(Default)]
struct Table<'m> {
    /// Whether the module declares records or enumerations.
    has_own_sorts: bool,
    sorts: BTreeMap<&'m str, SortDecl<'m>>,
    signatures: BTreeMap<&'m str, &'m Foreign>,
    interfaces: BTreeMap<&'m str, usize>,
    protocols: BTreeMap<&'m str, usize>,
}

#[derive(Clone, Copy)]
enum SortDecl<'m> {
    Foreign(&'m Foreign),
    Record(&'m ast::Record),
    Enum(&'m ast::Enum),
}

impl SortDecl<'_> {
    fn name(&self) -> &Name {
        match self {
            SortDecl::Foreign(foreign) => &foreign.name,
            SortDecl::Record(record) => &record.name,
            SortDecl::Enum(enumeration) => &enumeration.name,
        }
    }
}

/// How far the resolution of a declared sort has come.
#[derive(Clone, Copy)]
enum Progress {
    Begun,
    Done(Option<SortRef>),
}

struct Resolver<'m, 'f> {
    modules: &'m [Module],
    tables: Vec<Table<'m>>,
    protocols: Vec<(usize, &'m ast::Protocol)>,
    interfaces: Vec<(usize, &'m ast::Effect, hir::Interface)>,
    sorts: Sorts,
    resolving: BTreeMap<(usize, &'m str), Progress>,
    /// The undeclared sorts that are treated as opaque bytes. Each is reported once.
    implicit: BTreeSet<(usize, String)>,
    /// The protocols that never end.
    endless: &'f BTreeSet<usize>,
    findings: &'f mut Findings,
}

impl<'m> Resolver<'m, '_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        self.findings.push(diagnostic);
    }

    /// Adds a module's declarations to the tables, and reports duplicates.
    fn declare(&mut self, index: usize) {
        let mut table = Table::default();
        let Some(module) = self.modules.get(index) else {
            return;
        };
        for item in &module.ast.items {
            let taken = match item {
                Item::Module(_) | Item::Import(_) => None,
                Item::Foreign(foreign) => match foreign.kind {
                    ForeignKind::Type => self.declare_sort(&mut table, SortDecl::Foreign(foreign)),
                    ForeignKind::Signature => {
                        let old = table.signatures.get(foreign.name.text.as_str()).copied();
                        table
                            .signatures
                            .entry(&foreign.name.text)
                            .or_insert(foreign);
                        old.map(|old| (&foreign.name, &old.name))
                    }
                },
                Item::Record(record) => self.declare_sort(&mut table, SortDecl::Record(record)),
                Item::Enum(enumeration) => {
                    self.declare_sort(&mut table, SortDecl::Enum(enumeration))
                }
                Item::Effect(effect) => {
                    if effect.name.text == "host" {
                        let message = "the interface `host` is predefined and cannot be declared";
                        self.report(Diagnostic::new(
                            Code::ReservedInterface,
                            effect.name.at.0,
                            message,
                        ));
                    }
                    let new = self.interfaces.len();
                    let first = *table.interfaces.entry(&effect.name.text).or_insert(new);
                    let interface = hir::Interface {
                        name: effect.name.text.clone(),
                        version: effect.version,
                        operations: Vec::new(),
                    };
                    self.interfaces.push((index, effect, interface));
                    (first != new).then(|| (&effect.name, &self.interfaces[first].1.name))
                }
                Item::Protocol(protocol) => {
                    let new = self.protocols.len();
                    let first = *table.protocols.entry(&protocol.name.text).or_insert(new);
                    self.protocols.push((index, protocol));
                    (first != new).then(|| (&protocol.name, &self.protocols[first].1.name))
                }
            };
            if let Some((name, old)) = taken {
                let message = format!("`{}` is declared twice", name.text);
                let finding = Diagnostic::new(Code::DuplicateDeclaration, name.at.0, message);
                self.report(
                    finding
                        .label("declared again")
                        .related(old.at.0, "first declared here"),
                );
            }
        }
        self.tables.push(table);
    }

    /// Adds a sort to the table. Returns the new and the existing name when there is one already.
    fn declare_sort(
        &mut self,
        table: &mut Table<'m>,
        decl: SortDecl<'m>,
    ) -> Option<(&'m Name, &'m Name)> {
        let name: &'m Name = match decl {
            SortDecl::Foreign(foreign) => &foreign.name,
            SortDecl::Record(record) => &record.name,
            SortDecl::Enum(enumeration) => &enumeration.name,
        };
        // A foreign type may be named `int` or `Bytes`, as in many files of the base language. It
        // then hides the built-in sort.
        let foreign = matches!(decl, SortDecl::Foreign(_));
        if !foreign && built_in(&name.text).is_some() {
            let message = format!("`{}` is a built-in sort", name.text);
            self.report(Diagnostic::new(Code::ReservedSort, name.at.0, message));
        }
        if let Some(old) = table.sorts.get(name.text.as_str()) {
            let old: &'m Name = match old {
                SortDecl::Foreign(foreign) => &foreign.name,
                SortDecl::Record(record) => &record.name,
                SortDecl::Enum(enumeration) => &enumeration.name,
            };
            return Some((name, old));
        }
        table.has_own_sorts |= !foreign;
        table.sorts.insert(&name.text, decl);
        None
    }

    /// The module that a path refers to and the last segment of the path. `None` when there is no
    /// such module, which has then been reported.
    fn locate<'p>(&mut self, module: usize, path: &'p Path) -> Option<(usize, &'p Name)> {
        let (last, prefix) = path.segments.split_last()?;
        if let Some(found) = self.place(module, prefix) {
            return Some((found?, last));
        }
        let prefix = Path {
            segments: prefix.to_vec(),
        };
        let (span, prefix_text) = (prefix.span(), prefix.to_string());
        let here = self.modules.get(module)?;
        let message = format!("no module `{prefix_text}` is imported here");
        let mut finding = Diagnostic::new(Code::UnknownModule, span, message);
        if self.findings.accepts(Code::UnknownModule)
            && let Some(close) = closest(&prefix_text, here.imports.keys().map(String::as_str))
        {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding);
        None
    }

    /// The module that a name's qualifier refers to. The inner `None` is a module that could not be
    /// loaded, which has been reported at its import.
    fn place(&self, module: usize, prefix: &[Name]) -> Option<Option<usize>> {
        if prefix.is_empty() {
            return Some(Some(module));
        }
        let words: Vec<&str> = prefix.iter().map(|name| name.text.as_str()).collect();
        let words = words.join(".");
        let here = self.modules.get(module)?;
        if here.name.as_deref() == Some(words.as_str()) {
            return Some(Some(module));
        }
        here.imports.get(&words).copied()
    }

    /// Resolves every declared sort, used or not.
    fn all_sorts(&mut self) {
        for module in 0..self.tables.len() {
            let decls: Vec<SortDecl<'m>> = self
                .tables
                .get(module)
                .map(|t| t.sorts.values().copied().collect())
                .unwrap_or_default();
            for decl in decls {
                self.declared_sort(module, decl, decl.name().at.0, 0);
            }
        }
    }

    /// Resolves a declared sort. `from` is the span of the reference.
    fn declared_sort(
        &mut self,
        module: usize,
        decl: SortDecl<'m>,
        from: Span,
        pending: u32,
    ) -> Option<SortRef> {
        let name: &'m str = match decl {
            SortDecl::Foreign(foreign) => &foreign.name.text,
            SortDecl::Record(record) => &record.name.text,
            SortDecl::Enum(enumeration) => &enumeration.name.text,
        };
        match self.resolving.get(&(module, name)) {
            Some(Progress::Done(sort)) => return *sort,
            Some(Progress::Begun) => {
                let message = format!("the record `{name}` contains itself");
                let finding = Diagnostic::new(Code::RecursiveSort, from, message);
                self.report(finding.related(decl.name().at.0, "declared here"));
                return None;
            }
            None => {}
        }
        self.resolving.insert((module, name), Progress::Begun);
        let sort = match decl {
            SortDecl::Foreign(_) => self.sorts.intern(Shape::Foreign { name: name.into() }),
            SortDecl::Enum(enumeration) => {
                let variants = enumeration
                    .variants
                    .iter()
                    .map(|v| v.text.clone())
                    .collect();
                let name = name.into();
                match self.check_distinct("variant", enumeration.variants.iter()) {
                    true => self.sorts.intern(Shape::Enum { name, variants }),
                    false => None,
                }
            }
            SortDecl::Record(record) => self.record(module, record, from, pending),
        };
        self.resolving.insert((module, name), Progress::Done(sort));
        sort
    }

    fn record(
        &mut self,
        module: usize,
        record: &'m ast::Record,
        from: Span,
        pending: u32,
    ) -> Option<SortRef> {
        let mut whole = self.check_distinct("field", record.fields.iter().map(|field| &field.name));
        if pending >= PENDING_MAX {
            self.too_deep(from);
            return None;
        }
        let mut fields = Vec::new();
        for field in &record.fields {
            match self.sort_in(module, &field.sort, pending + 1) {
                Some(sort) => fields.push((field.name.text.clone(), sort)),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        let sort = self.sorts.intern(Shape::Record {
            name: record.name.text.clone(),
            fields,
        });
        if sort.is_none() {
            self.too_deep(record.name.at.0);
        }
        sort
    }

    fn too_deep(&mut self, span: Span) {
        let most = antiphon_machine::bounds::SORT_DEPTH_MAX;
        let message = format!("this sort is nested more than {most} levels deep");
        self.report(Diagnostic::new(Code::SortTooDeep, span, message));
    }

    /// Reports duplicate names. Returns whether all are distinct.
    fn check_distinct<'n>(&mut self, what: &str, names: impl Iterator<Item = &'n Name>) -> bool {
        let mut distinct = true;
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        for name in names {
            if let Some(first) = seen.get(name.text.as_str()) {
                let message = format!("duplicate {what} `{}`", name.text);
                let finding = Diagnostic::new(Code::DuplicateMember, name.at.0, message);
                self.report(finding.related(*first, "first declared here"));
                distinct = false;
            } else {
                seen.insert(&name.text, name.at.0);
            }
        }
        distinct
    }

    /// Resolves a sort as written in a module.
    fn sort(&mut self, module: usize, term: &SortTerm) -> Option<SortRef> {
        self.sort_in(module, term, 0)
    }

    fn sort_in(&mut self, module: usize, term: &SortTerm, pending: u32) -> Option<SortRef> {
        let shape = match &term.kind {
            SortKind::Named(path) => return self.named_sort(module, path, pending),
            SortKind::List(item) => Shape::List(self.sort_in(module, item, pending)?),
            SortKind::Option(item) => Shape::Option(self.sort_in(module, item, pending)?),
        };
        let sort = self.sorts.intern(shape);
        if sort.is_none() {
            self.too_deep(term.at.0);
        }
        sort
    }

    fn named_sort(&mut self, module: usize, path: &Path, pending: u32) -> Option<SortRef> {
        let (place, name) = self.locate(module, path)?;
        if let Some(decl) = self
            .tables
            .get(place)
            .and_then(|t| t.sorts.get(name.text.as_str()))
        {
            return self.declared_sort(place, *decl, path.span(), pending);
        }
        if let Some(shape) = built_in(&name.text).filter(|_| path.segments.len() == 1) {
            return self.sorts.intern(shape);
        }
        self.unknown_sort(place, path.segments.len() == 1, name)
    }

    /// An undeclared sort. A file without records and enumerations is taken as one of the base
    /// language, whose types are often only names.
    fn unknown_sort(&mut self, module: usize, bare: bool, name: &Name) -> Option<SortRef> {
        let table = self.tables.get(module)?;
        let implicit = bare && !table.has_own_sorts;
        let (code, message) = match implicit {
            true => (
                Code::ImplicitSort,
                format!(
                    "`{}` is not declared: it is treated as opaque bytes",
                    name.text
                ),
            ),
            false => (Code::UnknownSort, format!("unknown sort `{}`", name.text)),
        };
        let mut finding = Diagnostic::new(code, name.at.0, message);
        let built_in = BUILT_IN.iter().map(|(name, _)| *name);
        let declared = table.sorts.keys().copied();
        if self.findings.accepts(code)
            && let Some(close) = closest(&name.text, declared.chain(built_in))
        {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        if !implicit || self.implicit.insert((module, name.text.clone())) {
            self.report(finding);
        }
        match implicit {
            true => self.sorts.intern(Shape::Foreign {
                name: name.text.clone(),
            }),
            false => None,
        }
    }

    /// Resolves every interface, used or not.
    fn all_interfaces(&mut self) {
        for index in 0..self.interfaces.len() {
            let Some((module, effect)) = self.interfaces.get(index).map(|(m, e, _)| (*m, *e))
            else {
                continue;
            };
            let operations = self.operations(module, effect);
            if let Some((_, _, interface)) = self.interfaces.get_mut(index) {
                interface.operations = operations;
            }
        }
    }

    fn operations(&mut self, module: usize, effect: &'m ast::Effect) -> Vec<hir::Operation> {
        let mut seen: BTreeMap<&str, Span> = BTreeMap::new();
        let mut operations = Vec::new();
        for operation in &effect.operations {
            let name = &operation.name;
            if let Some(first) = seen.get(name.text.as_str()) {
                let message = format!(
                    "`{}` declares the operation `{}` twice",
                    effect.name.text, name.text
                );
                let finding = Diagnostic::new(Code::DuplicateOperation, name.at.0, message);
                self.report(finding.related(*first, "first declared here"));
            }
            seen.entry(&name.text).or_insert(name.at.0);
            self.check_distinct(
                "parameter",
                operation.params.iter().filter_map(|p| p.name.as_ref()),
            );
            let params = operation
                .params
                .iter()
                .map(|p| self.sort(module, &p.sort))
                .collect();
            let result = match &operation.result {
                Some(sort) => self.sort(module, sort),
                None => self.sorts.intern(Shape::Unit),
            };
            operations.push(hir::Operation {
                name: name.text.clone(),
                class: match operation.class {
                    OperationClass::Command => Class::Command,
                    OperationClass::Observe => Class::Observe,
                    OperationClass::Check => Class::Check,
                },
                params,
                result,
                budget: operation.within.map(ast::Duration::ticks),
                retries: operation.retry.unwrap_or(0),
            });
        }
        operations
    }

    /// Finds an interface by its path, or reports it as unknown.
    fn interface(&mut self, module: usize, path: &Path) -> Option<usize> {
        let (place, name) = self.locate(module, path)?;
        let table = self.tables.get(place)?;
        if let Some(found) = table.interfaces.get(name.text.as_str()) {
            return Some(*found);
        }
        let message = format!("unknown interface `{path}`");
        let mut finding = Diagnostic::new(Code::UnknownInterface, path.span(), message);
        if self.findings.accepts(Code::UnknownInterface)
            && let Some(close) = closest(&name.text, table.interfaces.keys().copied())
        {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding);
        None
    }

    /// Finds a protocol by its path, or reports it as unknown.
    fn protocol(&mut self, module: usize, path: &Path) -> Option<usize> {
        let (place, name) = self.locate(module, path)?;
        let table = self.tables.get(place)?;
        if let Some(found) = table.protocols.get(name.text.as_str()) {
            return (*found < PROTOCOLS_MAX).then_some(*found);
        }
        let message = format!("unknown protocol `{path}`");
        let mut finding = Diagnostic::new(Code::UnknownProtocol, path.span(), message);
        if self.findings.accepts(Code::UnknownProtocol)
            && let Some(close) = closest(&name.text, table.protocols.keys().copied())
        {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding);
        None
    }
}

fn built_in(name: &str) -> Option<Shape> {
    BUILT_IN
        .iter()
        .find(|(built_in, _)| *built_in == name)
        .map(|(_, shape)| shape.clone())
}
