//! Antiphon language.
