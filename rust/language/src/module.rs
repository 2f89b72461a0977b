//! The modules of one run: the root text and the modules it imports.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ast::{Ast, Import, Item, Path};
use crate::diagnostic::{Code, Diagnostic, Findings, closest};
use crate::parse::parse;
use crate::source::{FileId, SOURCE_LEN_MAX, Source, Sources, Span};

/// The most modules of one run. Together with [`SOURCES_LEN_MAX`] it bounds the memory of a run.
pub const MODULES_MAX: usize = 256;

/// The most bytes of all texts of one run together: a few texts of the maximum length, or many of
/// usual length.
pub const SOURCES_LEN_MAX: usize = 8 * SOURCE_LEN_MAX;

/// Finds the text of modules. This crate reads no files itself.
pub trait Loader {
    /// Returns the text of the module with that name, such as `lib.guest`, and the name that
    /// diagnostics use for the text.
    fn load(&self, module: &str) -> Result<Source, LoadError>;
}

/// Why a module cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// There is no such module. `looked` lists the places that were searched, for people; it may be
    /// empty.
    NotFound {
        /// The places.
        looked: Vec<String>,
    },
    /// It exists but cannot be read.
    Unreadable {
        /// The operating system's reason.
        reason: String,
    },
}

/// A loader without modules.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &str) -> Result<Source, LoadError> {
        Err(LoadError::NotFound { looked: Vec::new() })
    }
}

/// Loads texts by module name.
impl Loader for BTreeMap<String, String> {
    fn load(&self, module: &str) -> Result<Source, LoadError> {
        match self.get(module) {
            Some(text) => Ok(Source {
                name: Arc::from(module),
                text: Arc::from(text.as_str()),
            }),
            None => Err(LoadError::NotFound { looked: Vec::new() }),
        }
    }
}

/// The texts and syntax trees of one run. The first module is the root.
#[derive(Clone, Debug)]
pub struct Modules {
    pub(crate) sources: Sources,
    pub(crate) modules: Vec<Module>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A module of [`Modules`].
#[derive(Clone, Debug)]
pub(crate) struct Module {
    pub(crate) ast: Ast,
    /// The name that its `module` line declares.
    pub(crate) name: Option<String>,
    /// The imported modules, by the names they have in this module; `None` for one that could not
    /// be loaded.
    pub(crate) imports: BTreeMap<String, Option<usize>>,
}

impl Modules {
    /// Loads a text and everything it imports, each module once. Errors are in
    /// [`diagnostics`](Self::diagnostics).
    pub fn load(root: Source, loader: &dyn Loader) -> Modules {
        let mut loading = Loading::default();
        loading.add(root);
        while let Some((importer, import)) = loading.pending.pop_front() {
            loading.import(importer, &import, loader);
        }
        loading.report_cycles();
        Modules {
            sources: loading.sources,
            modules: loading.modules,
            diagnostics: loading.findings.into_sorted(),
        }
    }

    /// The texts, for rendering diagnostics.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// The syntax tree of the root text.
    pub fn root(&self) -> Option<&Ast> {
        self.modules.first().map(|module| &module.ast)
    }

    /// The errors in the texts and imports, in source order.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

/// Decodes a text that may not be UTF-8. On failure, returns a finding with the offset of the first
/// invalid byte and the text with replacement characters.
#[expect(
    clippy::result_large_err,
    reason = "created once per file and destructured at once"
)]
pub fn decode(name: &str, bytes: &[u8]) -> Result<Source, (Diagnostic, Source)> {
    let shown = bytes
        .get(..bytes.len().min(SOURCE_LEN_MAX))
        .unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Source {
            name: Arc::from(name),
            text: Arc::from(text),
        }),
        Err(error) => {
            let at = error.valid_up_to();
            let start = u32::try_from(at.min(shown.len())).unwrap_or(u32::MAX);
            let span = Span {
                file: FileId(0),
                start,
                end: start,
            };
            let message = format!("invalid UTF-8 at byte {at}");
            let text = String::from_utf8_lossy(shown);
            let source = Source {
                name: Arc::from(name),
                text: Arc::from(text.as_ref()),
            };
            Err((Diagnostic::new(Code::NotUtf8, span, message), source))
        }
    }
}

#[derive(Default)]
struct Loading {
    sources: Sources,
    modules: Vec<Module>,
    /// The loaded modules, by the name they are imported by.
    known: BTreeMap<String, Option<usize>>,
    pending: VecDeque<(usize, Import)>,
    bytes: usize,
    findings: Findings,
}

