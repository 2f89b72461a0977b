//! The protocol language: compiles text to checked protocols, local automata and a code image.
//!
//! A protocol lists the messages between several *roles*. *Projection* computes from it, for each
//! role, a *local automaton*: what the role sends and receives, and in which order. A *code image*
//! has the automata and a program for each role; `antiphon_machine` runs it. The compiler is a
//! pipeline in which each value is created only by the step before it:
//!
//! ```text
//! text --parse--> Ast --Modules--> --check--> CheckedProtocol --project--> LocalAutomaton per role
//!                                                              --compile--> CodeImage
//! ```
//!
//! The crate reads no files: a [`Loader`] returns the text of a module by its name. Time and memory
//! are bounded for every input. All errors are reported in one pass, each as a [`diagnostic`] with
//! a stable code. `docs/language.md` describes the language.
//!
//! ```
//! use antiphon_language::safety::Limits;
//! use antiphon_language::source::Source;
//! use antiphon_language::{NoModules, compile_source};
//!
//! let text = "global protocol Greet(role Guest, role Host) {
//!   hello(name: Text) from Guest to Host;
//!   choice at Host {
//!     welcome(name) from Host to Guest;
//!   } or {
//!     sorry() from Host to Guest;
//!   }
//! }";
//! let built = compile_source(Source::new("greet.anti", text), &NoModules, &Limits::default())?;
//! let (protocol, compiled) = &built.protocols[0];
//! assert_eq!(protocol.roles(), ["Guest", "Host"]);
//! assert_eq!(protocol.labels(), ["hello", "welcome", "sorry"]);
//! assert_eq!(compiled.image.programs.len(), 2);
//!
//! let wrong = text.replace("from Guest", "from Gest");
//! let report = compile_source(Source::new("greet.anti", &wrong), &NoModules, &Limits::default());
//! let report = report.expect_err("the role `Gest` is unknown").to_string();
//! assert!(report.contains("error[AP0103]: `Greet` has no role `Gest`"));
//! assert!(report.contains("help: did you mean `Guest`?"));
//! # Ok::<(), antiphon_language::Report>(())
//! ```

pub mod ast;
pub mod automaton;
mod build;
mod check;
pub mod compile;
pub mod diagnostic;
pub mod export;
mod flat;
mod flow;
pub mod global;
mod hir;
mod lexer;
mod module;
mod parse;
mod print;
pub mod project;
mod report;
mod resolve;
pub mod resources;
pub mod safety;
mod sorts;
pub mod source;

pub use build::{INLINE_DEPTH_MAX, NODES_MAX, NODES_OF_A_RUN_MAX};
pub use check::{Checked, check};
pub use module::{LoadError, Loader, MODULES_MAX, Modules, NoModules, SOURCES_LEN_MAX, decode};
pub use parse::{DEPTH_MAX, Parsed, RESERVED_WORDS, parse};
pub use print::format;
pub use report::{Built, Report, compile_source};
