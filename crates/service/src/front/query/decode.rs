//! A serde deserializer over the tree of parameters, so that an operation's input is a plain struct.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};

use super::form::{Form, Node};
use super::list_names;
use crate::front::ApiError;

impl Form {
    /// The parameters as an operation's input. Parameters that it does not have are ignored, as AWS does.
    ///
    /// # Errors
    /// `MissingParameter`, `InvalidParameterValue` or `InvalidQueryParameter`, naming the parameter with its path.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        T::deserialize(AtNode { name: "", node: NodeRef::Below(&self.root), flat: false })
            .map_err(Refused::into_api)
    }

    /// [`Form::decode`] in EC2's dialect: elements of lists are numbered without a name, `Filter.1.Name`.
    ///
    /// # Errors
    /// Those of [`Form::decode`].
    pub fn decode_flat<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        T::deserialize(AtNode { name: "", node: NodeRef::Below(&self.root), flat: true })
            .map_err(Refused::into_api)
    }
}

/// Why a parameter was refused; the path grows from the inside out while the error travels up.
#[derive(Debug)]
struct Refused {
    path: String,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Missing,
    Value(String),
    Shape(&'static str),
}

impl Refused {
    fn new(why: Why) -> Refused {
        Refused { path: String::new(), why }
    }

    fn inside(mut self, part: &str) -> Refused {
        self.path = if self.path.is_empty() { part.to_owned() } else { format!("{part}.{}", self.path) };
        self
    }

    fn into_api(self) -> ApiError {
        let path = &self.path;
        match self.why {
            Why::Missing => ApiError::missing(path),
            Why::Value(why) => {
                ApiError::invalid_value(format!("Invalid value for the parameter {path}: {why}."))
            }
            Why::Shape(why) => {
                ApiError::new("InvalidQueryParameter", format!("The parameter {path} is not valid: {why}."))
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.path, self.why)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(message: T) -> Refused {
        Refused::new(Why::Value(message.to_string()))
    }

    fn missing_field(field: &'static str) -> Refused {
        Refused::new(Why::Missing).inside(field)
    }
}

#[derive(Clone, Copy)]
enum NodeRef<'a> {
    Value(&'a str),
    Below(&'a BTreeMap<String, Node>),
}

/// The deserializer of one parameter.
struct AtNode<'a> {
    name: &'a str,
    node: NodeRef<'a>,
    /// Elements of lists are numbered without a name.
    flat: bool,
}

impl<'a> AtNode<'a> {
    fn of(name: &'a str, node: &'a Node, flat: bool) -> AtNode<'a> {
        let node = match node {
            Node::Value(value) => NodeRef::Value(value),
            Node::Below(below) => NodeRef::Below(below),
        };
        AtNode { name, node, flat }
    }

    fn value(&self) -> Result<&'a str, Refused> {
        match self.node {
            NodeRef::Value(value) => Ok(value),
            NodeRef::Below(_) => Err(Refused::new(Why::Shape("it has a value, no parameters below it"))),
        }
    }

    fn integer<N: std::str::FromStr>(&self) -> Result<N, Refused> {
        let refuse =
            |_| Refused::new(Why::Value("it must be an integer in the range of the parameter".to_owned()));
        self.value()?.parse().map_err(refuse)
    }

