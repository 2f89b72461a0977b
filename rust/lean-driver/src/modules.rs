//! The modules under `lean/`, their imports, and the order in which they can be built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::Problem;
use crate::source::{Source, tokens};

/// The directory of this project's modules, which is also the first part of their names.
const OURS: &str = "Runtime";

/// The first parts of the names of Lean's own modules, which may also be imported.
const CORE: [&str; 3] = ["Init", "Std", "Lean"];

/// Modules by name.
#[derive(Debug)]
pub struct Modules(BTreeMap<String, Module>);

/// A module.
#[derive(Debug)]
pub struct Module {
    /// The path below `lean/`, separated by `/`.
    pub file: String,
    /// The text of the file.
    pub text: String,
    /// The modules of this project that it imports.
    pub imports: BTreeSet<String>,
}

impl Modules {
    /// Reads every module below the directory of the sources.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read or an import does not exist.
    pub fn read(place: &Path) -> Result<Self, Problem> {
        let mut files = Vec::new();
        let top = place.join(OURS);
        if top.is_dir() {
            find(&top, &mut files)?;
        }
        let alone = top.with_extension("lean");
        if alone.is_file() {
            files.push(alone);
        }
        let mut texts = Vec::new();
        for path in files {
            let text = fs::read_to_string(&path).map_err(Problem::file(&path))?;
            let below = path.strip_prefix(place).unwrap_or(&path);
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy()).collect();
            texts.push((parts.join("/"), text));
        }
        Self::of(texts)
    }

    /// Modules of files, given by path below `lean/` and text. Fails if an import does not exist.
    fn of(texts: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut modules = BTreeMap::new();
        for (file, text) in texts {
            let name = module_name(&file);
            let imports = BTreeSet::new();
            modules.insert(
                name,
                Module {
                    file,
                    text,
                    imports,
                },
            );
        }
        let names: BTreeSet<String> = modules.keys().cloned().collect();
        for module in modules.values_mut() {
            module.imports = imports(&format!("lean/{}", module.file), &module.text, &names)?;
        }
        Ok(Self(modules))
    }

    /// The number of modules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the project has no modules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The modules with their names, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Module)> {
        self.0.iter().map(|(name, module)| (name.as_str(), module))
    }

    /// The module with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Module> {
        self.0.get(name)
    }

    /// The modules of this project that another file imports.
    pub(crate) fn imports_of(&self, file: &str, text: &str) -> Result<BTreeSet<String>, Problem> {
        imports(file, text, &self.0.keys().cloned().collect())
    }

    /// The name of the module that is given by name or path, with or without `lean/`.
    ///
    /// # Errors
    ///
    /// Fails if the module does not exist.
    pub fn named(&self, name: &str) -> Result<&str, Problem> {
        let path = name.strip_prefix("lean/").unwrap_or(name);
        let wanted = if path.ends_with(".lean") {
            module_name(path)
        } else {
            name.to_owned()
        };
        match self.0.get_key_value(&wanted) {
            Some((found, _)) => Ok(found),
            None => Err(Problem::NoModule {
                name: name.to_owned(),
            }),
        }
    }

    /// These modules and all their imports, each after its imports.
    ///
    /// # Errors
    ///
    /// Fails if a module does not exist or imports form a cycle.
    pub fn order(&self, wanted: &BTreeSet<String>) -> Result<Vec<&str>, Problem> {
        let mut order = Vec::new();
        let mut done = BTreeSet::new();
        for name in wanted {
            self.visit(name, &mut Vec::new(), &mut done, &mut order)?;
        }
        Ok(order)
    }

    /// Every module, each after its imports.
    ///
    /// # Errors
    ///
    /// Fails if imports form a cycle.
    pub fn order_of_all(&self) -> Result<Vec<&str>, Problem> {
        self.order(&self.0.keys().cloned().collect())
    }

    fn visit<'a>(
        &'a self,
        name: &str,
        path: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
        order: &mut Vec<&'a str>,
    ) -> Result<(), Problem> {
        let Some((name, module)) = self.0.get_key_value(name) else {
            return Err(Problem::NoModule {
                name: name.to_owned(),
            });
        };
        if done.contains(name.as_str()) {
            return Ok(());
        }
        if let Some(from) = path.iter().position(|seen| *seen == name.as_str()) {
            let cycle = path[from..].iter().copied().chain([name.as_str()]);
            let modules = cycle.map(str::to_owned).collect();
            return Err(Problem::Cycle { modules });
        }
        path.push(name);
        for import in &module.imports {
            self.visit(import, path, done, order)?;
        }
        path.pop();
        done.insert(name);
        order.push(name);
        Ok(())
    }
}

