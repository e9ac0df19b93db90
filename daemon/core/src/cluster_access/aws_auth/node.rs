//! A node of the syntax tree of a YAML text.

use std::ops::Range;

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, from 1.
    pub(crate) column: usize,
}

/// Why a text is not valid YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    pub(crate) at: Position,
    pub(crate) message: String,
}

/// A node of the syntax tree.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) content: Content,
    /// The tag as a URI (`tag:yaml.org,2002:str`), or `!`.
    pub(crate) tag: Option<String>,
    pub(crate) at: Position,
    /// The bytes of the content: without tag, anchor, and white space around it.
    pub(crate) span: Range<usize>,
    /// Whether the node is an alias; the content is that of the anchor.
    pub(crate) is_alias: bool,
    /// Whether the node has an anchor.
    pub(crate) has_anchor: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Content {
    Scalar { text: String, is_plain: bool },
    List { items: Vec<Node>, style: Style },
    Map { entries: Vec<(Node, Node)>, style: Style },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One item or entry per line, by indentation.
    Block,
    /// Between brackets or braces, as in JSON.
    Flow,
}

impl Content {
    /// Returns how the node is written.
    pub(crate) fn style(&self) -> Style {
        match self {
            Self::Scalar { .. } => Style::Block,
            Self::List { style, .. } | Self::Map { style, .. } => *style,
        }
    }

    /// Returns the number of nodes below and with this one.
    pub(crate) fn count(&self) -> usize {
        match self {
            Self::Scalar { .. } => 1,
            Self::List { items, .. } => 1 + items.iter().map(|item| item.content.count()).sum::<usize>(),
            Self::Map { entries, .. } => {
                1 + entries.iter().map(|(key, value)| key.content.count() + value.content.count()).sum::<usize>()
            }
        }
    }
}
