//! Name resolution inside one protocol.

use std::collections::{BTreeMap, BTreeSet};

use antiphon_machine::bounds::ROLES_MAX;

use super::Resolver;
use super::scope::{Binding, Mask, Scope};
use crate::ast::{self, Message, Name, Param, SortKind, StatementKind};
use crate::diagnostic::{Code, Diagnostic, closest};
use crate::hir::{self, Branch, Kind, Payload, Role, Source, Statement, VarIndex};
use crate::sorts::{Shape, SortRef};
use crate::source::Span;

/// Resolves the names of one protocol.
pub(super) fn resolve<'m>(
    resolver: &mut Resolver<'m, '_>,
    module: usize,
    ast: &'m ast::Protocol,
) -> hir::Protocol {
    let before = resolver.findings.errors();
    let mut body = Body {
        resolver,
        module,
        ast,
        roles: Vec::new(),
        uses: BTreeMap::new(),
        vars: Vec::new(),
        scope: Scope::default(),
        recs: Vec::new(),
        recs_count: 0,
        lost: false,
    };
    body.head();
    let statements = body.statements(&ast.body);
    body.report_unused_uses();
    let Body {
        roles, vars, lost, ..
    } = body;
    hir::Protocol {
        module,
        name: ast.name.text.clone(),
        span: ast.name.at.0,
        aux: ast.aux,
        roles,
        vars,
        body: statements,
        sound: !ast.damaged
            && !lost
            && resolver.findings.errors() == before
            && !resolver.findings.is_full(),
    }
}

/// A recursion in scope.
struct Rec<'m> {
    name: &'m Name,
    number: u32,
    used: bool,
}

pub(super) struct Body<'n, 'm, 'f> {
    pub(super) resolver: &'n mut Resolver<'m, 'f>,
    pub(super) module: usize,
    pub(super) ast: &'m ast::Protocol,
    roles: Vec<(String, Span)>,
    /// The interfaces granted to roles: the span of the grant, and whether the interface is called.
    pub(super) uses: BTreeMap<(usize, Role), (Span, bool)>,
    pub(super) vars: Vec<hir::Var>,
    pub(super) scope: Scope,
    recs: Vec<Rec<'m>>,
    recs_count: u32,
    /// Whether statements could not be resolved.
    lost: bool,
}

