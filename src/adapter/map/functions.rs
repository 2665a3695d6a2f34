//! The functions a mapping program may call: the hub's own, in one table, and those of VRL's library that are
//! deterministic and bounded.
//!
//! A function that can fail is called with `!`, or its error is taken: `number, error = resident_id(.SFZH)`.
//! Error texts name the expected form, never the value.

use std::sync::LazyLock;

use vrl::compiler::{prelude::*, state::TypeState};

use super::{
    convert,
    lookups::{CodeFunction, DivisionFunction, TownshipFunction},
};
use crate::{
    clock,
    domain::{
        Refusal, bank, certificate, codes, date, division,
        keyed_hash::KeyedHash,
        mojibake, money, phone,
        resident_id::{self, ResidentId},
        text, uscc,
    },
    error::Code,
};

/// Under this name the target of a program carries the key of `hmac`; programs cannot read it.
pub(super) const HMAC_SECRET: &str = "hmac";

/// VRL functions that are left out: random or clock-bound ones would give a row another id each time it is read, `log`
/// would write personal data, the decompressors and YAML aliases expand without bound.
const LEFT_OUT: &[&str] = &[
    "now",
    "random_bool",
    "random_bytes",
    "random_float",
    "random_int",
    "uuid_v4",
    "uuid_v7",
    "log",
    "decode_gzip",
    "decode_lz4",
    "decode_snappy",
    "decode_zlib",
    "decode_zstd",
    "parse_yaml",
];

/// A function of one text. `call` gives the text of the result.
struct Unary {
    name: &'static str,
    usage: &'static str,
    code: Code,
    call: fn(&str) -> Result<String, Refusal>,
}

/// Every fallible function of one text.
const UNARY: &[Unary] = &[
    Unary {
        name: "resident_id",
        usage: "The 18 characters of a valid identity number; 15 digits are upgraded.",
        code: resident_id::RESIDENT_ID,
        call: |x| Ok(ResidentId::parse(x)?.as_str().to_owned()),
    },
    Unary {
        name: "resident_id_upgrade",
        usage: "The same as `resident_id`: says that 15 digits are expected.",
        code: resident_id::RESIDENT_ID,
        call: |x| Ok(ResidentId::parse(x)?.as_str().to_owned()),
    },
    Unary {
        name: "resident_id_birth",
        usage: "The birth date in an identity number, `yyyy-mm-dd`.",
        code: resident_id::RESIDENT_ID,
        call: |x| Ok(clock::iso_date(ResidentId::parse(x)?.birth_date())),
    },
    Unary {
        name: "resident_id_sex",
        usage: "The sex in an identity number, `1` or `2`.",
        code: resident_id::RESIDENT_ID,
        call: |x| Ok(ResidentId::parse(x)?.sex().to_owned()),
    },
    Unary { name: "uscc", usage: "A valid unified social credit code.", code: uscc::USCC, call: uscc::uscc },
    Unary {
        name: "organisation_code",
        usage: "A valid organisation code of nine characters.",
        code: uscc::USCC,
        call: uscc::organisation_code,
    },
    Unary { name: "cnaps", usage: "A valid bank line number.", code: bank::BANK_NUMBER, call: bank::cnaps },
    Unary { name: "bank_card", usage: "A valid bank card number.", code: bank::BANK_NUMBER, call: bank::card },
    Unary {
        name: "disability_no",
        usage: "A valid number of a disability certificate.",
        code: certificate::CERTIFICATE,
        call: |x| Ok(certificate::disability(x)?.number),
    },
    Unary { name: "mobile", usage: "A mobile number of 11 digits.", code: phone::MOBILE, call: phone::mobile },
    Unary { name: "division_name", usage: "Names from the province down.", code: division::DIVISION, call: division::full_name },
    Unary {
        name: "cn_date",
        usage: "A date in any usual form, as `yyyy-mm-dd`.",
        code: date::DATE,
        call: |x| Ok(clock::iso_date(date::cn_date(x)?)),
    },
    Unary {
        name: "cn_time",
        usage: "A time in any usual form, as RFC 3339 with +08:00.",
        code: date::DATE,
        call: |x| Ok(clock::rfc3339(date::cn_time(x)?)),
    },
    Unary { name: "yyyymm", usage: "A month in any usual form, as `yyyymm`.", code: date::DATE, call: date::yyyymm },
    Unary { name: "fen", usage: "Whole fen as yuan with two decimals.", code: money::MONEY, call: money::fen },
    Unary { name: "yuan", usage: "Yuan with two decimals.", code: money::MONEY, call: money::yuan },
    Unary {
        name: "mojibake_repair",
        usage: "Text decoded with the wrong character set, put right.",
        code: mojibake::MOJIBAKE,
        call: |x| Ok(mojibake::repair(x)?.into_owned()),
    },
];

