//! Compiled dependencies from the registry, kept in the cache. A checkout in which nothing was
//! compiled yet starts with them, so they are compiled once for each lock file.
//!
//! Before the first lane that compiles, [`seed`] copies them into the build directories that are
//! new; after a run in which every lane has passed, [`Seeded::store`] stores those that were not in
//! the cache. Only units of packages of the registry are stored, never those of the workspace. A
//! unit is what cargo compiles in one go, and its files have the unit's hash in their names:
//!
//! ```text
//! .fingerprint/PACKAGE-HASH/    cargo's record of the unit's inputs
//! deps/*-HASH.*                 what rustc wrote
//! build/PACKAGE-HASH/           build scripts and their output
//! order                         in an entry only: the order of the files' times
//! ```
//!
//! Whether a unit fits is decided by cargo, which compares its record of the inputs as for any
//! other unit. So an entry that does not fit costs the time of copying it. A damaged entry is
//! reported and not used, as in the rest of the cache.
//!
//! Cargo compiles a unit again if one of its dependencies has a later time. So the order of times
//! is part of an entry, and units that the checkout has are replaced: a unit can name its own
//! directory, and then it does not fit the units that were compiled with it elsewhere.
//!
//! Files are copied, not linked. Cargo and rustc truncate some files in place (the records and the
//! output of build scripts) and set times of others, which would change the cache through a link.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use antiphon_build_support::cache::{Check, DEPENDENCIES, Entry, Key};
use antiphon_build_support::console::Console;
use antiphon_build_support::lock;

use crate::inputs;
use crate::problem::Problem;
use crate::tree::Tree;

/// A build directory of cargo: one profile for one target.
struct Place {
    /// The path below the target directory.
    path: &'static str,
    /// Whether the flags of the compiler name the checkout's directory. Then cargo uses the units
    /// only in a checkout with the same path.
    names_checkout: bool,
}

impl Place {
    const fn new(path: &'static str) -> Self {
        Self {
            path,
            names_checkout: false,
        }
    }
}

/// The build directories of the lanes: those of tests and lints, of the mutants, of the guest's
/// agent, and of the WASM module.
const PLACES: [Place; 6] = [
    Place::new("debug"),
    Place::new("mutants/build/debug"),
    Place::new("vm/cargo/release"),
    Place::new("vm/cargo/x86_64-unknown-linux-gnu/release"),
    Place::new("wasm/cargo/wasm"),
    Place {
        path: "wasm/cargo/wasm32-unknown-unknown/wasm",
        names_checkout: true,
    },
];

/// The directories of a build directory. The records come last: without its record cargo does not
/// use a unit, so a copy that was interrupted does no harm.
const PARTS: [&str; 3] = [COMPILED, SCRIPTS, RECORDS];
const COMPILED: &str = "deps";
const SCRIPTS: &str = "build";
const RECORDS: &str = ".fingerprint";

/// The file of an entry with the order of the files' times.
const ORDER: &str = "order";

/// The file that cargo locks while it uses a build directory.
const LOCK: &str = ".cargo-lock";

/// The version of what is stored.
const FORMAT: &str = "dependencies 1";

/// The number of hexadecimal digits of a unit's hash.
const HASH_LEN: usize = 16;

/// The build directories that were new before the run.
#[derive(Default)]
pub(crate) struct Seeded {
    missing: Vec<Missing>,
}

/// A new build directory whose dependencies are not in the cache.
struct Missing {
    path: PathBuf,
    key: Key,
}

/// Copies the dependencies from the cache into the build directories that are new.
pub(crate) fn seed(tree: &Tree, console: &mut Console) -> Result<Seeded, Problem> {
    console.begin_quietly("dependencies", "copying compiled dependencies");
    let mut seeded = Seeded::default();
    let mut units = 0;
    for place in &PLACES {
        let path = tree.target.join(place.path);
        if !is_new(tree, &records(&path)?) {
            continue;
        }
        let key = key(tree, place)?;
        match tree
            .cache
            .get(DEPENDENCIES, &key, Check::Digests, console)?
        {
            Some(entry) => units += restore(&entry, &path)?,
            None => seeded.missing.push(Missing { path, key }),
        }
    }
    console.finish();
    if units > 0 {
        let seconds = console.elapsed().as_secs_f64();
        console.line(&format!(
            "dependencies: {units} compiled units from the cache, {seconds:.1} s"
        ));
    }
    Ok(seeded)
}

