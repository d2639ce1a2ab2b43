//! Policy documents as trees: elements, attributes and text, each with its place in the author's file.
//!
//! A document is XML, except for its expressions: they may stand raw, with quotes, `<` and `&` in them, as authors write them.
//! Well-formed XML is read as XML; only an expression that is not well-formed is taken as it stands.
//!
//! The properties to trust: nothing is expanded (a document type is refused), depth and count are bounded before and while a tree
//! is built, and every position refers to the file as it was written.
//!
//! Not here: which elements there are (`compile`), named values.

mod expression_end;
mod given;
mod raw_expressions;

pub(crate) use given::{Given, Origin, Place, Unsubstituted, masked};

use raw_expressions::mask;
use roxmltree::{Document, Node, NodeId, ParsingOptions};

use crate::limits::POLICY_DOCUMENT_BYTES_MAX;

/// Elements, texts and comments of a policy document. Over it: a fault.
const POLICY_NODES_MAX: u32 = 10_000;

/// One element.
#[derive(Debug)]
pub(crate) struct Element {
    /// Its name, without a prefix: policies have none.
    pub(crate) name: String,
    /// Bytes before it.
    pub(crate) at: usize,
    /// Its attributes, in order.
    pub(crate) attributes: Vec<Attribute>,
    /// The elements in it, in order.
    pub(crate) children: Vec<Element>,
    /// The text in it, unless that is white space.
    pub(crate) text: Option<Given>,
}

/// One attribute.
#[derive(Debug)]
pub(crate) struct Attribute {
    /// Its name.
    pub(crate) name: String,
    /// Bytes before its name.
    pub(crate) at: usize,
    /// Its value.
    pub(crate) value: Given,
}

impl Element {
    /// The attribute called `name`.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// Why a text is no document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoDocument {
    /// Bytes before what is wrong.
    pub(crate) at: usize,
    /// The fault.
    pub(crate) matter: String,
    /// The remedy.
    pub(crate) act: String,
}

impl NoDocument {
    fn new(at: usize, matter: impl Into<String>, act: impl Into<String>) -> Self {
        Self { at, matter: matter.into(), act: act.into() }
    }
}

/// Reads a document.
pub(crate) fn parse(source: &str) -> Result<Element, NoDocument> {
    if source.len() > POLICY_DOCUMENT_BYTES_MAX {
        let act = format!("a policy document may have at most {POLICY_DOCUMENT_BYTES_MAX} bytes");
        return Err(NoDocument::new(0, "too large", act));
    }
    // A byte order mark is no part of the document; the places behind it stay.
    let masked = mask(source)?;
    let options =
        ParsingOptions { allow_dtd: false, nodes_limit: POLICY_NODES_MAX, ..ParsingOptions::default() };
    let document = Document::parse_with_options(&masked, options).map_err(|error| {
        if matches!(error, roxmltree::Error::NodesLimitReached) {
            let act = format!("a document may have at most {POLICY_NODES_MAX} elements, texts and comments");
            return NoDocument::new(0, "too many elements", act);
        }
        let matter = format!("not well-formed xml ({})", without_place(&error.to_string()));
        NoDocument::new(offset_of(&masked, error.pos()), matter, "correct the syntax")
    })?;
    // Only the nodes on the way down are open, and `mask` has bounded how many these are.
    read_element(source, document.root_element())
}

fn read_element(source: &str, node: Node<'_, '_>) -> Result<Element, NoDocument> {
    let name = local_name(node.tag_name().name(), node.tag_name().namespace(), node.range().start)?;
    let mut attributes = Vec::new();
    for attribute in node.attributes() {
        let at = attribute.range().start;
        let name = local_name(attribute.name(), attribute.namespace(), at)?;
        let range = attribute.range_value();
        let value = Given::read(&source[range.clone()], range.start, attribute.value());
        attributes.push(Attribute { name, at, value });
    }
    let mut element = Element { name, at: node.range().start, attributes, children: Vec::new(), text: None };
    let mut texts = node
        .children()
        .filter(|child| child.text().is_some_and(|text| child.is_text() && !text.trim().is_empty()));
    let text: Option<NodeId> = texts.next().map(|text| text.id());
    if let Some(second) = texts.next() {
        return Err(NoDocument::new(
            second.range().start,
            "text in several pieces",
            "keep it together: no element may stand inside it",
        ));
    }
    for child in node.children() {
        if child.is_element() {
            element.children.push(read_element(source, child)?);
        } else if Some(child.id()) == text {
            let range = child.range();
            element.text =
                Some(Given::read(&source[range.clone()], range.start, child.text().unwrap_or_default()));
        }
    }
    Ok(element)
}

fn local_name(name: &str, namespace: Option<&str>, at: usize) -> Result<String, NoDocument> {
    match namespace {
        None => Ok(name.to_owned()),
        Some(_) => Err(NoDocument::new(
            at,
            "a name of an xml namespace",
            "policies have no namespaces: remove prefix and xmlns",
        )),
    }
}

