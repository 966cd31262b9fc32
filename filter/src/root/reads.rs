//! What is read of each finished request: the proxy's attributes in one call, the custom ones in another
//! when there are any. What a host cannot read at once is read one by one.

use crate::attributes::custom::Custom;
use crate::host::{Expression, Host, LogLevel};
use crate::properties::{COUNT, Properties, Selection, cel};

/// The expressions of one worker.
pub struct Reads {
    http: Reading,
    rpc: Reading,
    custom: CustomReading,
}

impl Reads {
    /// Compiles what these spans need.
    pub fn new(host: impl Host, has_envoy_tags: bool, custom: &[Custom]) -> Self {
        Self {
            http: Reading::new(host, Selection { is_rpc: false, has_envoy_tags }),
            rpc: Reading::new(host, Selection { is_rpc: true, has_envoy_tags }),
            custom: CustomReading::new(host, custom),
        }
    }

    /// The reading for a gRPC call, or for any other request.
    pub fn of(&self, is_rpc: bool) -> &Reading {
        if is_rpc { &self.rpc } else { &self.http }
    }

    /// The reading for the custom attributes.
    pub fn custom(&self) -> &CustomReading {
        &self.custom
    }
}

/// A selection of the proxy's attributes, and the expression that reads them.
pub struct Reading {
    selection: Selection,
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
        Self { selection, answered, any: any.ok() }
    }

    /// All values at once, for [`Reading::parse`].
    pub fn list(&self, host: impl Host) -> Option<Vec<u8>> {
        let read = |expression: Option<Expression>| host.evaluate(expression?).ok();
        read(self.answered).or_else(|| read(self.any))
    }

    /// The values in a list.
    pub fn parse<'a>(&self, list: &'a [u8]) -> Option<Properties<'a>> {
        Properties::from_list(list, self.selection)
    }

    /// Each value, one call or more for each.
    pub fn single(&self, host: impl Host) -> [Vec<u8>; COUNT] {
        let mut values: [Vec<u8>; COUNT] = Default::default();
        for (property, paths) in self.selection.paths() {
            let value = paths.iter().find_map(|path| host.property(path).ok());
            if let (Some(slot), Some(value)) = (values.get_mut(*property as usize), value) {
                *slot = value;
            }
        }
        values
    }
}

/// The custom attributes that are read of each request.
pub struct CustomReading {
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

    /// How many are read.
    pub fn count(&self) -> usize {
        self.each.len()
    }

    /// All values at once: a list of pairs whose keys are the values.
    pub fn list(&self, host: impl Host) -> Option<Vec<u8>> {
        host.evaluate(self.list?).ok()
    }

    /// Each value by itself; one that cannot be read is empty.
    pub fn single(&self, host: impl Host) -> Vec<Vec<u8>> {
        let read = |(expression, path): &(Option<Expression>, Vec<String>)| match expression {
            Some(expression) => host.evaluate(*expression).ok(),
            None => host.property(&path.iter().map(String::as_str).collect::<Vec<_>>()).ok(),
        };
        self.each.iter().map(|one| read(one).unwrap_or_default()).collect()
    }
}
