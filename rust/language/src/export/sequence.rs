//! The global conversation as a Mermaid sequence diagram.
//!
//! The graph is drawn along one walk: a choice becomes `alt`, up to the place where its branches
//! meet again; a place that the conversation comes back to becomes `loop`.

use std::fmt::Write;

use antiphon_machine::{LabelId, RoleId};

use super::states::mermaid_text;
use crate::automaton::{Names, action_text};
use crate::global::{CheckedProtocol, Global, Node, NodeId, Payload, PayloadSource};
use crate::source::Span;

/// How deep `alt` and `loop` are drawn inside each other; what is deeper is left out and said to
/// be.
const DEPTH_MAX: usize = 64;

/// Steps of a conversation that is drawn: a picture of more helps nobody, and drawing looks at all
/// steps for each recursion.
const NODES_MAX: usize = 8_192;

/// The conversation as a Mermaid sequence diagram; of one with more than 8,192 steps only the
/// roles. Time is linear in the protocol's steps times its recursions.
pub fn sequence_diagram(protocol: &CheckedProtocol) -> String {
    let mut out = String::from("sequenceDiagram\n");
    for (number, role) in protocol.roles().iter().enumerate() {
        let _ = writeln!(
            out,
            "  participant r{number} as {}",
            mermaid_text(std::slice::from_ref(role))
        );
    }
    let global = protocol.body();
    let shape = Shape::of(global);
    let last = protocol.roles().len().saturating_sub(1);
    let over = if last == 0 {
        "r0".to_owned()
    } else {
        format!("r0,r{last}")
    };
    let names = Names::of(protocol);
    let mut walk = Walk {
        global,
        names: &names,
        shape: &shape,
        out,
        over,
        drawn: vec![false; global.nodes.len()],
        open: vec![],
        depth: 0,
    };
    if global.nodes.len() <= NODES_MAX {
        walk.draw(global.start, &mut vec![]);
    } else {
        walk.note("too long to be drawn");
    }
    walk.out
}

/// What the drawing has to know about the graph beforehand.
struct Shape {
    /// Whether the conversation comes back to the node.
    is_header: Vec<bool>,
    /// Where all ways from the node meet again, coming back left aside.
    meets: Vec<Option<NodeId>>,
}

impl Shape {
    fn of(global: &Global) -> Shape {
        let count = global.nodes.len();
        let mut is_header = vec![false; count];
        let mut forward: Vec<Vec<NodeId>> = vec![vec![]; count];
        let order = post_order(global, |from, to, back| {
            if back {
                is_header[to.index()] = true;
            } else {
                forward[from.index()].push(to);
            }
        });
        // In post-order every node comes after all that follow it: its meeting point is where
        // theirs come together.
        let mut shape = Shape {
            is_header,
            meets: vec![None; count],
        };
        let mut depth = vec![0usize; count];
        let mut ends = vec![false; count];
        for node in order {
            let nexts = &forward[node.index()];
            ends[node.index()] =
                *global.node(node) == Node::End || nexts.iter().any(|next| ends[next.index()]);
            // Ways that only come back do not keep the others from meeting.
            let some_end = nexts.iter().any(|next| ends[next.index()]);
            let mut meet: Option<Option<NodeId>> = None;
            for next in nexts.iter().filter(|next| !some_end || ends[next.index()]) {
                meet = Some(match meet {
                    None => Some(*next),
                    Some(known) => known.and_then(|one| shape.common(one, *next, &depth)),
                });
            }
            let meet = meet.flatten();
            shape.meets[node.index()] = meet;
            depth[node.index()] = meet.map_or(0, |meet| depth[meet.index()] + 1);
        }
        shape
    }

    fn common(&self, mut one: NodeId, mut two: NodeId, depth: &[usize]) -> Option<NodeId> {
        while one != two {
            if depth[one.index()] < depth[two.index()] {
                std::mem::swap(&mut one, &mut two);
            }
            one = self.meets[one.index()]?;
        }
        Some(one)
    }
}

