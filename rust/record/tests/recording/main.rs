//! Recordings: written, read, broken, replayed, compared.

mod replay;
mod runs;