impl Loading {
    /// Adds a module and queues its imports.
    fn add(&mut self, source: Source) -> Option<usize> {
        let text = Arc::clone(&source.text);
        self.bytes = self.bytes.saturating_add(text.len());
        let file = self.sources.add(source)?;
        let parsed = parse(file, &text);
        self.findings.extend(parsed.diagnostics);
        let index = self.modules.len();
        let mut name = None;
        for item in &parsed.ast.items {
            match item {
                Item::Module(module) => {
                    name.get_or_insert_with(|| module.name.to_string());
                }
                Item::Import(import) => self.pending.push_back((index, import.clone())),
                Item::Foreign(_)
                | Item::Record(_)
                | Item::Enum(_)
                | Item::Effect(_)
                | Item::Protocol(_) => {}
            }
        }
        self.modules.push(Module {
            ast: parsed.ast,
            name,
            imports: BTreeMap::new(),
        });
        Some(index)
    }

    fn import(&mut self, importer: usize, import: &Import, loader: &dyn Loader) {
        let name = import.module.to_string();
        let index = match self.known.get(&name) {
            Some(index) => *index,
            None => {
                let index = self.fetch(&name, import, loader);
                self.known.insert(name.clone(), index);
                index
            }
        };
        let (here, span) = match &import.alias {
            Some(alias) => (alias.text.clone(), alias.at.0),
            None => (name, import.module.span()),
        };
        let Some(module) = self.modules.get_mut(importer) else {
            return;
        };
        match module.imports.entry(here) {
            Entry::Vacant(free) => {
                free.insert(index);
            }
            Entry::Occupied(taken) => {
                let message = format!("`{}` is already imported", taken.key());
                self.findings
                    .push(Diagnostic::new(Code::DuplicateImport, span, message));
            }
        }
    }

    fn fetch(&mut self, name: &str, import: &Import, loader: &dyn Loader) -> Option<usize> {
        let span = import.module.span();
        if self.modules.first().and_then(|root| root.name.as_deref()) == Some(name) {
            return Some(0);
        }
        if self.modules.len() >= MODULES_MAX || self.bytes > SOURCES_LEN_MAX {
            let message = format!(
                "one run loads at most {MODULES_MAX} modules and {SOURCES_LEN_MAX} bytes in total"
            );
            self.findings
                .push(Diagnostic::new(Code::TooManyModules, span, message));
            return None;
        }
        let message = format!("module `{name}` was not found");
        let finding = match loader.load(name) {
            Ok(source) => {
                let index = self.add(source)?;
                self.check_name(index, name, &import.module);
                return Some(index);
            }
            Err(LoadError::NotFound { looked }) => {
                let looked = looked.iter().map(|place| format!("searched at `{place}`"));
                let finding = Diagnostic::new(Code::ModuleNotFound, span, message);
                looked.fold(finding, Diagnostic::note)
            }
            Err(LoadError::Unreadable { reason }) => {
                let message = format!("module `{name}` cannot be read");
                Diagnostic::new(Code::ModuleNotFound, span, message).note(reason)
            }
        };
        self.findings.push(finding);
        None
    }

    /// Checks that a module's own name is the one it is imported by.
    fn check_name(&mut self, index: usize, name: &str, import: &Path) {
        let Some(own) = self
            .modules
            .get(index)
            .and_then(|module| module.name.clone())
        else {
            return;
        };
        if own != name {
            let message = format!("the module imported as `{name}` is named `{own}`");
            let mut finding = Diagnostic::new(Code::ModuleNameDiffers, import.span(), message);
            if closest(name, [own.as_str()]).is_some() {
                finding = finding.help(format!("write `import {own};`"));
            }
            self.findings.push(finding);
        }
    }

    /// Reports every import that leads back to its own module. Recurses at most as deep as there
    /// are modules.
    fn report_cycles(&mut self) {
        let mut done = BTreeSet::new();
        for index in 0..self.modules.len() {
            self.follow(index, &mut Vec::new(), &mut done);
        }
    }

    fn follow(&mut self, index: usize, path: &mut Vec<usize>, done: &mut BTreeSet<usize>) {
        if done.contains(&index) {
            return;
        }
        path.push(index);
        let Some(module) = self.modules.get(index) else {
            return;
        };
        let imports: Vec<(Import, Option<usize>)> = module
            .ast
            .items
            .iter()
            .filter_map(|item| {
                if let Item::Import(import) = item {
                    Some(import)
                } else {
                    None
                }
            })
            .map(|import| {
                let name = import.module.to_string();
                let root = self.modules.first().and_then(|root| root.name.as_deref());
                let to = if root == Some(&name) { Some(0) } else { None };
                (
                    import.clone(),
                    to.or(self.known.get(&name).copied().flatten()),
                )
            })
            .collect();
        for (import, to) in imports {
            let Some(to) = to else { continue };
            if path.contains(&to) {
                let name = &import.module;
                let message = format!("importing `{name}` forms a cycle");
                let span = name.span();
                self.findings
                    .push(Diagnostic::new(Code::ImportCycle, span, message));
            } else {
                self.follow(to, path, done);
            }
        }
        path.pop();
        done.insert(index);
    }
}
