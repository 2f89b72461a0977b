//! Antiphon wire.
