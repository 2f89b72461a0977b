//! Antiphon machine.
