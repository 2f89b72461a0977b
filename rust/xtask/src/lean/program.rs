//! Runs the `main` of a file by Lean's interpreter, or only checks a file; the file may be a module
//! of the model or one made elsewhere that imports some.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::lean::build::{self, bring_up};
use crate::lean::bundle::bundle;
use crate::lean::elaborate::{COMPLETED, Elaborated, Message, NOISE, elaborate};
use crate::lean::lock::Lock;
use crate::lean::modules::Modules;
use crate::lean::toolchain::{self, Lean};
use crate::lean::{native, write_down};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::run as programs;
use crate::tree::Tree;

/// The packaged Lean says these around a run of `main`, on its standard output.
const MAIN_STARTS: &str = "[DEBUG:G] Now calling lean_shell_main";
const MAIN_RETURNED: &str = "[DEBUG:G] lean_shell_main returned";

/// What Lean says of an exception that nothing caught.
const UNCAUGHT: &str = "uncaught exception:";

/// The text of `target/lean/run`.
pub(crate) fn script(us: &Path) -> String {
    format!(
        "#!/bin/sh\n\
         # run FILE [ARG...]: runs the `main` of a Lean file; --check FILE: only checks it.\n\
         # FILE is below lean/ or absolute. What it imports is brought up to date first.\n\
         unset CARGO_MANIFEST_DIR\n\
         case ${{1-}} in --check) ;; *) set -- --run \"$@\" ;; esac\n\
         exec '{}' lean \"$@\"\n",
        us.display().to_string().replace('\'', "'\\''")
    )
}

/// Runs a file's `main` with arguments. Success is that the file is without errors and `main` came
/// back without an exception; the packaged Lean does not hand on what `main` returns.
pub(crate) fn run(tree: &Tree, words: &[OsString]) -> Result<ExitCode, Problem> {
    let Some((file, arguments)) = words.split_first() else {
        let sources = toolchain::sources(tree);
        return Err(Problem::absent(&sources, "no file was named"));
    };
    let lean = Lean::find(tree)?;
    write_down(tree, &lean)?;
    match lean {
        Lean::Native { .. } => {
            let Prepared { path, _lock, .. } = prepare(tree, Path::new(file))?;
            let mut command = native::program(tree, &path)?;
            programs::attached(command.args(arguments))
        }
        Lean::Npm(npm) => {
            let whole = put_together(tree, Path::new(file))?;
            let mut command = npm.lean(whole.parent().unwrap_or(&whole));
            command.current_dir(whole.parent().unwrap_or(&whole));
            command.arg("--run").arg(&whole).args(arguments);
            interpret(&mut command)
        }
    }
}

/// Writes a file and all of ours that it imports as one file, named by its content, and says where.
fn put_together(tree: &Tree, file: &Path) -> Result<PathBuf, Problem> {
    let sources = toolchain::sources(tree);
    let path = sources.join(file);
    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
    let modules = Modules::read(&sources)?;
    let order = modules.order(&modules.imports_of(&path.display().to_string(), &text)?)?;
    let whole = bundle(&modules, &order, &text);
    let place = build::out(tree).with_file_name("programs");
    fs::create_dir_all(&place).map_err(Problem::file(&place))?;
    let name = blake3::hash(whole.as_bytes()).to_hex();
    let path = place.join(format!("Program_{}.lean", &name[..16]));
    if !path.exists() {
        // Written beside and renamed: another run may be reading it.
        let fresh = place.join(format!("fresh-{}-{}", &name[..16], std::process::id()));
        fs::write(&fresh, &whole).map_err(Problem::file(&fresh))?;
        fs::rename(&fresh, &path).map_err(Problem::file(&path))?;
    }
    Ok(path)
}

