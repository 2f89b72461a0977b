//! The table of diagnostic codes, the only place that lists them.

/// Whether a diagnostic makes the text invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The text is not accepted.
    Error,
    /// The text is accepted, but part of it is probably a mistake.
    Warning,
}

/// The kind of rule that a code belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Parsing: bytes, tokens, grammar, modules.
    Syntax,
    /// Names: declarations and references.
    Names,
    /// Shape: how protocols may be structured.
    Shape,
    /// Projection of the protocol to each role.
    Projection,
    /// Safety of the projected automata.
    Safety,
    /// The bounds of images and the machine.
    Resources,
    /// Parts of the base language that are recognised but not supported.
    Unsupported,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $group:ident, $severity:ident,
        $meaning:literal, $fix:literal;)*) => {
        /// A stable diagnostic code. A number keeps its meaning once it is assigned, and the number
        /// of a retired code is not reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The code's number as shown to people, such as `AP0103`.
            pub const fn number(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// The code's group.
            pub const fn group(self) -> Group {
                match self { $(Code::$name => Group::$group,)* }
            }

            /// The code's severity.
            pub const fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// What the code means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }

            /// How to fix it, in a sentence.
            pub const fn fix(self) -> &'static str {
                match self { $(Code::$name => $fix,)* }
            }
        }
    };
}

