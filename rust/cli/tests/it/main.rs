//! Integration tests of the program `antiphon`, in one test program so that it is linked once.
//!
//! Two files beside this folder are programs of their own: `vm.rs` needs a virtual machine, and
//! `certify.rs` needs Lean.

#[path = "../common/mod.rs"]
mod common;

mod bound_guest;
mod cp;
mod descriptors;
mod diff;
mod docs;
mod exec;
mod help;
mod lost;
mod options;
mod own_protocols;
mod pipes;
mod protocols;
mod recorded;
mod recordings;
mod safety;
mod same_file;
mod scripts;
mod stopping;
mod terminal;
mod threads;
mod view;
mod written;