/// Only elaborates a file, with warnings as errors.
pub(crate) fn check(tree: &Tree, file: &Path) -> Result<ExitCode, Problem> {
    let Prepared { lean, path, _lock } = prepare(tree, file)?;
    let npm = match lean {
        Lean::Native { .. } => return programs::attached(&mut native::checking(tree, &path)),
        Lean::Npm(npm) => npm,
    };
    let mut command = build::checking(&npm, &build::out(tree), &toolchain::sources(tree));
    let shown = file.display().to_string();
    let elaborated = elaborate(command.arg(&path), &shown)?;
    for message in &elaborated.messages {
        println!("{message}");
    }
    if let Some(failure) = elaborated.failure {
        println!("FAILED {shown}: {failure}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// What a file says while it is elaborated.
pub(crate) struct Examined {
    pub(crate) lines: Vec<String>,
    /// Why it is not accepted.
    pub(crate) failure: Option<String>,
}

/// As [`check`], for whoever reads what is said.
pub(crate) fn examine(tree: &Tree, file: &Path) -> Result<Examined, Problem> {
    let Prepared { lean, path, _lock } = prepare(tree, file)?;
    match lean {
        Lean::Native { .. } => {
            let mut command = native::checking(tree, &path);
            let done = command.stdin(Stdio::null()).output();
            let done = done.map_err(programs::start_of(&command))?;
            let said = String::from_utf8_lossy(&done.stdout);
            let failure = (!done.status.success()).then(|| done.status.to_string());
            Ok(Examined {
                lines: said.lines().map(str::to_owned).collect(),
                failure,
            })
        }
        Lean::Npm(npm) => {
            let mut command = build::checking(&npm, &build::out(tree), &toolchain::sources(tree));
            let shown = file.display().to_string();
            let Elaborated { messages, failure } = elaborate(command.arg(&path), &shown)?;
            let lines = messages.iter().flat_map(Message::lines);
            Ok(Examined {
                lines: lines.map(str::to_owned).collect(),
                failure,
            })
        }
    }
}

/// A Lean, and a file all of whose imports are built and stay so while the lock is held.
struct Prepared {
    lean: Lean,
    path: PathBuf,
    _lock: Option<Lock>,
}

fn prepare(tree: &Tree, file: &Path) -> Result<Prepared, Problem> {
    let sources = toolchain::sources(tree);
    let path = sources.join(file);
    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
    let modules = Modules::read(&sources)?;
    let order = modules.order(&modules.imports_of(&path.display().to_string(), &text)?)?;
    let lean = Lean::find(tree)?;
    write_down(tree, &lean)?;
    let mut progress = Progress::quiet("lean", "what a file imports");
    let (built, _lock) = match &lean {
        Lean::Native { .. } => (native::build(tree, &order, false, &mut progress)?, None),
        Lean::Npm(npm) => {
            let (built, lock) = bring_up(tree, npm, &modules, &order, &mut progress)?;
            (built, Some(lock))
        }
    };
    progress.finish();
    if !built.is_whole() {
        return Err(Problem::Imports {
            file: path,
            built: built.shown(),
        });
    }
    Ok(Prepared { lean, path, _lock })
}

/// Runs the packaged Lean and passes on what the program itself says.
fn interpret(command: &mut Command) -> Result<ExitCode, Problem> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(programs::start_of(command))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (returned, raised) = std::thread::scope(|scope| {
        let errors = scope.spawn(|| stderr.is_none_or(|stream| pass_errors(stream, io::stderr())));
        let returned = stdout.is_some_and(|stream| pass_output(stream, io::stdout()));
        // A reader that fell over has seen no good end.
        (returned, errors.join().unwrap_or(true))
    });
    child.wait().map_err(programs::start_of(command))?;
    Ok(if returned && !raised {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Passes on what stands between the two signs of `main`; true when both were there.
fn pass_output(from: impl Read, mut to: impl Write) -> bool {
    let mut started = false;
    for line in lines(from) {
        if !started {
            started = line.starts_with(MAIN_STARTS.as_bytes());
        } else if let Some(at) = find(&line, MAIN_RETURNED.as_bytes()) {
            // A last line of the program's own that does not end stands before it.
            let _ = to.write_all(&line[..at]);
            return true;
        } else {
            let _ = to.write_all(&line);
        }
    }
    false
}

/// Passes on what is said after the file was elaborated without errors, or all but Lean's own notes
/// when it was not. True when that is so, or when an exception was not caught.
fn pass_errors(from: impl Read, mut to: impl Write) -> bool {
    let mut before = Vec::new();
    let mut elaborated = false;
    let mut raised = false;
    for line in lines(from) {
        if elaborated {
            raised |= line.starts_with(UNCAUGHT.as_bytes());
            let _ = to.write_all(&line);
        } else if line.starts_with(COMPLETED.as_bytes()) {
            elaborated = find(&line, b"env? = true").is_some();
        } else if !line.starts_with(NOISE.as_bytes()) && !line.starts_with(b"  ") {
            before.extend(line);
        }
    }
    if !elaborated {
        let _ = to.write_all(&before);
    }
    raised || !elaborated
}

/// Lines with their ends, in whatever bytes the program writes.
fn lines(from: impl Read) -> impl Iterator<Item = Vec<u8>> {
    let mut reader = BufReader::new(from);
    std::iter::from_fn(move || {
        let mut line = Vec::new();
        let count = reader.read_until(b'\n', &mut line).ok()?;
        (count > 0).then_some(line)
    })
}

fn find(line: &[u8], wanted: &[u8]) -> Option<usize> {
    line.windows(wanted.len()).position(|part| part == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_main_says_is_passed_on() {
        let output = "[DEBUG:F] first 200 chars: def main\n  out\n\
                      [DEBUG:G] Now calling lean_shell_main...\nout\nlast\
                      [DEBUG:G] lean_shell_main returned, processing result...\n";
        let mut passed = Vec::new();
        assert!(pass_output(output.as_bytes(), &mut passed));
        assert_eq!(passed, b"out\nlast");
        let (cut, _) = output.split_once("last").expect("it is there");
        assert!(!pass_output(cut.as_bytes(), &mut Vec::new()));
    }

    #[test]
    fn an_exception_or_an_error_is_no_success() {
        let say = |text: &str| {
            let mut passed = Vec::new();
            let bad = pass_errors(text.as_bytes(), &mut passed);
            (bad, String::from_utf8(passed).expect("text"))
        };
        let start = "[DEBUG:I] x\n  - y.olean\n[DEBUG:K] runFrontend completed, env? = true\n";
        assert_eq!(say(&format!("{start}err\n")), (false, "err\n".to_owned()));
        let raised = format!("{start}uncaught exception: why\n");
        assert_eq!(say(&raised), (true, "uncaught exception: why\n".to_owned()));
        let absent = "[DEBUG:I] x\nno such file\n  file: y\n";
        assert_eq!(say(absent), (true, "no such file\n".to_owned()));
        assert!(say(&start.replace("true", "false")).0);
    }

    #[test]
    fn the_script_takes_any_path() {
        let text = script(Path::new("/a b/it's/xtask"));
        assert!(
            text.ends_with("exec '/a b/it'\\''s/xtask' lean \"$@\"\n"),
            "{text}"
        );
    }
}
