//! The table of diagnostic codes: the one place that lists them.

/// Whether a diagnostic stops the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The text is not accepted.
    Error,
    /// The text is accepted, but something in it is probably not meant.
    Warning,
}

/// A group of codes: what kind of rule they are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// Reading: bytes, tokens, grammar, modules.
    Syntax,
    /// Names: what is declared, what is referred to, how often.
    Names,
    /// Shape: what a protocol may look like.
    Shape,
    /// Projection to each role.
    Projection,
    /// Safety of the projected automata.
    Safety,
    /// The machine's bounds.
    Resources,
    /// Parts of the base language that are read but not supported.
    Unsupported,
}

macro_rules! codes {
    ($($name:ident = $number:literal, $group:ident, $severity:ident,
        $meaning:literal, $mending:literal;)*) => {
        /// A stable diagnostic code. A number, once given, keeps its meaning; a code that goes out
        /// of use is not given again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// Every code, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The code as people see it, such as `AP0103`.
            pub const fn number(self) -> &'static str {
                match self { $(Code::$name => $number,)* }
            }

            /// The group it belongs to.
            pub const fn group(self) -> Group {
                match self { $(Code::$name => Group::$group,)* }
            }

            /// Whether it stops the work.
            pub const fn severity(self) -> Severity {
                match self { $(Code::$name => Severity::$severity,)* }
            }

            /// What it means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }

            /// How to mend it, in a sentence.
            pub const fn mending(self) -> &'static str {
                match self { $(Code::$name => $mending,)* }
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
        "a character that no part of the language begins with",
        "remove it, or put it into a comment or a string";
    OpenComment = "AP0004", Syntax, Error,
        "a comment that does not end",
        "close it with `*/` or `*)`; `(* *)` comments nest";
    OpenString = "AP0005", Syntax, Error,
        "a string that does not end on its line",
        "close it with `\"`";
    Unexpected = "AP0006", Syntax, Error,
        "something else was expected here",
        "write what the message says is expected";
    TooDeep = "AP0007", Syntax, Error,
        "blocks or sorts are nested more than 128 deep",
        "move the inner part to an `aux global protocol` and `do` it";
    TooManyErrors = "AP0008", Syntax, Error,
        "more than 100 errors: the rest of the text is not looked at",
        "mend the first ones";
    NumberRange = "AP0009", Syntax, Error,
        "a number that does not fit its place",
        "use a number within the range that the message gives";
    BadDuration = "AP0010", Syntax, Error,
        "a duration without a unit, of zero, or of more than a year",
        "write a whole number and one of `ms`, `s`, `m`, `h`, such as `30s`";
    MisplacedModule = "AP0011", Syntax, Error,
        "a `module` line that is not the first declaration of its file",
        "move it to the top, and keep only one";
    ModuleNotFound = "AP0012", Syntax, Error,
        "a module that is imported cannot be had",
        "check its name and where it is looked for";
    ImportCycle = "AP0013", Syntax, Error,
        "modules import each other in a circle",
        "move what they share to a module of its own";
    ModuleNameDiffers = "AP0014", Syntax, Error,
        "a module calls itself otherwise than it is imported",
        "make the `module` line and the `import` agree";
    TooManyModules = "AP0015", Syntax, Error,
        "more than 256 modules",
        "import fewer";
    Unclosed = "AP0016", Syntax, Error,
        "a bracket that is not closed",
        "close it where its block ends";

    DuplicateDeclaration = "AP0101", Names, Error,
        "two declarations of one kind have the same name",
        "rename one";
    UnknownProtocol = "AP0102", Names, Error,
        "no protocol of that name",
        "declare it, import its module, or correct the name";
    UnknownRole = "AP0103", Names, Error,
        "no role of that name in this protocol",
        "add it to the protocol's head, or correct the name";
    DuplicateRole = "AP0104", Names, Error,
        "a role is declared twice in one head",
        "rename one";
    UnknownSort = "AP0105", Names, Error,
        "no sort of that name",
        "declare it with `record`, `enum` or `type`, or correct the name";
    ImplicitSort = "AP0106", Names, Warning,
        "an undeclared sort, in a file without `record` and `enum`: taken as opaque bytes",
        "declare it with `record`, `enum` or `type`";
    RecursiveSort = "AP0107", Names, Error,
        "a record contains itself",
        "break the circle; values of the machine are finite";
    DuplicateMember = "AP0108", Names, Error,
        "two fields, variants or parameters have the same name",
        "rename one";
    UnknownRecursion = "AP0109", Names, Error,
        "`continue` names no enclosing `rec`",
        "correct the name, or put the statement inside that `rec`";
    ShadowedRecursion = "AP0110", Names, Error,
        "a `rec` has the name of one that encloses it",
        "rename the inner one";
    UnknownInterface = "AP0111", Names, Error,
        "no effect interface of that name",
        "declare it with `effect`, or correct the name";
    UnknownOperation = "AP0112", Names, Error,
        "the interface has no operation of that name",
        "declare it in the `effect`, or correct the name";
    UndeclaredUse = "AP0113", Names, Error,
        "a role calls an interface that the protocol's head does not give it",
        "add `uses Interface at Role` to the head";
    DuplicateOperation = "AP0114", Names, Error,
        "an interface declares an operation twice",
        "rename one";
    DuplicateName = "AP0115", Names, Error,
        "a payload or `let` name is bound twice on one path",
        "rename one; to send a value on, write its name without a sort";
    NameNotKnownHere = "AP0116", Names, Error,
        "a bound name is used at a role that does not know it on every path to here",
        "send it to that role first";
    UnknownName = "AP0117", Names, Error,
        "no payload or `let` of that name is in scope",
        "bind it with a named payload or with `let`";
    UnknownElse = "AP0118", Names, Error,
        "`else` names no label that a sibling branch begins with",
        "name the first label of another branch of the same choice";
    UnknownModule = "AP0119", Names, Error,
        "a name is qualified with a module that is not imported",
        "import it";
    DuplicateImport = "AP0120", Names, Error,
        "two imports have the same name",
        "give one another name with `as`";
    DuplicateUse = "AP0121", Names, Warning,
        "`uses` gives a role the same interface twice",
        "remove one";
    ReservedSort = "AP0122", Names, Error,
        "a `record` or `enum` has the name of a built-in sort",
        "rename it";
    RoleCount = "AP0123", Names, Error,
        "`do` gives a protocol more or fewer roles than it has",
        "give it one role for each of its own";
    RoleTwice = "AP0124", Names, Error,
        "`do` gives a protocol the same role twice",
        "give each of its roles another one";
    ArgumentCount = "AP0125", Names, Error,
        "an operation is called with more or fewer arguments than it has",
        "give it one argument for each of its own";
    ArgumentSort = "AP0126", Names, Error,
        "an argument is not of the operation's sort",
        "give it a name or a literal of that sort";
    CheckMismatch = "AP0127", Names, Error,
        "`check` before an operation that is not one, or a `check` operation without it",
        "write `check` before operations declared with `check`, and only there";
    NameOfOneOfSeveral = "AP0128", Names, Error,
        "one of several payloads is used by its name, or is itself a bound name",
        "put the payloads into a `record` and name that";
    UseNotGranted = "AP0129", Names, Error,
        "`do` a protocol that uses an interface at a role which the caller's head does not give it",
        "add `uses Interface at Role` to the head of the caller";
    TooManyRoles = "AP0130", Names, Error,
        "a protocol has more than 64 roles",
        "use fewer";
    ImplicitSignature = "AP0131", Names, Warning,
        "a message without parentheses that no `sig` declares: a label without payload",
        "write `label()`, or declare the `sig`";
    SortTooDeep = "AP0132", Names, Error,
        "sorts are nested more than 16 deep",
        "flatten them: values of the machine are at most that deep";
    TooManyProtocols = "AP0133", Names, Error,
        "more than 4,096 protocols",
        "declare fewer";
    ReservedInterface = "AP0134", Names, Error,
        "an `effect` is called `host`, as the interface that payloads and choices are asked from",
        "rename it";

    MessageToSelf = "AP0201", Shape, Error,
        "a role sends a message to itself",
        "name another receiver, or use a local action";
    ReceiverTwice = "AP0202", Shape, Error,
        "a message names a receiver twice",
        "remove one";
    Unreachable = "AP0203", Shape, Error,
        "statements that can never be reached",
        "remove them, or let a path come to them";
    Unguarded = "AP0204", Shape, Error,
        "a recursion comes back to its start without a message",
        "put a message before it comes back";
    LoneBranch = "AP0205", Shape, Warning,
        "a choice with one branch is no choice",
        "write the branch's statements without `choice`, or add a branch";
    EmptyBranch = "AP0206", Shape, Error,
        "a branch of a choice is empty",
        "begin it with a message from the choosing role, so that the others learn of the choice";
    BranchStart = "AP0207", Shape, Error,
        "a branch of a choice does not begin with a message from the choosing role",
        "begin it with such a message, after local actions of that role at most";
    BranchReceivers = "AP0208", Shape, Error,
        "branches of a choice begin with messages to different roles",
        "let the first message of every branch go to the same role, and tell the others next";
    BranchLabels = "AP0209", Shape, Error,
        "two branches of a choice begin with the same label",
        "rename one, or move the common message before the choice";
    NotTail = "AP0210", Shape, Error,
        "a protocol comes back to itself by `do` while something is still to follow",
        "let nothing follow the inner `do`, or use `rec` and `continue`";
    MisplacedElse = "AP0211", Shape, Error,
        "`else` away from the head of a choice branch",
        "move the action to the start of a branch, before its first message, or drop the `else`";
    ElseItself = "AP0212", Shape, Error,
        "failures of branches lead back to where they came from",
        "let one branch of the circle fail without `else`, or take out its action";
    ActionBeforeChoice = "AP0213", Shape, Error,
        "local actions between the head of a branch and a choice in it",
        "move the actions into the branches of the inner choice";
    UnusedRole = "AP0214", Shape, Warning,
        "a role takes no part",
        "remove it from the head, or give it a message";
    UnusedRecursion = "AP0215", Shape, Warning,
        "no `continue` comes back to this `rec`",
        "remove the `rec`, or `continue` it";
    UnusedProtocol = "AP0216", Shape, Warning,
        "no protocol of the file does this `aux` protocol",
        "remove it, or drop the `aux`";
    TooLarge = "AP0217", Shape, Error,
        "a protocol has more than 65,536 steps after inlining",
        "make it smaller";
    TooDeepInlined = "AP0218", Shape, Error,
        "`do` and blocks are nested more than 256 deep after inlining",
        "let fewer protocols do each other";
    UnusedUse = "AP0219", Shape, Warning,
        "`uses` gives a role an interface that it never calls",
        "remove it";

    EndsOrGoesOn = "AP0301", Projection, Error,
        "a role does not learn whether it is done",
        "send it a message in every branch, or in none";
    SendsOrReceives = "AP0302", Projection, Error,
        "a role does not learn whether it is to send or to receive",
        "send it a message that tells it before it has to send";
    DifferentSenders = "AP0303", Projection, Error,
        "a role does not learn from whom it is to receive",
        "let it hear of the choice from one role first";
    DifferentReceivers = "AP0304", Projection, Error,
        "a role does not learn to whom it is to send",
        "send it a message that tells it before it has to send";
    DifferentLabels = "AP0305", Projection, Error,
        "a role does not learn which messages it may send",
        "send it a message that tells it, or let it send the same in both branches";
    DifferentSorts = "AP0306", Projection, Error,
        "one label has payloads of different sorts where a role cannot tell which it is",
        "give one of the messages another label";
    DifferentPayloads = "AP0307", Projection, Error,
        "a role does not learn which value it is to send",
        "send it a message that tells it before it has to send";
    DifferentActions = "AP0308", Projection, Error,
        "a role does not learn which local actions it is to perform",
        "send it a message that tells it before it has to act";
    ActsForever = "AP0309", Projection, Error,
        "a role performs local actions over and over while only others talk",
        "send it a message in each round, or move its actions out of the recursion";
    ProjectionTooLarge = "AP0310", Projection, Error,
        "a role's local automaton has more than 65,536 states",
        "make the protocol smaller";

    ReceptionError = "AP0401", Safety, Error,
        "a role can be handed a message that it cannot take",
        "let it hear of the choice before";
    Deadlock = "AP0402", Safety, Error,
        "all roles can come to wait for each other",
        "follow the trace and let one of the roles go on";
    OrphanMessage = "AP0403", Safety, Error,
        "a message can be left over at a role that is done",
        "let the role receive it";
    NoProgress = "AP0404", Safety, Error,
        "a role that is not done can come to a point after which it never has its turn again",
        "let the others come to an end or turn to it in every recursion";
    NeverReceived = "AP0405", Safety, Error,
        "a message can come to wait for ever",
        "let its receiver turn to its sender in every recursion";
    Uncertified = "AP0406", Safety, Warning,
        "too many states to explore: safety is not certified",
        "raise the budget of the exploration, or split the protocol";

    OutOfRegisters = "AP0501", Resources, Error,
        "a role has to keep more values at once than the machine has registers",
        "use names nearer to where they are bound, or put several into a `record`";
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
        "a sort has more fields or variants, or is deeper, than the machine's sorts",
        "split it";
    UnsupportedPar = "AP0901", Unsupported, Error,
        "`par` is not supported",
        "write the parts one after the other: roles that take no part in one begin the next";
    UnsupportedConnection = "AP0902", Unsupported, Error,
        "explicit connections are not supported",
        "every role is there from the start: leave the connection out";
    UnsupportedRefinement = "AP0903", Unsupported, Error,
        "refinements and assertions are not supported",
        "leave the condition out, or check it with an operation of an `effect`";
    UnsupportedNested = "AP0904", Unsupported, Error,
        "nested protocols are not supported",
        "declare the protocol on its own and `do` it";
    UnsupportedDelegation = "AP0905", Unsupported, Error,
        "sending an endpoint is not supported",
        "let the role stay with its holder";
    UnsupportedParameter = "AP0906", Unsupported, Error,
        "protocols with type or signature parameters are not supported",
        "write the type in, or declare one protocol for each";
    UnsupportedLocal = "AP0907", Unsupported, Error,
        "local protocols are not read: they are projected",
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

    /// The number's hundreds say the group, so that a reader of a code knows which chapter to open.
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