/// The nodes in post-order; `edge` is told each edge once, and whether it leads back to a node on
/// the way to it.
fn post_order(global: &Global, mut edge: impl FnMut(NodeId, NodeId, bool)) -> Vec<NodeId> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnTheWay,
        Done,
    }
    let mut mark = vec![Mark::New; global.nodes.len()];
    let mut order = vec![];
    let mut stack = vec![(global.start, 0)];
    while let Some((node, next)) = stack.pop() {
        mark[node.index()] = Mark::OnTheWay;
        let nexts = successors(global.node(node));
        let Some(&to) = nexts.get(next) else {
            mark[node.index()] = Mark::Done;
            order.push(node);
            continue;
        };
        stack.push((node, next + 1));
        edge(node, to, mark[to.index()] == Mark::OnTheWay);
        if mark[to.index()] == Mark::New {
            stack.push((to, 0));
        }
    }
    order
}

fn span(node: &Node) -> Option<Span> {
    match node {
        Node::Message { span, .. } | Node::Local { span, .. } | Node::Choice { span, .. } => {
            Some(*span)
        }
        Node::End => None,
    }
}

fn successors(node: &Node) -> &[NodeId] {
    match node {
        Node::Message { next, .. } | Node::Local { next, .. } => std::slice::from_ref(next),
        Node::Choice { branches, .. } => branches,
        Node::End => &[],
    }
}

struct Walk<'g> {
    global: &'g Global,
    names: &'g Names,
    shape: &'g Shape,
    out: String,
    /// All participants, for notes.
    over: String,
    drawn: Vec<bool>,
    /// The loops around the place that is drawn, and how many places to stop at there were when
    /// each was opened.
    open: Vec<(NodeId, usize)>,
    /// How many `alt` and `loop` are open.
    depth: usize,
}