/// Functions of one value that cannot fail; null and structures count as empty text.
const PLAIN: &[(&str, &str, Plain)] = &[
    ("nfkc", "Text in one form: NFKC, no spaces, middle dots as U+00B7.", Plain::Text(|x| text::nfkc(x).into_owned())),
    ("mask", "What may be shown of a number or name.", Plain::Text(text::mask)),
    ("hmac", "Keyed hash, 64 hex digits; empty for empty text.", Plain::Hmac),
    ("blank", "Whether it is null, empty, or nothing but spaces.", Plain::Blank),
];

#[derive(Debug, Clone, Copy)]
enum Plain {
    Text(fn(&str) -> String),
    Hmac,
    Blank,
}

static ALL: LazyLock<Vec<Box<dyn Function>>> = LazyLock::new(|| {
    let mut all: Vec<Box<dyn Function>> =
        vrl::stdlib::all().into_iter().filter(|function| !LEFT_OUT.contains(&function.identifier())).collect();
    all.extend(UNARY.iter().map(|unary| Box::new(UnaryFunction(unary)) as Box<dyn Function>));
    all.extend(
        PLAIN.iter().map(|(name, usage, plain)| Box::new(PlainFunction { name, usage, plain: *plain }) as Box<dyn Function>),
    );
    all.push(Box::new(CodeFunction));
    all.push(Box::new(DivisionFunction));
    all.push(Box::new(TownshipFunction));
    all
});

/// Everything a program may call.
pub(super) fn all() -> &'static [Box<dyn Function>] {
    &ALL
}

/// Whether VRL has the function but programs may not call it.
pub(super) fn is_left_out(function: &str) -> bool {
    LEFT_OUT.contains(&function)
}

/// The fault code of a hub function that can fail; `None` for functions of VRL's library.
pub(super) fn code_of(function: &str) -> Option<Code> {
    match function {
        "code" => Some(codes::CODE_VALUE),
        "division" | "township" => Some(division::DIVISION),
        name => UNARY.iter().find(|unary| unary.name == name).map(|unary| unary.code),
    }
}

/// Name and usage of every hub function, for the documentation.
pub fn catalogue() -> Vec<(&'static str, &'static str)> {
    let mut all: Vec<_> = UNARY.iter().map(|unary| (unary.name, unary.usage)).collect();
    all.extend(PLAIN.iter().map(|(name, usage, _)| (*name, *usage)));
    all.extend([
        (CodeFunction.identifier(), CodeFunction.usage()),
        (DivisionFunction.identifier(), DivisionFunction.usage()),
        (TownshipFunction.identifier(), TownshipFunction.usage()),
    ]);
    all.sort_unstable();
    all
}