/// `Runtime/Model/Step.lean` is `Runtime.Model.Step`.
fn module_name(file: &str) -> String {
    file.trim_end_matches(".lean").replace('/', ".")
}

fn find(place: &Path, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    for entry in fs::read_dir(place).map_err(Problem::file(place))? {
        let path = entry.map_err(Problem::file(place))?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "lean")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// The modules among `names` that a file's header imports. The header's grammar: `module`?
/// `prelude`?, then any number of `public`? `meta`? `import` `all`? and a name.
fn imports(file: &str, text: &str, names: &BTreeSet<String>) -> Result<BTreeSet<String>, Problem> {
    let source = Source::read(text);
    let code = source.code();
    let tokens = tokens(&code);
    let mut found = BTreeSet::new();
    let mut rest = tokens.iter();
    while let Some(token) = rest.next() {
        match token.text {
            "module" | "prelude" | "public" | "meta" => continue,
            "import" => {}
            _ => break,
        }
        let name = rest.find(|token| token.text != "all");
        let Some(name) = name.filter(|name| name.is_word()) else {
            break;
        };
        let root = name.text.split('.').next().unwrap_or_default();
        if names.contains(name.text) {
            found.insert(name.text.to_owned());
        } else if !CORE.contains(&root) {
            return Err(Problem::Import {
                file: file.to_owned(),
                line: source.line(name.at),
                name: name.text.to_owned(),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Result<Modules, Problem> {
        let owned = |(file, text): &(&str, &str)| ((*file).to_owned(), (*text).to_owned());
        Modules::of(files.iter().map(owned).collect())
    }

    #[test]
    fn every_module_comes_after_its_imports() {
        let modules = modules(&[
            (
                "Runtime/A.lean",
                "module\npublic import Runtime.B.C -- x\nimport Init.Data\n",
            ),
            (
                "Runtime/B/C.lean",
                "module\n/- import Runtime.A -/\n@[expose] public section",
            ),
            (
                "Runtime/D.lean",
                "import all Runtime.A\nmeta import Runtime.B.C\ndef x := 1",
            ),
            ("Runtime/E.lean", "def x := 1\nimport Runtime.Nothing"),
        ])
        .expect("all imports exist");
        let order = modules.order_of_all().expect("no cycle");
        assert_eq!(
            order,
            ["Runtime.B.C", "Runtime.A", "Runtime.D", "Runtime.E"]
        );
        let wanted = BTreeSet::from(["Runtime.A".to_owned()]);
        assert_eq!(
            modules.order(&wanted).expect("no cycle"),
            ["Runtime.B.C", "Runtime.A"]
        );
        for name in ["Runtime.B.C", "Runtime/B/C.lean", "lean/Runtime/B/C.lean"] {
            assert_eq!(modules.named(name).expect("it exists"), "Runtime.B.C");
        }
        let error = modules.named("Runtime.X").expect_err("it does not exist");
        let message = error.to_string();
        assert_eq!(message, "there is no module `Runtime.X` under `lean/`");
    }

    #[test]
    fn an_import_that_does_not_exist_is_an_error_with_its_position() {
        let missing = modules(&[("Runtime/A.lean", "module\n\npublic import Runtime.X\n")]);
        let message = missing.expect_err("it does not exist").to_string();
        assert_eq!(
            message,
            "lean/Runtime/A.lean:3: imports `Runtime.X`, which does not exist"
        );
        let foreign = modules(&[("Runtime/A.lean", "import Mathlib.Order")]);
        assert!(matches!(foreign, Err(Problem::Import { line: 1, .. })));
    }

    #[test]
    fn a_cycle_is_an_error_that_lists_its_modules() {
        let modules = modules(&[
            ("Runtime/A.lean", "import Runtime.B"),
            ("Runtime/B.lean", "import Runtime.C"),
            ("Runtime/C.lean", "import Runtime.B"),
        ])
        .expect("all imports exist");
        let message = modules.order_of_all().expect_err("a cycle").to_string();
        assert_eq!(
            message,
            "modules import each other: Runtime.B, Runtime.C, Runtime.B"
        );
    }
}