impl Walk<'_> {
    /// Draws from a node up to the end or to one of `stops`, where an outer part goes on.
    fn draw(&mut self, mut node: NodeId, stops: &mut Vec<NodeId>) {
        loop {
            if stops.contains(&node) || *self.global.node(node) == Node::End {
                return;
            }
            if let Some(depth) = self.open.iter().position(|(header, _)| *header == node) {
                if depth + 1 < self.open.len() {
                    self.note("back to an outer loop");
                } else if stops.len() > self.open[depth].1 {
                    // Something is drawn below that this way does not come to.
                    self.note("on with the next round");
                }
                return;
            }
            if self.drawn[node.index()] {
                self.note("on as drawn before");
                return;
            }
            if self.shape.is_header[node.index()] {
                match self.draw_loop(node, stops) {
                    Some(next) => node = next,
                    None => return,
                }
                continue;
            }
            match self.draw_one(node, stops) {
                Some(next) => node = next,
                None => return,
            }
        }
    }

    /// Draws a loop; returns where the conversation goes on behind it.
    fn draw_loop(&mut self, header: NodeId, stops: &mut Vec<NodeId>) -> Option<NodeId> {
        if self.depth >= DEPTH_MAX {
            self.note("deeper than is drawn");
            return None;
        }
        let exit = self.exit(header);
        self.line("loop");
        self.depth += 1;
        stops.extend(exit);
        self.open.push((header, stops.len()));
        if let Some(next) = self.draw_one(header, stops) {
            self.draw(next, stops);
        }
        if exit.is_some() {
            stops.pop();
        }
        self.open.pop();
        self.depth -= 1;
        self.line("end");
        exit
    }

    /// Where all ways out of a loop meet: the first node behind the header from which nothing comes
    /// back to it.
    fn exit(&self, header: NodeId) -> Option<NodeId> {
        let mut inside = vec![false; self.global.nodes.len()];
        self.mark_inside(header, &mut inside);
        let choices: Vec<Span> = (self.global.nodes.iter().zip(&inside))
            .filter(|(node, inside)| **inside && matches!(node, Node::Choice { .. }))
            .filter_map(|(node, _)| span(node))
            .collect();
        let within = |node: &NodeId| {
            inside[node.index()] || choices.iter().any(|choice| self.is_in(*node, *choice))
        };
        let mut meet = self.shape.meets[header.index()];
        while let Some(node) = meet.filter(within) {
            meet = self.shape.meets[node.index()];
        }
        meet
    }

    /// Whether a node was written inside a statement: a branch that alone goes on is still a
    /// branch.
    fn is_in(&self, node: NodeId, outer: Span) -> bool {
        span(self.global.node(node)).is_some_and(|inner| {
            inner.file == outer.file && outer.start <= inner.start && inner.end <= outer.end
        })
    }

    /// Marks the nodes from which the header can be reached, among those that it reaches.
    fn mark_inside(&self, header: NodeId, inside: &mut [bool]) {
        let mut reached = vec![false; inside.len()];
        let mut into: Vec<Vec<NodeId>> = vec![vec![]; inside.len()];
        let mut stack = vec![header];
        while let Some(node) = stack.pop() {
            if std::mem::replace(&mut reached[node.index()], true) {
                continue;
            }
            for next in successors(self.global.node(node)) {
                into[next.index()].push(node);
                stack.push(*next);
            }
        }
        stack.push(header);
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut inside[node.index()], true) {
                stack.extend(&into[node.index()]);
            }
        }
    }

    /// Draws one node; returns what follows it.
    fn draw_one(&mut self, node: NodeId, stops: &mut Vec<NodeId>) -> Option<NodeId> {
        self.drawn[node.index()] = true;
        let names = self.names;
        match self.global.node(node) {
            Node::End => None,
            Node::Message {
                from,
                to,
                label,
                payload,
                next,
                ..
            } => {
                let text = message_text(*label, payload, names);
                let (from, to) = (participant(*from), participant(*to));
                self.line(&format!("{from}->>{to}: {}", mermaid_text(&[text])));
                Some(*next)
            }
            Node::Local {
                at, action, next, ..
            } => {
                let text = action_text(&crate::automaton::Action::from(action), names);
                self.line(&format!(
                    "Note over {}: {}",
                    participant(*at),
                    mermaid_text(&[text])
                ));
                Some(*next)
            }
            Node::Choice { at, branches, span } => {
                let mut meet = self.shape.meets[node.index()];
                while let Some(inner) = meet.filter(|meet| self.is_in(*meet, *span)) {
                    meet = self.shape.meets[inner.index()];
                }
                let meet = meet.filter(|meet| !stops.contains(meet));
                self.draw_choice(*at, branches, meet, stops)
            }
        }
    }

    /// Draws a choice up to where its branches meet, and returns that.
    fn draw_choice(
        &mut self,
        at: RoleId,
        branches: &[NodeId],
        meet: Option<NodeId>,
        stops: &mut Vec<NodeId>,
    ) -> Option<NodeId> {
        if self.depth >= DEPTH_MAX {
            self.note("deeper than is drawn");
            return None;
        }
        stops.extend(meet);
        let at = mermaid_text(&[self.names.role(at).to_owned()]);
        for (number, branch) in branches.iter().enumerate() {
            match number {
                0 => self.line(&format!("alt {at} chooses")),
                _ => self.line("else"),
            }
            self.depth += 1;
            self.draw(*branch, stops);
            self.depth -= 1;
        }
        self.line("end");
        if meet.is_some() {
            stops.pop();
        }
        meet
    }

    fn note(&mut self, text: &str) {
        let over = self.over.clone();
        self.line(&format!("Note over {over}: {text}"));
    }

    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{:1$}{text}", "", 2 * self.depth + 2);
    }
}

fn participant(role: RoleId) -> String {
    format!("r{role}")
}

fn message_text(label: LabelId, payload: &Payload, names: &Names) -> String {
    let label = names.label(label);
    let sort = names.sort(payload.sort);
    match (payload.source, payload.bind) {
        (PayloadSource::Bound(var), _) => format!("{label}({})", names.var(var)),
        (PayloadSource::Unit | PayloadSource::Host, Some(var)) => {
            format!("{label}({}: {sort})", names.var(var))
        }
        (PayloadSource::Unit, None) => format!("{label}()"),
        (PayloadSource::Host, None) => format!("{label}({sort})"),
    }
}
