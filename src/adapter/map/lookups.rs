//! The functions with a second argument: `code`, `division` and `township`.

use std::sync::Arc;

use vrl::{
    compiler::{prelude::*, state::TypeState},
    diagnostic::Label,
};

use super::{
    MapContext, diagnose,
    functions::{UnaryCall, not_text, with_text},
};
use crate::domain::{
    codes::{CodeList, CodeLists},
    division,
};

/// `code!(list, value)`.
#[derive(Debug)]
pub(super) struct CodeFunction;

impl Function for CodeFunction {
    fn identifier(&self) -> &'static str {
        "code"
    }
    fn usage(&self) -> &'static str {
        "The canonical code of a source value, by a table of the adapter or a code list of the hub."
    }
    fn category(&self) -> &'static str {
        "Hub"
    }
    fn return_kind(&self) -> u16 {
        kind::BYTES
    }
    fn examples(&self) -> &'static [Example] {
        &[]
    }
    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("list", kind::BYTES, "Name of the list, as a literal."),
            Parameter::required("value", kind::ANY, "The source value: code, name or alias."),
        ];
        PARAMETERS
    }
    fn compile(&self, state: &TypeState, ctx: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let name = arguments.required_literal("list", state)?;
        let name = with_text(&name, str::to_owned).unwrap_or_default();
        let context = ctx.get_external_context::<Arc<MapContext>>();
        let local = context.and_then(|context| context.codes.get(&name));
        let list = local
            .or_else(|| CodeLists::embedded().get(&name))
            .cloned()
            .ok_or_else(|| UnknownList::boxed(&name, context, ctx.span()))?;
        let codes = list.entries.iter().map(|entry| Value::from(entry.code.as_str())).collect();
        Ok(CodeCall { value: arguments.required("value"), list, codes }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct CodeCall {
    value: Box<dyn Expression>,
    list: Arc<CodeList>,
    /// Codes of the entries, made once: handing one out only counts a reference.
    codes: Arc<[Value]>,
}

impl FunctionExpression for CodeCall {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let value = self.value.resolve(ctx)?;
        let place = with_text(&value, |text| self.list.place(text)).ok_or_else(|| not_text(&value))?;
        place.and_then(|place| self.codes.get(place)).cloned().ok_or_else(|| self.list.refusal().to_string().into())
    }
    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::bytes().fallible()
    }
}

/// A program names a list that does not exist.
#[derive(Debug)]
struct UnknownList {
    message: String,
    span: Span,
}

impl UnknownList {
    fn boxed(name: &str, context: Option<&Arc<MapContext>>, span: Span) -> Box<dyn DiagnosticMessage> {
        let local = context.into_iter().flat_map(|context| context.codes.keys().map(String::as_str));
        let known: Vec<&str> = local.chain(CodeLists::embedded().names()).collect();
        let message = format!("there is no code list `{name}`{}", hint(name, &known));
        Box::new(Self { message, span })
    }
}

fn hint(name: &str, known: &[&str]) -> String {
    diagnose::nearest(name, known).map(|near| format!(", did you mean `{near}`")).unwrap_or_default()
}

impl fmt::Display for UnknownList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UnknownList {}

impl DiagnosticMessage for UnknownList {
    fn code(&self) -> usize {
        610
    }
    fn labels(&self) -> Vec<Label> {
        vec![Label::primary(self.message.clone(), self.span)]
    }
}

/// `division!(value, foreign: false)`.
#[derive(Debug)]
pub(super) struct DivisionFunction;

impl Function for DivisionFunction {
    fn identifier(&self) -> &'static str {
        "division"
    }
    fn usage(&self) -> &'static str {
        "Twelve digits of a division that exists or did once; `foreign: true` also takes codes of other provinces."
    }
    fn category(&self) -> &'static str {
        "Hub"
    }
    fn return_kind(&self) -> u16 {
        kind::BYTES
    }
    fn examples(&self) -> &'static [Example] {
        &[]
    }
    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("value", kind::ANY, "6, 9 or 12 digits."),
            Parameter::optional("foreign", kind::BOOLEAN, "Also take codes of other provinces; a literal."),
        ];
        PARAMETERS
    }
    fn compile(&self, state: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        let foreign = arguments.optional_literal("foreign", state)? == Some(Value::Boolean(true));
        let call = if foreign { division::normalise_anywhere } else { division::normalise };
        Ok(UnaryCall { value: arguments.required("value"), call }.as_expr())
    }
}

/// `township!(county, name)`.
#[derive(Debug)]
pub(super) struct TownshipFunction;

impl Function for TownshipFunction {
    fn identifier(&self) -> &'static str {
        "township"
    }
    fn usage(&self) -> &'static str {
        "Twelve digits of a township of a county, by its name."
    }
    fn category(&self) -> &'static str {
        "Hub"
    }
    fn return_kind(&self) -> u16 {
        kind::BYTES
    }
    fn examples(&self) -> &'static [Example] {
        &[]
    }
    fn parameters(&self) -> &'static [Parameter] {
        const PARAMETERS: &[Parameter] = &[
            Parameter::required("county", kind::ANY, "6, 9 or 12 digits."),
            Parameter::required("name", kind::ANY, "Name of the township, with its kind or without."),
        ];
        PARAMETERS
    }
    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        Ok(TownshipCall { county: arguments.required("county"), name: arguments.required("name") }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct TownshipCall {
    county: Box<dyn Expression>,
    name: Box<dyn Expression>,
}

impl FunctionExpression for TownshipCall {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let (county, name) = (self.county.resolve(ctx)?, self.name.resolve(ctx)?);
        let county = with_text(&county, str::to_owned).ok_or_else(|| not_text(&county))?;
        let found = with_text(&name, |name| division::township(&county, name)).ok_or_else(|| not_text(&name))?;
        found.map(Value::from).map_err(|refusal| refusal.to_string().into())
    }
    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::bytes().fallible()
    }
}
