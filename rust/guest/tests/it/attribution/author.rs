//! Random protocols between two roles of a host and two of a guest.

use std::fmt::Write as _;

/// A generator of numbers: SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const SORTS: &str = "
record Spec { cmd: Text, argv: [Text] }
enum Stream { stdout, stderr }
record Chunk { stream: Stream, data: Bytes }
record Half { stream: Stream }
record Status { exit_code: Int }
record Failure { code: Text, message: Text }
record Size { size: Nat }
record Empty {}
effect Files version 1 { op fs_stat(path: Text) -> Size within 5s; }
";

const HOSTS: [&str; 2] = ["Host", "Feeder"];
pub(crate) const GUESTS: [&str; 2] = ["Agent", "Sink"];

/// A bound name, the roles that know it, and its sort.
#[derive(Clone)]
struct Name {
    name: String,
    known: Vec<&'static str>,
}

/// Writes a protocol.
pub(crate) struct Author {
    dice: Dice,
    text: String,
    names: Vec<Name>,
    next: usize,
}

impl Author {
    /// The text of a protocol, which may fail to compile.
    pub(crate) fn protocol(seed: u64) -> String {
        let mut author = Author {
            dice: Dice(seed),
            text: String::new(),
            names: vec![],
            next: 0,
        };
        if !author.dice.one_in(12) {
            author
                .text
                .push_str("exec_request(Spec) from Host to Agent;\n");
        }
        let roles = [HOSTS[0], GUESTS[0], HOSTS[1], GUESTS[1]];
        let count = 2 + author.dice.below(3);
        author.block(&roles[..count], 2);
        let heads: Vec<String> = roles.iter().map(|role| format!("role {role}")).collect();
        format!(
            "{SORTS}global protocol P({}) uses Files at Agent, Files at Sink {{\n{}}}\n",
            heads.join(", "),
            author.text
        )
    }

