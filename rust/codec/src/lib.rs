//! Antiphon codec.
