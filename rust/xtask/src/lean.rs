//! The Lean model: builds and runs its modules, and checks that nothing unproved passes as proved.
//! The crate `antiphon-lean-driver` does the building and running.
//!
//! All output is in `target/lean`: `out/` (built modules), `lane` (a description of the Lean that
//! was found), and `run`, the script with which tests and tools run a module.

mod audit;
mod environment;
mod inventory;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use antiphon_build_support::cache::Check;
use antiphon_build_support::console::Console;
use antiphon_lean_driver::{self as driver, Lean, Module, Modules};

use crate::lean::environment::Environment;
use crate::lean::inventory::{Differences, Inventory, proofs};
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

/// Searches all modules for refused words, builds them, checks the axioms and names of the built
/// proofs, and compares their statements with the list of theorems.
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

/// Builds all modules and writes the list of theorems.
pub(crate) fn write_inventory(tree: &Tree) -> Result<ExitCode, Problem> {
    let Some((inventory, findings)) = built_inventory(tree)? else {
        return Ok(ExitCode::FAILURE);
    };
    findings.iter().for_each(|finding| println!("{finding}"));
    inventory.write(tree)?;
    println!("{} theorems in lean/{}", inventory.len(), inventory::FILE);
    Ok(exit_code(findings.is_empty()))
}

/// Builds all modules and compares the list of theorems with them.
pub(crate) fn check_inventory(tree: &Tree) -> Result<ExitCode, Problem> {
    let Some((inventory, findings)) = built_inventory(tree)? else {
        return Ok(ExitCode::FAILURE);
    };
    let Differences { failures, notes } = inventory.differences(tree)?;
    let lines = notes.iter().chain(&findings).chain(&failures);
    lines.for_each(|line| println!("{line}"));
    let failed = findings.len() + failures.len();
    println!("{} theorems, {failed} differences", inventory.len());
    Ok(exit_code(failed == 0))
}

/// The list of the built proofs, and findings; `None` if a module cannot be built.
fn built_inventory(tree: &Tree) -> Result<Option<(Inventory, Vec<String>)>, Problem> {
    let mut console = Console::stdout();
    console.begin("lean", "the Lean model and its proofs");
    let modules = modules(tree)?;
    let order = modules.order_of_all()?;
    let lean = find(tree, &mut console)?;
    let project = tree.lean();
    let built = driver::build(&project, &lean, &modules, &order, false, &mut console)?;
    let environment = built
        .is_complete()
        .then(|| environment::read(tree, &modules, &mut console))
        .transpose()?;
    console.finish();
    Ok(environment.map(|environment| {
        let (inventory, mut findings) =
            Inventory::of(proofs(&modules), &environment, lean.version());
        findings.extend(environment.findings);
        (inventory, findings)
    }))
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
            console.note("reading the proofs back".to_owned());
            let environment = environment::read(tree, &modules, console)?;
            let (inventory, findings) =
                Inventory::of(proofs(&modules), &environment, lean.version());
            self.check_declarations(environment, findings);
            self.compare_inventory(tree, &inventory)?;
        }
        Ok(())
    }

    fn check_declarations(&mut self, environment: Environment, further: Vec<String>) {
        let Environment {
            checked,
            table,
            findings,
            ..
        } = environment;
        self.tally.passed += 1;
        self.tally.failed += count(findings.len() + further.len());
        self.details.push(format!(
            "{checked} checked: {} depend on other axioms, hide a name, are not declared as such, \
             or are missing in the table of headlines",
            findings.len() + further.len()
        ));
        self.details.push(table);
        self.list(findings);
        self.list(further);
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

    fn compare_inventory(&mut self, tree: &Tree, inventory: &Inventory) -> Result<(), Problem> {
        let Differences { failures, notes } = inventory.differences(tree)?;
        self.tally.failed += count(failures.len());
        self.tally.passed += count(inventory.len());
        self.details.push(format!(
            "{} theorems listed: {} differences",
            inventory.len(),
            failures.len()
        ));
        self.list(notes);
        self.list(failures);
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