/// Calls `use_text` with the text of a value: strings as they are, numbers as they are written,
/// `true`, `false`, time stamps as RFC 3339.
pub(super) fn with_text<T>(value: &Value, use_text: impl FnOnce(&str) -> T) -> Option<T> {
    match value {
        Value::String(text) => Some(use_text(text)),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok().map(use_text),
        Value::Integer(integer) => Some(use_text(&integer.to_string())),
        Value::Float(float) => Some(use_text(&float.to_string())),
        Value::Boolean(value) => Some(use_text(if *value { "true" } else { "false" })),
        Value::Timestamp(moment) => {
            convert::timestamp(moment.timestamp(), moment.timestamp_subsec_millis()).ok().map(|text| use_text(&text))
        }
        _ => None,
    }
}

pub(super) fn not_text(value: &Value) -> ExpressionError {
    let what = if value.is_null() { "the value is missing" } else { "the value is neither text nor a number" };
    format!("{what}; expected text or a number").into()
}

const VALUE: &[Parameter] = &[Parameter::required("value", kind::ANY, "The value.")];

struct UnaryFunction(&'static Unary);

impl fmt::Debug for UnaryFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl Function for UnaryFunction {
    fn identifier(&self) -> &'static str {
        self.0.name
    }
    fn usage(&self) -> &'static str {
        self.0.usage
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
        VALUE
    }
    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        Ok(UnaryCall { value: arguments.required("value"), call: self.0.call }.as_expr())
    }
}

#[derive(Debug, Clone)]
pub(super) struct UnaryCall {
    pub(super) value: Box<dyn Expression>,
    pub(super) call: fn(&str) -> Result<String, Refusal>,
}

impl FunctionExpression for UnaryCall {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let value = self.value.resolve(ctx)?;
        let result = with_text(&value, self.call).ok_or_else(|| not_text(&value))?;
        result.map(Value::from).map_err(|refusal| refusal.to_string().into())
    }
    fn type_def(&self, _: &TypeState) -> TypeDef {
        TypeDef::bytes().fallible()
    }
}

#[derive(Debug)]
struct PlainFunction {
    name: &'static str,
    usage: &'static str,
    plain: Plain,
}

impl Function for PlainFunction {
    fn identifier(&self) -> &'static str {
        self.name
    }
    fn usage(&self) -> &'static str {
        self.usage
    }
    fn category(&self) -> &'static str {
        "Hub"
    }
    fn return_kind(&self) -> u16 {
        if matches!(self.plain, Plain::Blank) { kind::BOOLEAN } else { kind::BYTES }
    }
    fn examples(&self) -> &'static [Example] {
        &[]
    }
    fn parameters(&self) -> &'static [Parameter] {
        VALUE
    }
    fn compile(&self, _: &TypeState, _: &mut FunctionCompileContext, arguments: ArgumentList) -> Compiled {
        Ok(PlainCall { value: arguments.required("value"), plain: self.plain }.as_expr())
    }
}

#[derive(Debug, Clone)]
struct PlainCall {
    value: Box<dyn Expression>,
    plain: Plain,
}

impl FunctionExpression for PlainCall {
    fn resolve(&self, ctx: &mut Context) -> Resolved {
        let value = self.value.resolve(ctx)?;
        Ok(match self.plain {
            Plain::Text(call) => with_text(&value, call).unwrap_or_default().into(),
            Plain::Hmac => with_text(&value, |text| keyed(ctx, text)).unwrap_or_default().into(),
            Plain::Blank => is_blank(&value).into(),
        })
    }
    fn type_def(&self, _: &TypeState) -> TypeDef {
        if matches!(self.plain, Plain::Blank) { TypeDef::boolean().infallible() } else { TypeDef::bytes().infallible() }
    }
}

fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        value => with_text(value, text::is_blank).unwrap_or(false),
    }
}

fn keyed(ctx: &Context, text: &str) -> String {
    let key = ctx.target().get_secret(HMAC_SECRET).and_then(|key| hex::decode(key).ok());
    // A program never runs without the key: `MapRuntime` cannot be made without one.
    match key {
        Some(key) if !text.is_empty() => KeyedHash::new(&key).hex(text),
        _ => String::new(),
    }
}
