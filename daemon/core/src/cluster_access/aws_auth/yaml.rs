//! The syntax tree of a YAML text, with the place of each node.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag};

use super::go_yaml;
use super::node::{Content, Node, Position, Style, YamlError};

/// The limit of nodes, with those that aliases repeat. A ConfigMap has at most 1 MiB.
const MAX_NODES: usize = 200_000;

/// Returns the root of the first document, or `None` if it is empty. The authenticator's parser ignores further documents.
pub(crate) fn parse(text: &str) -> Result<Option<Node>, YamlError> {
    let mut builder = Builder { text, open: Vec::new(), anchors: HashMap::new(), nodes: 0, tabs_allowed: Vec::new() };
    go_yaml::check_text(text)?;
    go_yaml::check_directives(text)?;
    go_yaml::check_start(text)?;
    let mut options = Options::default();
    options.emit_anchor_events = true;
    let mut root = None;
    // The parser of the authenticator accepts directives of YAML 1.1 alone.
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut document = text;
    while let Some(event) = parser.next() {
        let (event, span) =
            event.map_err(|error| YamlError { at: position(*error.marker()), message: error.info() })?;
        match event {
            Event::DocumentStart(_, Some(version)) if (version.major, version.minor) != (1, 1) => {
                let message = "a directive asks for another version than YAML 1.1".to_owned();
                return Err(YamlError { at: position(span.start), message });
            }
            Event::DocumentEnd => {
                let at = span.start.byte_offset().unwrap_or(text.len());
                let is_explicit = text.get(at..).is_some_and(|rest| rest.starts_with("..."));
                if !is_explicit && let Some(Ok((Event::DocumentStart(false, _), next))) = parser.next() {
                    let message = "a line belongs to no item".to_owned();
                    return Err(YamlError { at: position(next.start), message });
                }
                document = go_yaml::first_document(text, at);
                break;
            }
            Event::StreamEnd => break,
            event => root = builder.add(event, span)?.or(root),
        }
    }
    go_yaml::check_indentation(document, &builder.tabs_allowed)?;
    Ok(root)
}

fn bytes_of(span: &Span) -> Range<usize> {
    let start = span.start.byte_offset().unwrap_or_default();
    start..span.end.byte_offset().unwrap_or(start)
}

fn position(marker: granit_parser::Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

/// A list or map whose end has not been read.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value is read next.
    key: Option<Node>,
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    /// The places of several lines in which one may begin with a tab, in order: scalars, and lists and maps between brackets.
    tabs_allowed: Vec<Range<usize>>,
}

impl Builder<'_> {
    /// Adds an event. Returns the root if it is complete.
    fn add(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, YamlError> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let content = Content::Scalar { text: text.into_owned(), is_plain: style == ScalarStyle::Plain };
                let mut node = new_node(content, tag.as_deref(), at, self.content_span(&span));
                node.has_anchor = anchor != 0;
                let in_flow = self.open.iter().any(|open| open.node.content.style() == Style::Flow);
                go_yaml::check_scalar(self.text, &node, in_flow)?;
                if !in_flow {
                    // White space at the end belongs to a block scalar alone.
                    let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                    self.allow_tabs(if is_block { bytes_of(&span) } else { node.span.clone() });
                }
                self.finish(node, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                let content = Content::List { items: Vec::new(), style: style.into() };
                self.start(content, anchor, tag.as_deref(), &span);
                Ok(None)
            }
            Event::MappingStart(style, anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), style: style.into() };
                self.start(content, anchor, tag.as_deref(), &span);
                Ok(None)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { mut node, anchor, .. }) = self.open.pop() else { return Ok(None) };
                node.span.end = self.end_of(&node, &span);
                let is_inner = self.open.iter().any(|open| open.node.content.style() == Style::Flow);
                if node.content.style() == Style::Flow && !is_inner {
                    self.allow_tabs(node.span.clone());
                }
                self.finish(node, anchor)
            }
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id) else {
                    return Err(YamlError { at, message: "an alias names a value that contains it".to_owned() });
                };
                let target = target.clone();
                let span = self.content_span(&span);
                go_yaml::check_anchor(self.text.get(span.start + 1..span.end).unwrap_or_default(), at)?;
                let node = Node { at, span, is_alias: true, has_anchor: false, ..target };
                self.finish(node, 0)
            }
            Event::Anchor(_, name) => go_yaml::check_anchor(&name, at).map(|()| None),
            _ => Ok(None),
        }
    }

    fn start(&mut self, content: Content, anchor: usize, tag: Option<&Tag>, span: &Span) {
        let mut node = new_node(content, tag, position(span.start), self.content_span(span));
        node.has_anchor = anchor != 0;
        self.open.push(Open { node, anchor, key: None });
    }

    fn allow_tabs(&mut self, place: Range<usize>) {
        if self.text.get(place.clone()).is_some_and(|text| text.contains('\n')) {
            self.tabs_allowed.push(place);
        }
    }

    /// Adds a complete node to the list or map around it.
    fn finish(&mut self, node: Node, anchor: usize) -> Result<Option<Node>, YamlError> {
        self.nodes += if node.is_alias { node.content.count() } else { 1 };
        if self.nodes > MAX_NODES {
            return Err(YamlError { at: node.at, message: "the text has too many values".to_owned() });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else { return Ok(Some(node)) };
        match (&mut parent.node.content, parent.key.take()) {
            (Content::List { items, style }, _) => {
                go_yaml::check_item(self.text, &node, *style)?;
                items.push(node);
            }
            (Content::Map { entries, style }, Some(key)) => {
                go_yaml::check_entry(self.text, &key, &node, *style)?;
                entries.push((key, node));
            }
            (Content::Map { style, .. }, None) => {
                go_yaml::check_item(self.text, &node, *style)?;
                parent.key = Some(node);
            }
            (Content::Scalar { .. }, _) => {}
        }
        Ok(None)
    }

    /// Returns the bytes of an event without the white space at their end.
    fn content_span(&self, span: &Span) -> Range<usize> {
        let bytes = bytes_of(span);
        let content = self.text.get(bytes.clone()).unwrap_or_default();
        bytes.start..bytes.start + content.trim_end().len()
    }

    /// Returns the end of a list or map: its bracket, or the end of its last node.
    fn end_of(&self, node: &Node, end: &Span) -> usize {
        let (style, last) = match &node.content {
            Content::List { items, style } => (*style, items.last()),
            Content::Map { entries, style } => (*style, entries.last().map(|(_, value)| value)),
            Content::Scalar { .. } => return node.span.end,
        };
        let last_key = match &node.content {
            Content::Map { entries, .. } => entries.last().map_or(0, |(key, _)| key.span.end),
            _ => 0,
        };
        match style {
            Style::Flow => self.content_span(end).end,
            Style::Block => last.map_or(node.span.start, |last| last.span.end.max(last_key)).max(node.span.start),
        }
    }
}

fn new_node(content: Content, tag: Option<&Tag>, at: Position, span: Range<usize>) -> Node {
    let tag = tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()));
    Node { content, tag, at, span, is_alias: false, has_anchor: false }
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}
