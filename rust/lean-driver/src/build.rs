//! Builds modules with npm's Lean: in the order of their imports, two at a time, and only modules
//! that are not in the cache.
//!
//! The key of a module in the cache is the digest of everything its output may depend on: its text,
//! the keys of its imports, Lean with its patches, and the options. `out` in the output directory
//! has Lean's output for each module and a file `.key` with the key and the digest of the output.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use antiphon_build_support::cache::{Cache, Check, Key, KeyBuilder};
use antiphon_build_support::console::Console;

use crate::elaborate::{Elaborated, elaborate};
use crate::lock::Lock;
use crate::modules::{Module, Modules};
use crate::npm::Npm;
use crate::{Problem, Project};

/// How many processes run at a time: each takes some 3 GB of memory.
const PROCESSES_MAX: usize = 2;

/// How often the progress line is updated.
const TICK: Duration = Duration::from_millis(250);

/// How many of the slowest modules are listed.
const SLOWEST_SHOWN: usize = 5;

/// The extensions of Lean's output files for a module. The last three depend on the module.
const OUTPUTS: [&str; 4] = ["olean", "olean.server", "olean.private", "ir"];

/// The kind of the cache entries. An entry has a file for each extension.
const KIND: &str = "lean-module";

/// The result of a build, as names of modules.
#[derive(Debug, Default)]
pub struct Built {
    /// Modules that Lean has elaborated.
    pub elaborated: BTreeSet<String>,
    /// Modules that were up to date or in the cache.
    pub cached: BTreeSet<String>,
    /// Modules with errors.
    pub failed: BTreeSet<String>,
    /// Not built, because a module that they import failed.
    pub unreached: BTreeSet<String>,
    /// The time of each elaborated module, if known.
    pub times: Vec<(Duration, String)>,
}

impl Built {
    /// Whether all modules are built.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.unreached.is_empty()
    }

    /// The counts, as one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let counts = [
            (&self.elaborated, "elaborated"),
            (&self.cached, "cached"),
            (&self.failed, "failed"),
            (&self.unreached, "not reached"),
        ];
        let total: usize = counts.iter().map(|(names, _)| names.len()).sum();
        let parts: Vec<String> = counts
            .iter()
            .map(|(names, what)| format!("{} {what}", names.len()))
            .collect();
        format!("{total} modules: {}", parts.join(", "))
    }

    /// A line with the slowest modules, which should be divided first if a build takes too long.
    /// `None` if no module was elaborated.
    #[must_use]
    pub fn slowest(&self) -> Option<String> {
        let mut times = self.times.clone();
        times.sort();
        let slowest = times.iter().rev().take(SLOWEST_SHOWN);
        let shown = slowest.map(|(time, name)| format!("{name} {} s", time.as_secs()));
        let shown: Vec<String> = shown.collect();
        (!shown.is_empty()).then(|| format!("slowest: {}", shown.join(", ")))
    }
}

/// Builds the modules that are out of date. With `from_scratch`, builds all modules without reading
/// the cache. `order` lists the modules in the order of their imports. While the returned lock is
/// held, no other process changes the built modules.
pub(crate) fn build(
    project: &Project,
    npm: &Npm,
    modules: &Modules,
    order: &[&str],
    from_scratch: bool,
    console: &mut Console,
) -> Result<(Built, Lock), Problem> {
    let job = Job::new(project, npm, modules, order);
    if from_scratch {
        let lock = Lock::exclusive(&project.output, console)?;
        if job.out.exists() {
            fs::remove_dir_all(&job.out).map_err(Problem::file(&job.out))?;
        }
        let built = job.run(BTreeSet::new(), console)?;
        return Ok((built, lock.into_shared(console)?));
    }
    let lock = Lock::shared(&project.output, console)?;
    let cached = job.fresh();
    if cached.len() == order.len() {
        let built = Built {
            cached,
            ..Built::default()
        };
        return Ok((built, lock));
    }
    // Another process may have built modules while this one waited for the lock.
    let lock = lock.into_exclusive(console)?;
    let mut cached = job.fresh();
    job.restore(&mut cached, console)?;
    let built = job.run(cached, console)?;
    Ok((built, lock.into_shared(console)?))
}

