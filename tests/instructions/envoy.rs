//! An interpreter that stands in Envoy's place: it runs the filter's own file, answers its calls with one request's values, and
//! counts. Instructions are wasmi's fuel, so the count is the same on every machine.

use crate::answers::{Answers, Attributes, linker};
use anyhow::{Result, ensure};
use serde_json::Value;
use wasmi::{Config, Engine, Instance, Module, Store, TypedFunc};

/// More than any run needs.
const FUEL: u64 = u64::MAX / 2;
const ROOT: u32 = 1;

/// The filter in its interpreter.
pub struct Envoy {
    store: Store<Answers>,
    instance: Instance,
    next_context: u32,
}

impl Envoy {
    /// Starts the filter with a configuration.
    pub fn start(filter: &[u8], configuration: &Value) -> Result<Envoy> {
        let engine = Engine::new(Config::default().consume_fuel(true));
        let module = Module::new(&engine, filter)?;
        let configuration = configuration.to_string();
        let size = configuration.len() as u32;
        let mut store = Store::new(&engine, Answers::new(configuration));
        store.set_fuel(FUEL)?;
        let instance = linker(&engine)?.instantiate_and_start(&mut store, &module)?;
        let mut envoy = Envoy { store, instance, next_context: ROOT + 1 };
        envoy.function::<(), ()>("_initialize")?.call(&mut envoy.store, ())?;
        envoy.create(ROOT, 0)?;
        let configure = envoy.function::<(u32, u32), u32>("proxy_on_configure")?;
        ensure!(configure.call(&mut envoy.store, (ROOT, size))? == 1, "not configured");
        Ok(envoy)
    }

    /// One request with these headers and attributes from its headers to its end; the instructions that it took.
    pub fn request(
        &mut self,
        headers: &[(&'static str, &'static str)],
        attributes: &Attributes,
    ) -> Result<u64> {
        self.answers().is_about(headers, attributes);
        let (context, before) = (self.next_context, self.store.get_fuel()?);
        self.next_context += 1;
        self.create(context, ROOT)?;
        for name in ["proxy_on_request_headers", "proxy_on_response_headers"] {
            let seen = self.function::<(u32, u32, u32), u32>(name)?;
            ensure!(seen.call(&mut self.store, (context, 9, 1))? == 0, "{name} does not go on");
        }
        self.function::<u32, ()>("proxy_on_log")?.call(&mut self.store, context)?;
        self.function::<u32, u32>("proxy_on_done")?.call(&mut self.store, context)?;
        Ok(before - self.store.get_fuel()?)
    }

    /// The flush interval is over, and what is sent is answered; the instructions that it took.
    pub fn tick(&mut self) -> Result<u64> {
        let before = self.store.get_fuel()?;
        self.function::<u32, ()>("proxy_on_tick")?.call(&mut self.store, ROOT)?;
        let answered =
            self.function::<(u32, u32, u32, u32, u32), ()>("proxy_on_http_call_response")?;
        for token in self.answers().take_under_way() {
            answered.call(&mut self.store, (ROOT, token, 1, 0, 0))?;
        }
        Ok(before - self.store.get_fuel()?)
    }

    /// What was asked for.
    pub fn answers(&mut self) -> &mut Answers {
        self.store.data_mut()
    }

    fn create(&mut self, context: u32, root: u32) -> Result<()> {
        let create = self.function::<(u32, u32), ()>("proxy_on_context_create")?;
        Ok(create.call(&mut self.store, (context, root))?)
    }

    fn function<P: wasmi::WasmParams, R: wasmi::WasmResults>(
        &self,
        name: &str,
    ) -> Result<TypedFunc<P, R>> {
        Ok(self.instance.get_typed_func(&self.store, name)?)
    }
}
