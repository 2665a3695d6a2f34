//! The key file: there, readable by its owner only, understood.

use std::{os::unix::fs::PermissionsExt, path::Path};

use super::{Category::Keys, Check, Finding};
use crate::{
    config::{BusKind, Config, keys},
    error::Code,
};

/// The key file is not there.
pub const NO_KEYS: Code = Code::new(8241);
/// The key file can be read by everyone on the machine.
pub const OPEN_KEYS: Code = Code::new(8242);

pub(super) fn check(config: &Config, pre: bool) -> Check {
    let (path, given) = (config.key_file(), !config.keys.file.as_os_str().is_empty());
    let shared = config.bus.kind == BusKind::Rabbitmq;
    Check::local(Keys, "the key file", move || look(&path, given, shared, pre))
}

fn look(path: &Path, given: bool, shared: bool, pre: bool) -> Finding {
    let shown = path.display();
    let Ok(meta) = path.metadata() else { return missing(path, given, shared, pre) };
    if meta.permissions().mode() & 0o007 != 0 {
        let message =
            format!("everyone on the machine can use the key file `{shown}` (mode {:o})", meta.permissions().mode() & 0o777);
        return Finding::fail(
            Keys,
            OPEN_KEYS,
            message,
            format!("chmod 600 {shown}; who read it could open sealed data: consider new keys"),
        );
    }
    match keys::Keys::load(path) {
        Ok(_) => Finding::ok(Keys, format!("`{shown}` holds the hub's keys")),
        Err(fault) => Finding::fault(Keys, &fault),
    }
}

fn missing(path: &Path, given: bool, shared: bool, pre: bool) -> Finding {
    let message = format!("there is no key file `{}`", path.display());
    if !pre || given {
        let hint = "restore it from its copy, or mount it: a fresh one cannot open what is already sealed. A hub that has never run makes its own";
        return Finding::fail(Keys, NO_KEYS, message, hint);
    }
    if shared {
        let hint = "several processes must share one: make it once (the first start does) and mount it with `keys.file`";
        return Finding::warn(Keys, NO_KEYS, message, hint);
    }
    Finding::ok(Keys, format!("{message}; the first start makes it"))
}