struct Job<'a> {
    npm: &'a Npm,
    cache: &'a Cache,
    sources: PathBuf,
    out: PathBuf,
    modules: Vec<(&'a str, &'a Module)>,
    keys: BTreeMap<&'a str, Key>,
}

impl<'a> Job<'a> {
    fn new(project: &'a Project, npm: &'a Npm, modules: &'a Modules, order: &[&'a str]) -> Self {
        let with_module = |name: &&'a str| modules.get(name).map(|module| (*name, module));
        let modules: Vec<_> = order.iter().filter_map(with_module).collect();
        Self {
            npm,
            cache: &project.cache,
            sources: project.sources.clone(),
            out: project.out(),
            keys: keys(npm.id(), &modules),
            modules,
        }
    }

    /// The modules that are up to date.
    fn fresh(&self) -> BTreeSet<String> {
        let fresh = self.modules.iter().filter(|(name, _)| {
            let stamp = fs::read_to_string(self.output(name, "key"));
            let expected = self.stamp(name);
            stamp.is_ok_and(|stamp| expected.is_ok_and(|expected| stamp == expected))
        });
        fresh.map(|(name, _)| (*name).to_owned()).collect()
    }

    /// Copies modules from the cache that are not in `cached`, and adds them to it.
    fn restore(&self, cached: &mut BTreeSet<String>, console: &mut Console) -> Result<(), Problem> {
        for (name, _) in &self.modules {
            if cached.contains(*name) {
                continue;
            }
            let key = &self.keys[name];
            let entry = self.cache.get(KIND, key, Check::Digests, console)?;
            let Some(entry) = entry else { continue };
            self.remove_output(name)?;
            for extension in OUTPUTS {
                let from = entry.path().join(extension);
                copy_if_exists(&from, &self.output(name, extension))?;
            }
            self.write_stamp(name)?;
            cached.insert((*name).to_owned());
        }
        Ok(())
    }

    /// Puts the output of a module into the cache.
    fn store(&self, name: &str) -> Result<(), Problem> {
        self.cache.put(KIND, &self.keys[name], |content| {
            OUTPUTS.iter().try_for_each(|extension| {
                copy_if_exists(&self.output(name, extension), &content.join(extension))
            })
        })?;
        Ok(())
    }

    fn output(&self, name: &str, extension: &str) -> PathBuf {
        let path = name.replace('.', "/");
        self.out.join(format!("{path}.{extension}"))
    }

    /// The text of a module's `.key`: its key and the digest of its output. Fails if Lean's main
    /// output file is missing.
    fn stamp(&self, name: &str) -> Result<String, Problem> {
        let mut digest = KeyBuilder::new("lean-output 1");
        for extension in OUTPUTS {
            let path = self.output(name, extension);
            if extension == OUTPUTS[0] || path.is_file() {
                digest = digest.file(extension, &path)?;
            }
        }
        let (key, digest) = (self.keys[name].as_str(), digest.finish());
        Ok(format!("{key}\n{}\n", digest.as_str()))
    }

    fn write_stamp(&self, name: &str) -> Result<(), Problem> {
        let path = self.output(name, "key");
        fs::write(&path, self.stamp(name)?).map_err(Problem::file(&path))
    }

    /// Removes the output of a module, and creates its directory.
    fn remove_output(&self, name: &str) -> Result<(), Problem> {
        for extension in OUTPUTS.iter().chain(&["key"]) {
            let path = self.output(name, extension);
            if path.exists() {
                fs::remove_file(&path).map_err(Problem::file(&path))?;
            }
        }
        let path = self.output(name, "key");
        let place = path.parent().unwrap_or(&self.out);
        fs::create_dir_all(place).map_err(Problem::file(place))
    }

    /// Builds all modules but those in `cached`.
    fn run(&self, cached: BTreeSet<String>, console: &mut Console) -> Result<Built, Problem> {
        let mut built = Built {
            cached,
            ..Built::default()
        };
        let is_old = |(name, _): &&(&str, &Module)| !built.cached.contains(*name);
        let mut waiting: Vec<_> = self.modules.iter().filter(is_old).collect();
        let total = waiting.len();
        let mut running: BTreeSet<&str> = BTreeSet::new();
        let (sender, ended) = channel();
        std::thread::scope(|scope| {
            loop {
                built.skip_unreachable(&mut waiting);
                while running.len() < PROCESSES_MAX {
                    let ready = waiting
                        .iter()
                        .position(|(_, module)| built.has_all(&module.imports));
                    let Some(at) = ready else { break };
                    let (name, module) = waiting.remove(at);
                    running.insert(name);
                    let sender: Sender<_> = sender.clone();
                    scope.spawn(move || {
                        let started = Instant::now();
                        let elaborated = self.elaborate(name, module);
                        sender.send((*name, started.elapsed(), elaborated))
                    });
                }
                if running.is_empty() {
                    return Ok(built);
                }
                let done = total - waiting.len() - running.len();
                let names: Vec<&str> = running.iter().copied().collect();
                console.note(format!("{done} of {total}, at {}", names.join(", ")));
                match ended.recv_timeout(TICK) {
                    Ok((name, time, elaborated)) => {
                        running.remove(name);
                        built.times.push((time, name.to_owned()));
                        built.record(name, elaborated?, console);
                    }
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
                }
                console.beat();
            }
        })
    }

    fn elaborate(&self, name: &str, module: &Module) -> Result<Elaborated, Problem> {
        self.remove_output(name)?;
        let olean = self.output(name, "olean");
        let source = self.sources.join(&module.file);
        let mut command = self.npm.checking(&self.out, &self.sources);
        command.arg("-o").arg(&olean).arg(&source);
        let mut elaborated = elaborate(&mut command, &format!("lean/{}", module.file))?;
        // Lean has read the file itself, possibly after a change.
        let text = fs::read_to_string(&source).map_err(Problem::file(&source))?;
        if text != module.text {
            elaborated
                .failure
                .get_or_insert("the file changed during the build".to_owned());
        } else if elaborated.failure.is_none() && !olean.is_file() {
            elaborated.failure = Some("Lean wrote no .olean".to_owned());
        }
        if elaborated.failure.is_none() {
            self.write_stamp(name)?;
            self.store(name)?;
        }
        Ok(elaborated)
    }
}

