//! Code lists behind the keyword `x-codes`.

use std::sync::Arc;

use jsonschema::{Keyword, ValidationError};
use serde_json::Value;

/// Says whether a code belongs to a list; `None` when there is no such list.
///
/// The lists themselves belong to the domain; any `Fn(list, code) -> Option<bool>` will do.
pub trait CodeSource: Send + Sync {
    fn has(&self, list: &str, code: &str) -> Option<bool>;
}

impl<F: Fn(&str, &str) -> Option<bool> + Send + Sync> CodeSource for F {
    fn has(&self, list: &str, code: &str) -> Option<bool> {
        self(list, code)
    }
}

/// The validator of one `x-codes`.
pub(super) struct CodeList {
    pub(super) list: String,
    pub(super) codes: Arc<dyn CodeSource>,
}

impl<'i> Keyword<'i> for CodeList {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        if Keyword::is_valid(self, instance) {
            return Ok(());
        }
        // The message becomes the expectation of the fault: it names the list, never the value.
        Err(ValidationError::custom(format!("a code of the list `{}`", self.list)))
    }

    /// Anything but text is left to `type`.
    fn is_valid(&self, instance: &'i Value) -> bool {
        match instance {
            Value::String(code) => self.codes.has(&self.list, code).unwrap_or(false),
            _ => true,
        }
    }
}