impl Seeded {
    /// Stores the dependencies that this run has compiled.
    pub(crate) fn store(self, tree: &Tree, console: &mut Console) -> Result<(), Problem> {
        let lock = tree.root.join("Cargo.lock");
        let lock = fs::read_to_string(&lock).map_err(Problem::file(&lock))?;
        let external = external(&lock);
        let mut stored = 0;
        for Missing { path, key } in self.missing {
            let compiled = records(&path)?.into_iter();
            let compiled = compiled.filter(|unit| external.contains(&unit.package));
            let hashes: BTreeSet<String> = compiled.map(|unit| unit.hash).collect();
            if hashes.is_empty() {
                continue;
            }
            tree.cache.put(DEPENDENCIES, &key, |content| {
                let mut times = Vec::new();
                for part in PARTS {
                    times.extend(copy_units(part, &path, content, |hash| {
                        hashes.contains(hash)
                    })?);
                }
                write_order(content, times)
            })?;
            stored += hashes.len();
        }
        if stored > 0 {
            console.line(&format!("dependencies: {stored} compiled units stored"));
        }
        Ok(())
    }
}

/// Copies an entry into a build directory, and replaces the units that it has. Returns the number
/// of units.
fn restore(entry: &Entry, path: &Path) -> Result<usize, Problem> {
    let order = read_order(entry.path())?;
    let units = records(entry.path())?;
    fs::create_dir_all(path).map_err(Problem::file(path))?;
    let _lock = lock::exclusive(&path.join(LOCK))?;
    for unit in &units {
        let record = path
            .join(RECORDS)
            .join(format!("{}-{}", unit.package, unit.hash));
        if record.exists() {
            fs::remove_dir_all(&record).map_err(Problem::file(&record))?;
        }
    }
    // Later than all that the checkout has, and earlier than all that it compiles from now on: the
    // copy takes longer than a microsecond a file.
    let now = SystemTime::now();
    for part in PARTS {
        for (file, _) in copy_units(part, entry.path(), path, |_| true)? {
            let rank = order.get(&file).copied().unwrap_or_default();
            let target = path.join(&file);
            // The owner may set the time of a file that cannot be written.
            let opened = fs::File::open(&target);
            opened
                .and_then(|file| file.set_modified(now + Duration::from_micros(rank)))
                .map_err(Problem::file(&target))?;
        }
    }
    Ok(units.len())
}

/// Writes the order of the files of an entry: a line for each file, with the rank of its time.
fn write_order(content: &Path, mut files: Vec<(String, SystemTime)>) -> Result<(), Problem> {
    files.sort_by_key(|(_, time)| *time);
    let (mut text, mut rank, mut last) = (String::new(), 0_u64, None);
    for (file, time) in files {
        if last.is_some_and(|last| last < time) {
            rank += 1;
        }
        last = Some(time);
        text += &format!("{rank}\t{file}\n");
    }
    let path = content.join(ORDER);
    fs::write(&path, text).map_err(Problem::file(&path))
}

/// The rank of each file of an entry.
fn read_order(content: &Path) -> Result<BTreeMap<String, u64>, Problem> {
    let path = content.join(ORDER);
    let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
    let row = |line: &str| {
        let (rank, file) = line.split_once('\t')?;
        Some((file.to_owned(), rank.parse().ok()?))
    };
    Ok(text.lines().filter_map(row).collect())
}

/// The key of the dependencies of a build directory: what the compiler is given, and the manifests,
/// which select packages and their features.
fn key(tree: &Tree, place: &Place) -> Result<Key, Problem> {
    let mut key = inputs::of_cargo(tree, FORMAT)?.input("place", place.path);
    for package in &tree.packages {
        key = key.file(&package.name, &package.manifest)?;
    }
    // The units name the sources of their packages.
    let home = inputs::cargo_home().unwrap_or_default();
    key = key.input("home", home.as_os_str().as_encoded_bytes());
    if place.names_checkout {
        key = key.input("checkout", tree.root.as_os_str().as_encoded_bytes());
    }
    Ok(key.finish())
}