fn copy_if_exists(from: &Path, to: &Path) -> Result<(), Problem> {
    if from.exists() {
        fs::copy(from, to).map_err(Problem::file(to))?;
    }
    Ok(())
}

impl Built {
    fn has_all(&self, imports: &BTreeSet<String>) -> bool {
        let has = |name| self.elaborated.contains(name) || self.cached.contains(name);
        imports.iter().all(has)
    }

    /// Removes modules from `waiting` whose imports failed.
    fn skip_unreachable(&mut self, waiting: &mut Vec<&(&str, &Module)>) {
        // The modules are in the order of imports, so one pass finds all.
        waiting.retain(|(name, module)| {
            let is_lost =
                |name: &String| self.failed.contains(name) || self.unreached.contains(name);
            let reachable = !module.imports.iter().any(is_lost);
            if !reachable {
                self.unreached.insert((*name).to_owned());
            }
            reachable
        });
    }

    fn record(&mut self, name: &str, elaborated: Elaborated, console: &mut Console) {
        let Elaborated { messages, failure } = elaborated;
        for message in messages {
            console.line(&format!("  {message}"));
        }
        if let Some(failure) = failure {
            console.line(&format!("  FAILED {name}: {failure}"));
            self.failed.insert(name.to_owned());
        } else {
            self.elaborated.insert(name.to_owned());
        }
    }
}

