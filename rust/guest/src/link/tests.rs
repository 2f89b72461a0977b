//! Tests of the host's side that need its private parts.

mod demux;
mod hostile;
