//! The floor: a module with the filter's own exports, none of which does anything. It is made from the filter's file, so
//! that Envoy makes the very same calls into both.

use anyhow::{Context, Result};
use spanferry_tests::stack::parts;
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, MemorySection, MemoryType,
    Module, TypeSection, ValType,
};
use wasmparser::{CompositeInnerType, ExternalKind, FuncType, Parser, Payload, TypeRef};

/// Callbacks whose answer is a yes: the VM has started, the configuration is taken, the context is done.
const YES: [&str; 3] = ["proxy_on_vm_start", "proxy_on_configure", "proxy_on_done"];

/// The module's bytes.
pub fn module() -> Result<Vec<u8>> {
    empty(&exports(&filter()?).context("the filter's exports")?)
}

/// The filter's file.
pub fn filter() -> Result<Vec<u8>> {
    let path = parts::filter()?;
    std::fs::read(&path).with_context(|| path.display().to_string())
}

/// The functions that a module exports, with their types.
pub fn exports(module: &[u8]) -> Result<Vec<(String, FuncType)>> {
    let (mut types, mut functions, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::TypeSection(section) => {
                for group in section {
                    types.extend(group?.into_types().map(|t| t.composite_type.inner));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(index) = import?.ty {
                        functions.push(index);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    functions.push(index?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    if export.kind == ExternalKind::Func {
                        exports.push((export.name.to_owned(), export.index as usize));
                    }
                }
            }
            _ => {}
        }
    }
    let typed = exports.into_iter().map(|(name, function)| {
        let index = functions.get(function).context("an export of no function")?;
        match types.get(*index as usize) {
            Some(CompositeInnerType::Func(of)) => Ok((name, of.clone())),
            _ => anyhow::bail!("{name} has no function's type"),
        }
    });
    typed.collect()
}

/// A module with these exports and a memory of one page.
fn empty(functions: &[(String, FuncType)]) -> Result<Vec<u8>> {
    let (mut types, mut declared, mut code) =
        (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    let mut exports = ExportSection::new();
    exports.export("memory", ExportKind::Memory, 0);
    for (index, (name, of)) in (0_u32..).zip(functions) {
        let value = |kinds: &[wasmparser::ValType]| vec![ValType::I32; kinds.len()];
        anyhow::ensure!(
            of.params().iter().chain(of.results()).all(|kind| *kind == wasmparser::ValType::I32),
            "{name} takes or gives something else than an i32"
        );
        types.ty().function(value(of.params()), value(of.results()));
        declared.function(index);
        exports.export(name, ExportKind::Func, index);
        let mut body = Function::new([]);
        for _ in of.results() {
            body.instructions().i32_const(i32::from(YES.contains(&name.as_str())));
        }
        body.instructions().end();
        code.function(&body);
    }
    let mut memory = MemorySection::new();
    memory.memory(MemoryType {
        minimum: 1,
        maximum: None,
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut module = Module::new();
    module.section(&types).section(&declared).section(&memory).section(&exports).section(&code);
    Ok(module.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_module_exports_what_its_original_does_and_says_yes_where_it_must() {
        let of = FuncType::new([wasmparser::ValType::I32], [wasmparser::ValType::I32]);
        let names =
            ["proxy_on_configure", "proxy_on_log"].map(|name| (name.to_owned(), of.clone()));
        let module = empty(&names).unwrap();
        assert_eq!(exports(&module).unwrap(), names);
        let bodies: Vec<i32> = Parser::new(0)
            .parse_all(&module)
            .filter_map(|payload| match payload.unwrap() {
                Payload::CodeSectionEntry(body) => {
                    let first = body.get_operators_reader().unwrap().read().unwrap();
                    let wasmparser::Operator::I32Const { value } = first else {
                        panic!("{first:?}")
                    };
                    Some(value)
                }
                _ => None,
            })
            .collect();
        assert_eq!(bodies, [1, 0]);
    }
}
