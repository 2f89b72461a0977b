//! The Lean model: builds and runs its modules, and checks that nothing unproved gets in.
//! [`toolchain`] selects the Lean. Both kinds build the same sources, with warnings as errors.
//!
//! All output is in `target/lean`: `out/` (built modules), `lane` (which Lean was found), and `run`,
//! the program with which tests and tools run a module.

mod audit;
mod axioms;
mod build;
mod bundle;
mod elaborate;
mod inventory;
mod lock;
mod modules;
mod native;
mod npm;
mod program;
mod source;
mod toolchain;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use program::{check, run};

use crate::lean::build::Built;
use crate::lean::modules::Modules;
use crate::lean::toolchain::Lean;
use crate::problem::Problem;
use crate::progress::Progress;
use crate::report::{Report, Tally};
use crate::tree::Tree;

/// Installs a Lean if there is none. Returns its description, and whether it was installed before.
pub(crate) fn set_up(tree: &Tree, progress: &mut Progress) -> Result<(String, bool), Problem> {
    let (lean, cached) = Lean::set_up(tree, progress)?;
    publish(tree, &lean)?;
    Ok((lean.description(), cached))
}

/// Finds a Lean and writes the program with which tests run it. Returns its description.
pub(crate) fn ready(tree: &Tree) -> Result<String, Problem> {
    let lean = Lean::find(tree)?;
    publish(tree, &lean)?;
    Ok(lean.description())
}

/// Builds all modules, searches them for refused words and axioms, and compares the list of
/// theorems.
pub(crate) fn lane(tree: &Tree, from_scratch: bool) -> Report {
    let mut progress = Progress::start("lean", "the Lean model and its proofs");
    let mut log = Log::default();
    let outcome = log.check_everything(tree, from_scratch, &mut progress);
    progress.finish();
    Report::of_tests("lean", progress.elapsed(), log.tally, outcome).with_details(log.details)
}

