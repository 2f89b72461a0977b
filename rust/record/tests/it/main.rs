//! Recordings: written, read, broken, replayed, compared.

mod compare;
mod damage;
mod divergence;
mod format;
mod input;
mod medium;
mod replay;
mod runs;
mod telling;
mod waves;
mod window;
