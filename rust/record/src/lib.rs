//! Antiphon record.
