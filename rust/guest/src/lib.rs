//! Antiphon guest.