/// The name of a record: a unit's package and hash.
struct Record {
    package: String,
    hash: String,
}

/// The records of a build directory or an entry.
fn records(path: &Path) -> Result<Vec<Record>, Problem> {
    let names = names(&path.join(RECORDS))?;
    let record = |name: String| {
        let (package, hash) = name.rsplit_once('-')?;
        Some(Record {
            package: package.to_owned(),
            hash: hash.to_owned(),
        })
    };
    Ok(names.into_iter().filter_map(record).collect())
}

/// Whether nothing was compiled in a build directory but this program.
fn is_new(tree: &Tree, records: &[Record]) -> bool {
    let this = env!("CARGO_PKG_NAME");
    let linked = tree.closure(this);
    let is_expected = |package: &str| {
        let is_member = tree.packages.iter().any(|member| member.name == package);
        !is_member || package == this || linked.contains(package)
    };
    records.iter().all(|record| is_expected(&record.package))
}

/// The names of the packages that come only from the registry, by the text of a lock file.
fn external(lock: &str) -> BTreeSet<String> {
    let value = |block: &str, key: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| {
            let value = line.strip_prefix(key)?.strip_prefix(" = \"")?;
            Some(value.strip_suffix('"')?.to_owned())
        })
    };
    let (mut external, mut others) = (BTreeSet::new(), BTreeSet::new());
    for block in lock.split("[[package]]").skip(1) {
        let Some(name) = value(block, "name") else {
            continue;
        };
        let source = value(block, "source").unwrap_or_default();
        if source.starts_with("registry+") {
            external.insert(name);
        } else {
            others.insert(name);
        }
    }
    external.difference(&others).cloned().collect()
}

/// Copies the files of units in one part of a build directory to another one. Returns the path of
/// each file below the build directory, and the time of the original.
fn copy_units(
    part: &str,
    from: &Path,
    to: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, SystemTime)>, Problem> {
    let is_superfluous: fn(&str) -> bool = match part {
        SCRIPTS => is_superfluous_of_script,
        _ => |_: &str| false,
    };
    let mut copied = Vec::new();
    for name in names(&from.join(part))? {
        let is_unit = hash_of(&name).is_some_and(&is_wanted);
        if !is_unit || (part == COMPILED && is_list(&name)) {
            continue;
        }
        let target = to.join(part);
        fs::create_dir_all(&target).map_err(Problem::file(&target))?;
        copy(
            from,
            to,
            &format!("{part}/{name}"),
            is_superfluous,
            &mut copied,
        )?;
    }
    Ok(copied)
}

/// The hash at the end of a name, before the extension.
fn hash_of(name: &str) -> Option<&str> {
    let (stem, _extension) = name.split_once('.').unwrap_or((name, ""));
    let (_, hash) = stem.rsplit_once('-')?;
    let is_digit = |digit: char| digit.is_ascii_hexdigit();
    (hash.len() == HASH_LEN && hash.chars().all(is_digit)).then_some(hash)
}

/// Whether a file is a list of sources. Rustc writes it and cargo does not need it afterwards.
fn is_list(name: &str) -> bool {
    name.ends_with(".d")
}

/// Whether cargo makes do without a file in the directory of a build script: a list of sources, or
/// the program's second name, which has no hash and is made again by cargo.
fn is_superfluous_of_script(name: &str) -> bool {
    is_list(name) || (name.starts_with("build-script-") && hash_of(name).is_none())
}

