//! Rules for the structure of the workspace, checked on cargo's metadata. Each rule is a function
//! that returns a list of violations, and has a test in which it is violated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use antiphon_build_support::console::Console;

use crate::problem::Problem;
use crate::report::{Report, Tally};
use crate::tree::{Package, Tree};
use crate::width;

/// For each crate, the crates of the workspace it may depend on. A crate that is not listed is a
/// violation, so a new crate needs a line here first.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("antiphon-build-support", &[]),
    ("antiphon-mutants", &[]),
    ("antiphon-lean-driver", &["antiphon-build-support"]),
    ("antiphon-codec", &[]),
    ("antiphon-machine", &["antiphon-codec"]),
    ("antiphon-language", &["antiphon-codec", "antiphon-machine"]),
    ("antiphon-wire", &["antiphon-codec"]),
    ("antiphon-record", &["antiphon-codec", "antiphon-machine"]),
    (
        "antiphon-guest",
        &["antiphon-codec", "antiphon-machine", "antiphon-wire"],
    ),
    (
        "antiphon-bridge",
        &[
            "antiphon-codec",
            "antiphon-language",
            "antiphon-machine",
            "antiphon-record",
        ],
    ),
    (
        "antiphon",
        &[
            "antiphon-bridge",
            "antiphon-codec",
            "antiphon-guest",
            "antiphon-language",
            "antiphon-machine",
            "antiphon-record",
            "antiphon-wire",
        ],
    ),
    (
        "antiphon-wasm",
        &[
            "antiphon-bridge",
            "antiphon-codec",
            "antiphon-language",
            "antiphon-machine",
            "antiphon-record",
        ],
    ),
    ("xtask", &["antiphon-build-support", "antiphon-lean-driver"]),
];

/// For each crate, the crates that only its tests may also depend on. The two crates must be of the
/// same level: neither may link the other.
const TESTS_MAY_USE: [(&str, &[&str]); 2] = [
    // The bridge's tests keep the model's answers in the cache, and compare the frames of the guest
    // link with the model's. Its program for mutants activates them.
    (
        "antiphon-bridge",
        &[
            "antiphon-build-support",
            "antiphon-mutants",
            "antiphon-wire",
        ],
    ),
    // The guest's tests compile and run the protocols that it ships.
    ("antiphon-guest", &["antiphon-language"]),
];

/// The pure crates: their dependencies may not access a clock, randomness, input and output,
/// threads or the operating system.
const PURE: [&str; 4] = [
    "antiphon-codec",
    "antiphon-machine",
    "antiphon-language",
    "antiphon-wire",
];

/// Dependencies that a pure crate may not have, and what each gives access to.
const IMPURE: [(&str, &str); 14] = [
    ("async-std", "an executor"),
    ("chrono", "a clock"),
    ("crossbeam-channel", "threads"),
    ("fastrand", "randomness"),
    ("getrandom", "randomness"),
    ("jiff", "a clock"),
    ("mio", "input and output"),
    ("nix", "the operating system"),
    ("rand", "randomness"),
    ("rayon", "threads"),
    ("rustix", "the operating system"),
    ("tempfile", "files"),
    ("time", "a clock"),
    ("tokio", "an executor"),
];

/// The lines of the dependency table: each dependency with the crates listed as its users.
type Reasons = BTreeMap<String, BTreeSet<String>>;

/// Runs the rules as a lane in which each rule is one check.
pub(crate) fn lane(tree: &Tree, console: &mut Console) -> Report {
    console.begin("tidy", "structure of the workspace, width of lines");
    let checked = check(tree);
    console.finish();
    match checked {
        Ok((tally, details)) => {
            Report::of_tests("tidy", console.elapsed(), tally, Ok(())).with_details(details)
        }
        Err(problem) => Report::of_check("tidy", console.elapsed(), Err(problem)),
    }
}

fn check(tree: &Tree) -> Result<(Tally, Vec<String>), Problem> {
    let table = tree.root.join("docs/dependencies.md");
    let reasons = reasons(&fs::read_to_string(&table).map_err(Problem::file(&table))?);
    let mut manifests = Vec::new();
    for package in &tree.packages {
        let path = &package.manifest;
        let text = fs::read_to_string(path).map_err(Problem::file(path))?;
        manifests.push((package.name.as_str(), text));
    }
    let rules = [
        (
            "crates depend only on lower crates",
            direction(&tree.packages),
        ),
        (
            "every dependency is listed with a reason",
            dependency_reasons(&tree.packages, &reasons),
        ),
        ("pure crates link no impure crate", purity(tree)),
        ("every crate uses the workspace's lints", lints(&manifests)),
        (
            "every crate has the workspace's licence and edition",
            metadata(&tree.packages),
        ),
        (
            "lines have at most 100 columns",
            width::findings(&tree.root)?,
        ),
    ];
    let mut tally = Tally::default();
    let mut details = Vec::new();
    for (rule, findings) in rules {
        if findings.is_empty() {
            tally.passed += 1;
            details.push(format!("ok      {rule}"));
        } else {
            tally.failed += 1;
            details.push(format!("FAILED  {rule}"));
            details.extend(
                findings
                    .into_iter()
                    .map(|finding| format!("        {finding}")),
            );
        }
    }
    Ok((tally, details))
}

