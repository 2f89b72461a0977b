//! The Lean model: builds and runs its modules, and checks that nothing unproved passes as proved.
//! The crate `antiphon-lean-driver` does the building and running.
//!
//! All output is in `target/lean`: `out/` (built modules), `lane` (a description of the Lean that
//! was found), and `run`, the script with which tests and tools run a module.

mod audit;
mod axioms;
mod inventory;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use antiphon_build_support::cache::Check;
use antiphon_build_support::console::Console;
use antiphon_lean_driver::{self as driver, Lean, Module, Modules};

use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::tree::Tree;

/// Installs a Lean if there is none. Returns its description, and whether it was installed before.
pub(crate) fn set_up(tree: &Tree, console: &mut Console) -> Result<(String, bool), Problem> {
    let project = tree.lean();
    let (lean, cached) = Lean::set_up(&project, console)?;
    driver::publish(&project, &lean)?;
    Ok((lean.description(), cached))
}

/// Finds a Lean and writes the program with which tests run it. Returns its description.
pub(crate) fn ready(tree: &Tree, console: &mut Console) -> Result<String, Problem> {
    Ok(find(tree, console)?.description())
}

/// The digest of everything on which the output of a file's `main` depends, except its arguments:
/// see [`driver::digest`].
pub(crate) fn program_digest(
    tree: &Tree,
    file: &str,
    console: &mut Console,
) -> Result<Option<String>, Problem> {
    let lean = find(tree, console)?;
    let key = driver::digest(&tree.lean(), &lean, Path::new(file))?;
    Ok(key.map(|key| key.as_str().to_owned()))
}

fn find(tree: &Tree, console: &mut Console) -> Result<Lean, Problem> {
    let project = tree.lean();
    let lean = Lean::find(&project, Check::Digests, console)?;
    driver::publish(&project, &lean)?;
    Ok(lean)
}

/// Builds all modules, searches them for refused words and axioms, and compares the list of
/// theorems.
pub(crate) fn lane(tree: &Tree, from_scratch: bool, console: &mut Console) -> Report {
    // The console's clock restarts with each phase, and this lane has two phases.
    let started = Instant::now();
    console.begin("lean", "the Lean model and its proofs");
    let mut log = Log::default();
    let outcome = log.check_everything(tree, from_scratch, console);
    console.finish();
    Report::of_tests("lean", started.elapsed(), log.tally, outcome).with_details(log.details)
}

/// Builds these modules and their imports.
pub(crate) fn build_named(
    tree: &Tree,
    names: &[String],
    from_scratch: bool,
) -> Result<ExitCode, Problem> {
    let mut console = Console::stdout();
    console.begin("lean", "some modules of the Lean model");
    let modules = modules(tree)?;
    let wanted = names
        .iter()
        .map(|name| modules.named(name).map(str::to_owned));
    let order = modules.order(&wanted.collect::<Result<_, _>>()?)?;
    let lean = find(tree, &mut console)?;
    let project = tree.lean();
    let built = driver::build(
        &project,
        &lean,
        &modules,
        &order,
        from_scratch,
        &mut console,
    )?;
    console.finish();
    println!("Lean: {}", lean.description());
    println!(
        "{}, {:.1} s",
        built.summary(),
        console.elapsed().as_secs_f64()
    );
    Ok(exit_code(built.is_complete()))
}

/// Runs the `main` of a file with arguments: see [`driver::run`].
pub(crate) fn run(tree: &Tree, words: &[OsString]) -> Result<ExitCode, Problem> {
    Ok(driver::run(&tree.lean(), words)?)
}

/// Elaborates a file: see [`driver::check`].
pub(crate) fn check(tree: &Tree, file: &Path) -> Result<ExitCode, Problem> {
    Ok(driver::check(&tree.lean(), file, &mut Console::stdout())?)
}

/// Writes the list of theorems.
pub(crate) fn write_inventory(tree: &Tree) -> Result<ExitCode, Problem> {
    let theorems = inventory::of(&modules(tree)?)?;
    inventory::write(tree, &theorems)?;
    println!("{} theorems in lean/{}", theorems.len(), inventory::FILE);
    Ok(ExitCode::SUCCESS)
}

/// Compares the list of theorems with the sources.
pub(crate) fn check_inventory(tree: &Tree) -> Result<ExitCode, Problem> {
    let theorems = inventory::of(&modules(tree)?)?;
    let differences = inventory::differences(tree, &theorems)?;
    differences
        .iter()
        .for_each(|difference| println!("{difference}"));
    println!(
        "{} theorems, {} differences",
        theorems.len(),
        differences.len()
    );
    Ok(exit_code(differences.is_empty()))
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
        console: &mut Console,
    ) -> Result<(), Problem> {
        let modules = modules(tree)?;
        self.audit(&modules);
        self.compare_inventory(tree, &modules)?;
        let order = modules.order_of_all()?;
        let lean = find(tree, console)?;
        self.details.push(format!("Lean: {}", lean.description()));
        let project = tree.lean();
        let built = driver::build(&project, &lean, &modules, &order, from_scratch, console)?;
        self.tally.passed += count(built.elaborated.len() + built.cached.len());
        self.tally.failed += count(built.failed.len());
        self.tally.skipped += count(built.unreached.len());
        self.details.push(built.summary());
        self.details.extend(built.slowest());
        if built.is_complete() {
            console.note("checking the axioms of the proofs".to_owned());
            self.check_axioms(tree, &modules, console)?;
        }
        Ok(())
    }

    fn check_axioms(
        &mut self,
        tree: &Tree,
        modules: &Modules,
        console: &mut Console,
    ) -> Result<(), Problem> {
        let axioms::Axioms { checked, findings } = axioms::check(tree, modules, console)?;
        self.tally.passed += 1;
        self.tally.failed += count(findings.len());
        self.details.push(format!(
            "{checked} checked: {} depend on other axioms",
            findings.len()
        ));
        self.list(findings);
        Ok(())
    }

    fn audit(&mut self, modules: &Modules) {
        let audit_one = |(_, module): (_, &Module)| audit::findings(&module.file, &module.text);
        let findings: Vec<String> = modules.iter().flat_map(audit_one).collect();
        self.tally.failed += count(findings.len());
        self.details.push(format!(
            "{} files audited: {} refused words",
            modules.len(),
            findings.len()
        ));
        self.list(findings);
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
        self.list(differences);
        Ok(())
    }

    /// Adds lines below the last detail.
    fn list(&mut self, lines: Vec<String>) {
        let indented = lines.into_iter().map(|line| format!("        {line}"));
        self.details.extend(indented);
    }
}

fn modules(tree: &Tree) -> Result<Modules, Problem> {
    Ok(Modules::read(&tree.lean().sources)?)
}

fn exit_code(success: bool) -> ExitCode {
    if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