/// Copies a file, a link, or a directory with all below it but the superfluous files in it. `path`
/// is the path below both build directories.
fn copy(
    from: &Path,
    to: &Path,
    path: &str,
    is_superfluous: fn(&str) -> bool,
    copied: &mut Vec<(String, SystemTime)>,
) -> Result<(), Problem> {
    let (original, target) = (from.join(path), to.join(path));
    let data = fs::symlink_metadata(&original).map_err(Problem::file(&original))?;
    if data.is_dir() {
        fs::create_dir_all(&target).map_err(Problem::file(&target))?;
        for name in names(&original)? {
            if !is_superfluous(&name) {
                copy(from, to, &format!("{path}/{name}"), |_| false, copied)?;
            }
        }
        return Ok(());
    }
    // A file that is there may be read-only, or one of two names of a file.
    if fs::symlink_metadata(&target).is_ok() {
        fs::remove_file(&target).map_err(Problem::file(&target))?;
    }
    if data.is_symlink() {
        let link = fs::read_link(&original).map_err(Problem::file(&original))?;
        return std::os::unix::fs::symlink(link, &target).map_err(Problem::file(&target));
    }
    fs::copy(&original, &target).map_err(Problem::file(&original))?;
    let time = data.modified().map_err(Problem::file(&original))?;
    copied.push((path.to_owned(), time));
    Ok(())
}

