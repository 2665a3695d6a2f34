//! The meta-schema: what a schema file may say, own keywords included.

use jsonschema::Validator;
use serde_json::Value;

use crate::error::{Code, Fault};

/// A schema file is not valid JSON Schema 2020-12, or uses a keyword wrongly or one that is not allowed.
pub const BAD_SCHEMA: Code = Code::new(4003);

/// Checks schema files. Unknown keywords are refused, so that a misspelt one cannot switch a check off unseen.
pub(super) struct MetaSchema(Validator);

impl MetaSchema {
    /// Fails only if the program was built with a broken meta-schema, which the tests would have found.
    pub(super) fn compile() -> Result<Self, Fault> {
        let broken = |cause: String| Fault::new(BAD_SCHEMA, format!("the built-in meta-schema is broken: {cause}"));
        let schema: Value = serde_json::from_str(include_str!("meta.json")).map_err(|error| broken(error.to_string()))?;
        let validator = jsonschema::options().offline().build(&schema).map_err(|error| broken(error.to_string()))?;
        Ok(Self(validator))
    }

    /// Every violation in one schema file. Schemas are no personal data, so the texts may quote them.
    pub(super) fn check(&self, file: &str, schema: &Value) -> Vec<Fault> {
        let errors = self.0.iter_errors(schema);
        errors
            .map(|error| {
                Fault::new(BAD_SCHEMA, error.to_string())
                    .in_file(file)
                    .at_pointer(error.instance_path().as_str())
                    .hint("see the keywords in the documentation of `schemas/`")
            })
            .collect()
    }
}
