//! Tests of recordings: writing, reading, damage, replay, comparison, rows.

mod checkpoint;
mod compare;
mod damage;
mod divergence;
mod format;
mod input;
mod medium;
mod replay;
mod rows;
mod runs;
mod timeline;
mod waves;
mod window;