    fn elements(&self) -> Result<Vec<(u32, &'a Node)>, Refused> {
        let below = match self.node {
            NodeRef::Value("") => return Ok(Vec::new()),
            NodeRef::Value(_) => return Err(Refused::new(Why::Shape("it is a list"))),
            NodeRef::Below(below) => below,
        };
        if self.flat {
            let numbered = below.iter().map(|(number, node)| position(number).map(|at| (at, node)));
            let mut elements = numbered.collect::<Result<Vec<_>, _>>()?;
            elements.sort_by_key(|(at, _)| *at);
            return Ok(elements);
        }
        let Some((element, Node::Below(numbered))) = below.iter().next().filter(|_| below.len() == 1) else {
            return Err(Refused::new(Why::Shape(
                "it is a list, whose elements all have the same name and a number",
            )));
        };
        if !list_names::allows(self.name, element) {
            return Err(Refused::new(Why::Shape("its elements have another name")).inside(element));
        }
        let mut elements = numbered
            .iter()
            .map(|(number, node)| position(number).map(|at| (at, node)).map_err(|e| e.inside(element)))
            .collect::<Result<Vec<_>, _>>()?;
        elements.sort_by_key(|(at, _)| *at);
        Ok(elements)
    }
}

/// The number of an element: decimal, from 1, written in the one usual way (so that no two are the same).
fn position(number: &str) -> Result<u32, Refused> {
    let canonical = number.starts_with(|c: char| c.is_ascii_digit() && c != '0');
    let parsed = number.parse().ok().filter(|_| canonical);
    parsed.ok_or_else(|| Refused::new(Why::Shape("elements of a list are numbered from 1")).inside(number))
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(self.integer::<$type>()?)
        }
    )*};
}

impl<'de> de::Deserializer<'de> for AtNode<'_> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.node {
            NodeRef::Value(value) => visitor.visit_str(value),
            NodeRef::Below(_) => self.deserialize_map(visitor),
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let number = self.value()?.parse::<f64>().ok().filter(|number| number.is_finite());
        visitor.visit_f64(number.ok_or_else(|| Refused::new(Why::Value("it must be a number".to_owned())))?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let value = self.value()?;
        if value.eq_ignore_ascii_case("true") {
            visitor.visit_bool(true)
        } else if value.eq_ignore_ascii_case("false") {
            visitor.visit_bool(false)
        } else {
            Err(Refused::new(Why::Value("it must be true or false".to_owned())))
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_str(self.value()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_str(self.value()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let path = match self.node {
            NodeRef::Below(below) => below.keys().next().map_or("", String::as_str),
            NodeRef::Value(_) => "",
        };
        let path = if self.flat { "" } else { path };
        visitor.visit_seq(Elements { element: path, flat: self.flat, rest: self.elements()?.into_iter() })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.node {
            NodeRef::Below(below) => {
                visitor.visit_map(Members { rest: below.iter(), next: None, flat: self.flat })
            }
            NodeRef::Value(_) => Err(Refused::new(Why::Shape("it has parameters below it, no value"))),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let value = self.value()?;
        if !variants.contains(&value) {
            return Err(Refused::new(Why::Value(format!("valid values are {}", variants.join(", ")))));
        }
        visitor.visit_enum(IntoDeserializer::<Refused>::into_deserializer(value))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! { f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier }
}

/// The members of a structure.
struct Members<'a> {
    rest: btree_map::Iter<'a, String, Node>,
    next: Option<(&'a str, &'a Node)>,
    flat: bool,
}

impl<'de> de::MapAccess<'de> for Members<'_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Refused> {
        self.next = self.rest.next().map(|(name, node)| (name.as_str(), node));
        self.next.map(|(name, _)| seed.deserialize(name.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        let (name, node) = self.next.take().ok_or_else(|| Refused::new(Why::Missing))?;
        seed.deserialize(AtNode::of(name, node, self.flat)).map_err(|e| e.inside(name))
    }
}

/// The elements of a list, in order.
struct Elements<'a> {
    element: &'a str,
    flat: bool,
    rest: std::vec::IntoIter<(u32, &'a Node)>,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Refused> {
        let Some((at, node)) = self.rest.next() else { return Ok(None) };
        let value = seed.deserialize(AtNode::of(self.element, node, self.flat));
        let inside = |e: Refused| {
            if self.flat { e.inside(&at.to_string()) } else { e.inside(&at.to_string()).inside(self.element) }
        };
        value.map(Some).map_err(inside)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