/// Builds these modules and their imports.
pub(crate) fn build_named(
    tree: &Tree,
    names: &[String],
    from_scratch: bool,
) -> Result<ExitCode, Problem> {
    let mut progress = Progress::start("lean", "some modules of the Lean model");
    let modules = Modules::read(&toolchain::sources(tree))?;
    let wanted = names
        .iter()
        .map(|name| modules.named(name).map(str::to_owned));
    let order = modules.order(&wanted.collect::<Result<_, _>>()?)?;
    let lean = Lean::find(tree)?;
    publish(tree, &lean)?;
    let built = build_all(tree, &lean, &modules, &order, from_scratch, &mut progress);
    progress.finish();
    let built = built?;
    println!("Lean lane: {}", lean.description());
    println!(
        "{}, {:.1} s",
        built.summary(),
        progress.elapsed().as_secs_f64()
    );
    Ok(if built.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Writes the list of theorems.
pub(crate) fn write_inventory(tree: &Tree) -> Result<ExitCode, Problem> {
    let modules = Modules::read(&toolchain::sources(tree))?;
    let theorems = inventory::of(&modules)?;
    inventory::write(tree, &theorems)?;
    println!("{} theorems in lean/{}", theorems.len(), inventory::FILE);
    Ok(ExitCode::SUCCESS)
}

/// Compares the list of theorems with the sources.
pub(crate) fn check_inventory(tree: &Tree) -> Result<ExitCode, Problem> {
    let modules = Modules::read(&toolchain::sources(tree))?;
    let theorems = inventory::of(&modules)?;
    let differences = inventory::differences(tree, &theorems)?;
    differences
        .iter()
        .for_each(|difference| println!("{difference}"));
    println!(
        "{} theorems, {} differences",
        theorems.len(),
        differences.len()
    );
    Ok(if differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The results of the lane so far. They are reported even if a later step fails.
#[derive(Default)]
struct Log {
    tally: Tally,
    details: Vec<String>,
}

impl Log {
    fn check_everything(
        &mut self,
        tree: &Tree,
        from_scratch: bool,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        let modules = Modules::read(&toolchain::sources(tree))?;
        self.audit(&modules);
        self.compare_inventory(tree, &modules)?;
        let order = modules.order_of_all()?;
        let lean = Lean::find(tree)?;
        publish(tree, &lean)?;
        self.details
            .push(format!("Lean lane: {}", lean.description()));
        let built = build_all(tree, &lean, &modules, &order, from_scratch, progress)?;
        self.tally.passed += count(built.elaborated.len() + built.cached.len());
        self.tally.failed += count(built.failed.len());
        self.tally.skipped += count(built.unreached.len());
        self.details.push(built.summary());
        self.details.extend(built.slowest());
        if built.is_complete() {
            progress.note("checking the axioms of the proofs".to_owned());
            self.check_axioms(tree, &modules)?;
        }
        Ok(())
    }

    fn check_axioms(&mut self, tree: &Tree, modules: &Modules) -> Result<(), Problem> {
        let axioms::Axioms { checked, findings } = axioms::check(tree, modules)?;
        self.tally.passed += 1;
        self.tally.failed += count(findings.len());
        self.details.push(format!(
            "{checked} checked: {} depend on other axioms",
            findings.len()
        ));
        self.details
            .extend(findings.iter().map(|line| format!("        {line}")));
        Ok(())
    }

    fn audit(&mut self, modules: &Modules) {
        let audit_one =
            |(_, module): (_, &modules::Module)| audit::findings(&module.file, &module.text);
        let findings: Vec<String> = modules.iter().flat_map(audit_one).collect();
        self.tally.failed += count(findings.len());
        self.details.push(format!(
            "{} files audited: {} refused words",
            modules.len(),
            findings.len()
        ));
        self.details.extend(
            findings
                .into_iter()
                .map(|finding| format!("        {finding}")),
        );
    }

    fn compare_inventory(&mut self, tree: &Tree, modules: &Modules) -> Result<(), Problem> {
        let theorems = inventory::of(modules)?;
        let differences = inventory::differences(tree, &theorems)?;
        self.tally.failed += count(differences.len());
        self.tally.passed += count(theorems.len());
        self.details.push(format!(
            "{} theorems listed: {} differences",
            theorems.len(),
            differences.len()
        ));
        self.details.extend(
            differences
                .into_iter()
                .map(|line| format!("        {line}")),
        );
        Ok(())
    }
}

fn build_all(
    tree: &Tree,
    lean: &Lean,
    modules: &Modules,
    order: &[&str],
    from_scratch: bool,
    progress: &mut Progress,
) -> Result<Built, Problem> {
    match lean {
        Lean::Native { .. } => native::build(tree, order, from_scratch, progress),
        Lean::Npm(npm) => {
            if from_scratch {
                build::clean(tree)?;
            }
            build::build(tree, npm, modules, order, progress).map(|(built, _lock)| built)
        }
    }
}

/// Writes two files for tests and tools: which Lean was found, and a program that runs a module.
fn publish(tree: &Tree, lean: &Lean) -> Result<(), Problem> {
    let place = tree.target.join("lean");
    fs::create_dir_all(place.join("out")).map_err(Problem::file(&place))?;
    let lane = format!("{}\n", lean.description());
    replace_if_different(&place.join("lane"), &lane, 0o644)?;
    let xtask = std::env::current_exe().map_err(Problem::file(&place))?;
    // If a build has replaced this program since it started, Linux appends a mark to its path.
    let path = xtask
        .to_str()
        .and_then(|name| name.strip_suffix(" (deleted)"));
    let xtask = path.map_or_else(|| xtask.clone(), PathBuf::from);
    replace_if_different(&place.join("run"), &program::script(&xtask), 0o755)
}

/// Replaces a file atomically, because other processes may be reading it, and only if its content
/// differs.
fn replace_if_different(path: &std::path::Path, text: &str, mode: u32) -> Result<(), Problem> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let draft = path.with_extension(std::process::id().to_string());
    fs::write(&draft, text).map_err(Problem::file(&draft))?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(mode)).map_err(Problem::file(&draft))?;
    fs::rename(&draft, path).map_err(Problem::file(path))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
