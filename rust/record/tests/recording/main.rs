//! Recordings: written, read, broken, replayed, compared.

mod damage;
mod replay;
mod runs;
