//! Name resolution inside local actions.

use antiphon_machine::Class;

use super::protocol::Body;
use crate::ast::{self, Argument, Name};
use crate::diagnostic::{Code, Diagnostic, closest};
use crate::hir::{self, Role};
use crate::sorts::{Shape, SortRef};
use crate::source::Span;

impl Body<'_, '_, '_> {
    /// Resolves one action. Returns the acting role, the action and its span.
    pub(super) fn action(
        &mut self,
        at: Option<Role>,
        action: &ast::Action,
    ) -> Option<(Role, hir::Action, Span)> {
        let interface = self.resolver.interface(self.module, &action.interface);
        if let (Some(at), Some(interface)) = (at, interface) {
            self.record_call(at, interface, &action.interface);
        }
        let operation = interface.and_then(|interface| self.operation(interface, action));
        let found = interface.zip(operation);
        let (class, params, result) = match found.and_then(|(i, o)| self.declared(i, o)) {
            Some(operation) => (
                Some(operation.class.clone()),
                Some(operation.params.clone()),
                operation.result,
            ),
            None => (None, None, None),
        };
        if let Some(class) = class {
            self.check_class(action, class == Class::Check);
        }
        let args = self.arguments(at, action, params);
        let mask = at.map_or(0, |at| 1u64 << at);
        let bind = action
            .bind
            .as_ref()
            .and_then(|name| self.bind(name, result, mask));
        let (interface, operation) = found?;
        result?;
        let action_out = hir::Action {
            interface,
            operation,
            args: args?,
            bind,
            within: action.within.map(ast::Duration::ticks),
            otherwise: action
                .otherwise
                .as_ref()
                .map(|label| (label.text.clone(), label.at.0)),
        };
        Some((at?, action_out, action.at.0))
    }

    fn declared(&self, interface: usize, operation: usize) -> Option<&hir::Operation> {
        self.resolver
            .interfaces
            .get(interface)?
            .2
            .operations
            .get(operation)
    }

    /// Records that a role calls an interface, and reports the call when the head does not grant
    /// the interface.
    fn record_call(&mut self, at: Role, interface: usize, path: &ast::Path) {
        if let Some((_, called)) = self.uses.get_mut(&(interface, at)) {
            *called = true;
            return;
        }
        let role = self.role_name(at).to_string();
        let message =
            format!("`{role}` calls `{path}`, which the protocol's head does not grant it");
        let finding = Diagnostic::new(Code::UndeclaredUse, path.span(), message)
            .help(format!(
                "add `uses {path} at {role}` to the head of `{}`",
                self.ast.name.text
            ))
            .related(self.ast.name.at.0, "the protocol");
        self.report(finding);
    }

    fn operation(&mut self, interface: usize, action: &ast::Action) -> Option<usize> {
        let name = &action.operation;
        let (_, _, declared) = self.resolver.interfaces.get(interface)?;
        let operations = || {
            declared
                .operations
                .iter()
                .map(|operation| operation.name.as_str())
        };
        if let Some(found) = operations().position(|operation| operation == name.text) {
            return Some(found);
        }
        let message = format!("`{}` has no operation `{}`", declared.name, name.text);
        let mut finding = Diagnostic::new(Code::UnknownOperation, name.at.0, message);
        if self.resolver.findings.accepts(Code::UnknownOperation)
            && let Some(close) = closest(&name.text, operations())
        {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding);
        None
    }

    fn check_class(&mut self, action: &ast::Action, is_check: bool) {
        if action.check == is_check {
            return;
        }
        let span = action.interface.span().to(action.operation.at.0);
        let name = format!("{}.{}", action.interface, action.operation.text);
        let (message, help) = match is_check {
            true => (
                format!("`{name}` is declared with `check`"),
                format!("write `check {name}(…)`"),
            ),
            false => (
                format!("`{name}` is not declared with `check`"),
                "remove `check`, or declare the operation with it".into(),
            ),
        };
        self.report(Diagnostic::new(Code::CheckMismatch, span, message).help(help));
    }

    /// Resolves the arguments; `None` when one is wrong. All are checked, even when the operation
    /// is unknown.
    fn arguments(
        &mut self,
        at: Option<Role>,
        action: &ast::Action,
        params: Option<Vec<Option<SortRef>>>,
    ) -> Option<Vec<hir::Argument>> {
        if let Some(params) = &params
            && params.len() != action.args.len()
        {
            let name = format!("{}.{}", action.interface, action.operation.text);
            let (expected, got) = (params.len(), action.args.len());
            let message =
                format!("wrong number of arguments for `{name}`: expected {expected}, got {got}");
            let span = action.operation.at.0;
            self.report(Diagnostic::new(Code::ArgumentCount, span, message));
            return None;
        }
        let mut args = Vec::new();
        let mut whole = params.is_some();
        for (i, arg) in action.args.iter().enumerate() {
            let sort = params
                .as_ref()
                .and_then(|params| params.get(i).copied().flatten());
            match self.argument(at, arg, sort) {
                Some(arg) => args.push(arg),
                None => whole = false,
            }
        }
        whole.then_some(args)
    }

    fn argument(
        &mut self,
        at: Option<Role>,
        arg: &Argument,
        sort: Option<SortRef>,
    ) -> Option<hir::Argument> {
        let shape = sort.map(|sort| self.resolver.sorts.shape(sort).clone());
        let (found, got) = match (arg, &shape) {
            (Argument::Name(name), _) => return self.named(at, name, sort),
            (Argument::Bool(value, _), Some(Shape::Bool)) => {
                (Some(hir::Argument::Bool(*value)), "Bool")
            }
            (Argument::Text(text, _), Some(Shape::Text)) => {
                (Some(hir::Argument::Text(text.clone())), "Text")
            }
            (Argument::Number(n, _), Some(Shape::Nat)) => {
                (u64::try_from(*n).ok().map(hir::Argument::Nat), "number")
            }
            (Argument::Number(n, _), Some(Shape::Int)) => {
                (i64::try_from(*n).ok().map(hir::Argument::Int), "number")
            }
            (Argument::Bool(..), _) => (None, "Bool"),
            (Argument::Text(..), _) => (None, "Text"),
            (Argument::Number(..), _) => (None, "number"),
        };
        if let (None, Some(sort)) = (&found, sort) {
            let expected = self.resolver.sorts.show(sort);
            let message = match got {
                "number" if matches!(shape, Some(Shape::Nat | Shape::Int)) => {
                    format!("this number is out of range for `{expected}`")
                }
                "number" => format!("expected `{expected}`, got a number"),
                got => format!("expected `{expected}`, got `{got}`"),
            };
            self.report(Diagnostic::new(Code::ArgumentSort, arg.span(), message));
        }
        found
    }

    /// Resolves a name used as an argument: a bound name, or a variant of the expected enumeration.
    fn named(
        &mut self,
        at: Option<Role>,
        name: &Name,
        sort: Option<SortRef>,
    ) -> Option<hir::Argument> {
        if let Some(binding) = self.scope.find(&name.text) {
            let var = self.use_at(name, binding, at)?;
            let got = self.vars.get(var as usize)?;
            let sort = sort?;
            if got.sort == sort {
                return Some(hir::Argument::Var(var));
            }
            let (expected, shown) = (
                self.resolver.sorts.show(sort),
                self.resolver.sorts.show(got.sort),
            );
            let message = format!("expected `{expected}`, but `{}` is `{shown}`", name.text);
            let bound = got.span;
            let finding = Diagnostic::new(Code::ArgumentSort, name.at.0, message);
            self.report(finding.related(bound, "bound here"));
            return None;
        }
        if let Some(Shape::Enum { variants, .. }) = sort.map(|sort| self.resolver.sorts.shape(sort))
            && let Some(index) = variants.iter().position(|variant| *variant == name.text)
        {
            return Some(hir::Argument::Nat(index as u64));
        }
        let message = format!("`{}` is not bound here", name.text);
        let mut finding = Diagnostic::new(Code::UnknownName, name.at.0, message);
        if let Some(left) = self.scope.out_of_scope(&name.text) {
            finding = finding.related(left, "bound here, but only inside this block");
        } else if self.resolver.findings.accepts(Code::UnknownName)
            && let Some(close) = closest(&name.text, self.scope.names())
        {
            finding = finding.help(format!("did you mean `{close}`?"));
        }
        self.report(finding);
        None
    }
}
