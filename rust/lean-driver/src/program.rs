//! Runs the `main` of a file with Lean's interpreter, or only checks a file. The file may be a
//! module of the model, or another file that imports such modules.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use antiphon_build_support::cache::{Check, Key, KeyBuilder};
use antiphon_build_support::console::Console;
use antiphon_build_support::process;

use crate::bundle::bundle;
use crate::elaborate::{COMPLETED, Elaborated, Message, NOISE, elaborate};
use crate::kept::{self, Kept};
use crate::lock::Lock;
use crate::modules::Modules;
use crate::npm::Npm;
use crate::toolchain::Lean;
use crate::{Problem, Project, build, native};

/// The lines that npm's Lean prints on standard output before and after it runs `main`.
const MAIN_STARTS: &str = "[DEBUG:G] Now calling lean_shell_main";
const MAIN_RETURNED: &str = "[DEBUG:G] lean_shell_main returned";

/// How Lean's message about an uncaught exception starts.
const UNCAUGHT: &str = "uncaught exception:";

/// The text of the script `run`.
fn script(xtask: &Path) -> String {
    format!(
        "#!/bin/sh\n\
         # run FILE [ARG...]: runs the `main` of a Lean file; --check FILE: only checks it.\n\
         # FILE is absolute or below lean/. Its imports are built first.\n\
         unset CARGO_MANIFEST_DIR\n\
         case ${{1-}} in --check) ;; *) set -- --run \"$@\" ;; esac\n\
         exec '{}' lean \"$@\"\n",
        xtask.display().to_string().replace('\'', "'\\''")
    )
}

/// Writes two files for tests and tools: `lane`, a line that describes the Lean, and `run`, a
/// script that runs or checks a file. The script starts the present program, which must understand
/// `lean --run FILE ARGUMENT...` and `lean --check FILE`.
///
/// # Errors
///
/// Fails if a file cannot be written.
pub fn publish(project: &Project, lean: &Lean) -> Result<(), Problem> {
    let place = &project.output;
    let out = project.out();
    fs::create_dir_all(&out).map_err(Problem::file(&out))?;
    let lane = format!("{}\n", lean.description());
    replace_if_different(&place.join("lane"), &lane, 0o644)?;
    let xtask = std::env::current_exe().map_err(Problem::file(place))?;
    // If a build has replaced this program since it started, Linux appends a mark to its path.
    let path = xtask
        .to_str()
        .and_then(|name| name.strip_suffix(" (deleted)"));
    let xtask = path.map_or_else(|| xtask.clone(), PathBuf::from);
    replace_if_different(&place.join("run"), &script(&xtask), 0o755)
}

/// Replaces a file atomically, because other processes may be reading it, and only if its content
/// differs.
fn replace_if_different(path: &Path, text: &str, mode: u32) -> Result<(), Problem> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let draft = path.with_extension(std::process::id().to_string());
    fs::write(&draft, text).map_err(Problem::file(&draft))?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).map_err(Problem::file(&draft))?;
    fs::rename(&draft, path).map_err(Problem::file(path))
}

/// Runs a file's `main` with arguments. It succeeds if the file has no errors and `main` returned
/// without an exception. npm's Lean does not pass on the exit code of `main`.
///
/// # Errors
///
/// Fails if the file cannot be read, or if its imports do not exist or do not build.
pub fn run(project: &Project, words: &[OsString]) -> Result<ExitCode, Problem> {
    let Some((file, arguments)) = words.split_first() else {
        return Err(Problem::absent(&project.sources, "no file was given"));
    };
    match Lean::find(project, Check::Sizes, &mut Console::stdout())? {
        Lean::Native { .. } => {
            let Prepared { path, _lock, .. } =
                prepare(project, Path::new(file), &mut Console::stdout())?;
            let mut command = native::program(project, &path)?;
            Ok(process::attached(command.args(arguments))?)
        }
        Lean::Npm(npm) => {
            let console = &mut Console::stdout();
            let kept = kept_output(project, &npm, Path::new(file), arguments)?;
            if let Some((kept, output)) = &kept
                && let Some(known) = kept.known(console)?
            {
                fs::write(output, known).map_err(Problem::file(output))?;
                return Ok(ExitCode::SUCCESS);
            }
            let bundled = write_bundle(project, Path::new(file))?;
            let mut command = npm.lean(bundled.parent().unwrap_or(&bundled));
            command.current_dir(bundled.parent().unwrap_or(&bundled));
            command.arg("--run").arg(&bundled).args(arguments);
            let code = interpret(&mut command)?;
            if let Some((kept, output)) = kept
                && code == ExitCode::SUCCESS
            {
                let text = fs::read(&output).map_err(Problem::file(&output))?;
                kept.keep_output(&text, console)?;
            }
            Ok(code)
        }
    }
}

