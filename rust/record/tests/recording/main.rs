//! Recordings: written, read, broken, replayed, compared.

mod damage;
mod divergence;
mod replay;
mod runs;