impl<'m> Body<'_, 'm, '_> {
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.resolver.report(diagnostic);
    }

    /// Resolves the roles and the `uses` clauses.
    fn head(&mut self) {
        for role in &self.ast.roles {
            if let Some((_, first)) = self.roles.iter().find(|(name, _)| *name == role.text) {
                let message = format!("the role `{}` is declared twice", role.text);
                let finding = Diagnostic::new(Code::DuplicateRole, role.at.0, message);
                let finding = finding.related(*first, "first declared here");
                self.report(finding);
            } else if self.roles.len() >= ROLES_MAX {
                let message = format!("a protocol has at most {ROLES_MAX} roles");
                self.report(Diagnostic::new(Code::TooManyRoles, role.at.0, message));
                break;
            } else {
                self.roles.push((role.text.clone(), role.at.0));
            }
        }
        for used in &self.ast.uses {
            let interface = self.resolver.interface(self.module, &used.interface);
            let Some((interface, role)) = interface.zip(self.role(&used.role)) else {
                continue;
            };
            let span = used.interface.span().to(used.role.at.0);
            if let Some((first, _)) = self.uses.get(&(interface, role)).copied() {
                let message = format!(
                    "`{}` is granted to `{}` twice",
                    used.interface, used.role.text
                );
                let finding = Diagnostic::new(Code::DuplicateUse, span, message);
                self.report(finding.related(first, "first granted here"));
            } else {
                self.uses.insert((interface, role), (span, false));
            }
        }
    }

    fn report_unused_uses(&mut self) {
        for ((_, role), (span, used)) in self.uses.clone() {
            if !used {
                let message = format!("`{}` never calls this interface", self.role_name(role));
                self.report(Diagnostic::new(Code::UnusedUse, span, message));
            }
        }
    }

    /// Finds a role by its name, or reports it as unknown.
    pub(super) fn role(&mut self, name: &Name) -> Option<Role> {
        if let Some(index) = self.roles.iter().position(|(role, _)| *role == name.text) {
            return u8::try_from(index).ok();
        }
        let message = format!("`{}` has no role `{}`", self.ast.name.text, name.text);
        let mut finding = Diagnostic::new(Code::UnknownRole, name.at.0, message);
        if let Some(close) = closest(&name.text, self.roles.iter().map(|(role, _)| role.as_str())) {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding.related(self.ast.name.at.0, "the protocol"));
        None
    }

    pub(super) fn role_name(&self, role: Role) -> &str {
        self.roles
            .get(usize::from(role))
            .map_or("", |(name, _)| name)
    }

    fn statements(&mut self, block: &'m ast::Block) -> Vec<Statement> {
        let mut statements = Vec::new();
        for statement in &block.statements {
            self.statement(statement, &mut statements);
        }
        statements
    }

    fn statement(&mut self, statement: &'m ast::Statement, out: &mut Vec<Statement>) {
        let span = statement.at.0;
        let kind = match &statement.kind {
            StatementKind::Message(message) => self.message(message),
            StatementKind::Choice { role, branches } => self.choice(role, branches),
            StatementKind::Rec { name, body } => Some(self.rec(name, body)),
            StatementKind::Continue { name } => self.continue_(name),
            StatementKind::Do { protocol, roles } => self.do_(protocol, roles),
            StatementKind::Local { role, actions, .. } => {
                let at = self.role(role);
                for action in actions {
                    match self.action(at, action) {
                        Some((at, action, span)) => {
                            out.push(Statement {
                                kind: Kind::Local { at, action },
                                span,
                            });
                        }
                        None => self.lost = true,
                    }
                }
                return;
            }
        };
        match kind {
            Some(kind) => out.push(Statement { kind, span }),
            None => self.lost = true,
        }
    }

    fn choice(&mut self, role: &'m Name, blocks: &'m [ast::Block]) -> Option<Kind> {
        let at = self.role(role);
        let mut branches = Vec::new();
        let mut learned = Vec::new();
        for block in blocks {
            let mark = self.scope.mark();
            let statements = self.statements(block);
            self.forget(mark);
            let gained = self.scope.unlearn(mark);
            if falls_through(&statements, self.resolver.endless) {
                learned.push(gained);
            }
            branches.push(Branch {
                statements,
                span: block.at.0,
            });
        }
        self.scope.learn_common(learned);
        Some(Kind::Choice {
            at: at?,
            at_span: role.at.0,
            branches,
        })
    }

    fn forget(&mut self, mark: super::scope::Mark) {
        let vars = &self.vars;
        self.scope.forget(mark, |binding| match binding {
            Binding::Var(var) => vars
                .get(var as usize)
                .map_or(Span::default(), |var| var.span),
            Binding::Part(span) => span,
        });
    }

    fn rec(&mut self, name: &'m Name, body: &'m ast::Block) -> Kind {
        if let Some(outer) = self.recs.iter().find(|rec| rec.name.text == name.text) {
            let message = format!(
                "`rec {}` is nested in a `rec` with the same name",
                name.text
            );
            let finding = Diagnostic::new(Code::ShadowedRecursion, name.at.0, message);
            let finding = finding.related(outer.name.at.0, "the outer `rec`");
            self.report(finding);
        }
        let number = self.recs_count;
        self.recs_count += 1;
        self.recs.push(Rec {
            name,
            number,
            used: false,
        });
        let mark = self.scope.mark();
        let body = self.statements(body);
        self.forget(mark);
        let used = self.recs.pop().is_some_and(|rec| rec.used);
        if !used {
            let message = format!("no `continue` refers to `{}`", name.text);
            self.report(Diagnostic::new(Code::UnusedRecursion, name.at.0, message));
        }
        Kind::Rec {
            rec: number,
            name_span: name.at.0,
            body,
        }
    }

    fn continue_(&mut self, name: &Name) -> Option<Kind> {
        if let Some(rec) = self
            .recs
            .iter_mut()
            .rev()
            .find(|rec| rec.name.text == name.text)
        {
            rec.used = true;
            return Some(Kind::Continue { rec: rec.number });
        }
        let message = format!("there is no enclosing `rec {}`", name.text);
        let mut finding = Diagnostic::new(Code::UnknownRecursion, name.at.0, message);
        let in_scope = self.recs.iter().map(|rec| rec.name.text.as_str());
        if let Some(close) = closest(&name.text, in_scope) {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding);
        None
    }

    fn do_(&mut self, path: &'m ast::Path, args: &'m [Name]) -> Option<Kind> {
        let protocol = self.resolver.protocol(self.module, path);
        let roles: Vec<Option<Role>> = args.iter().map(|arg| self.role(arg)).collect();
        let protocol = protocol?;
        let (callee_module, callee) = self.resolver.protocols.get(protocol).copied()?;
        if roles.len() != callee.roles.len() {
            let (got, expected) = (roles.len(), callee.roles.len());
            let message =
                format!("wrong number of roles for `{path}`: expected {expected}, got {got}");
            let finding = Diagnostic::new(Code::RoleCount, path.span(), message);
            self.report(finding.related(callee.name.at.0, "declared here"));
            return None;
        }
        for (i, arg) in args.iter().enumerate() {
            if let Some(first) = args.iter().take(i).find(|first| first.text == arg.text) {
                let message = format!("`{}` cannot play two roles of `{path}`", arg.text);
                let finding = Diagnostic::new(Code::RoleTwice, arg.at.0, message);
                self.report(finding.related(first.at.0, "first used here"));
                return None;
            }
        }
        let roles: Vec<Role> = roles.into_iter().collect::<Option<_>>()?;
        self.check_grants(path, callee_module, callee, &roles);
        Some(Kind::Do { protocol, roles })
    }

    /// Reports interfaces that a called protocol uses and this protocol's head does not grant.
    fn check_grants(
        &mut self,
        path: &ast::Path,
        module: usize,
        callee: &'m ast::Protocol,
        roles: &[Role],
    ) {
        for used in &callee.uses {
            let place = callee
                .roles
                .iter()
                .position(|role| role.text == used.role.text);
            let Some(role) = place.and_then(|place| roles.get(place).copied()) else {
                continue;
            };
            // A path to no interface is reported where it is written.
            let Some(interface) = self.find_interface(module, &used.interface) else {
                continue;
            };
            if let Some((_, called)) = self.uses.get_mut(&(interface, role)) {
                *called = true;
                continue;
            }
            let (interface, role) = (&used.interface, self.role_name(role));
            let message = format!(
                "`{path}` uses `{interface}` at `{role}`, which this protocol does not grant it"
            );
            let finding = Diagnostic::new(Code::UseNotGranted, path.span(), message).help(format!(
                "add `uses {interface} at {role}` to the head of `{}`",
                self.ast.name.text
            ));
            self.report(finding.related(used.interface.span(), "used here"));
        }
    }

    fn find_interface(&self, module: usize, path: &ast::Path) -> Option<usize> {
        let (last, prefix) = path.segments.split_last()?;
        let place = self.resolver.place(module, prefix)??;
        self.resolver
            .tables
            .get(place)?
            .interfaces
            .get(last.text.as_str())
            .copied()
    }

    fn message(&mut self, message: &'m Message) -> Option<Kind> {
        let from = self.role(&message.from);
        let mut to: Vec<Role> = Vec::new();
        for name in &message.to {
            let Some(role) = self.role(name) else {
                continue;
            };
            if Some(role) == from {
                let text = format!("`{}` sends this message to itself", name.text);
                let finding = Diagnostic::new(Code::MessageToSelf, name.at.0, text);
                self.report(finding.related(message.from.at.0, "the sender"));
            } else if to.contains(&role) {
                let text = format!("`{}` is listed twice as a receiver", name.text);
                self.report(Diagnostic::new(Code::ReceiverTwice, name.at.0, text));
            } else {
                to.push(role);
            }
        }
        let mask = to
            .iter()
            .chain(&from)
            .fold(0, |mask, role| mask | 1u64 << role);
        let payload = match &message.payloads {
            None => self.signature(&message.label),
            Some(params) => match params.as_slice() {
                [] => self.unit(),
                [param] => self.payload(param, from, mask),
                params => self.payloads(params),
            },
        };
        let payload = self.share_payload(payload?, &message.label, to.len());
        let from = from?;
        (!to.is_empty()).then(|| Kind::Message {
            label: message.label.text.clone(),
            payload,
            from,
            to,
        })
    }

    fn unit(&mut self) -> Option<Payload> {
        let sort = self.resolver.sorts.intern(Shape::Unit)?;
        Some(Payload {
            sort,
            source: Source::Unit,
            bind: None,
        })
    }

    /// Resolves a message without parentheses: a declared signature, or a label without payload.
    fn signature(&mut self, label: &Name) -> Option<Payload> {
        let table = self.resolver.tables.get(self.module)?;
        if table.signatures.contains_key(label.text.as_str()) {
            let sort = self.resolver.sorts.intern(Shape::Foreign {
                name: label.text.clone(),
            })?;
            return Some(Payload {
                sort,
                source: Source::Host,
                bind: None,
            });
        }
        let message = format!(
            "no `sig` declares `{}`: it is treated as a label without payload",
            label.text
        );
        let finding = Diagnostic::new(Code::ImplicitSignature, label.at.0, message);
        self.report(finding.help(format!("write `{}()`", label.text)));
        self.unit()
    }

    /// Resolves the only payload of a message.
    fn payload(&mut self, param: &'m Param, from: Option<Role>, mask: Mask) -> Option<Payload> {
        if let Some(name) = &param.name {
            let sort = self.resolver.sort(self.module, &param.sort);
            let bind = self.bind(name, sort, mask);
            return Some(Payload {
                sort: sort?,
                source: Source::Host,
                bind,
            });
        }
        if let Some((name, binding)) = self.bound(param) {
            let var = self.use_at(name, binding, from)?;
            self.scope.learn(var, mask);
            let sort = self.vars.get(var as usize)?.sort;
            return Some(Payload {
                sort,
                source: Source::Bound(var),
                bind: Some(var),
            });
        }
        let sort = self.resolver.sort(self.module, &param.sort)?;
        Some(Payload {
            sort,
            source: Source::Host,
            bind: None,
        })
    }

    /// The bound name that a single word refers to, if it is one.
    fn bound(&self, param: &'m Param) -> Option<(&'m Name, Binding)> {
        match &param.sort.kind {
            SortKind::Named(path) => match path.segments.as_slice() {
                [name] => self.scope.find(&name.text).map(|binding| (name, binding)),
                _ => None,
            },
            SortKind::List(_) | SortKind::Option(_) => None,
        }
    }

    /// Several payloads are sent as a record without a name.
    fn payloads(&mut self, params: &'m [Param]) -> Option<Payload> {
        let mut fields = Vec::new();
        let mut whole = true;
        for (i, param) in params.iter().enumerate() {
            if let (None, Some((name, _))) = (&param.name, self.bound(param)) {
                let message = format!(
                    "`{}` is a bound name and cannot be one of several payloads",
                    name.text
                );
                self.report(Diagnostic::new(
                    Code::NameOfOneOfSeveral,
                    name.at.0,
                    message,
                ));
                whole = false;
                continue;
            }
            let sort = self.resolver.sort(self.module, &param.sort);
            let field = match &param.name {
                Some(name) => {
                    if self.is_free(name) {
                        self.scope.bind(&name.text, Binding::Part(name.at.0));
                    }
                    name.text.clone()
                }
                None => i.to_string(),
            };
            match sort {
                Some(sort) => fields.push((field, sort)),
                None => whole = false,
            }
        }
        if !whole {
            return None;
        }
        let sort = self.resolver.sorts.intern(Shape::Record {
            name: String::new(),
            fields,
        });
        if sort.is_none() {
            self.resolver.too_deep(params.first()?.sort.at.0);
        }
        Some(Payload {
            sort: sort?,
            source: Source::Host,
            bind: None,
        })
    }

    /// Several receivers get the same payload, so a payload from the host is bound to a variable.
    fn share_payload(&mut self, payload: Payload, label: &Name, receivers: usize) -> Payload {
        match payload.source {
            Source::Host if payload.bind.is_none() && receivers > 1 => {
                let var = hir::Var {
                    name: String::new(),
                    sort: payload.sort,
                    span: label.at.0,
                };
                Payload {
                    bind: Some(self.new_var(var)),
                    ..payload
                }
            }
            Source::Host | Source::Unit | Source::Bound(_) => payload,
        }
    }

    fn new_var(&mut self, var: hir::Var) -> VarIndex {
        let index = self.vars.len() as VarIndex;
        self.vars.push(var);
        index
    }

    /// Binds a name that some roles know from here on.
    pub(super) fn bind(
        &mut self,
        name: &Name,
        sort: Option<SortRef>,
        mask: Mask,
    ) -> Option<VarIndex> {
        if !self.is_free(name) {
            return None;
        }
        // A name with an invalid sort is bound too, so that its uses are not reported as well.
        let sort = sort.or_else(|| self.resolver.sorts.intern(Shape::Unit))?;
        let var = self.new_var(hir::Var {
            name: name.text.clone(),
            sort,
            span: name.at.0,
        });
        self.scope.bind(&name.text, Binding::Var(var));
        self.scope.learn(var, mask);
        Some(var)
    }

    fn is_free(&mut self, name: &Name) -> bool {
        let Some(binding) = self.scope.find(&name.text) else {
            return true;
        };
        let first = match binding {
            Binding::Var(var) => self.vars.get(var as usize).map(|var| var.span),
            Binding::Part(span) => Some(span),
        };
        let message = format!("`{}` is already bound", name.text);
        let finding = Diagnostic::new(Code::DuplicateName, name.at.0, message)
            .related(first.unwrap_or_default(), "first bound here")
            .help(format!(
                "to forward its value, write `{}` without a sort",
                name.text
            ));
        self.report(finding);
        false
    }

    /// The variable that a name refers to, which the role must know. Without a role, which is then
    /// an error reported elsewhere, only the name is checked.
    pub(super) fn use_at(
        &mut self,
        name: &Name,
        binding: Binding,
        role: Option<Role>,
    ) -> Option<VarIndex> {
        let var = match binding {
            Binding::Var(var) => var,
            Binding::Part(span) => {
                let message = format!(
                    "`{}` names one of several payloads and cannot be used alone",
                    name.text
                );
                let finding = Diagnostic::new(Code::NameOfOneOfSeveral, name.at.0, message);
                self.report(finding.related(span, "named here"));
                return None;
            }
        };
        let known = self.scope.known(var);
        let Some(role) = role.filter(|role| known & 1 << role == 0) else {
            return Some(var);
        };
        let knowing: Vec<String> = (0u8..64)
            .filter(|r| known & 1 << r != 0)
            .map(|r| format!("`{}`", self.role_name(r)))
            .collect();
        let who = self.role_name(role);
        let message = format!(
            "`{who}` does not know `{}` on every path that leads here",
            name.text
        );
        let mut finding = Diagnostic::new(Code::NameNotKnownHere, name.at.0, message);
        if let Some(var) = self.vars.get(var as usize) {
            finding = finding.related(var.span, "bound here");
        }
        let finding = finding.note(format!("it is known to {}", knowing.join(", ")));
        self.report(finding);
        None
    }
}

/// Whether the end of some statements is reachable. Recurses as deep as blocks nest.
fn falls_through(statements: &[Statement], endless: &BTreeSet<usize>) -> bool {
    statements.iter().all(|statement| match &statement.kind {
        Kind::Continue { .. } => false,
        Kind::Do { protocol, .. } => !endless.contains(protocol),
        Kind::Choice { branches, .. } => branches
            .iter()
            .any(|branch| falls_through(&branch.statements, endless)),
        Kind::Rec { body, .. } => falls_through(body, endless),
        Kind::Message { .. } | Kind::Local { .. } => true,
    })
}