fn direction(packages: &[Package]) -> Vec<String> {
    let members: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut findings = Vec::new();
    for package in packages {
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == package.name) else {
            findings.push(format!(
                "`{}` is not listed in MAY_USE, which orders the crates",
                package.name
            ));
            continue;
        };
        let (_, in_tests) = *TESTS_MAY_USE
            .iter()
            .find(|(name, _)| *name == package.name)
            .unwrap_or(&("", &[]));
        for used in package
            .uses
            .iter()
            .filter(|used| members.contains(used.as_str()))
        {
            let tested = package.tests_use.contains(used) && in_tests.contains(&used.as_str());
            // A crate may be its own dev-dependency, to enable a feature for its tests.
            if used != &package.name && !allowed.contains(&used.as_str()) && !tested {
                findings.push(format!("`{}` may not depend on `{used}`", package.name));
            }
        }
    }
    findings
}

fn dependency_reasons(packages: &[Package], reasons: &Reasons) -> Vec<String> {
    let members: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut used: Reasons = BTreeMap::new();
    for package in packages {
        for dependency in package
            .uses
            .iter()
            .filter(|name| !members.contains(name.as_str()))
        {
            let user = package
                .name
                .strip_prefix("antiphon-")
                .unwrap_or(match &*package.name {
                    "antiphon" => "cli",
                    other => other,
                });
            used.entry(dependency.clone())
                .or_default()
                .insert(user.to_owned());
        }
    }
    let mut findings = Vec::new();
    for (dependency, users) in &used {
        let users_list = users
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(", ");
        match reasons.get(dependency) {
            None => findings.push(format!(
                "`{dependency}` (used by {users_list}) is not in docs/dependencies.md"
            )),
            Some(listed) if listed != users => {
                findings.push(format!(
                    "the users of `{dependency}` in docs/dependencies.md must be: {users_list}"
                ));
            }
            Some(_) => {}
        }
    }
    let unused = reasons.keys().filter(|name| !used.contains_key(*name));
    findings
        .extend(unused.map(|name| {
            format!("`{name}` is in docs/dependencies.md, but no crate depends on it")
        }));
    findings
}

/// Parses the table's rows: `` | `crate` | user, user | reason | ``.
fn reasons(text: &str) -> Reasons {
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
        let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let users = cells
            .next()?
            .split(',')
            .map(|user| user.trim().to_owned())
            .collect();
        cells.next().filter(|why| !why.is_empty())?;
        Some((name.to_owned(), users))
    });
    rows.collect()
}

fn purity(tree: &Tree) -> Vec<String> {
    let mut findings = Vec::new();
    for name in PURE {
        let linked = tree.closure(name);
        for (impure, brings) in IMPURE.iter().filter(|(impure, _)| linked.contains(*impure)) {
            findings.push(format!("`{name}` is pure, but links `{impure}` ({brings})"));
        }
    }
    findings
}

/// The workspace's lint table forbids unsafe code, but only in crates that inherit the table.
fn lints(manifests: &[(&str, String)]) -> Vec<String> {
    let inherits = |text: &str| {
        let mut lines = text
            .lines()
            .map(str::trim)
            .skip_while(|line| *line != "[lints]")
            .skip(1);
        lines.next() == Some("workspace = true")
    };
    let without = manifests.iter().filter(|(_, text)| !inherits(text));
    without
        .map(|(name, _)| format!("the manifest of `{name}` lacks `[lints] workspace = true`"))
        .collect()
}