/// The kept result of a run, and the file of its output, if results are kept. The model's programs
/// read the files that are named by all arguments but the last, and write the last one.
fn kept_output(
    project: &Project,
    npm: &Npm,
    file: &Path,
    arguments: &[OsString],
) -> Result<Option<(Kept, PathBuf)>, Problem> {
    let (Some(shard), Some((output, inputs))) = (kept::shard(), arguments.split_last()) else {
        return Ok(None);
    };
    // Lean has another working directory.
    if !arguments.iter().all(|path| Path::new(path).is_absolute()) {
        return Ok(None);
    }
    let mut key = KeyBuilder::new("kept output 1").input(
        "program",
        digest_of(&bundled(project, file)?, npm.id().as_str()).as_str(),
    );
    for input in inputs {
        key = key.file("input", Path::new(input))?;
    }
    let kept = Kept::new(&project.cache, key.finish(), shard);
    Ok(Some((kept, PathBuf::from(output))))
}

/// The kept result of a check, if results are kept.
fn kept_check(
    project: &Project,
    file: &Path,
    console: &mut Console,
) -> Result<Option<Kept>, Problem> {
    let Some(shard) = kept::shard() else {
        return Ok(None);
    };
    let Lean::Npm(npm) = Lean::find(project, Check::Sizes, console)? else {
        return Ok(None);
    };
    // The bundle has the imports. It leaves out the file's own header.
    let key = KeyBuilder::new("kept check 1")
        .input("bundle", bundled(project, file)?)
        .file("file", &project.path(file))?
        .input("lean", npm.id().as_str());
    Ok(Some(Kept::new(&project.cache, key.finish(), shard)))
}

/// The digest of everything on which the output of a file's `main` depends, except its arguments:
/// the file with all its imports, and Lean with its patches and options. `None` for a native Lean,
/// which is fast enough to be run each time.
///
/// # Errors
///
/// Fails if a file or Lean cannot be read.
pub fn digest(project: &Project, lean: &Lean, file: &Path) -> Result<Option<Key>, Problem> {
    let Lean::Npm(npm) = lean else {
        return Ok(None);
    };
    let key = digest_of(&bundled(project, file)?, npm.id().as_str());
    Ok(Some(key))
}

fn digest_of(bundle: &str, lean: &str) -> Key {
    // The name has the version of the bundler and of the way in which a program is run.
    let key = KeyBuilder::new("program 1").input("bundle", bundle);
    key.input("lean", lean).finish()
}

fn bundled(project: &Project, file: &Path) -> Result<String, Problem> {
    let path = project.path(file);
    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
    let modules = Modules::read(&project.sources)?;
    let order = modules.order(&modules.imports_of(&path.display().to_string(), &text)?)?;
    Ok(bundle(&modules, &order, &text))
}

