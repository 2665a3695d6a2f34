//! The mapping step: an adapter's VRL program turns one raw row into canonical records.
//!
//! A program sees the row as `.` and the facts beside it as `%` (read-only: `system`, `object`, `file`, `row`, `read_at`,
//! `today` and the row's own meta). It leaves its outputs in `.`: an array, one object, or nothing. [`functions`] has the
//! hub's own functions, [`output`] the checks of what comes out, [`diagnose`] turns errors into faults without values.
//!
//! A program can neither end the process nor hang it: steps and time are limited, panics are caught. The same row always
//! gives the same outputs: functions that draw random numbers, read the clock or write logs are not available.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use time::OffsetDateTime;
use vrl::{
    compiler::{
        CompileConfig, Program, Target, TargetValue, TimeZone,
        runtime::{Runtime, Terminate},
        state::{ExternalEnv, RuntimeState},
    },
    path::OwnedTargetPath,
    value::{ObjectMap, Secrets, Value},
};

use super::source::Row;
use crate::{
    clock,
    domain::{codes::CodeList, keyed_hash::KeyedHash},
    envelope::{Dataset, System},
    error::{Code, Fault},
};

mod bounds;
pub mod convert;
pub mod diagnose;
pub mod functions;
mod lookups;
pub mod output;

pub use output::Mapped;

/// The mapping program does not compile.
pub const PROGRAM_INVALID: Code = Code::new(3001);
/// A function of the mapping program failed on a row and the program did not handle it.
pub const PROGRAM_FAILED: Code = Code::new(3002);
/// The mapping program refused the row with `abort`.
pub const PROGRAM_ABORTED: Code = Code::new(3003);
/// The mapping program took too many steps or too long for one row.
pub const PROGRAM_RUNAWAY: Code = Code::new(3004);
/// The mapping program crashed inside the interpreter.
pub const PROGRAM_CRASHED: Code = Code::new(3005);
/// An output of the mapping program has a wrong form.
pub const OUTPUT_INVALID: Code = Code::new(3006);
/// The row is nested too deeply to be mapped.
pub const ROW_TOO_DEEP: Code = Code::new(3007);

/// Steps any row may take, and further ones for every value in it, so that a list of rows nested in one may be long.
const BASE_STEPS: u64 = 20_000;
const STEPS_PER_VALUE: u64 = 100;
/// Time one row may take. Steps end a loop first; this is for a machine that hardly runs.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// How many steps pass between two looks at the clock.
const CLOCK_STRIDE: u64 = 256;

/// What a program is compiled with.
#[derive(Debug, Clone, Default)]
pub struct MapContext {
    /// Slug of the system.
    pub system: String,
    /// Datasets the object may produce; empty allows any.
    pub datasets: Vec<Dataset>,
    /// The adapter's own code tables; they hide lists of the hub with the same name.
    pub codes: BTreeMap<String, Arc<CodeList>>,
}

/// A compiled mapping program. Share it in an `Arc`; it has no state.
#[derive(Debug)]
pub struct Mapper {
    program: Program,
    source: diagnose::Source,
    context: Arc<MapContext>,
    warnings: Vec<Fault>,
}

/// The state of one mapping worker: reused for every row, bound to no program.
pub struct MapRuntime {
    runtime: Runtime,
    secrets: Secrets,
    read_at: Value,
    today: Value,
    zone: TimeZone,
}

impl MapRuntime {
    /// A runtime whose `hmac` function uses `hash`, and whose clock stands at `read_at` until [`MapRuntime::set_clock`].
    pub fn new(hash: &KeyedHash, read_at: OffsetDateTime) -> Self {
        let mut secrets = Secrets::new();
        secrets.insert(functions::HMAC_SECRET, hash.key_hex());
        // Legacy time stamps are UTC+8 without summer time; the sign of `Etc` zones is turned round.
        let zone = TimeZone::parse("Etc/GMT-8").unwrap_or_default();
        let mut runtime =
            Self { runtime: Runtime::new(RuntimeState::default()), secrets, read_at: Value::Null, today: Value::Null, zone };
        runtime.set_clock(read_at);
        runtime
    }

    /// Sets `%read_at` and `%today`; once per batch is enough.
    pub fn set_clock(&mut self, read_at: OffsetDateTime) {
        self.read_at = clock::rfc3339(read_at).into();
        self.today = clock::iso_date(read_at.to_offset(clock::CHINA).date()).into();
    }
}

impl Mapper {
    /// Compiles a program. `file` is its path as users should see it. Every error is a fault with line and column.
    pub fn compile(text: &str, file: &str, context: &MapContext) -> Result<Self, Vec<Fault>> {
        let source = diagnose::Source::new(file, text);
        bounds::check(text).map_err(|message| vec![Fault::new(PROGRAM_INVALID, message).in_file(file)])?;
        let context = Arc::new(context.clone());
        let mut config = CompileConfig::default();
        config.set_custom(context.clone());
        config.set_read_only_path(OwnedTargetPath::metadata_root(), true);
        let compile = || vrl::compiler::compile_with_external(text, functions::all(), &ExternalEnv::default(), config);
        match catch_unwind(AssertUnwindSafe(compile)) {
            Ok(Ok(result)) => {
                let warnings = source.compile_faults(&result.warnings);
                Ok(Self { program: result.program, source, context, warnings })
            }
            Ok(Err(diagnostics)) => Err(source.compile_faults(&diagnostics)),
            Err(_) => Err(vec![Fault::new(PROGRAM_INVALID, "the compiler crashed on the program").in_file(file)]),
        }
    }

