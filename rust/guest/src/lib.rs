//! The guest as an effect handler, and the agent that runs inside it.

pub mod agent;
mod port;
mod wake;