/// Bundles a file with its imports into one file, which is named by its hash, and returns the path.
fn write_bundle(project: &Project, file: &Path) -> Result<PathBuf, Problem> {
    let bundled = bundled(project, file)?;
    let place = project.output.join("programs");
    fs::create_dir_all(&place).map_err(Problem::file(&place))?;
    let name = blake3::hash(bundled.as_bytes()).to_hex();
    let path = place.join(format!("Program_{}.lean", &name[..16]));
    if !path.exists() {
        // Written under another name first, so that no process reads an incomplete file.
        let fresh = place.join(format!("fresh-{}-{}", &name[..16], std::process::id()));
        fs::write(&fresh, &bundled).map_err(Problem::file(&fresh))?;
        fs::rename(&fresh, &path).map_err(Problem::file(&path))?;
    }
    Ok(path)
}

/// Elaborates a file without running it, with warnings as errors, and prints its messages.
///
/// # Errors
///
/// Fails if the file cannot be read, or if its imports do not exist or do not build.
pub fn check(project: &Project, file: &Path, console: &mut Console) -> Result<ExitCode, Problem> {
    let kept = kept_check(project, file, console)?;
    if let Some(kept) = &kept
        && let Some(messages) = kept.known(console)?
    {
        let messages = String::from_utf8_lossy(&messages);
        messages.lines().for_each(|line| console.line(line));
        return Ok(ExitCode::SUCCESS);
    }
    let Prepared { lean, path, _lock } = prepare(project, file, console)?;
    let npm = match lean {
        Lean::Native { .. } => {
            return Ok(process::attached(&mut native::checking(project, &path))?);
        }
        Lean::Npm(npm) => npm,
    };
    let mut command = npm.checking(&project.out(), &project.sources);
    let shown = file.display().to_string();
    let elaborated = elaborate(command.arg(&path), &shown)?;
    let messages = elaborated.messages.iter().map(Message::to_string);
    let messages: Vec<String> = messages.collect();
    messages.iter().for_each(|message| console.line(message));
    if let Some(failure) = elaborated.failure {
        console.line(&format!("FAILED {shown}: {failure}"));
        return Ok(ExitCode::FAILURE);
    }
    if let Some(kept) = kept {
        kept.keep_messages(&messages.join("\n"), console)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The output of the elaboration of a file.
#[derive(Debug)]
pub struct Examined {
    /// The lines of its messages.
    pub lines: Vec<String>,
    /// Why the file was not accepted.
    pub failure: Option<String>,
}

/// As [`check()`], but returns the messages instead of printing them.
///
/// # Errors
///
/// As [`check()`].
pub fn examine(project: &Project, file: &Path, console: &mut Console) -> Result<Examined, Problem> {
    let Prepared { lean, path, _lock } = prepare(project, file, console)?;
    match lean {
        Lean::Native { .. } => {
            let mut command = native::checking(project, &path);
            let done = command.stdin(Stdio::null()).output();
            let done = done.map_err(process::start_of(&command))?;
            let output = String::from_utf8_lossy(&done.stdout);
            let failure = (!done.status.success()).then(|| done.status.to_string());
            Ok(Examined {
                lines: output.lines().map(str::to_owned).collect(),
                failure,
            })
        }
        Lean::Npm(npm) => {
            let mut command = npm.checking(&project.out(), &project.sources);
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

/// A Lean and a file whose imports are built. They stay unchanged while the lock is held.
struct Prepared {
    lean: Lean,
    path: PathBuf,
    _lock: Option<Lock>,
}

fn prepare(project: &Project, file: &Path, console: &mut Console) -> Result<Prepared, Problem> {
    let path = project.path(file);
    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
    let modules = Modules::read(&project.sources)?;
    let order = modules.order(&modules.imports_of(&path.display().to_string(), &text)?)?;
    let lean = Lean::find(project, Check::Sizes, console)?;
    console.begin_quietly("lean", "the imports of a file");
    let (built, _lock) = match &lean {
        Lean::Native { .. } => (native::build(project, &order, false, console)?, None),
        Lean::Npm(npm) => {
            let (built, lock) = build::build(project, npm, &modules, &order, false, console)?;
            (built, Some(lock))
        }
    };
    console.finish();
    if !built.is_complete() {
        return Err(Problem::Imports {
            file: path,
            built: built.summary(),
        });
    }
    Ok(Prepared { lean, path, _lock })
}

/// Runs npm's Lean and forwards the output of the program itself.
fn interpret(command: &mut Command) -> Result<ExitCode, Problem> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(process::start_of(command))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (returned, raised) = std::thread::scope(|scope| {
        let errors =
            scope.spawn(|| stderr.is_none_or(|stream| forward_errors(stream, io::stderr())));
        let returned = stdout.is_some_and(|stream| forward_output(stream, io::stdout()));
        // A panic of the reader counts as a failure of the program.
        (returned, errors.join().unwrap_or(true))
    });
    child.wait().map_err(process::start_of(command))?;
    Ok(if returned && !raised {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Forwards the output between the two marks of `main`. Returns whether both marks were found.
fn forward_output(from: impl Read, mut to: impl Write) -> bool {
    let mut started = false;
    for line in lines(from) {
        if !started {
            started = line.starts_with(MAIN_STARTS.as_bytes());
        } else if let Some(at) = find(&line, MAIN_RETURNED.as_bytes()) {
            // The program's last line, if it has no line end, precedes the mark on the same line.
            let _ = to.write_all(&line[..at]);
            return true;
        } else {
            let _ = to.write_all(&line);
        }
    }
    false
}

/// Forwards the lines after the elaboration of the file, or, if the file has errors, all lines but
/// Lean's debug lines. Returns whether the file has errors or an exception was not caught.
fn forward_errors(from: impl Read, mut to: impl Write) -> bool {
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

/// Lines with their line ends, as bytes.
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
    #[test]
    fn a_digest_changes_with_each_line_and_with_lean() {
        let text = "module\ndef a := 1\ndef b := 2\n";
        let digest = digest_of(text, "lean 1");
        assert_eq!(digest, digest_of(text, "lean 1"));
        assert_ne!(digest, digest_of(text, "lean 2"));
        for (at, line) in text.lines().enumerate() {
            let mut lines: Vec<&str> = text.lines().collect();
            let changed = format!("{line} ");
            lines[at] = &changed;
            assert_ne!(digest, digest_of(&lines.join("\n"), "lean 1"), "{line}");
        }
    }

    use super::*;

    #[test]
    fn only_the_output_of_main_is_forwarded() {
        let output = "[DEBUG:F] first 200 chars: def main\n  out\n\
                      [DEBUG:G] Now calling lean_shell_main...\nout\nlast\
                      [DEBUG:G] lean_shell_main returned, processing result...\n";
        let mut forwarded = Vec::new();
        assert!(forward_output(output.as_bytes(), &mut forwarded));
        assert_eq!(forwarded, b"out\nlast");
        let (truncated, _) = output.split_once("last").expect("it contains the word");
        assert!(!forward_output(truncated.as_bytes(), &mut Vec::new()));
    }

    #[test]
    fn an_exception_or_an_error_is_a_failure() {
        let forward = |text: &str| {
            let mut forwarded = Vec::new();
            let failed = forward_errors(text.as_bytes(), &mut forwarded);
            (failed, String::from_utf8(forwarded).expect("text"))
        };
        let start = "[DEBUG:I] x\n  - y.olean\n[DEBUG:K] runFrontend completed, env? = true\n";
        let output = format!("{start}err\n");
        assert_eq!(forward(&output), (false, "err\n".to_owned()));
        let raised = format!("{start}uncaught exception: why\n");
        let message = "uncaught exception: why\n".to_owned();
        assert_eq!(forward(&raised), (true, message));
        let absent = "[DEBUG:I] x\nno such file\n  file: y\n";
        assert_eq!(forward(absent), (true, "no such file\n".to_owned()));
        assert!(forward(&start.replace("true", "false")).0);
    }

    #[test]
    fn the_script_quotes_the_path() {
        let text = script(Path::new("/a b/it's/xtask"));
        assert!(
            text.ends_with("exec '/a b/it'\\''s/xtask' lean \"$@\"\n"),
            "{text}"
        );
    }
}