fn metadata(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    for Package {
        name,
        license,
        edition,
        published,
        ..
    } in packages
    {
        if license != "MIT OR Apache-2.0" {
            findings.push(format!("`{name}` has the licence `{license}`"));
        }
        if edition != "2024" {
            findings.push(format!("`{name}` has the edition `{edition}`"));
        }
        if *published {
            findings.push(format!(
                "the manifest of `{name}` lacks `publish.workspace = true`"
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use antiphon_build_support::cache::Cache;

    use super::*;

    fn package(name: &str, uses: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            uses: uses.iter().map(|used| (*used).to_owned()).collect(),
            license: "MIT OR Apache-2.0".to_owned(),
            edition: "2024".to_owned(),
            ..Package::default()
        }
    }

    #[test]
    fn a_crate_that_depends_on_a_higher_one_is_found() {
        let codec = package("antiphon-codec", &["minicbor"]);
        let machine = package("antiphon-machine", &["antiphon-codec", "antiphon-machine"]);
        assert!(direction(&[codec.clone(), machine.clone()]).is_empty());

        let upward = package("antiphon-codec", &["antiphon-machine"]);
        assert_eq!(
            direction(&[upward, machine]),
            ["`antiphon-codec` may not depend on `antiphon-machine`"]
        );
        let language = package("antiphon-language", &[]);
        let mut guest = package("antiphon-guest", &["antiphon-language"]);
        let found = ["`antiphon-guest` may not depend on `antiphon-language`"];
        assert_eq!(direction(&[language.clone(), guest.clone()]), found);
        guest.tests_use = guest.uses.clone();
        assert!(direction(&[language, guest]).is_empty());

        assert_eq!(
            direction(&[codec, package("antiphon-cellar", &[])]),
            ["`antiphon-cellar` is not listed in MAY_USE, which orders the crates"]
        );
    }

    #[test]
    fn only_rows_with_a_name_and_a_reason_count() {
        let text = "\
| crate | used by | why this one |
| --- | --- | --- |
| `blake3` | codec, record | Fast |
| `mute` | codec | |
text | `other` | x |";
        let reasons = reasons(text);
        assert_eq!(reasons.len(), 1);
        assert_eq!(Vec::from_iter(&reasons["blake3"]), ["codec", "record"]);
    }

    #[test]
    fn missing_wrong_and_unused_lines_of_dependencies_are_found() {
        let packages = [
            package("antiphon-codec", &["blake3", "minicbor"]),
            package("antiphon", &["antiphon-codec", "blake3"]),
        ];
        let row = |users: &[&str]| users.iter().map(|user| (*user).to_owned()).collect();
        let right = BTreeMap::from([
            ("blake3".to_owned(), row(&["cli", "codec"])),
            ("minicbor".to_owned(), row(&["codec"])),
        ]);
        assert_eq!(dependency_reasons(&packages, &right), Vec::<String>::new());

        let wrong = BTreeMap::from([
            ("blake3".to_owned(), row(&["codec"])),
            ("rayon".to_owned(), row(&["codec"])),
        ]);
        assert_eq!(
            dependency_reasons(&packages, &wrong),
            [
                "the users of `blake3` in docs/dependencies.md must be: cli, codec",
                "`minicbor` (used by codec) is not in docs/dependencies.md",
                "`rayon` is in docs/dependencies.md, but no crate depends on it",
            ]
        );
    }

    #[test]
    fn an_indirect_impure_dependency_is_found() {
        let links = |chain: &[(&str, &str)]| {
            let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (from, to) in chain {
                links
                    .entry((*from).to_owned())
                    .or_default()
                    .insert((*to).to_owned());
            }
            Tree {
                root: PathBuf::new(),
                target: PathBuf::new(),
                cache: Cache::at(PathBuf::new(), 0, 0),
                kept: crate::parity::Kept::Nothing,
                packages: Vec::new(),
                links,
            }
        };
        let pure = links(&[
            ("antiphon-machine", "antiphon-codec"),
            ("antiphon-guest", "rustix"),
        ]);
        assert!(purity(&pure).is_empty());
        let impure = links(&[
            ("antiphon-machine", "antiphon-codec"),
            ("antiphon-codec", "shuffle"),
            ("shuffle", "getrandom"),
        ]);
        assert_eq!(
            purity(&impure),
            [
                "`antiphon-codec` is pure, but links `getrandom` (randomness)",
                "`antiphon-machine` is pure, but links `getrandom` (randomness)",
            ]
        );
    }

    #[test]
    fn a_crate_without_the_workspace_lints_is_found() {
        let with = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n".to_owned();
        let without = "[package]\nname = \"b\"\n[dependencies]\nworkspace = true\n".to_owned();
        let own = "[lints]\nrust.unsafe_code = \"allow\"\n".to_owned();
        assert_eq!(
            lints(&[("a", with), ("b", without), ("c", own)]),
            [
                "the manifest of `b` lacks `[lints] workspace = true`",
                "the manifest of `c` lacks `[lints] workspace = true`",
            ]
        );
    }

    #[test]
    fn a_crate_with_another_licence_or_edition_is_found() {
        assert!(metadata(&[package("a", &[])]).is_empty());
        let odd = Package {
            license: "GPL-3.0".to_owned(),
            edition: "2021".to_owned(),
            published: true,
            ..package("b", &[])
        };
        assert_eq!(
            metadata(&[odd]),
            [
                "`b` has the licence `GPL-3.0`",
                "`b` has the edition `2021`",
                "the manifest of `b` lacks `publish.workspace = true`",
            ]
        );
    }
}
