//! Finds the text of the users in a kubeconfig, so that a user can be replaced and every other byte stays.

use std::ops::Range;

use granit_parser::{Event, Parser, StructureStyle};

use super::emit;
use super::model::{EntryKind, Value};

/// How deep the text of a user can be replaced. A part that stands elsewhere, behind an alias or a merge key, is replaced with
/// the part around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Depth {
    /// The item of the list, with its name.
    Item,
    /// The value of `user`.
    User,
    /// The value of `exec`.
    Exec,
}

/// The part of a text that holds a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UserNode {
    pub(super) depth: Depth,
    pub(super) range: Range<usize>,
    /// The indentation of a mapping in block style; `None` for other styles.
    pub(super) indent: Option<usize>,
}

impl Depth {
    /// Returns the keys that lead from the item to this part.
    pub(super) const fn path(self) -> &'static [&'static str] {
        match self {
            Self::Item => &[],
            Self::User => &["user"],
            Self::Exec => &["user", "exec"],
        }
    }
}

impl UserNode {
    /// Returns a value as text for the place of this node.
    pub(super) fn literal(&self, value: &Value, line_break: &str) -> String {
        let Some(indent) = self.indent else { return emit::flow(value) };
        let gap = format!("{line_break}{}", " ".repeat(indent));
        emit::block(value).trim_end().split('\n').collect::<Vec<_>>().join(&gap)
    }
}

/// Returns the nodes of each user in the first document of a text, in order; of each user the outermost first. `None` if the list
/// is not in the text itself, but behind an alias, or if the text cannot be parsed.
pub(super) fn users(text: &str) -> Option<Vec<Vec<UserNode>>> {
    let mut reader = Reader { text, parser: Parser::new_from_str(text) };
    let root = reader.root()?;
    let Kind::List(items) = &root.value_of(EntryKind::User.list_key())?.kind else { return None };
    Some(items.iter().map(|item| user(item, text)).collect())
}

fn user(item: &Node, text: &str) -> Vec<UserNode> {
    let body = item.value_of("user");
    let exec = body.and_then(|body| body.value_of("exec"));
    let nodes = [(Depth::Item, Some(item)), (Depth::User, body), (Depth::Exec, exec)];
    nodes.into_iter().filter_map(|(depth, node)| Some(user_node(depth, node?, text))).collect()
}

fn user_node(depth: Depth, node: &Node, text: &str) -> UserNode {
    let before = text.get(..node.range.start).unwrap_or_default();
    let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
    let is_block = matches!(node.kind, Kind::Map { is_block: true, .. });
    UserNode { depth, range: node.range.clone(), indent: is_block.then_some(column) }
}

/// A node of the syntax tree.
struct Node {
    kind: Kind,
    /// Without comments and line breaks after the last character.
    range: Range<usize>,
}

enum Kind {
    Text(String),
    List(Vec<Node>),
    Map { pairs: Vec<(Node, Node)>, is_block: bool },
    Alias,
}

impl Node {
    /// Returns the value of a key that stands in this mapping. Of a repeated key, the last is in force.
    fn value_of(&self, key: &str) -> Option<&Self> {
        let Kind::Map { pairs, .. } = &self.kind else { return None };
        let is_key = |node: &Self| matches!(&node.kind, Kind::Text(text) if text == key);
        pairs.iter().rev().find(|(node, _)| is_key(node)).map(|(_, value)| value)
    }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl Reader<'_> {
    /// Returns the node at the root of the first document.
    fn root(&mut self) -> Option<Node> {
        loop {
            match self.parser.next_event()?.ok()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (event, span) => return self.node(&event, span.byte_range()?),
            }
        }
    }

    /// Returns the next node, or `None` at the end of a collection.
    fn next(&mut self) -> Option<Result<Node, Range<usize>>> {
        let (event, span) = self.parser.next_event()?.ok()?;
        let range = span.byte_range()?;
        match event {
            Event::MappingEnd | Event::SequenceEnd => Some(Err(range)),
            event => self.node(&event, range).map(Ok),
        }
    }

    fn node(&mut self, event: &Event<'_>, range: Range<usize>) -> Option<Node> {
        match event {
            Event::Scalar(text, ..) => Some(Node { kind: Kind::Text(text.to_string()), range: self.trimmed(range) }),
            Event::Alias(_) => Some(Node { kind: Kind::Alias, range }),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        Ok(item) => items.push(item),
                        Err(end) => break end,
                    }
                };
                Some(Node { kind: Kind::List(items), range: self.trimmed(range.start..end.end) })
            }
            Event::MappingStart(style, ..) => self.mapping(*style == StructureStyle::Block, &range),
            _ => None,
        }
    }

    fn mapping(&mut self, is_block: bool, start: &Range<usize>) -> Option<Node> {
        let mut pairs: Vec<(Node, Node)> = Vec::new();
        let end = loop {
            match self.next()? {
                Ok(key) => {
                    let mut value = self.next()?.ok()?;
                    // The place of an empty value is that of the next token.
                    if value.range.is_empty() {
                        value.range = key.range.end..key.range.end;
                    }
                    pairs.push((key, value));
                }
                Err(end) => break end,
            }
        };
        let range = match (pairs.first(), pairs.last()) {
            // A block ends where its last value ends.
            (Some((first, _)), Some((_, last))) if is_block => first.range.start..last.range.end,
            _ => start.start..end.end,
        };
        Some(Node { kind: Kind::Map { pairs, is_block }, range })
    }

    /// Returns the range without white space at its end.
    fn trimmed(&self, range: Range<usize>) -> Range<usize> {
        let text = self.text.get(range.clone()).unwrap_or_default();
        range.start..range.start + text.trim_end().len()
    }
}
