//! The Lean model: builds its modules, runs them, and sees that nothing unproved slips in. Which
//! Lean does it is [`toolchain`]'s to say; both kinds build the same sources, warnings are errors.
//!
//! Everything made stands in `target/lean`: `out/` (built modules), `lane` (which Lean there is),
//! and `run`, the program by which tests and tools run a module.

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

/// Gets a Lean, if there is none, and writes down which; gives its name and whether it was there.
pub(crate) fn set_up(tree: &Tree, progress: &mut Progress) -> Result<(String, bool), Problem> {
    let (lean, cached) = Lean::set_up(tree, progress)?;
    write_down(tree, &lean)?;
    Ok((lean.shown(), cached))
}

/// Sees that there is a Lean and that tests find the program that runs it; gives its name.
pub(crate) fn ready(tree: &Tree) -> Result<String, Problem> {
    let lean = Lean::find(tree)?;
    write_down(tree, &lean)?;
    Ok(lean.shown())
}

/// Everything about the model: all modules built, no refused word or axiom, the theorems as listed.
pub(crate) fn lane(tree: &Tree, from_scratch: bool) -> Report {
    let mut progress = Progress::start("lean", "the Lean model and its proofs");
    let mut told = Told::default();
    let outcome = told.everything(tree, from_scratch, &mut progress);
    progress.finish();
    Report::of_tests("lean", progress.elapsed(), told.tally, outcome).with_details(told.details)
}

/// Builds these modules and what they import.
pub(crate) fn some(tree: &Tree, names: &[String], from_scratch: bool) -> Result<ExitCode, Problem> {
    let mut progress = Progress::start("lean", "some modules of the Lean model");
    let modules = Modules::read(&toolchain::sources(tree))?;
    let wanted = names
        .iter()
        .map(|name| modules.named(name).map(str::to_owned));
    let order = modules.order(&wanted.collect::<Result<_, _>>()?)?;
    let lean = Lean::find(tree)?;
    write_down(tree, &lean)?;
    let built = build_all(tree, &lean, &modules, &order, from_scratch, &mut progress);
    progress.finish();
    let built = built?;
    println!("Lean lane: {}", lean.shown());
    println!(
        "{}, {:.1} s",
        built.shown(),
        progress.elapsed().as_secs_f64()
    );
    Ok(if built.is_whole() {
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

/// What a lane has found out so far; it is told even when the lane cannot go on.
#[derive(Default)]
struct Told {
    tally: Tally,
    details: Vec<String>,
}

impl Told {
    fn everything(
        &mut self,
        tree: &Tree,
        from_scratch: bool,
        progress: &mut Progress,
    ) -> Result<(), Problem> {
        let modules = Modules::read(&toolchain::sources(tree))?;
        self.audit(&modules);
        self.inventory(tree, &modules)?;
        let order = modules.order_of_all()?;
        let lean = Lean::find(tree)?;
        write_down(tree, &lean)?;
        self.details.push(format!("Lean lane: {}", lean.shown()));
        let built = build_all(tree, &lean, &modules, &order, from_scratch, progress)?;
        self.tally.passed += count(built.elaborated.len() + built.cached.len());
        self.tally.failed += count(built.failed.len());
        self.tally.skipped += count(built.unreached.len());
        self.details.push(built.shown());
        self.details.extend(built.slowest());
        if built.is_whole() {
            progress.note("which axioms the proofs rest on".to_owned());
            self.axioms(tree, &modules)?;
        }
        Ok(())
    }

    fn axioms(&mut self, tree: &Tree, modules: &Modules) -> Result<(), Problem> {
        let axioms::Axioms { looked, findings } = axioms::look(tree, modules)?;
        self.tally.passed += 1;
        self.tally.failed += count(findings.len());
        let told = format!(
            "{looked} looked through: {} on other axioms",
            findings.len()
        );
        self.details.push(told);
        self.details
            .extend(findings.iter().map(|line| format!("        {line}")));
        Ok(())
    }

    fn audit(&mut self, modules: &Modules) {
        let of_module =
            |(_, module): (_, &modules::Module)| audit::findings(&module.file, &module.text);
        let findings: Vec<String> = modules.iter().flat_map(of_module).collect();
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

    fn inventory(&mut self, tree: &Tree, modules: &Modules) -> Result<(), Problem> {
        let theorems = inventory::of(modules)?;
        let differences = inventory::differences(tree, &theorems)?;
        self.tally.failed += count(differences.len());
        self.tally.passed += count(theorems.len());
        let told = format!(
            "{} theorems listed: {} differences",
            theorems.len(),
            differences.len()
        );
        self.details.push(told);
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
            build::bring_up(tree, npm, modules, order, progress).map(|(built, _lock)| built)
        }
    }
}

/// For others: which Lean there is, and a program that runs a module by it.
fn write_down(tree: &Tree, lean: &Lean) -> Result<(), Problem> {
    let place = tree.target.join("lean");
    fs::create_dir_all(place.join("out")).map_err(Problem::file(&place))?;
    write_if_new(&place.join("lane"), &format!("{}\n", lean.shown()), 0o644)?;
    let us = std::env::current_exe().map_err(Problem::file(&place))?;
    // A build that ran meanwhile has put a new program in our place, and the system says so behind our name.
    let us = match us.to_str().and_then(|name| name.strip_suffix(" (deleted)")) {
        Some(name) => PathBuf::from(name),
        None => us,
    };
    write_if_new(&place.join("run"), &program::script(&us), 0o755)
}

/// Others may be reading: a file is replaced as a whole, and only when it has to be.
fn write_if_new(path: &std::path::Path, text: &str, mode: u32) -> Result<(), Problem> {
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