/// Bytes before a line and a column of `text`; columns count characters.
fn offset_of(text: &str, place: roxmltree::TextPos) -> usize {
    let line_start = match place.row {
        0 | 1 => 0,
        row => text.match_indices('\n').nth(row as usize - 2).map_or(text.len(), |(at, _)| at + 1),
    };
    let columns = text[line_start..].char_indices().nth((place.col as usize).saturating_sub(1));
    columns.map_or(text.len(), |(at, _)| line_start + at)
}

/// The message without the place that stands at its end.
fn without_place(message: &str) -> &str {
    match message.rsplit_once(" at ") {
        Some((message, place)) if place.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') => message,
        Some(_) | None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_attribute(source: &str) -> (String, Place) {
        let document = parse(source).expect("a document");
        let value = &document.attributes[0].value;
        (value.text().to_owned(), Place::within(source, value.source_of(value.text().len() - 1)))
    }

    #[test]
    fn an_expression_stands_raw_or_escaped() {
        let expected = r#"@(context.Request.Headers.GetValueOrDefault("x","") == "<y>" && 1 < 2)"#;
        for source in [
            format!("<when condition=\"{expected}\"/>"),
            format!("<when condition='{expected}'/>"),
            format!(
                "<when condition=\"{}\"/>",
                expected.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
            ),
        ] {
            let (text, last) = first_attribute(&source);
            assert_eq!(text, expected);
            // The bracket that closes it stands before the quote, `/>` and the end.
            assert_eq!(last.column as usize, source.len() - 3, "{source}");
        }
    }

    #[test]
    fn an_expression_stands_raw_in_text_too() {
        for (source, expected) in [
            (r#"<value>@("<b>" + 'x' + @"""</value>")</value>"#, r#"@("<b>" + 'x' + @"""</value>")"#),
            ("<value> @(1 &lt; 2) </value>", "@(1 < 2)"),
            (
                "<value>@{ /* </value> */ return $\"{Get(\"}\")}<\"; // )\n }</value>",
                "@{ /* </value> */ return $\"{Get(\"}\")}<\"; // )\n }",
            ),
            ("<value><![CDATA[@(1 < 2)]]></value>", "@(1 < 2)"),
            ("<value>a &lt; b</value>", "a < b"),
        ] {
            let document = parse(source).expect(source);
            assert_eq!(document.text.expect("text").text(), expected);
        }
    }

    #[test]
    fn lines_and_columns_are_those_of_the_file() {
        let source = "<a>\n  <é x='1'/><b\n y=\"@(1\n < 2)\"/>\n</a>";
        let document = parse(source).expect("a document");
        let place = |at| Place::within(source, at).to_string();
        assert_eq!(place(document.children[1].at), "2:13");
        let value = &document.children[1].attributes[0];
        assert_eq!((place(value.at).as_str(), value.value.text()), ("3:2", "@(1\n < 2)"));
        assert_eq!(place(value.value.source_of(5)), "4:2");
    }

    #[test]
    fn refuses_what_is_no_document() {
        for (source, line, column) in [
            ("", 1, 1),
            ("<a>", 1, 1),
            ("<a>\n<b x=1/></a>", 2, 6),
            ("<a><b></a>", 1, 7),
            ("<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", 1, 1),
            ("<a>&b;</a>", 1, 4),
            ("<a b='@(1'/>", 1, 7),
            ("<a>@(\"</a>", 1, 4),
            ("<x:a xmlns:x='y'/>", 1, 1),
            ("<a>b<c/>d</a>", 1, 9),
        ] {
            let refused = parse(source).expect_err(source);
            let place = Place::within(source, refused.at);
            assert_eq!((place.line, place.column), (line, column), "{source} {refused:?}");
        }
    }

    #[test]
    fn depth_and_count_are_bounded() {
        let deep = |depth| ["<a>".repeat(depth), "</a>".repeat(depth)].concat();
        assert!(parse(&deep(crate::limits::POLICY_DEPTH_MAX)).is_ok());
        let refused = parse(&deep(crate::limits::POLICY_DEPTH_MAX + 1)).expect_err("too deep");
        assert_eq!(refused.at, 3 * crate::limits::POLICY_DEPTH_MAX);
        let many = format!("<a>{}</a>", "<b/>".repeat(POLICY_NODES_MAX as usize));
        assert_eq!(parse(&many).expect_err("too many").matter, "too many elements");
        let attributes = |count: usize| (0..count).map(|index| format!(" a{index}='1'")).collect::<String>();
        let most = crate::limits::POLICY_ATTRIBUTES_MAX;
        assert!(parse(&format!("<a{}/>", attributes(most))).is_ok());
        let refused = parse(&format!("<a{}/>", attributes(most + 1))).expect_err("too many");
        assert_eq!(refused.matter, "too many attributes");
        let large = format!("<a>{}</a>", " ".repeat(POLICY_DOCUMENT_BYTES_MAX));
        assert_eq!(parse(&large).expect_err("too large").matter, "too large");
    }
}
