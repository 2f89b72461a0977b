//! `antiphon view`: serves or writes a page that replays a recording.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use serde_json::json;

use crate::exit::Exit;
use crate::filter;
use crate::interrupt::on_signal;
use crate::output::{DIM, Output};
use crate::problem::{InputError, Problem, SystemError, UsageError};
use crate::replace;
use crate::same_file::is_same_file;
use crate::view::{self, Package, Server, Site};

/// Replay a recording in the browser
///
/// Serves a page on this machine that replays the recording with the same machine and shows it step
/// by step, forwards and backwards: each role's automaton, effects and payloads. The address
/// contains a secret; Ctrl-C ends the server. With `--out` the page is one file, which needs no
/// server.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  antiphon view demo.rec
  antiphon view demo.rec --no-open --port 8080
  antiphon view demo.rec --out demo.html")]
pub(crate) struct View {
    /// The recording
    file: PathBuf,
    /// Write one self-contained page to this file instead of serving it
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["no_open", "port"])]
    out: Option<PathBuf>,
    /// Print the address without opening a browser
    #[arg(long)]
    no_open: bool,
    /// The port to serve on; any free port if omitted
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// The folder of the package that replays in the browser, which `cargo xtask wasm` builds
    #[arg(long, value_name = "FOLDER")]
    package: Option<PathBuf>,
}

/// The largest recording in a page in one file, in bytes: its base64 is one string, and browsers
/// limit a string to half a gigabyte.
const FILE_LEN_MAX: u64 = 256 << 20;

/// The largest recording that is served, in bytes: the page holds it in memory together with the
/// machine.
const SERVED_LEN_MAX: u64 = 1 << 30;

pub(crate) fn run(args: &View, output: &Output) -> Result<Exit, Problem> {
    let name = args.file.file_name().unwrap_or(args.file.as_os_str());
    let name = filter::line(&name.to_string_lossy());
    let max = match args.out {
        Some(_) => FILE_LEN_MAX,
        None => SERVED_LEN_MAX,
    };
    let file = open(&args.file, max)?;
    let package = Package::find(args.package.as_deref())?;
    match &args.out {
        Some(out) => write(&name, &package, (&args.file, file), out, output),
        None => serve(args, &name, package, output),
    }
}

fn open(path: &Path, max: u64) -> Result<File, Problem> {
    // Examined before it is opened, because opening a pipe blocks until it has a writer.
    let facts = fs::metadata(path).map_err(Problem::file("read", path))?;
    if !facts.is_file() {
        let path = path.to_owned();
        return Err(InputError::NotAFile { path }.into());
    }
    let file = File::open(path).map_err(Problem::file("read", path))?;
    if facts.len() <= max {
        Ok(file)
    } else {
        let path = path.to_owned();
        Err(InputError::TooLong { path, max }.into())
    }
}

/// Writes the page to a file, atomically.
fn write(
    name: &str,
    package: &Package,
    (path, mut file): (&Path, File),
    out: &Path,
    output: &Output,
) -> Result<Exit, Problem> {
    if is_same_file(path, out) {
        let path = out.to_owned();
        return Err(UsageError::OverRecording { path }.into());
    }
    let failed = |error| Problem::file("write", out)(error);
    let mut len = 0;
    replace::write_with(out, |page| {
        let mut page = Counted {
            inner: page,
            len: 0,
        };
        view::write(name, package, &mut file, &mut BufWriter::new(&mut page))?;
        len = page.len;
        Ok(())
    })
    .map_err(failed)?;
    let shown = filter::line(&out.display().to_string());
    if output.json {
        output.document(&json!({ "event": "written", "path": shown, "bytes": len }))?
    } else {
        output.print(&format!("{shown}: {len} bytes, opens in a browser\n"))?
    }
    Ok(Exit::Done)
}

/// Counts the bytes that are written.
struct Counted<'w> {
    inner: &'w mut dyn Write,
    len: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.len += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Serves the page until a signal arrives, which is the normal way to end it.
fn serve(args: &View, name: &str, package: Package, output: &Output) -> Result<Exit, Problem> {
    let (stop, stopped) = crossbeam_channel::bounded(1);
    on_signal(move |_| stop.send(()).is_ok()).map_err(SystemError::Threads)?;
    let server = Server::bind(args.port)?;
    let url = server.url();
    server
        .serve(Site::new(name, package, &args.file))
        .map_err(SystemError::Threads)?;
    if output.json {
        output.document(&json!({ "event": "serving", "url": url }))?
    } else {
        output.print(&format!("{url}\n"))?
    }
    let opened = !args.no_open && open_browser(&url);
    if !output.json && output.terminal_stderr {
        let how = if opened {
            "Ctrl-C ends it."
        } else {
            "Open this address in a browser. Ctrl-C ends it."
        };
        output.note(DIM, "antiphon:", how);
    }
    // The sender is in the thread that waits for signals.
    let _ = stopped.recv();
    Ok(Exit::Done)
}

/// Opens the page in the desktop's browser, if there is one. Returns whether it was started.
fn open_browser(url: &str) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let program = match () {
        () if cfg!(target_os = "macos") => "open",
        () if is_set("DISPLAY") || is_set("WAYLAND_DISPLAY") => "xdg-open",
        () => return false,
    };
    let mut command = Command::new(program);
    command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().is_ok()
}