    fn block(&mut self, roles: &[&'static str], depth: usize) {
        for _ in 0..1 + self.dice.below(4) {
            self.statement(roles, depth);
        }
    }

    fn statement(&mut self, roles: &[&'static str], depth: usize) {
        let of = |wanted: &[&str]| -> Vec<&'static str> {
            let all = roles.iter().copied();
            all.filter(|role| wanted.contains(role)).collect()
        };
        let (hosts, guests) = (of(&HOSTS), of(&GUESTS));
        match self.dice.below(if depth == 0 { 9 } else { 14 }) {
            0..=3 => {
                let from = self.dice.pick(&guests);
                self.guest_message(from, roles, None);
            }
            4 | 5 => {
                let (from, to) = (self.dice.pick(&hosts), self.dice.pick(&guests));
                self.host_message(from, to, "detach");
            }
            6 => {
                let to: Vec<_> = roles
                    .iter()
                    .copied()
                    .filter(|role| *role != "Host")
                    .collect();
                let to = self.dice.pick(&to);
                self.host_message("Host", to, "detach");
            }
            7 => {
                let from = self.dice.pick(&guests);
                let name = self.bind(&[from]);
                let _ = writeln!(
                    self.text,
                    "at {from} {{ let {name} = Files.fs_stat(\"x\"); }}"
                );
            }
            8 => self
                .text
                .push_str("exec_request(Spec) from Host to Agent;\n"),
            9 | 10 => self.guest_choice(roles, depth, None),
            11 => {
                let from = self.dice.pick(&hosts);
                let to = self.dice.pick(&guests);
                self.host_choice(from, to, depth, None);
            }
            _ => {
                self.next += 1;
                let again = format!("L{}", self.next);
                let _ = writeln!(self.text, "rec {again} {{");
                if self.dice.one_in(3) {
                    let (from, to) = (self.dice.pick(&hosts), self.dice.pick(&guests));
                    self.host_choice(from, to, depth, Some(&again));
                } else {
                    self.guest_choice(roles, depth, Some(&again));
                }
                self.text.push_str("}\n");
            }
        }
    }

    /// A choice of the guest. In most cases only its sender and receiver take part in the branches.
    fn guest_choice(&mut self, roles: &[&'static str], depth: usize, again: Option<&str>) {
        let guests: Vec<_> = roles
            .iter()
            .copied()
            .filter(|r| GUESTS.contains(r))
            .collect();
        let from = self.dice.pick(&guests);
        let to = self.dice.pick(&HOSTS[..1]);
        let copy = (roles.len() > 2 && self.dice.one_in(5)).then(|| roles[2]);
        let both = [to, from];
        let within: &[&str] = if self.dice.one_in(8) { roles } else { &both };
        let mut labels = vec!["exec_output", "exec_response", "error", "note"];
        let branches = 2 + self.dice.below(2);
        let heads: Vec<&str> = (0..branches)
            .map(|_| labels.remove(self.dice.below(labels.len().min(3))))
            .collect();
        let _ = writeln!(self.text, "choice at {from} {{");
        for (n, label) in heads.iter().copied().enumerate() {
            let names = self.names.clone();
            if n > 0 {
                self.text.push_str("} or {\n");
            } else if self.dice.one_in(6) {
                let name = self.bind(&[from]);
                let _ = writeln!(
                    self.text,
                    "at {from} {{ let {name} = Files.fs_stat(\"x\") else {}; }}",
                    heads[1]
                );
            }
            let payload = self.payload(from, label);
            let others = copy.map(|copy| format!(", {copy}")).unwrap_or_default();
            let _ = writeln!(self.text, "{label}({payload}) from {from} to {to}{others};");
            self.rest(within, depth, again.filter(|_| n == 0));
            self.names = names;
        }
        self.text.push_str("}\n");
    }

    /// A choice of the host.
    fn host_choice(
        &mut self,
        from: &'static str,
        to: &'static str,
        depth: usize,
        again: Option<&str>,
    ) {
        let _ = writeln!(self.text, "choice at {from} {{");
        for (n, label) in ["detach", "cancel"].iter().enumerate() {
            let names = self.names.clone();
            if n > 0 {
                self.text.push_str("} or {\n");
            }
            self.host_message(from, to, label);
            self.rest(&[from, to], depth, again.filter(|_| n == 0));
            self.names = names;
        }
        self.text.push_str("}\n");
    }

    fn rest(&mut self, roles: &[&'static str], depth: usize, again: Option<&str>) {
        if self.dice.one_in(2) && roles.contains(&"Host") {
            self.block(roles, depth - 1);
        }
        if let Some(again) = again {
            let _ = writeln!(self.text, "continue {again};");
        }
    }

    /// A message of the host.
    fn host_message(&mut self, from: &'static str, to: &'static str, label: &str) {
        let payload = match self.dice.below(3) {
            0 if label == "detach" => {
                let name = self.bind(&[from, to]);
                let sort = self.dice.pick(&["Chunk", "Status", "Empty"]);
                format!("{name}: {sort}")
            }
            _ => String::new(),
        };
        let _ = writeln!(self.text, "{label}({payload}) from {from} to {to};");
    }

    /// A message of the guest.
    fn guest_message(&mut self, from: &'static str, roles: &[&'static str], label: Option<&str>) {
        let others: Vec<_> = roles.iter().copied().filter(|role| *role != from).collect();
        let to = if self.dice.one_in(4) {
            self.dice.pick(&others)
        } else {
            others[0]
        };
        let any = self.dice.pick(&[
            "exec_output",
            "exec_response",
            "error",
            "exec_output",
            "note",
        ]);
        let label = label.unwrap_or(any);
        let mut receivers = vec![to];
        if self.dice.one_in(5) {
            receivers.extend(others.iter().copied().filter(|role| *role != to));
        }
        let known: Vec<_> = receivers.iter().copied().chain([from]).collect();
        let payload = if self.dice.one_in(5) {
            let sort = self.sort(label);
            format!("{}: {sort}", self.bind(&known))
        } else {
            self.payload(from, label)
        };
        let receivers = receivers.join(", ");
        let _ = writeln!(self.text, "{label}({payload}) from {from} to {receivers};");
    }

    fn payload(&mut self, from: &str, label: &str) -> String {
        let known = self.names.iter();
        let known: Vec<&str> = known
            .filter(|name| name.known.contains(&from))
            .map(|name| name.name.as_str())
            .collect();
        if !known.is_empty() && self.dice.one_in(3) {
            return self.dice.pick(&known).to_owned();
        }
        if self.dice.one_in(6) {
            return String::new();
        }
        self.sort(label).to_owned()
    }

    fn sort(&mut self, label: &str) -> &'static str {
        match (label, self.dice.below(8)) {
            (_, 0) => "Empty",
            ("exec_output", 1 | 2) => "Half",
            ("exec_output", _) => "Chunk",
            ("exec_response", _) => "Status",
            ("error", _) => "Failure",
            (_, _) => "Size",
        }
    }

    fn bind(&mut self, known: &[&'static str]) -> String {
        self.next += 1;
        let name = format!("n{}", self.next);
        let known = known.to_vec();
        self.names.push(Name {
            name: name.clone(),
            known,
        });
        name
    }
}