/// The names in a directory, sorted; none if it does not exist. A name that is not text is left
/// out: cargo writes none.
fn names(place: &Path) -> Result<Vec<String>, Problem> {
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Problem::file(place)(error)),
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<String> = names.filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use antiphon_build_support::cache::Cache;
    use antiphon_build_support::console::Status;

    use super::*;
    use crate::parity::Kept;
    use crate::tree::Package;

    const LOCK_FILE: &str = "version = 4\n\n\
        [[package]]\nname = \"member\"\nversion = \"0.1.0\"\n\n\
        [[package]]\nname = \"serde\"\nversion = \"1.0.0\"\n\
        source = \"registry+https://example.org/index\"\nchecksum = \"00\"\n\n\
        [[package]]\nname = \"both\"\nversion = \"1.0.0\"\n\
        source = \"registry+https://example.org/index\"\n\n\
        [[package]]\nname = \"both\"\nversion = \"2.0.0\"\n\n\
        [[package]]\nname = \"forked\"\nversion = \"1.0.0\"\n\
        source = \"git+https://example.org/forked\"\n";

    /// A hash that names a unit.
    fn hash(number: u8) -> String {
        format!("{number:016x}")
    }

    /// Checkouts in a directory that is removed afterwards, with a common cache.
    struct Checkouts(PathBuf);

    impl Checkouts {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            Self(root)
        }

        fn cache(&self) -> Cache {
            Cache::at(self.0.join("cache"), 1 << 20, 100)
        }

        /// A checkout whose workspace has the crates `member` and `xtask`.
        fn checkout(&self, name: &str) -> Tree {
            let root = self.0.join(name);
            write(&root.join("Cargo.lock"), LOCK_FILE);
            for file in ["Cargo.toml", ".cargo/config.toml"] {
                write(&root.join(file), "");
            }
            let packages = ["member", "xtask"].map(|name| {
                let manifest = root.join(name).join("Cargo.toml");
                write(&manifest, "");
                Package {
                    name: name.to_owned(),
                    manifest,
                    ..Package::default()
                }
            });
            Tree {
                target: root.join("target"),
                root,
                cache: self.cache(),
                kept: Kept::Nothing,
                packages: packages.into(),
                links: BTreeMap::new(),
            }
        }
    }

    impl Drop for Checkouts {
        fn drop(&mut self) {
            // A directory that stays behind does no harm.
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn write(path: &Path, text: &str) {
        let parent = path.parent().expect("it is below the root");
        fs::create_dir_all(parent).expect("it can be created");
        fs::write(path, text).expect("it can be written");
    }

    fn console() -> Console {
        Console::buffered(Status::default())
    }

    /// Writes the files of a unit, as cargo does.
    fn compile(tree: &Tree, package: &str, number: u8) {
        let (place, hash) = (tree.target.join("debug"), hash(number));
        write(
            &place.join(format!("{RECORDS}/{package}-{hash}/lib-{package}")),
            "inputs",
        );
        let script = "build-script-build-script-build";
        write(
            &place.join(format!("{RECORDS}/{package}-{hash}/{script}")),
            "inputs",
        );
        write(
            &place.join(format!("deps/lib{package}-{hash}.rlib")),
            "code",
        );
        write(&place.join(format!("deps/{package}-{hash}.d")), "sources");
        let script = place.join(format!("build/{package}-{hash}"));
        write(&script.join("build-script-build"), "program");
        write(
            &script.join(format!("build_script_build-{hash}")),
            "program",
        );
        write(&script.join("out/list.d"), "generated");
    }

    /// All files of the build directory `debug`, without its lock.
    fn files(tree: &Tree) -> BTreeSet<String> {
        fn below(place: &Path, prefix: &str, found: &mut BTreeSet<String>) {
            for name in names(place).expect("it can be read") {
                let path = place.join(&name);
                if path.is_dir() {
                    below(&path, &format!("{prefix}{name}/"), found);
                } else if name != LOCK {
                    found.insert(format!("{prefix}{name}"));
                }
            }
        }
        let mut found = BTreeSet::new();
        below(&tree.target.join("debug"), "", &mut found);
        found
    }

    /// Stores the dependencies of a checkout in which `serde` was compiled.
    fn stored(checkouts: &Checkouts) -> Tree {
        let tree = checkouts.checkout("first");
        compile(&tree, "xtask", 1);
        compile(&tree, "serde", 2);
        let seeded = seed(&tree, &mut console()).expect("it can be read");
        compile(&tree, "serde", 3);
        compile(&tree, "member", 4);
        compile(&tree, "both", 5);
        compile(&tree, "forked", 6);
        seeded
            .store(&tree, &mut console())
            .expect("it can be written");
        tree
    }

    #[test]
    fn only_what_a_run_compiled_from_the_registry_is_stored() {
        let checkouts = Checkouts::new("dependencies-stored");
        stored(&checkouts);
        let second = checkouts.checkout("second");
        let mut console = console();
        seed(&second, &mut console).expect("it can be read");
        let unit = |number| {
            let hash = hash(number);
            [
                format!("{RECORDS}/serde-{hash}/build-script-build-script-build"),
                format!("{RECORDS}/serde-{hash}/lib-serde"),
                format!("build/serde-{hash}/build_script_build-{hash}"),
                format!("build/serde-{hash}/out/list.d"),
                format!("deps/libserde-{hash}.rlib"),
            ]
        };
        let expected = unit(2).into_iter().chain(unit(3)).collect();
        assert_eq!(files(&second), expected);
        let lines = console.take_lines().join("\n");
        assert!(
            lines.starts_with("dependencies: 2 compiled units from the cache"),
            "{lines}"
        );
    }

    /// Sets the time of a unit's code to some seconds after 1970.
    fn set_time(tree: &Tree, number: u8, seconds: u64) {
        let file = code(tree, number);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = fs::File::options().append(true).open(file);
        file.and_then(|file| file.set_modified(time))
            .expect("it exists");
    }

    fn code(tree: &Tree, number: u8) -> PathBuf {
        tree.target
            .join(format!("debug/deps/libserde-{}.rlib", hash(number)))
    }

    #[test]
    fn the_order_of_times_is_kept() {
        let checkouts = Checkouts::new("dependencies-order");
        let first = checkouts.checkout("first");
        let seeded = seed(&first, &mut console()).expect("it can be read");
        for (number, seconds) in [(1, 300), (2, 100), (3, 200), (4, 200)] {
            compile(&first, "serde", number);
            set_time(&first, number, seconds);
        }
        seeded
            .store(&first, &mut console())
            .expect("it can be written");
        let second = checkouts.checkout("second");
        compile(&second, "serde", 1);
        let own = SystemTime::now();
        seed(&second, &mut console()).expect("it can be read");
        let [one, two, three, four] = [1, 2, 3, 4].map(|number| {
            let data = fs::metadata(code(&second, number));
            data.and_then(|data| data.modified())
                .expect("it has a time")
        });
        assert!(own <= two && two < three && three == four && four < one);
        assert!(one < SystemTime::now());
    }

    #[test]
    fn a_unit_of_this_program_is_replaced() {
        let checkouts = Checkouts::new("dependencies-replaced");
        stored(&checkouts);
        let second = checkouts.checkout("second");
        compile(&second, "xtask", 1);
        compile(&second, "serde", 2);
        compile(&second, "serde", 9);
        write(&code(&second, 2), "own");
        write(&code(&second, 9), "own");
        seed(&second, &mut console()).expect("it can be read");
        let read = |number| fs::read_to_string(code(&second, number)).expect("it exists");
        assert_eq!(read(2), "code");
        assert_eq!(read(9), "own", "it is not in the entry");
    }

    #[test]
    fn an_entry_without_order_is_not_used() {
        let checkouts = Checkouts::new("dependencies-foreign");
        let tree = checkouts.checkout("first");
        let key = key(&tree, &PLACES[0]).expect("the files can be read");
        let foreign = tree.cache.put::<Problem>(DEPENDENCIES, &key, |content| {
            write(
                &content.join(format!("{RECORDS}/serde-{}/lib-serde", hash(1))),
                "inputs",
            );
            Ok(())
        });
        drop(foreign.expect("it can be written"));
        assert!(seed(&tree, &mut console()).is_err());
        assert!(files(&tree).is_empty());
    }

    #[test]
    fn a_checkout_with_compiled_crates_neither_takes_nor_stores_any() {
        let checkouts = Checkouts::new("dependencies-old");
        let tree = checkouts.checkout("first");
        compile(&tree, "member", 1);
        let seeded = seed(&tree, &mut console()).expect("it can be read");
        compile(&tree, "serde", 2);
        seeded
            .store(&tree, &mut console())
            .expect("nothing to write");
        assert!(
            checkouts
                .cache()
                .usage()
                .expect("it can be read")
                .is_empty()
        );

        drop(tree);
        stored(&checkouts);
        let second = checkouts.checkout("second");
        compile(&second, "member", 1);
        let before = files(&second);
        seed(&second, &mut console()).expect("it can be read");
        assert_eq!(files(&second), before);
    }

    #[test]
    fn a_damaged_entry_is_not_used_and_replaced() {
        let checkouts = Checkouts::new("dependencies-damaged");
        let first = stored(&checkouts);
        let key = key(&first, &PLACES[0]).expect("the files can be read");
        let entry = first
            .cache
            .get(DEPENDENCIES, &key, Check::Digests, &mut console());
        let entry = entry.expect("it can be read").expect("it is whole");
        write(
            &entry.path().join(format!("deps/libserde-{}.rlib", hash(3))),
            "cod",
        );
        drop(entry);

        let second = checkouts.checkout("second");
        let mut console = console();
        let seeded = seed(&second, &mut console).expect("it can be read");
        assert!(files(&second).is_empty());
        let lines = console.take_lines().join("\n");
        assert!(lines.contains("has changed; it is not used"), "{lines}");
        compile(&second, "serde", 7);
        seeded
            .store(&second, &mut console)
            .expect("it can be written");
        let third = checkouts.checkout("third");
        seed(&third, &mut console).expect("it can be read");
        let file = format!("deps/libserde-{}.rlib", hash(7));
        assert!(files(&third).contains(&file));
    }

    #[test]
    fn the_key_depends_on_the_lock_file_the_manifests_and_the_place() {
        let checkouts = Checkouts::new("dependencies-key");
        let [one, two] = ["one", "two"].map(|name| checkouts.checkout(name));
        let key = |tree: &Tree, place: &Place| key(tree, place).expect("the files can be read");
        for (place, next) in PLACES.iter().zip(&PLACES[1..]) {
            assert_ne!(key(&one, place), key(&one, next));
            assert_eq!(key(&one, place), key(&two, place));
        }
        let module = PLACES.iter().find(|place| place.names_checkout);
        let module = module.expect("a place of the WASM module");
        assert_ne!(
            key(&one, module),
            key(&two, module),
            "the flags name the checkout"
        );
        for file in [
            "Cargo.lock",
            "Cargo.toml",
            ".cargo/config.toml",
            "member/Cargo.toml",
        ] {
            let before = key(&one, &PLACES[0]);
            write(&one.root.join(file), "changed");
            assert_ne!(key(&one, &PLACES[0]), before, "{file}");
        }
    }
}
