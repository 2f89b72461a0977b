//! The package for browsers and Node: the module, its JavaScript, its types, and their tests.
//!
//! The compiler is the toolchain's own if rustup has or can install the target; otherwise it is
//! Debian's, which builds the standard library first. `target/wasm` has `cargo/` (the builds),
//! `parity/` (a module that also runs corpora) and `antiphon`, the program that tests start; the
//! package itself is `rust/wasm/pkg`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use antiphon_build_support::cache::{Check, Entry};
use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};
use antiphon_lean_driver::Node;
use serde_json::json;

use crate::inputs;
use crate::lanes::{self, LANE_DEADLINE};
use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::setup;
use crate::tree::Tree;

const PACKAGE: &str = "antiphon-wasm";

/// The program that generates the JavaScript, and the kind of its cache entry.
const BINDGEN: &str = "bindgen";
const BINDGEN_KIND: &str = "wasm-bindgen";
const TRIPLE: &str = "wasm32-unknown-unknown";
const PROFILE: &str = "wasm";

/// Debian's compiler that can make the target, with the source of its standard library and a
/// linker.
const DEBIAN: [&str; 4] = ["rustc-web", "rust-web-src", "rust-web-llvm", "lld-22"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";

/// The oldest Node whose test runner has a choice of reporters.
const NODE_MAJOR_MIN: u32 = 20;

/// The files of the package that are copied from the source tree.
const FILES: [(&str, &str); 5] = [
    ("rust/wasm/package/node.mjs", "node.mjs"),
    ("rust/wasm/package/node.d.mts", "node.d.mts"),
    ("rust/wasm/README.md", "README.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
];

/// The compiler for the target.
enum Compiler {
    /// The toolchain that runs this program; it has the target.
    Own,
    /// Debian's compiler, which builds the standard library first.
    Debian { library: PathBuf },
}

impl Compiler {
    fn description(&self) -> &'static str {
        match self {
            Compiler::Own => "the toolchain's own target",
            Compiler::Debian { .. } => {
                "Debian's compiler with a standard library built from source"
            }
        }
    }

    /// The compiler that is installed.
    fn find() -> Option<Compiler> {
        let libraries = |rustc: &str| {
            let print = ["--print", "target-libdir", "--target", TRIPLE];
            let place = process::output(Command::new(rustc).args(print)).ok()?;
            let place = PathBuf::from(place.trim());
            let is_core = |name: &str| name.starts_with("libcore-");
            let mut files = fs::read_dir(place).ok()?.flatten();
            Some(files.any(|file| is_core(&file.file_name().to_string_lossy())))
        };
        if libraries("rustc") == Some(true) {
            return Some(Compiler::Own);
        }
        let sysroot =
            process::output(Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"])).ok()?;
        let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        let has_linker = process::works("rust-lld", &["-flavor", "wasm", "--version"]);
        (library.join("std/src/lib.rs").exists() && has_linker)
            .then_some(Compiler::Debian { library })
    }

    fn install() -> Result<Compiler, Problem> {
        let added = process::output(Command::new("rustup").args(["target", "add", TRIPLE]));
        if let Some(compiler) = Compiler::find() {
            return Ok(compiler);
        }
        setup::install(&DEBIAN)?;
        Compiler::find().ok_or_else(|| match added {
            Err(problem) => problem.into(),
            Ok(_) => Problem::absent(
                Path::new(DEBIAN_RUSTC),
                "neither rustup nor Debian's packages provide a compiler for WASM",
            ),
        })
    }
}

/// Installs a compiler for the target if there is none. Returns its description, and whether it was
/// installed before.
pub(crate) fn set_up() -> Result<(&'static str, bool), Problem> {
    match Compiler::find() {
        Some(compiler) => Ok((compiler.description(), true)),
        None => Ok((Compiler::install()?.description(), false)),
    }
}

/// Builds the package and lists its files.
pub(crate) fn package(tree: &Tree) -> Result<ExitCode, Problem> {
    let mut console = Console::stdout();
    console.begin("wasm", "building the package");
    let place = build(tree, &mut console)?;
    console.finish();
    for entry in sorted(&place)? {
        let len = fs::metadata(&entry).map_err(Problem::file(&entry))?.len();
        println!("{len:>9}  {}", shown(tree, &entry));
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds everything that the tests of the package need: the package, a module that runs corpora,
/// and the command-line program.
pub(crate) fn lane(tree: &Tree, console: &mut Console) -> Report {
    console.begin("wasm", "building the package for browsers and Node");
    let built = build(tree, console).and_then(|_| {
        parity(tree, console)?;
        let mut build = lanes::cargo_build_program(tree, "antiphon");
        finish(tree, "wasm-program", &mut build, console)?;
        // A copy, because other lanes may build the program again while the tests use it.
        let (built, copy) = (tree.target.join("debug/antiphon"), program(tree));
        fs::copy(&built, &copy).map_err(Problem::file(&built))?;
        Ok(())
    });
    console.finish();
    Report::of_check("wasm", console.elapsed(), built)
}

/// Runs the package's tests in Node and in Chromium, and the tests of the page of `antiphon view`,
/// which uses it. Returns a report for each. The package must be built.
pub(crate) fn browsers(tree: &Tree, console: &mut Console) -> Vec<Report> {
    let node = match Nodejs::find(tree, console) {
        Ok(node) => node,
        Err(problem) => return vec![Report::of_check("node", Duration::ZERO, Err(problem))],
    };
    let mut tests = |name, file: &str, about: &str| {
        let mut command = Command::new(&node.program);
        command.arg("--test-reporter=tap").current_dir(&tree.root);
        command.arg(tree.root.join("rust").join(file));
        command.env("ANTIPHON_WASM", package_place(tree));
        command.env("ANTIPHON_WASM_PARITY", parity_place(tree));
        command.env("ANTIPHON", program(tree));
        tap(tree, name, about, console, &mut command)
    };
    vec![
        tests("node", "wasm/tests/node.mjs", "the package in Node"),
        tests(
            "chromium",
            "wasm/tests/chromium.mjs",
            "the package in Chromium",
        ),
        tests(
            "view",
            "cli/tests/view/view.mjs",
            "the page of a replay in Chromium",
        ),
    ]
}

/// The directory of the package.
fn package_place(tree: &Tree) -> PathBuf {
    tree.root.join("rust/wasm/pkg")
}

/// The command-line program that the tests start.
fn program(tree: &Tree) -> PathBuf {
    tree.target.join("wasm/antiphon")
}

/// The directory of the module that runs corpora, with the corpus.
fn parity_place(tree: &Tree) -> PathBuf {
    tree.target.join("wasm/parity")
}

/// Builds the package in `rust/wasm/pkg`, which is emptied first.
pub(crate) fn build(tree: &Tree, console: &mut Console) -> Result<PathBuf, Problem> {
    let module = module(tree, &[], console)?;
    let place = package_place(tree);
    bind(tree, &module, &place, console)?;
    for (from, to) in FILES {
        let (from, to) = (tree.root.join(from), place.join(to));
        fs::copy(&from, &to).map_err(Problem::file(&from))?;
    }
    let manifest = place.join("package.json");
    fs::write(&manifest, manifest_text()).map_err(Problem::file(&manifest))?;
    Ok(place)
}

fn manifest_text() -> String {
    let manifest = json!({
        "name": PACKAGE,
        "version": env!("CARGO_PKG_VERSION"),
        "description": "The protocol machine, replay and the protocol language of Antiphon",
        "license": "MIT OR Apache-2.0",
        "type": "module",
        "sideEffects": false,
        "engines": { "node": format!(">={NODE_MAJOR_MIN}") },
        "main": "./node.mjs",
        "types": "./antiphon.d.ts",
        "exports": {
            ".": {
                "node": { "types": "./node.d.mts", "default": "./node.mjs" },
                "default": { "types": "./antiphon.d.ts", "default": "./antiphon.js" },
            },
            "./antiphon_bg.wasm": "./antiphon_bg.wasm",
            "./package.json": "./package.json",
        },
        "files": ["*.js", "*.mjs", "*.ts", "*.mts", "*.wasm", "README.md", "LICENSE-*"],
    });
    format!("{manifest:#}\n")
}

/// Builds a module that also runs corpora, and writes the corpus with the native kernel's results.
fn parity(tree: &Tree, console: &mut Console) -> Result<(), Problem> {
    let place = parity_place(tree);
    let module = module(tree, &["--features", "parity"], console)?;
    bind(tree, &module, &place, console)?;
    let mut command = tree.cargo("build");
    command.args(["--workspace", "--features", "antiphon-wasm/parity"]);
    command.args(["--example", "corpus"]);
    finish(tree, "wasm-corpus-build", &mut command, console)?;
    let mut corpus = Command::new(tree.target.join("debug/examples/corpus"));
    corpus.current_dir(&tree.root).arg(&place);
    finish(tree, "wasm-corpus", &mut corpus, console)
}

fn module(tree: &Tree, features: &[&str], console: &mut Console) -> Result<PathBuf, Problem> {
    let compiler = Compiler::find().map_or_else(Compiler::install, Ok)?;
    let place = tree.target.join("wasm/cargo");
    let mut command = tree.cargo("build");
    command.args(["--package", PACKAGE, "--lib", "--profile", PROFILE]);
    command.args(["--target", TRIPLE]).args(features);
    command.arg("--target-dir").arg(&place);
    let mut hidden = hidden(tree)?;
    if let Compiler::Debian { library } = &compiler {
        command.arg("-Zbuild-std=std,panic_abort");
        command
            .env("RUSTC", DEBIAN_RUSTC)
            .env("RUSTC_BOOTSTRAP", "1");
        hidden.push((library.clone(), "std"));
    }
    // The module's bytes must not depend on the directories of this machine, nor contain them.
    command.env("CARGO_ENCODED_RUSTFLAGS", remap(&hidden).join("\u{1f}"));
    command.env_remove("RUSTFLAGS");
    finish(tree, "wasm-build", &mut command, console)?;
    let module = place.join(TRIPLE).join(PROFILE).join("antiphon_wasm.wasm");
    check_hidden(&module, &hidden)?;
    Ok(module)
}

/// Fails if a built file contains one of the directories of this machine.
pub(crate) fn check_hidden(
    built: &Path,
    hidden: &[(PathBuf, &'static str)],
) -> Result<(), Problem> {
    let bytes = fs::read(built).map_err(Problem::file(built))?;
    for (place, _) in hidden {
        let place = place.as_os_str().as_encoded_bytes();
        if bytes.windows(place.len()).any(|window| window == place) {
            return Err(Problem::LeaksPath {
                module: built.to_owned(),
                place: String::from_utf8_lossy(place).into_owned(),
            });
        }
    }
    Ok(())
}

/// The directories of this machine that the compiler would write into the module, each with its
/// replacement. If several match, the last one wins.
pub(crate) fn hidden(tree: &Tree) -> Result<Vec<(PathBuf, &'static str)>, Problem> {
    let mut hidden = vec![(tree.root.clone(), "antiphon")];
    if let Some(home) = inputs::cargo_home() {
        let registries = home.join("registry/src");
        hidden.push((home, "cargo"));
        if registries.is_dir() {
            let registries = sorted(&registries)?;
            hidden.extend(registries.into_iter().map(|place| (place, "crates")));
        }
    }
    Ok(hidden)
}

/// The compiler's flags that replace these directories in its output.
pub(crate) fn remap(hidden: &[(PathBuf, &'static str)]) -> Vec<String> {
    let flag =
        |(place, name): &(PathBuf, &str)| format!("--remap-path-prefix={}={name}", place.display());
    hidden.iter().map(flag).collect()
}

/// Generates the JavaScript and the types for a module, with a program of this crate.
fn bind(tree: &Tree, module: &Path, place: &Path, console: &mut Console) -> Result<(), Problem> {
    if place.exists() {
        fs::remove_dir_all(place).map_err(Problem::file(place))?;
    }
    fs::create_dir_all(place).map_err(Problem::file(place))?;
    let bindgen = bindgen(tree, console)?;
    let mut command = Command::new(bindgen.path().join(BINDGEN));
    command.current_dir(&tree.root).arg(module).arg(place);
    finish(tree, "wasm-bindgen", &mut command, console)
}

/// Returns the generator from the cache, and builds it first if it is not there.
fn bindgen(tree: &Tree, console: &mut Console) -> Result<Entry, Problem> {
    let place = tree.root.join("rust/xtask");
    let key = inputs::of_cargo(tree, "wasm-bindgen 1")?
        .file("manifest", &place.join("Cargo.toml"))?
        .file("source", &place.join("src/bindgen.rs"))?;
    let build = |content: &Path, console: &mut Console| {
        let mut command = tree.cargo("build");
        command.args(["--package", "xtask", "--features", "bindgen"]);
        command.args(["--bin", BINDGEN]);
        finish(tree, "wasm-bindgen-build", &mut command, console)?;
        let (built, target) = (
            tree.target.join("debug").join(BINDGEN),
            content.join(BINDGEN),
        );
        fs::copy(&built, &target).map_err(Problem::file(&built))?;
        Ok::<(), Problem>(())
    };
    let key = key.finish();
    let (entry, _) = tree.cache.get_or_put(BINDGEN_KIND, &key, console, build)?;
    Ok(entry)
}

/// Runs a program that must exit with success.
pub(crate) fn finish(
    tree: &Tree,
    name: &'static str,
    command: &mut Command,
    console: &mut Console,
) -> Result<(), Problem> {
    command.env("CARGO_TERM_COLOR", "never");
    command.env("CARGO_TERM_PROGRESS_WHEN", "never");
    let log = tree.target.join("xtask").join(format!("{name}.log"));
    let mut output = String::new();
    let status = process::watched(command, LANE_DEADLINE, &log, console, |console, line| {
        output.push_str(line);
        output.push('\n');
        console.note(line.trim().to_owned());
    })?;
    if status.success() {
        return Ok(());
    }
    Err(support::Problem::Failed {
        command: name.to_owned(),
        status,
        output,
    }
    .into())
}

/// A Node that is new enough for the tests.
struct Nodejs {
    program: PathBuf,
    /// Keeps a Node of the cache from being removed.
    _cached: Option<Node>,
}

impl Nodejs {
    /// The machine's own Node, or the one that set-up has installed for Lean.
    fn find(tree: &Tree, console: &mut Console) -> Result<Self, Problem> {
        let own = PathBuf::from("node");
        if is_new_enough(&own) {
            return Ok(Self {
                program: own,
                _cached: None,
            });
        }
        let node = Node::find(&tree.lean(), Check::Sizes, console)?;
        let node = node.ok_or_else(|| {
            let hint = format!("the tests need Node {NODE_MAJOR_MIN} or later on the path");
            Problem::absent(&own, &hint)
        })?;
        Ok(Self {
            program: node.program().to_owned(),
            _cached: Some(node),
        })
    }
}

fn is_new_enough(node: &Path) -> bool {
    let major = |text: String| {
        let version = text.trim().strip_prefix('v')?;
        version.split('.').next()?.parse::<u32>().ok()
    };
    let version = process::output(Command::new(node).arg("--version")).ok();
    version
        .and_then(major)
        .is_some_and(|major| major >= NODE_MAJOR_MIN)
}

/// Runs tests that report their results as TAP, and counts them.
fn tap(
    tree: &Tree,
    name: &'static str,
    about: &str,
    console: &mut Console,
    command: &mut Command,
) -> Report {
    console.begin(name, about);
    let log = tree.target.join("xtask").join(format!("{name}.log"));
    let mut tally = Tally::default();
    let mut details = Vec::new();
    let mut shown = Vec::new();
    let ended = process::watched(
        command,
        Duration::from_secs(10 * 60),
        &log,
        console,
        |console, line| {
            tally = tally + counted(line);
            if let Some(figure) = line.trim_start().strip_prefix("# figure: ") {
                details.push(figure.to_owned());
            }
            shown.push(line.to_owned());
            if let Some(test) = line.trim_start().strip_prefix("ok ") {
                console.note(test.to_owned());
            }
        },
    );
    console.finish();
    let outcome = match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(support::Problem::Exit { status, log }.into()),
        Err(problem) => Err(problem.into()),
    };
    if outcome.is_err() {
        for line in &shown {
            console.line(&format!("  | {line}"));
        }
    }
    Report::of_tests(name, console.elapsed(), tally, outcome).with_details(details)
}

/// Counts the tests of a summary line of TAP such as `# pass 12`. Tests that were cancelled,
/// skipped or marked `todo` did not run.
fn counted(line: &str) -> Tally {
    let mut tally = Tally::default();
    let words: Vec<&str> = line.split(' ').collect();
    let ["#", what, number] = words[..] else {
        return tally;
    };
    let Ok(number) = number.parse::<u64>() else {
        return tally;
    };
    match what {
        "pass" => tally.passed = number,
        "fail" => tally.failed = number,
        "skipped" | "todo" | "cancelled" => tally.skipped = number,
        _ => {}
    }
    tally
}

fn sorted(place: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(place).map_err(Problem::file(place))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

fn shown(tree: &Tree, path: &Path) -> String {
    let path = path.strip_prefix(&tree.root).unwrap_or(path);
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_lines_of_tap_are_counted() {
        let text = "ok 1 - one\n# pass 3\n# fail 1\n# cancelled 0\n# skipped 2\n\
                    # duration_ms 5\n# pass on 9";
        let tally = text
            .lines()
            .map(counted)
            .fold(Tally::default(), |a, b| a + b);
        let expected = Tally {
            passed: 3,
            failed: 1,
            skipped: 2,
        };
        assert_eq!(tally, expected);
    }

    #[test]
    fn the_manifest_names_files_of_the_package() {
        let manifest: serde_json::Value = serde_json::from_str(&manifest_text()).expect("JSON");
        assert_eq!(manifest["name"], PACKAGE);
        assert_eq!(manifest["exports"]["."]["node"]["default"], "./node.mjs");
        assert!(FILES.iter().any(|(_, name)| *name == "node.mjs"));
    }
}
