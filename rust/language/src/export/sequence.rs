//! The global conversation as a Mermaid sequence diagram.
//!
//! The graph is drawn in one walk. A choice becomes an `alt` that extends to the node where its
//! branches join; a node that the conversation returns to becomes a `loop`.

use std::fmt::Write;

use antiphon_machine::{LabelId, RoleId};

use super::states::mermaid_text;
use crate::automaton::{Names, action_text};
use crate::global::{CheckedProtocol, Global, Node, NodeId, Payload, PayloadSource};
use crate::source::Span;

/// How deep `alt` and `loop` may nest in the diagram. Deeper parts are replaced by a note.
const DEPTH_MAX: usize = 64;

/// The most steps of a conversation that is drawn. A larger diagram would be unreadable, and each
/// recursion takes a pass over all steps.
const NODES_MAX: usize = 8_192;

/// The conversation as a Mermaid sequence diagram, or only its roles when it has more than 8,192
/// steps. Takes time linear in the number of steps times the number of recursions.
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
        walk.note("too many steps to draw");
    }
    walk.out
}

/// Facts about the graph that the drawing needs in advance.
struct Shape {
    /// Whether the node is the target of a back edge.
    is_header: Vec<bool>,
    /// The node at which all paths from the node join again, ignoring back edges.
    joins: Vec<Option<NodeId>>,
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
        // In post-order every node comes after its successors, so their joins are known. The join
        // of a node is the first node that all its successors lead to.
        let mut shape = Shape {
            is_header,
            joins: vec![None; count],
        };
        let mut depth = vec![0usize; count];
        let mut ends = vec![false; count];
        for node in order {
            let nexts = &forward[node.index()];
            ends[node.index()] =
                *global.node(node) == Node::End || nexts.iter().any(|next| ends[next.index()]);
            // Paths that only lead back to a loop do not prevent the others from joining.
            let some_end = nexts.iter().any(|next| ends[next.index()]);
            let mut join: Option<Option<NodeId>> = None;
            for next in nexts.iter().filter(|next| !some_end || ends[next.index()]) {
                join = Some(match join {
                    None => Some(*next),
                    Some(known) => known.and_then(|one| shape.common(one, *next, &depth)),
                });
            }
            let join = join.flatten();
            shape.joins[node.index()] = join;
            depth[node.index()] = join.map_or(0, |join| depth[join.index()] + 1);
        }
        shape
    }

    fn common(&self, mut one: NodeId, mut two: NodeId, depth: &[usize]) -> Option<NodeId> {
        while one != two {
            if depth[one.index()] < depth[two.index()] {
                std::mem::swap(&mut one, &mut two);
            }
            one = self.joins[one.index()]?;
        }
        Some(one)
    }
}

/// The nodes in post-order. Calls `edge` once for each edge, with whether it is a back edge, that
/// is, leads to a node on the current path.
fn post_order(global: &Global, mut edge: impl FnMut(NodeId, NodeId, bool)) -> Vec<NodeId> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        New,
        OnPath,
        Done,
    }
    let mut mark = vec![Mark::New; global.nodes.len()];
    let mut order = vec![];
    let mut stack = vec![(global.start, 0)];
    while let Some((node, next)) = stack.pop() {
        mark[node.index()] = Mark::OnPath;
        let nexts = successors(global.node(node));
        let Some(&to) = nexts.get(next) else {
            mark[node.index()] = Mark::Done;
            order.push(node);
            continue;
        };
        stack.push((node, next + 1));
        edge(node, to, mark[to.index()] == Mark::OnPath);
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
    /// The Mermaid id range of all participants, for notes.
    over: String,
    drawn: Vec<bool>,
    /// The open loops, each with the number of stops when it was opened.
    open: Vec<(NodeId, usize)>,
    /// The number of open `alt` and `loop` blocks.
    depth: usize,
}

impl Walk<'_> {
    /// Draws from a node up to the end or to one of `stops`, where an enclosing part continues.
    fn draw(&mut self, mut node: NodeId, stops: &mut Vec<NodeId>) {
        loop {
            if stops.contains(&node) || *self.global.node(node) == Node::End {
                return;
            }
            if let Some(depth) = self.open.iter().position(|(header, _)| *header == node) {
                if depth + 1 < self.open.len() {
                    self.note("continues with an outer loop");
                } else if stops.len() > self.open[depth].1 {
                    // The diagram continues below, but this path does not lead there.
                    self.note("continues with the next iteration");
                }
                return;
            }
            if self.drawn[node.index()] {
                self.note("continues as drawn above");
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

    /// Draws a loop. Returns the node after it.
    fn draw_loop(&mut self, header: NodeId, stops: &mut Vec<NodeId>) -> Option<NodeId> {
        if self.depth >= DEPTH_MAX {
            self.note("nested too deeply to draw");
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

    /// The node at which all paths out of a loop join: the first one after the header that does not
    /// lead back to it.
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
        let mut join = self.shape.joins[header.index()];
        while let Some(node) = join.filter(within) {
            join = self.shape.joins[node.index()];
        }
        join
    }

    /// Whether a node was written inside a statement. A branch stays a branch even if it is the
    /// only one that continues.
    fn is_in(&self, node: NodeId, outer: Span) -> bool {
        span(self.global.node(node)).is_some_and(|inner| {
            inner.file == outer.file && outer.start <= inner.start && inner.end <= outer.end
        })
    }

    /// Marks the nodes that the header reaches and that lead back to it.
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

    /// Draws one node. Returns its successor.
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
                let mut join = self.shape.joins[node.index()];
                while let Some(inner) = join.filter(|join| self.is_in(*join, *span)) {
                    join = self.shape.joins[inner.index()];
                }
                let join = join.filter(|join| !stops.contains(join));
                self.draw_choice(*at, branches, join, stops)
            }
        }
    }

    /// Draws a choice up to the node where its branches join, and returns that node.
    fn draw_choice(
        &mut self,
        at: RoleId,
        branches: &[NodeId],
        join: Option<NodeId>,
        stops: &mut Vec<NodeId>,
    ) -> Option<NodeId> {
        if self.depth >= DEPTH_MAX {
            self.note("nested too deeply to draw");
            return None;
        }
        stops.extend(join);
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
        if join.is_some() {
            stops.pop();
        }
        join
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
