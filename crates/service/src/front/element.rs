//! The API's XML answers as a tree, for those who call it: the command line and the console. Depth is bounded, because
//! an answer may come from outside.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Deepest nesting of an answer that is read.
const DEPTH_MAX: usize = 32;

/// An element: its name, its text, its children.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name, without a namespace.
    pub name: String,
    /// What text stands in it itself.
    pub text: String,
    /// What stands in it.
    pub children: Vec<Element>,
}

impl Element {
    /// The first child with this name.
    pub fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text at the end of a path of names; empty when it is not there.
    pub fn text_at(&self, path: &[&str]) -> &str {
        let end = path.iter().try_fold(self, |element, name| element.child(name));
        end.map_or("", |element| element.text.trim())
    }

    /// The elements of the list `name`, whatever they are called.
    pub fn list(&self, name: &str) -> &[Element] {
        self.child(name).map_or(&[], |list| &list.children)
    }
}

/// Reads a whole document; the answer is its root element.
///
/// # Errors
/// If the text is no document, or is nested too deeply.
pub fn parse(text: &str) -> Result<Element, String> {
    let mut reader = Reader::from_str(text);
    let mut open = vec![Element::default()];
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Start(start) => {
                if open.len() > DEPTH_MAX {
                    return Err("the answer is nested too deeply".into());
                }
                open.push(named(start.local_name().as_ref()));
            }
            Event::Empty(empty) => add_child(&mut open, named(empty.local_name().as_ref())),
            Event::End(_) => {
                let done = open.pop().unwrap_or_default();
                add_child(&mut open, done);
            }
            Event::Text(text) => add_text(&mut open, &text),
            Event::CData(text) => add_text(&mut open, &text),
            Event::GeneralRef(entity) => add_text(&mut open, &entity_text(&entity)),
            Event::Eof => break,
            _ => {}
        }
    }
    open.pop()
        .filter(|_| open.is_empty())
        .and_then(|top| top.children.into_iter().next())
        .ok_or("no document".into())
}

fn named(name: &str) -> Element {
    Element { name: name.to_owned(), ..Element::default() }
}

fn add_child(open: &mut [Element], child: Element) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(child);
    }
}

fn add_text(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text);
    }
}

fn entity_text(entity: &quick_xml::events::BytesRef<'_>) -> String {
    if let Ok(Some(c)) = entity.resolve_char_ref() {
        return c.to_string();
    }
    quick_xml::escape::resolve_predefined_entity(entity)
        .map_or_else(|| format!("&{};", &**entity), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_tree() {
        let text = "<R xmlns=\"x\"><A><B>a &lt;&#65;&amp;</B><L><M>1</M><M>2</M></L><E/></A></R>";
        let root = parse(text).unwrap();
        assert_eq!(root.name, "R");
        assert_eq!(root.text_at(&["A", "B"]), "a <A&");
        assert_eq!(root.text_at(&["A", "C"]), "");
        let list: Vec<&str> = root.child("A").unwrap().list("L").iter().map(|m| m.text.as_str()).collect();
        assert_eq!(list, ["1", "2"]);
        assert!(root.child("A").unwrap().child("E").is_some());
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        for wrong in ["", "hello", "<a>", "<a></b>", "<a"] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        assert!(parse(&deep).is_err());
    }
}
