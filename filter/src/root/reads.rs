//! What is read of each finished request: the proxy's attributes in one call, the custom ones in another
//! when there are any. What a host cannot read at once is read one by one.

use crate::attributes::Recipe;
use crate::attributes::custom::Custom;
use crate::config::KindChoice;
use crate::header_map::{pair_count, pairs};
use crate::host::{Expression, Host, LogLevel};
use crate::properties::{COUNT, DURATION, Properties, Property, STATUS_DETAILS, Selection, cel};

/// The expressions of one worker.
pub struct Reads {
    /// For a request without a body, as most are.
    bare: Reading,
    with_body: Reading,
    rpc: Reading,
    custom: CustomReading,
}

/// What is known of a request before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// It is a gRPC call.
    pub is_rpc: bool,
    /// It had a body, or may have had one.
    pub has_body: bool,
}

impl Reads {
    /// Compiles what these spans need.
    pub fn new(host: impl Host, recipe: &Recipe, kind: KindChoice) -> Self {
        let has_semconv = recipe.settings.vocabulary.has_semconv();
        let reading = |is_rpc, has_body| {
            let has_upstream = has_semconv || kind == KindChoice::Client;
            let has_direction = kind == KindChoice::Auto;
            let has = Selection { is_rpc, has_body, has_semconv, has_upstream, has_direction };
            Reading::new(host, has)
        };
        Self {
            bare: reading(false, false),
            with_body: reading(false, true),
            rpc: reading(true, true),
            custom: CustomReading::new(host, &recipe.settings.custom),
        }
    }

    /// Reads what the span of a finished request says.
    pub fn read(&self, host: impl Host, known: Known) -> Values {
        let reading = match known {
            Known { is_rpc: true, .. } => &self.rpc,
            Known { has_body: true, .. } => &self.with_body,
            _ => &self.bare,
        };
        let list = reading.list(host);
        let single = if list.is_none() { Some(reading.single(host)) } else { None };
        let custom = self.custom.list(host);
        let custom_single = if custom.is_none() { self.custom.single(host) } else { Vec::new() };
        Values { selection: reading.selection, list, single, custom, custom_single }
    }
}

/// What is read of few requests, each by itself; empty when it was not.
#[derive(Default)]
pub struct Rare {
    details: Vec<u8>,
    duration: Vec<u8>,
}

impl Rare {
    /// Reads what these properties say is needed. `own_status` is what an attempt saw itself; else the proxy's counts.
    pub fn read(host: impl Host, properties: &Properties<'_>, own_status: Option<u64>) -> Self {
        let mut rare = Self::default();
        let status = own_status.or_else(|| properties.number(Property::Status));
        if properties.need_details(status) {
            rare.details = host.property(&STATUS_DETAILS).unwrap_or_default();
        }
        if properties.end_late() {
            rare.duration = host.property(&DURATION).unwrap_or_default();
        }
        rare
    }

    /// Adds it to the properties.
    pub fn add_to<'a>(&'a self, properties: &mut Properties<'a>) {
        properties.set(Property::StatusDetails, &self.details);
        properties.set(Property::Duration, &self.duration);
    }
}

/// What was read of one request, as the proxy serialized it.
pub struct Values {
    selection: Selection,
    list: Option<Vec<u8>>,
    single: Option<Box<[Vec<u8>; COUNT]>>,
    custom: Option<Vec<u8>>,
    custom_single: Vec<Vec<u8>>,
}

/// A body of no bytes.
const NO_BYTES: [u8; 8] = [0; 8];

impl Values {
    /// The proxy's attributes.
    pub fn properties(&self) -> Properties<'_> {
        let listed =
            self.list.as_deref().and_then(|raw| Properties::from_list(raw, self.selection));
        let single = || self.single.as_deref().map(Properties::from_single).unwrap_or_default();
        let mut properties = listed.unwrap_or_else(single);
        if !self.selection.has_body {
            properties.set(Property::RequestBytes, &NO_BYTES);
        }
        properties
    }

    /// What the custom attributes are made of, in their order; empty when there are none to be read.
    pub fn custom(&self) -> Vec<&[u8]> {
        let listed = self.custom.as_deref().map(pairs).into_iter().flatten();
        let single = self.custom_single.iter().map(Vec::as_slice);
        listed.map(|(value, _)| value).chain(single).collect()
    }
}

/// A selection of the proxy's attributes, and the expressions that read it at once.
struct Reading {
    selection: Selection,
    count: usize,
    /// For a request that was answered by a service.
    answered: Option<Expression>,
    /// For every other.
    any: Option<Expression>,
}

impl Reading {
    fn new(host: impl Host, selection: Selection) -> Self {
        let any = host.compile(&selection.expression());
        if let Err(error) = &any {
            host.log(LogLevel::Info, &format_args!("properties are read one by one: {error}"));
        }
        let answered = host.compile(&selection.answered_expression()).ok();
        Self { selection, count: selection.paths().count(), answered, any: any.ok() }
    }

    fn list(&self, host: impl Host) -> Option<Vec<u8>> {
        evaluate(host, self.answered, self.count).or_else(|| evaluate(host, self.any, self.count))
    }

    /// Each value, one call or more for each.
    fn single(&self, host: impl Host) -> Box<[Vec<u8>; COUNT]> {
        let mut values: Box<[Vec<u8>; COUNT]> = Box::default();
        for (property, paths) in self.selection.paths() {
            let value = paths.iter().find_map(|path| host.property(path).ok());
            if let (Some(slot), Some(value)) = (values.get_mut(*property as usize), value) {
                *slot = value;
            }
        }
        values
    }
}

/// The answer to an expression, when it is a list of so many values.
fn evaluate(host: impl Host, expression: Option<Expression>, count: usize) -> Option<Vec<u8>> {
    host.evaluate(expression?).ok().filter(|list| pair_count(list) == count)
}

/// The custom attributes that are read of each request.
struct CustomReading {
    list: Option<Expression>,
    each: Vec<(Option<Expression>, Vec<String>)>,
}

impl CustomReading {
    fn new(host: impl Host, all: &[Custom]) -> Self {
        let (mut list, mut each) = (cel::List::default(), Vec::new());
        for custom in all {
            let Some(path) = custom.path() else { continue };
            let expression = cel::printed(&path);
            list.member(&expression);
            let path = path.iter().map(|step| (*step).to_owned()).collect();
            each.push((host.compile(&expression).ok(), path));
        }
        let list = if each.is_empty() { None } else { host.compile(&list.close()).ok() };
        Self { list, each }
    }

    fn list(&self, host: impl Host) -> Option<Vec<u8>> {
        evaluate(host, self.list, self.each.len())
    }

    /// Each value by itself; one that cannot be read is empty.
    fn single(&self, host: impl Host) -> Vec<Vec<u8>> {
        let read = |(expression, path): &(Option<Expression>, Vec<String>)| match expression {
            Some(expression) => host.evaluate(*expression).ok(),
            None => host.property(&path.iter().map(String::as_str).collect::<Vec<_>>()).ok(),
        };
        self.each.iter().map(|one| read(one).unwrap_or_default()).collect()
    }
}
