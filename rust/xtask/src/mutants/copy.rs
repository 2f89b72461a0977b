//! The copy of the crates: a workspace in which the edits are applied.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::mutants::edits::Edits;
use crate::parity;
use crate::problem::Problem;
use crate::tree::Tree;

/// The crate that decides which mutant is active.
const SUPPORT: &str = "antiphon-mutants";

/// The heading below which a manifest lists the libraries of a crate.
const DEPENDENCIES: &str = "\n[dependencies]\n";

/// Files outside the crates that their sources include. If one is missing here, the copy does not
/// compile.
const INCLUDED: [&str; 2] = ["lean/theorems.json", "lean/Runtime/TheoremPack/API.lean"];

/// The lock file. Cargo removes the crates from it that the copy does not use, so it is written
/// again in each run.
const LOCK: &str = "Cargo.lock";

/// The profile of the copy. The program runs for seconds, and compiling takes longer, so only the
/// crates that every action uses are optimised, and those only a little.
const PROFILE: &str = "\
[profile.dev]
debug = \"line-tables-only\"
[profile.dev.package.\"*\"]
opt-level = 1
[profile.dev.package.antiphon-codec]
opt-level = 1
[profile.dev.package.antiphon-machine]
opt-level = 1
";

/// The copy.
pub(crate) struct Copy {
    /// The directory of the workspace.
    pub(crate) root: PathBuf,
    /// The names of the copied crates.
    pub(crate) packages: BTreeSet<String>,
}

impl Copy {
    /// Writes the crates that the bridge links, with the edits. A file that already has its content
    /// is not touched, so cargo compiles only what has changed. A file that does not belong to the
    /// copy is deleted.
    pub(crate) fn write(tree: &Tree, edits: &Edits) -> Result<Self, Problem> {
        let packages = packages(tree);
        let mut files = BTreeMap::new();
        for path in INCLUDED.map(PathBuf::from).into_iter().chain([LOCK.into()]) {
            files.insert(path.clone(), read(&tree.root.join(&path))?);
        }
        let mut members = Vec::new();
        for package in tree.packages.iter().filter(|p| packages.contains(&p.name)) {
            let directory = package.manifest.parent().unwrap_or(&tree.root);
            let below = directory.strip_prefix(&tree.root).unwrap_or(directory);
            members.push(below.display().to_string());
            collect(&tree.root, directory, &mut files)?;
        }
        let manifest = tree.root.join("Cargo.toml");
        let text = fs::read_to_string(&manifest).map_err(Problem::file(&manifest))?;
        let manifest = workspace(&text, &members).ok_or_else(|| {
            Problem::absent(&manifest, "it must be the manifest of the workspace")
        })?;
        files.insert("Cargo.toml".into(), manifest.into_bytes());
        edit(edits, &members, &mut files)?;
        let root = tree.target.join("mutants/workspace");
        synchronize(&root, &files)?;
        Ok(Self { root, packages })
    }
}

/// The crates of the workspace that the bridge's programs need: the bridge, and what these crates
/// depend on.
fn packages(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![parity::PACKAGE];
    while let Some(name) = open.pop() {
        let member = tree.packages.iter().find(|package| package.name == name);
        if let Some(package) = member
            && found.insert(name.to_owned())
        {
            open.extend(package.uses.iter().map(String::as_str));
        }
    }
    found
}

/// Applies the edits, and adds the support crate to the dependencies of the edited crates.
fn edit(
    edits: &Edits,
    members: &[String],
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<(), Problem> {
    let mut edited = BTreeSet::new();
    for source in edits.sources() {
        let member = members.iter().find(|m| Path::new(source).starts_with(m));
        let found = files.get_mut(Path::new(source));
        let (Some(member), Some(content)) = (member, found) else {
            let problem = edits.not_copied(source, members);
            return problem.map_or(Ok(()), |problem| Err(problem.into()));
        };
        let text = String::from_utf8_lossy(content);
        *content = edits.apply(source, &text)?.into_bytes();
        edited.insert(Path::new(member).join("Cargo.toml"));
    }
    for manifest in edited {
        let content = files.entry(manifest.clone()).or_default();
        let text = String::from_utf8_lossy(content);
        let Some((before, after)) = text.split_once(DEPENDENCIES) else {
            let hint = format!("it must have `[dependencies]`, to which `{SUPPORT}` is added");
            return Err(Problem::absent(&manifest, &hint));
        };
        let line = format!("{SUPPORT}.workspace = true\n");
        *content = [before, DEPENDENCIES, &line, after].concat().into_bytes();
    }
    Ok(())
}

/// The manifest of the copy: that of the checkout with other members and another profile.
fn workspace(text: &str, members: &[String]) -> Option<String> {
    let mut manifest: Table = text.parse().ok()?;
    let workspace = manifest.get_mut("workspace")?.as_table_mut()?;
    let members = members.iter().cloned().map(Value::String).collect();
    workspace.insert("members".to_owned(), Value::Array(members));
    workspace.remove("default-members");
    workspace.remove("exclude");
    manifest.remove("profile");
    Some(format!("{manifest}\n{PROFILE}"))
}

/// Adds the files below a directory, by their paths below the root. Build output and hidden files
/// are left out.
fn collect(
    root: &Path,
    directory: &Path,
    files: &mut BTreeMap<PathBuf, Vec<u8>>,
) -> Result<(), Problem> {
    for entry in fs::read_dir(directory).map_err(Problem::file(directory))? {
        let entry = entry.map_err(Problem::file(directory))?;
        let (path, name) = (entry.path(), entry.file_name());
        let is_left_out = name == "target" || name.to_string_lossy().starts_with('.');
        if is_left_out {
            continue;
        } else if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let below = path.strip_prefix(root).unwrap_or(&path).to_owned();
            files.insert(below, read(&path)?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    fs::read(path).map_err(Problem::file(path))
}

/// Makes a directory hold exactly these files. Writes only those whose content differs.
fn synchronize(root: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Problem> {
    for (path, content) in files {
        let path = root.join(path);
        if fs::read(&path).is_ok_and(|present| present == *content) {
            continue;
        }
        let parent = path.parent().unwrap_or(root);
        // A directory of an earlier copy may be where a file is now, or the reverse.
        let written = fs::create_dir_all(parent).and_then(|()| fs::write(&path, content));
        if written.is_err() {
            clear(root, &path).map_err(Problem::file(&path))?;
            fs::create_dir_all(parent).map_err(Problem::file(parent))?;
            fs::write(&path, content).map_err(Problem::file(&path))?;
        }
    }
    prune(root, Path::new(""), files)
}

/// Removes whatever is at a path, and files where its parent directories must be.
fn clear(root: &Path, path: &Path) -> io::Result<()> {
    for place in path.ancestors().take_while(|place| *place != root) {
        if place.is_file() {
            fs::remove_file(place)?;
        }
    }
    match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => Ok(()),
    }
}

/// Deletes the files below a directory that are not listed, and directories without files.
fn prune(root: &Path, below: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<(), Problem> {
    let directory = root.join(below);
    for entry in fs::read_dir(&directory).map_err(Problem::file(&directory))? {
        let entry = entry.map_err(Problem::file(&directory))?;
        let (path, below) = (entry.path(), below.join(entry.file_name()));
        if !path.is_dir() {
            if !files.contains_key(&below) {
                fs::remove_file(&path).map_err(Problem::file(&path))?;
            }
        } else if files.keys().any(|file| file.starts_with(&below)) {
            prune(root, &below, files)?;
        } else {
            fs::remove_dir_all(&path).map_err(Problem::file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use antiphon_build_support::cache::Cache;

    use super::*;
    use crate::mutants::edits::EditProblem;
    use crate::parity::Kept;
    use crate::tree::Package;

    /// A checkout in a new directory, which is deleted at the end.
    struct Checkout {
        tree: Tree,
    }

    impl Drop for Checkout {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.tree.root);
        }
    }

    impl Checkout {
        /// The bridge, which links `a`, and a crate `b` that it does not link.
        fn new(name: &str) -> Self {
            let name = format!("xtask-mutants-{}-{name}", std::process::id());
            let root = std::env::temp_dir().join(name);
            let package = |name: &str, uses: &[&str]| Package {
                name: name.to_owned(),
                manifest: root.join("rust").join(name).join("Cargo.toml"),
                uses: uses.iter().map(|used| (*used).to_owned()).collect(),
                ..Package::default()
            };
            let packages = vec![
                package(parity::PACKAGE, &["a", "serde"]),
                package("a", &[SUPPORT]),
                package("b", &["a"]),
                package(SUPPORT, &[]),
            ];
            let checkout = Self {
                tree: Tree {
                    target: root.join("target"),
                    cache: Cache::at(root.join("cache"), 0, 0),
                    kept: Kept::Nothing,
                    packages,
                    links: BTreeMap::new(),
                    root,
                },
            };
            checkout.put("Cargo.toml", MANIFEST);
            for path in INCLUDED.into_iter().chain([LOCK]) {
                checkout.put(path, "");
            }
            for package in [parity::PACKAGE, "a", "b", SUPPORT] {
                let manifest = "[package]\n\n[dependencies]\nhalf = \"1\"\n";
                checkout.put(&format!("rust/{package}/Cargo.toml"), manifest);
                checkout.put(
                    &format!("rust/{package}/src/lib.rs"),
                    "fn f() -> u8 { 7 }\n",
                );
            }
            checkout.put("rust/a/.hidden", "");
            checkout.edits("a", "7");
            checkout
        }

        fn put(&self, path: &str, text: &str) {
            let path = self.tree.root.join(path);
            fs::create_dir_all(path.parent().expect("it is below the root")).expect("created");
            fs::write(path, text).expect("it can be written");
        }

        /// One edit of a crate.
        fn edits(&self, package: &str, find: &str) {
            let text = format!(
                "file = \"rust/{package}/src/lib.rs\"\n\
                 [[mutant]]\nnumber = 1\nname = \"SEVEN\"\nwhat = \"one too many\"\n\
                 [[edit]]\nname = \"seven\"\nmutants = [1]\nfind = \"{find}\"\n\
                 replace = \"7 + u8::from(active(1))\"\n"
            );
            self.put("rust/mutants/a/lib.toml", &text);
        }

        fn write(&self) -> Result<Copy, Problem> {
            Copy::write(&self.tree, &Edits::load(&self.tree.root)?)
        }

        fn copied(&self, path: &str) -> PathBuf {
            self.tree.target.join("mutants/workspace").join(path)
        }

        fn text(&self, path: &str) -> String {
            fs::read_to_string(self.copied(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
        }
    }

    const MANIFEST: &str = "\
[workspace]
members = [\"rust/a\", \"rust/b\"]
exclude = [\"rust/bench\"]
default-members = [\"rust/b\"]

[profile.release]
lto = true
[profile.dev.package.b]
opt-level = 1
";

    #[test]
    fn the_crates_that_the_bridge_links_are_copied_with_their_edits() {
        let checkout = Checkout::new("copied");
        let copy = checkout.write().expect("it can be copied");
        let names: Vec<&str> = copy.packages.iter().map(String::as_str).collect();
        assert_eq!(names, ["a", parity::PACKAGE, SUPPORT]);
        assert!(!checkout.copied("rust/b").exists());
        assert!(!checkout.copied("rust/a/.hidden").exists());
        assert_eq!(
            checkout.text("rust/a/src/lib.rs"),
            "fn f() -> u8 { 7 + u8::from(active(1)) }\n\nuse antiphon_mutants::active;\n"
        );
        assert_eq!(
            checkout.text("rust/antiphon-bridge/src/lib.rs"),
            "fn f() -> u8 { 7 }\n"
        );
        assert_eq!(
            checkout.text("rust/a/Cargo.toml"),
            "[package]\n\n[dependencies]\nantiphon-mutants.workspace = true\nhalf = \"1\"\n"
        );
        let manifest: Table = checkout.text("Cargo.toml").parse().expect("TOML");
        let keys = |value: &Value| {
            let table = value.as_table().expect("a table");
            table.keys().cloned().collect::<Vec<_>>()
        };
        assert_eq!(keys(&manifest["workspace"]), ["members"]);
        assert_eq!(keys(&manifest["profile"]), ["dev"]);
        assert!(!keys(&manifest["profile"]["dev"]["package"]).contains(&"b".to_owned()));
    }

    #[test]
    fn a_second_copy_deletes_stale_files_and_touches_no_unchanged_file() {
        let checkout = Checkout::new("again");
        checkout.put("rust/a/src/gone/old.rs", "");
        checkout.put("rust/a/src/part", "a file");
        checkout.write().expect("it can be copied");
        let stale = ["rust/a/src/stale.rs", "rust/b/src/lib.rs"];
        for path in stale {
            let path = checkout.copied(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("created");
            fs::write(path, "").expect("it can be written");
        }
        fs::remove_dir_all(checkout.tree.root.join("rust/a/src/gone")).expect("it exists");
        fs::remove_file(checkout.tree.root.join("rust/a/src/part")).expect("it exists");
        checkout.put("rust/a/src/part/mod.rs", "a directory");
        let modified = || {
            let data = fs::metadata(checkout.copied("rust/a/src/lib.rs")).expect("it exists");
            data.modified().expect("the system has times")
        };
        let before = modified();
        checkout.write().expect("it can be copied");
        assert_eq!(modified(), before);
        assert_eq!(checkout.text("rust/a/src/part/mod.rs"), "a directory");
        for path in stale.into_iter().chain(["rust/a/src/gone", "rust/b"]) {
            assert!(!checkout.copied(path).exists(), "{path}");
        }
    }

    #[test]
    fn an_edit_that_does_not_fit_and_one_of_a_crate_that_is_not_copied_are_reported() {
        let checkout = Checkout::new("edits");
        checkout.edits("a", "9");
        let problem = checkout.write().err();
        let Some(Problem::Edit(EditProblem::Matches { got: 0, .. })) = problem else {
            panic!("{problem:?}");
        };
        checkout.edits("b", "7");
        let problem = checkout.write().err().expect("a problem").to_string();
        assert_eq!(
            problem,
            "edit `seven` of `rust/mutants/a/lib.toml` is for `rust/b/src/lib.rs`, which is not in \
             the copy: an edit may name a file of the crates that the bridge links, \
             `rust/antiphon-bridge`, `rust/a`, `rust/antiphon-mutants` (docs/contributing.md, \
             \"Mutants\")"
        );
        checkout.edits("a", "7");
        checkout.put("rust/a/Cargo.toml", "[package]\n");
        let problem = checkout.write().err().expect("a problem").to_string();
        assert!(
            problem.contains("it must have `[dependencies]`"),
            "{problem}"
        );
    }
}