codes! {
    SourceTooLong = "AP0001", Syntax, Error,
        "the text is longer than 1 MiB",
        "split it into modules and `import` them";
    NotUtf8 = "AP0002", Syntax, Error,
        "the text is not UTF-8",
        "save it as UTF-8";
    UnknownCharacter = "AP0003", Syntax, Error,
        "a character that no token starts with",
        "remove it, or move it into a comment or a string";
    OpenComment = "AP0004", Syntax, Error,
        "a comment is not closed",
        "close it with `*/` or `*)`; `(* *)` comments nest";
    OpenString = "AP0005", Syntax, Error,
        "a string is not closed on its line",
        "close it with `\"`";
    Unexpected = "AP0006", Syntax, Error,
        "a syntax error: something else was expected here",
        "write what the message expects";
    TooDeep = "AP0007", Syntax, Error,
        "blocks or sorts are nested more than 128 levels deep",
        "move the inner part to an `aux global protocol` and `do` it";
    TooManyErrors = "AP0008", Syntax, Error,
        "more than 100 errors: the rest are not reported",
        "fix the reported errors first";
    NumberRange = "AP0009", Syntax, Error,
        "a number is out of range, or a name is too long",
        "stay within the limit that the message gives";
    BadDuration = "AP0010", Syntax, Error,
        "a duration has no unit, is zero, or is longer than a year",
        "write a whole number and one of `ms`, `s`, `m`, `h`, such as `30s`";
    MisplacedModule = "AP0011", Syntax, Error,
        "a `module` line is not the first declaration of its file",
        "move it to the top, and keep only one";
    ModuleNotFound = "AP0012", Syntax, Error,
        "an imported module cannot be loaded",
        "check its name and the places that were searched";
    ImportCycle = "AP0013", Syntax, Error,
        "modules import each other in a cycle",
        "move what they share to a separate module";
    ModuleNameDiffers = "AP0014", Syntax, Error,
        "a module's name differs from the name it is imported by",
        "make the `module` line and the `import` agree";
    TooManyModules = "AP0015", Syntax, Error,
        "more than 256 modules, or more than 8 MiB of text in total",
        "import fewer modules";
    Unclosed = "AP0016", Syntax, Error,
        "a bracket is not closed",
        "close it where its block ends";

    DuplicateDeclaration = "AP0101", Names, Error,
        "two declarations of one kind have the same name",
        "rename one";
    UnknownProtocol = "AP0102", Names, Error,
        "no protocol has that name",
        "declare it, import its module, or correct the name";
    UnknownRole = "AP0103", Names, Error,
        "the protocol has no role with that name",
        "add it to the protocol's head, or correct the name";
    DuplicateRole = "AP0104", Names, Error,
        "a role is declared twice in one head",
        "rename one";
    UnknownSort = "AP0105", Names, Error,
        "no sort has that name",
        "declare it with `record`, `enum` or `type`, or correct the name";
    ImplicitSort = "AP0106", Names, Warning,
        "an undeclared sort in a file without `record` and `enum`: treated as opaque bytes",
        "declare it with `record`, `enum` or `type`";
    RecursiveSort = "AP0107", Names, Error,
        "a record contains itself",
        "break the cycle; the machine's values are finite";
    DuplicateMember = "AP0108", Names, Error,
        "two fields, variants or parameters have the same name",
        "rename one";
    UnknownRecursion = "AP0109", Names, Error,
        "`continue` names no enclosing `rec`",
        "correct the name, or move the statement into that `rec`";
    ShadowedRecursion = "AP0110", Names, Error,
        "a `rec` has the same name as an enclosing one",
        "rename the inner one";
    UnknownInterface = "AP0111", Names, Error,
        "no effect interface has that name",
        "declare it with `effect`, or correct the name";
    UnknownOperation = "AP0112", Names, Error,
        "the interface has no operation with that name",
        "declare it in the `effect`, or correct the name";
    UndeclaredUse = "AP0113", Names, Error,
        "a role calls an interface that the protocol's head does not grant it",
        "add `uses Interface at Role` to the head";
    DuplicateOperation = "AP0114", Names, Error,
        "an interface declares an operation twice",
        "rename one";
    DuplicateName = "AP0115", Names, Error,
        "a payload or `let` name is bound twice on one path",
        "rename one; to forward a value, write its name without a sort";
    NameNotKnownHere = "AP0116", Names, Error,
        "a bound name is used at a role that does not know it on every path",
        "send it to that role first";
    UnknownName = "AP0117", Names, Error,
        "no payload or `let` with that name is in scope",
        "bind it with a named payload or with `let`";
    UnknownElse = "AP0118", Names, Error,
        "`else` names a label that no sibling branch begins with",
        "name the first label of another branch of the same choice";
    UnknownModule = "AP0119", Names, Error,
        "a name is qualified with a module that is not imported",
        "import the module";
    DuplicateImport = "AP0120", Names, Error,
        "two imports have the same name",
        "rename one with `as`";
    DuplicateUse = "AP0121", Names, Warning,
        "`uses` grants a role the same interface twice",
        "remove one";
    ReservedSort = "AP0122", Names, Error,
        "a `record` or `enum` has the name of a built-in sort",
        "rename it";
    RoleCount = "AP0123", Names, Error,
        "`do` gives a protocol the wrong number of roles",
        "give one role for each role of the protocol";
    RoleTwice = "AP0124", Names, Error,
        "`do` gives a protocol the same role twice",
        "give a different role for each";
    ArgumentCount = "AP0125", Names, Error,
        "an operation is called with the wrong number of arguments",
        "give one argument for each parameter";
    ArgumentSort = "AP0126", Names, Error,
        "an argument's sort is not the parameter's",
        "use a name or a literal of the parameter's sort";
    CheckMismatch = "AP0127", Names, Error,
        "`check` is missing, or the operation is not declared with `check`",
        "write `check` before operations declared with `check`, and only there";
    NameOfOneOfSeveral = "AP0128", Names, Error,
        "one of several payloads is used by name, or is itself a bound name",
        "put the payloads into a `record` and name that";
    UseNotGranted = "AP0129", Names, Error,
        "`do` calls a protocol that uses an interface which the caller's head does not grant",
        "add `uses Interface at Role` to the head of the caller";
    TooManyRoles = "AP0130", Names, Error,
        "a protocol has more than 64 roles",
        "use fewer roles";
    ImplicitSignature = "AP0131", Names, Warning,
        "a message without parentheses that no `sig` declares: treated as a label without payload",
        "write `label()`, or declare the `sig`";
    SortTooDeep = "AP0132", Names, Error,
        "sorts are nested more than 16 levels deep",
        "flatten them; the machine's values have at most that depth";
    TooManyProtocols = "AP0133", Names, Error,
        "more than 4,096 protocols",
        "declare fewer protocols";
    ReservedInterface = "AP0134", Names, Error,
        "an `effect` is named `host`, which is the predefined interface to a role's host",
        "rename it";

    MessageToSelf = "AP0201", Shape, Error,
        "a role sends a message to itself",
        "name another receiver, or use a local action";
    ReceiverTwice = "AP0202", Shape, Error,
        "a message lists a receiver twice",
        "remove one";
    Unreachable = "AP0203", Shape, Error,
        "statements are unreachable",
        "remove them, or add a path that reaches them";
    Unguarded = "AP0204", Shape, Error,
        "a recursion repeats without a message",
        "put a message before the repetition";
    LoneBranch = "AP0205", Shape, Warning,
        "a choice has only one branch",
        "write the branch's statements without `choice`, or add a branch";
    EmptyBranch = "AP0206", Shape, Error,
        "a branch of a choice is empty",
        "begin it with a message from the choosing role, so that the others learn of the choice";
    BranchStart = "AP0207", Shape, Error,
        "a branch of a choice does not begin with a message from the choosing role",
        "begin it with such a message; only local actions of that role may come before it";
    BranchReceivers = "AP0208", Shape, Error,
        "branches of a choice begin with messages to different roles",
        "send the first message of every branch to the same role, and inform the others next";
    BranchLabels = "AP0209", Shape, Error,
        "two branches of a choice begin with the same label",
        "rename one, or move the common message before the choice";
    NotTail = "AP0210", Shape, Error,
        "a protocol calls itself with `do` while statements still follow",
        "make the recursive `do` the last statement, or use `rec` and `continue`";
    MisplacedElse = "AP0211", Shape, Error,
        "`else` is not at the head of a choice branch",
        "move the action to the start of a branch, before its first message, or drop the `else`";
    ElseItself = "AP0212", Shape, Error,
        "the `else` labels of a choice form a cycle",
        "let one branch of the cycle fail without `else`, or remove its action";
    ActionBeforeChoice = "AP0213", Shape, Error,
        "local actions come between the start of a branch and a choice in it",
        "move the actions into the branches of the inner choice";
    UnusedRole = "AP0214", Shape, Warning,
        "a role takes no part in the protocol",
        "remove it from the head, or give it a message";
    UnusedRecursion = "AP0215", Shape, Warning,
        "no `continue` refers to this `rec`",
        "remove the `rec`, or `continue` it";
    UnusedProtocol = "AP0216", Shape, Warning,
        "no protocol of the file uses this `aux` protocol",
        "remove it, or drop the `aux`";
    TooLarge = "AP0217", Shape, Error,
        "a protocol has more than 65,536 steps after inlining",
        "make it smaller";
    TooDeepInlined = "AP0218", Shape, Error,
        "`do` and blocks are nested more than 256 levels deep after inlining",
        "use fewer nested calls";
    UnusedUse = "AP0219", Shape, Warning,
        "`uses` grants a role an interface that it never calls",
        "remove it";

    EndsOrGoesOn = "AP0301", Projection, Error,
        "a role does not learn whether it is done",
        "send it a message in every branch, or in none";
    SendsOrReceives = "AP0302", Projection, Error,
        "a role does not learn whether to send or to receive",
        "send it a message about the choice before it has to send";
    DifferentSenders = "AP0303", Projection, Error,
        "a role does not learn from which role to receive",
        "inform it of the choice through one role first";
    DifferentReceivers = "AP0304", Projection, Error,
        "a role does not learn to which role to send",
        "send it a message about the choice before it has to send";
    DifferentLabels = "AP0305", Projection, Error,
        "a role does not learn which messages it may send",
        "send it a message about the choice, or let it send the same labels in both branches";
    DifferentSorts = "AP0306", Projection, Error,
        "a label has payloads of different sorts where a role cannot tell the messages apart",
        "give one of the messages another label";
    DifferentPayloads = "AP0307", Projection, Error,
        "a role does not learn which value to send",
        "send it a message about the choice before it has to send";
    DifferentActions = "AP0308", Projection, Error,
        "a role does not learn which local actions to perform",
        "send it a message about the choice before it has to act";
    ActsForever = "AP0309", Projection, Error,
        "a role repeats local actions while only other roles communicate",
        "send it a message in each iteration, or move its actions out of the recursion";
    ProjectionTooLarge = "AP0310", Projection, Error,
        "a role's local automaton has more than 65,536 states",
        "make the protocol smaller";

    ReceptionError = "AP0401", Safety, Error,
        "a role can receive a message that it does not expect",
        "inform it of the choice first";
    Deadlock = "AP0402", Safety, Error,
        "a deadlock: the roles can end up waiting for each other",
        "follow the trace and let one of the roles continue";
    OrphanMessage = "AP0403", Safety, Error,
        "a message can remain unread at a role that is done",
        "let the role receive it";
    NoProgress = "AP0404", Safety, Error,
        "a role that is not done can reach a point after which it never acts again",
        "let the other roles finish, or let them communicate with it in every recursion";
    NeverReceived = "AP0405", Safety, Error,
        "a message can remain unread forever",
        "let its receiver read from its sender in every recursion";
    Uncertified = "AP0406", Safety, Warning,
        "too many states to explore: safety is not certified",
        "raise the exploration budget, or split the protocol";

    OutOfRegisters = "AP0501", Resources, Error,
        "a role has to keep more values at once than the machine has registers",
        "use names closer to where they are bound, or put several into a `record`";
    TableTooLong = "AP0502", Resources, Error,
        "more labels, sorts or operations than an image holds",
        "split the protocol";
    TooManyBranches = "AP0503", Resources, Error,
        "a role chooses or receives among more labels than an image holds",
        "choose in two steps";
    CodeTooLong = "AP0504", Resources, Error,
        "a role's program is longer than an image holds",
        "split the protocol";
    SortTooLarge = "AP0505", Resources, Error,
        "a sort has more fields, variants or levels than the machine supports",
        "split it";
    UnsupportedPar = "AP0901", Unsupported, Error,
        "`par` is not supported",
        "write the parts in sequence; roles that are not in the first start the second at once";
    UnsupportedConnection = "AP0902", Unsupported, Error,
        "explicit connections are not supported",
        "remove the connection; every role is connected from the start";
    UnsupportedRefinement = "AP0903", Unsupported, Error,
        "refinements and assertions are not supported",
        "remove the condition, or check it with an operation of an `effect`";
    UnsupportedNested = "AP0904", Unsupported, Error,
        "nested protocols are not supported",
        "declare the protocol separately and `do` it";
    UnsupportedDelegation = "AP0905", Unsupported, Error,
        "sending an endpoint is not supported",
        "keep the endpoint at the role that holds it";
    UnsupportedParameter = "AP0906", Unsupported, Error,
        "protocols with type or signature parameters are not supported",
        "write the type in place, or declare one protocol for each";
    UnsupportedLocal = "AP0907", Unsupported, Error,
        "local protocols are not accepted: they are projected from global ones",
        "declare the global protocol";
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.number())
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Group, Severity};

    /// The hundreds of a number identify the group.
    #[test]
    fn numbers_ascend_and_name_their_group() {
        let mut last = "";
        for code in Code::ALL {
            assert!(last < code.number(), "{last} before {code}");
            last = code.number();
            let hundreds = match code.group() {
                Group::Syntax => "AP00",
                Group::Names => "AP01",
                Group::Shape => "AP02",
                Group::Projection => "AP03",
                Group::Safety => "AP04",
                Group::Resources => "AP05",
                Group::Unsupported => "AP09",
            };
            assert!(code.number().starts_with(hundreds), "{code}");
            assert!(matches!(
                code.severity(),
                Severity::Error | Severity::Warning
            ));
        }
    }
}
