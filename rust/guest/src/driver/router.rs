//! Routes each effect to the application, or to the guest that its role or interface is bound to.

use std::collections::BTreeMap;

use antiphon_machine::{
    Class, CodeImage, EffectHandler, EffectRequest, Reply, RoleId, SessionId, VerifiedImage,
};

use super::{Binding, OpenError};
use crate::link::GuestLink;

/// A guest of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestId(pub(super) usize);

/// The roles and interfaces of a session that are bound to guests. The application handles all
/// others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guests {
    pub(super) roles: Vec<(GuestId, String)>,
    pub(super) interfaces: Vec<(GuestId, String)>,
}

impl Guests {
    /// Binds nothing to a guest.
    pub fn new() -> Guests {
        Guests::default()
    }

    /// Binds the roles with these names to the guest.
    #[must_use]
    pub fn roles<N: Into<String>>(
        mut self,
        guest: GuestId,
        names: impl IntoIterator<Item = N>,
    ) -> Guests {
        self.roles
            .extend(names.into_iter().map(|name| (guest, name.into())));
        self
    }

    /// Binds the operations of the interfaces with these names to the guest, for all roles.
    #[must_use]
    pub fn interfaces<N: Into<String>>(
        mut self,
        guest: GuestId,
        names: impl IntoIterator<Item = N>,
    ) -> Guests {
        self.interfaces
            .extend(names.into_iter().map(|name| (guest, name.into())));
        self
    }
}

impl Binding {
    /// Binds the roles and interfaces with these names to one guest, as [`Driver::open`] does.
    /// Checks a binding without a machine and a link.
    ///
    /// # Errors
    /// As [`Driver::open`].
    ///
    /// [`Driver::open`]: super::Driver::open
    pub fn named<'r, 'i>(
        image: &VerifiedImage,
        roles: impl IntoIterator<Item = &'r str>,
        interfaces: impl IntoIterator<Item = &'i str>,
    ) -> Result<Binding, OpenError> {
        let code = image.image();
        let roles = roles.into_iter().map(|name| role(code, name));
        let rows = interfaces.into_iter().map(|name| interface(code, name));
        let rows: Vec<u16> = rows.collect::<Result<_, _>>()?;
        Binding::of(image, roles.collect::<Result<_, _>>()?, &rows)
    }
}

/// The role with this name.
pub(super) fn role(code: &CodeImage, name: &str) -> Result<RoleId, OpenError> {
    let at = code.roles.iter().position(|role| role.name == name);
    let unknown = || OpenError::NoRole {
        protocol: code.name.clone(),
        name: name.to_owned(),
    };
    at.and_then(|n| u16::try_from(n).ok())
        .map(RoleId)
        .ok_or_else(unknown)
}

/// The row of the interface with this name.
pub(super) fn interface(code: &CodeImage, name: &str) -> Result<u16, OpenError> {
    let at = code.interfaces.iter().position(|row| row.name == name);
    let unknown = || OpenError::NoInterface {
        protocol: code.name.clone(),
        name: name.to_owned(),
    };
    at.and_then(|n| u16::try_from(n).ok()).ok_or_else(unknown)
}

/// The handler that routes each effect.
#[derive(Debug)]
pub struct Router<A> {
    pub(super) application: A,
    pub(super) guests: Vec<GuestLink>,
    pub(super) roles: BTreeMap<(SessionId, RoleId), usize>,
    pub(super) interfaces: BTreeMap<(SessionId, u16), usize>,
}

impl<A: EffectHandler> EffectHandler for Router<A> {
    fn handle(&mut self, request: &EffectRequest<'_>) -> Reply {
        let session = request.effect().session;
        let guest = match request.class() {
            Class::Produce { .. } | Class::Decide { .. } | Class::Deliver { .. } => request
                .role()
                .and_then(|role| self.roles.get(&(session, role))),
            Class::Command | Class::Observe | Class::Check => self
                .interfaces
                .get(&(session, request.operation().interface)),
        };
        match guest.and_then(|guest| self.guests.get_mut(*guest)) {
            Some(guest) => guest.handle(request),
            None => self.application.handle(request),
        }
    }
}
