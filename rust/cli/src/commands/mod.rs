//! One module per command.

pub(crate) mod agent;
pub(crate) mod certify;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod cp;
pub(crate) mod diff;
pub(crate) mod exec;
pub(crate) mod fmt;
pub(crate) mod man;
pub(crate) mod project;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod view;