/// The key of each module: the digest of all inputs of its build. `modules` are in the order of
/// imports.
fn keys<'a>(id: &Key, modules: &[(&'a str, &Module)]) -> BTreeMap<&'a str, Key> {
    let mut keys: BTreeMap<&str, Key> = BTreeMap::new();
    for (name, module) in modules {
        let mut key = KeyBuilder::new("lean-module 1")
            .input("lean", id.as_str())
            .input("module", name)
            .input("text", &module.text);
        for import in &module.imports {
            key = key.input(import, keys[import.as_str()].as_str());
        }
        keys.insert(name, key.finish());
    }
    keys
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use antiphon_build_support::console::Status;

    use super::*;
    use crate::npm::fake;

    fn module(text: &str, imports: &[&str]) -> Module {
        Module {
            file: String::new(),
            text: text.to_owned(),
            imports: imports.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_key_changes_with_source_imports_and_lean() {
        let (a, other) = (module("a", &[]), module("other", &[]));
        let (b, c) = (module("b", &["A"]), module("c", &[]));
        let id = |lean| KeyBuilder::new(lean).finish();
        let of = |lean, a| keys(&id(lean), &[("A", a), ("B", &b), ("C", &c)]);
        let before = of("lean", &a);
        assert_eq!(before, of("lean", &a));
        let after = of("lean", &other);
        assert_ne!(before["A"], after["A"]);
        assert_ne!(before["B"], after["B"]);
        assert_eq!(before["C"], after["C"]);
        assert_ne!(before["C"], of("lean, patched", &a)["C"]);
    }

    #[test]
    fn modules_that_import_a_failed_one_are_not_built_and_slow_ones_are_listed() {
        let modules = [module("", &["A"]), module("", &["B"]), module("", &[])];
        let listed = [("B", &modules[0]), ("C", &modules[1]), ("D", &modules[2])];
        let mut waiting = listed.iter().collect();
        let mut built = Built::default();
        assert_eq!(built.slowest(), None);
        for (seconds, name) in [(3, "E"), (30, "A")] {
            built
                .times
                .push((Duration::from_secs(seconds), name.to_owned()));
        }
        assert_eq!(built.slowest().as_deref(), Some("slowest: A 30 s, E 3 s"));
        built.failed.insert("A".to_owned());
        built.skip_unreachable(&mut waiting);
        assert_eq!(waiting.len(), 1);
        assert!(!built.is_complete());
        assert_eq!(
            built.summary(),
            "3 modules: 0 elaborated, 0 cached, 1 failed, 2 not reached"
        );
    }

    /// A project of two modules in a new directory, and a Lean that writes its options and the text
    /// of a module as its output.
    struct Place {
        root: PathBuf,
        project: Project,
        console: Console,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let root =
                std::env::temp_dir().join(format!("lean-build-{name}-{}", std::process::id()));
            let project = Project {
                sources: root.join("lean"),
                output: root.join("output"),
                logs: root.join("logs"),
                cache: Cache::at(root.join("cache"), 1 << 20, 100),
            };
            let place = Self {
                root,
                project,
                console: Console::buffered(Status::default()),
            };
            place.write("lean/Runtime/A.lean", "module\n");
            place.write("lean/Runtime/B.lean", "module\nimport Runtime.A\n");
            let starts = place.root.join("starts");
            let script = format!(
                "#!/bin/sh\nfor word; do [ \"$last\" = -o ] && out=$word; last=$word; done\n\
                 echo x >>'{}'; mkdir -p \"$(dirname \"$out\")\"\n\
                 {{ echo \"$@\" | grep -o '[-]D[^ ]*'; cat \"$last\"; }} >\"$out\"\n\
                 echo '[DEBUG:K] runFrontend completed'\n",
                starts.display()
            );
            place.write("node", &script);
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(place.root.join("node"), mode).expect("it exists");
            place
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.root.join(path);
            let parent = path.parent().expect("it is below the root");
            fs::create_dir_all(parent).expect("it can be created");
            fs::write(path, text).expect("it can be written");
        }

        /// Builds both modules, and returns how many Lean processes were started.
        fn build(&mut self, options: Vec<&'static str>, from_scratch: bool) -> usize {
            let starts = |root: &Path| {
                let text = fs::read_to_string(root.join("starts"));
                text.map_or(0, |text| text.lines().count())
            };
            let before = starts(&self.root);
            let modules = Modules::read(&self.project.sources).expect("they can be read");
            let order = modules.order_of_all().expect("no cycle");
            let npm = fake::lean(&self.project, &self.root.join("node"), options);
            let (project, console) = (&self.project, &mut self.console);
            fs::create_dir_all(project.out()).expect("it can be created");
            let (built, _lock) = build(project, &npm, &modules, &order, from_scratch, console)
                .expect("the build runs");
            assert!(built.is_complete(), "{:?}", console.take_lines());
            starts(&self.root) - before
        }

        fn remove_output(&self) {
            fs::remove_dir_all(self.project.out()).expect("it exists");
        }

        fn output(&self) -> String {
            let path = self.project.out().join("Runtime/B.olean");
            fs::read_to_string(path).expect("it was built")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            // A directory that stays behind does no harm.
            let _ = fs::remove_dir_all(&self.root);
        }
    }

    const STRICT: &str = "-DwarningAsError=true";

    #[test]
    fn modules_in_the_cache_are_not_built_again() {
        let mut place = Place::new("cached");
        assert_eq!(place.build(vec![STRICT], false), 2);
        let output = place.output();
        assert_eq!(place.build(vec![STRICT], false), 0);
        place.remove_output();
        assert_eq!(place.build(vec![STRICT], false), 0);
        assert_eq!(place.output(), output);
    }

    #[test]
    fn a_changed_option_rebuilds_every_module() {
        let mut place = Place::new("option");
        assert_eq!(place.build(vec![STRICT], false), 2);
        assert_eq!(place.build(vec![STRICT, "-DmaxRecDepth=600"], false), 2);
        assert!(place.output().contains("-DmaxRecDepth=600"));
        assert_eq!(place.build(vec![STRICT], false), 0);
        assert!(!place.output().contains("-DmaxRecDepth=600"));
    }

    #[test]
    fn a_changed_module_rebuilds_the_modules_that_import_it() {
        let mut place = Place::new("changed");
        assert_eq!(place.build(vec![STRICT], false), 2);
        place.write("lean/Runtime/B.lean", "module\nimport Runtime.A\n-- B\n");
        assert_eq!(place.build(vec![STRICT], false), 1);
        place.write("lean/Runtime/A.lean", "module\n-- A\n");
        assert_eq!(place.build(vec![STRICT], false), 2);
    }

    #[test]
    fn a_damaged_output_is_replaced_from_the_cache() {
        let mut place = Place::new("damaged-output");
        assert_eq!(place.build(vec![STRICT], false), 2);
        let output = place.output();
        place.write("output/out/Runtime/B.olean", "damaged");
        assert_eq!(place.build(vec![STRICT], false), 0);
        assert_eq!(place.output(), output);
    }

    #[test]
    fn a_damaged_entry_of_the_cache_is_built_again() {
        let mut place = Place::new("damaged-entry");
        assert_eq!(place.build(vec![STRICT], false), 2);
        let output = place.output();
        place.remove_output();
        let entries = fs::read_dir(place.root.join("cache/v1").join(KIND)).expect("it exists");
        for entry in entries.flatten() {
            let path = entry.path().join("content/olean");
            fs::write(path, "damaged").expect("it can be written");
        }
        assert_eq!(place.build(vec![STRICT], false), 2);
        assert_eq!(place.output(), output);
        place.remove_output();
        assert_eq!(place.build(vec![STRICT], false), 0);
    }

    #[test]
    fn a_build_from_scratch_does_not_read_the_cache() {
        let mut place = Place::new("scratch");
        assert_eq!(place.build(vec![STRICT], false), 2);
        assert_eq!(place.build(vec![STRICT], true), 2);
        assert_eq!(place.build(vec![STRICT], false), 0);
    }
}