    /// What the compiler found suspicious, such as results that nobody uses.
    pub fn warnings(&self) -> &[Fault] {
        &self.warnings
    }

    /// Paths of the row that the program reads, such as `SFZH` or `RY.XM`: for lint and coverage.
    pub fn fields_read(&self) -> Vec<String> {
        let mut fields: Vec<String> = self
            .program
            .info()
            .target_queries
            .iter()
            .filter(|path| path.prefix == vrl::path::PathPrefix::Event)
            .map(|path| path.path.to_string())
            .collect();
        fields.sort();
        fields.dedup();
        fields
    }

    /// Maps one row. Either all of its outputs are good, or none is used and every fault is told.
    pub fn run(&self, runtime: &mut MapRuntime, row: &Row) -> Result<Vec<Mapped>, Vec<Fault>> {
        let mut values = 0;
        let value = convert::to_vrl(&row.data, &mut values).ok_or_else(|| too_deep(row))?;
        let metadata = self.metadata(runtime, row).ok_or_else(|| too_deep(row))?;
        let mut target = TargetValue { value, metadata, secrets: std::mem::take(&mut runtime.secrets) };
        let ended = self.resolve(runtime, &mut target, BASE_STEPS + STEPS_PER_VALUE * values);
        runtime.secrets = target.secrets;
        match ended {
            Ok(_) => output::read(target.value, row, &self.context, &self.source),
            Err(fault) => Err(vec![place(*fault, row)]),
        }
    }

    /// Runs the program over any value and gives what its last expression is: for conditions of supervision.
    ///
    /// # Errors
    /// The program failed, did not end, or the value is nested too deeply.
    pub fn value_of(&self, runtime: &mut MapRuntime, input: &Json) -> Result<Json, Fault> {
        let deep = || Fault::new(ROW_TOO_DEEP, "the facts are nested too deeply");
        let mut values = 0;
        let value = convert::to_vrl(input, &mut values).ok_or_else(deep)?;
        let metadata = Value::Object(ObjectMap::from([("today".into(), runtime.today.clone())]));
        let mut target = TargetValue { value, metadata, secrets: Secrets::new() };
        let result = self.resolve(runtime, &mut target, BASE_STEPS + STEPS_PER_VALUE * values).map_err(|fault| *fault)?;
        convert::to_json(result).map_err(|_| deep())
    }

    fn resolve(&self, runtime: &mut MapRuntime, target: &mut dyn Target, steps: u64) -> Result<Value, Box<Fault>> {
        runtime.runtime.clear();
        let zone = runtime.zone;
        let started = Instant::now();
        let mut left = steps;
        let mut control = || {
            left = left.saturating_sub(1);
            let late = left.is_multiple_of(CLOCK_STRIDE) && started.elapsed() > TIME_LIMIT;
            if left == 0 || late { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let engine = &mut runtime.runtime;
        let run = AssertUnwindSafe(|| engine.resolve_with_control(target, &self.program, &zone, &mut control));
        match catch_unwind(run) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(Terminate::Interrupted)) => Err(Box::new(self.runaway(steps))),
            Ok(Err(Terminate::Abort(error) | Terminate::Error(error))) => Err(Box::new(self.source.run_fault(&error))),
            Err(_) => {
                // What the interpreter left behind is not to be trusted.
                runtime.runtime = Runtime::new(RuntimeState::default());
                let fault = Fault::new(PROGRAM_CRASHED, format!("the program `{}` crashed on the row", self.source.file()));
                Err(Box::new(fault.hint("report it with the program and an invented row that shows it")))
            }
        }
    }

    fn runaway(&self, steps: u64) -> Fault {
        Fault::new(PROGRAM_RUNAWAY, format!("the program `{}` did not end", self.source.file()))
            .expected(format!("an end within {steps} steps and {} seconds for this row", TIME_LIMIT.as_secs()))
            .hint("look for a loop inside a loop; go over the row's own lists only")
    }

    fn metadata(&self, runtime: &MapRuntime, row: &Row) -> Option<Value> {
        let mut facts = ObjectMap::new();
        if let Json::Object(meta) = &row.meta {
            let mut values = 0;
            for (name, value) in meta {
                facts.insert(name.as_str().into(), convert::to_vrl(value, &mut values)?);
            }
        }
        facts.insert("system".into(), self.context.system.as_str().into());
        facts.insert("object".into(), row.object.as_str().into());
        facts.insert("file".into(), row.file.as_str().into());
        facts.insert("row".into(), Value::Integer(i64::try_from(row.number).unwrap_or(i64::MAX)));
        facts.insert("read_at".into(), runtime.read_at.clone());
        facts.insert("today".into(), runtime.today.clone());
        Some(Value::Object(facts))
    }

    /// The system whose rows this program maps.
    pub fn system(&self) -> System {
        System::from(self.context.system.as_str())
    }
}

/// Makes panics print where they happened and nothing else: the text of a panic may quote a row. The program calls this
/// once at its start, before the first row is read.
pub fn hide_panic_payloads() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place = %place, "a panic was caught");
    }));
}

fn place(fault: Fault, row: &Row) -> Fault {
    let fault = fault.in_file(row.file.as_str());
    if row.number == 0 { fault } else { fault.at_row(row.number) }
}

fn too_deep(row: &Row) -> Vec<Fault> {
    let fault =
        Fault::new(ROW_TOO_DEEP, "the row is nested too deeply").expected(format!("at most {} levels", convert::MAX_DEPTH));
    vec![place(fault, row)]
}

#[cfg(test)]
mod tests;
