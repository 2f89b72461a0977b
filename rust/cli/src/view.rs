//! The page that replays a recording in a browser, and its parts.
//!
//! The content of a recording may be hostile. It reaches the page as bytes, which a worker replays,
//! and the page inserts it as text only. The page's content security policy allows nothing but the
//! parts written here.

mod package;
mod page;
mod server;

pub(crate) use package::Package;
pub(crate) use page::write;
pub(crate) use server::{Server, Site};
