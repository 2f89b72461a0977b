//! The small integers that name things inside the machine.
//!
//! Names (`"Host"`, `"exec_output"`) live in the image and appear again in diagnostics; a step compares integers only.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($inner:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The number as an index into the table that this id names a row of.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    )*};
}

ids! {
    /// A role of an image: a row of `CodeImage::roles`.
    RoleId(u16);
    /// A message label of an image: a row of `CodeImage::labels`.
    LabelId(u16);
    /// A sort of an image: a row of `CodeImage::sorts`.
    SortId(u16);
    /// An ordered pair of roles that speak, numbered by `VerifiedImage`.
    EdgeId(u16);
    /// An operation of an image: a row of `CodeImage::operations`.
    OperationId(u16);
    /// A program of an image: a row of `CodeImage::programs`. The first ones are the roles' own.
    ProgramId(u16);
    /// A state of one role's automaton: a row of `Automaton::states`.
    StateId(u32);
    /// A position in a program's code.
    Pc(u32);
    /// A register of a coroutine.
    Reg(u8);
    /// A session of a machine, in the order of opening, never used twice.
    SessionId(u32);
    /// A coroutine of a session, in the order of creation; coroutine `r` runs role `r`.
    CoroutineId(u16);
}

/// An effect of a session.
///
/// Numbers count from 0 within the session, so that a step needs nothing global to allocate one, and a session's
/// trace does not depend on what other sessions do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The session that issued the effect.
    pub session: SessionId,
    /// Its number within that session, from 0, never used twice.
    pub number: u64,
}

impl std::fmt::Display for EffectId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

/// A coroutine that can step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pick {
    /// Its session.
    pub session: SessionId,
    /// Its number in the session.
    pub coroutine: CoroutineId,
}
