//! The checkout: its directories, and what cargo knows about its packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use antiphon_build_support::cache::Cache;
use antiphon_build_support::{self as support, process};
use antiphon_lean_driver::Project;
use serde_json::Value;

use crate::parity::Kept;
use crate::problem::Problem;

/// A checkout.
pub(crate) struct Tree {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) cache: Cache,
    /// The answers of the model that this run takes from the cache.
    pub(crate) kept: Kept,
    pub(crate) packages: Vec<Package>,
    /// For every package of the dependency graph, the packages it links (normal dependencies only).
    pub(crate) links: BTreeMap<String, BTreeSet<String>>,
}

/// A member of the workspace.
#[derive(Clone, Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest: PathBuf,
    pub(crate) license: String,
    pub(crate) edition: String,
    /// Whether the package may be published to a registry.
    pub(crate) published: bool,
    /// Direct dependencies of every kind: normal, build and dev.
    pub(crate) uses: BTreeSet<String>,
    /// The dependencies that only its tests, benches and examples use.
    pub(crate) tests_use: BTreeSet<String>,
    /// The names of its integration test targets.
    pub(crate) tests: BTreeSet<String>,
}

impl Tree {
    /// Asks cargo about the workspace this program was built from.
    pub(crate) fn locate() -> Result<Self, Problem> {
        // `cargo run` sets the variable; the built-in value is for a binary started by hand.
        let here = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let mut command = cargo_at(&here, "metadata");
        command.args(["--format-version", "1"]);
        let text = process::output(&mut command)?;
        let unreadable = || support::Problem::Output {
            command: "cargo metadata",
            expected: "its JSON, version 1",
        };
        let json: Value = serde_json::from_str(&text).map_err(|_| unreadable())?;
        let target = json["target_directory"].as_str().map(PathBuf::from);
        let target = target.ok_or_else(unreadable)?;
        let cache = Cache::locate(&target.join("cache"))?;
        Ok(Self::read(&json, target, cache).ok_or_else(unreadable)?)
    }

    /// Reads the output of `cargo metadata`.
    fn read(json: &Value, target: PathBuf, cache: Cache) -> Option<Self> {
        let members: BTreeSet<&str> = json["workspace_members"]
            .as_array()?
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let mut names = BTreeMap::new();
        let mut packages = Vec::new();
        // Optional dependencies do not count here: they belong to the crate that enables them.
        let mut optional = BTreeSet::new();
        for package in json["packages"].as_array()? {
            let id = package["id"].as_str()?;
            names.insert(id, package["name"].as_str()?.to_owned());
            if members.contains(id) {
                let rows = package["dependencies"].as_array()?.iter();
                let added = rows.filter(|row| row["optional"] == true);
                optional.extend(added.filter_map(|row| Some((id, row["name"].as_str()?))));
                packages.push(Package::read(package)?);
            }
        }
        let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in json["resolve"]["nodes"].as_array()? {
            let linked = links
                .entry(names.get(node["id"].as_str()?)?.clone())
                .or_default();
            for dependency in node["deps"].as_array()? {
                let kinds = dependency["dep_kinds"].as_array()?;
                let name = names.get(dependency["pkg"].as_str()?)?;
                let is_left_out = optional.contains(&(node["id"].as_str()?, name.as_str()));
                if kinds.iter().any(|kind| kind["kind"].is_null()) && !is_left_out {
                    linked.insert(name.clone());
                }
            }
        }
        Some(Self {
            root: PathBuf::from(json["workspace_root"].as_str()?),
            target,
            cache,
            kept: Kept::Nothing,
            packages,
            links,
        })
    }

    /// `cargo NAME` in the root directory, with the cargo that started this program.
    pub(crate) fn cargo(&self, name: &str) -> Command {
        cargo_at(&self.root, name)
    }

    /// The Lean project in `lean/`.
    pub(crate) fn lean(&self) -> Project {
        Project {
            sources: self.root.join("lean"),
            output: self.target.join("lean"),
            logs: self.target.join("xtask"),
            cache: self.cache.clone(),
        }
    }

    /// Every package that `name` links, directly or indirectly, without `name` itself.
    pub(crate) fn closure(&self, name: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open = vec![name.to_owned()];
        while let Some(next) = open.pop() {
            for linked in self.links.get(&next).into_iter().flatten() {
                if found.insert(linked.clone()) {
                    open.push(linked.clone());
                }
            }
        }
        found
    }
}

impl Package {
    fn read(json: &Value) -> Option<Self> {
        let dependencies = json["dependencies"].as_array()?;
        let named = |accept: &dyn Fn(&Value) -> bool| -> BTreeSet<String> {
            let rows = dependencies.iter().filter(|row| accept(row));
            rows.filter_map(|row| row["name"].as_str())
                .map(str::to_owned)
                .collect()
        };
        let linked = named(&|row| row["kind"] != "dev");
        let targets = json["targets"].as_array()?.iter();
        let tests = targets.filter(|target| target["kind"][0] == "test");
        let tests = tests.filter_map(|test| test["name"].as_str().map(str::to_owned));
        let uses = named(&|_| true);
        Some(Self {
            name: json["name"].as_str()?.to_owned(),
            manifest: PathBuf::from(json["manifest_path"].as_str()?),
            license: json["license"].as_str().unwrap_or_default().to_owned(),
            edition: json["edition"].as_str()?.to_owned(),
            // `publish = false` is an empty list of registries; an absent `publish` is null.
            published: json["publish"]
                .as_array()
                .is_none_or(|list| !list.is_empty()),
            tests_use: uses.difference(&linked).cloned().collect(),
            tests: tests.collect(),
            uses,
        })
    }
}

/// `cargo NAME` in a directory, with the cargo that started this program.
pub(crate) fn cargo_at(place: &Path, name: &str) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(place).arg(name);
    // `cargo run` describes this program in these variables; its children must not see them.
    for (key, _) in std::env::vars_os() {
        let describes_this_program = key
            .to_str()
            .is_some_and(|key| key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_"));
        if describes_this_program {
            command.env_remove(key);
        }
    }
    command
}
