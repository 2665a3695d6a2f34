//! Legacy systems: whether what an adapter names is there and lets the hub in.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use sqlx::Connection;
use url::Url;

use super::{
    Category::Sources,
    Check, Finding, Seen, reach,
    wire::{self, Door},
};
use crate::{
    adapter::{
        source::secrets,
        spec::{AdapterSpec, SourceKind},
    },
    config::Config,
    error::Code,
    store::health::{self, Trouble},
};

/// A source cannot be reached.
pub const UNREACHABLE: Code = Code::new(8271);
/// A source does not let the hub in.
pub const REFUSED: Code = Code::new(8272);
/// The drop folder of a source cannot be used.
pub const NO_INBOX: Code = Code::new(8273);

const LIMIT: Duration = Duration::from_secs(8);
const HINT: &str = "check the address in the adapter's variables, that the system runs, and that no network policy is between; the hub goes on with the others";

pub(super) fn checks(config: &Config, adapters: &[Arc<AdapterSpec>]) -> Vec<Check> {
    let one = |spec: &Arc<AdapterSpec>| {
        let (spec, env, inbox) = (Arc::clone(spec), config.env.clone(), config.inbox());
        Check::new(Sources, format!("source `{}`", spec.slug), 25, async move { look(&spec, &env, &inbox).await })
    };
    adapters.iter().map(one).collect()
}

async fn look(spec: &AdapterSpec, env: &BTreeMap<String, String>, inbox: &Path) -> Seen {
    let source = match secrets::resolve(&spec.source, env) {
        Ok(source) => source,
        Err(faults) => {
            let named = faults
                .into_iter()
                .map(|fault| Finding::fault(Sources, &fault.in_file(spec.dir.join("adapter.toml").display().to_string())));
            return named.collect::<Vec<_>>().into();
        }
    };
    let text = |key: &str| source.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let slug = spec.slug.as_str();
    match spec.kind {
        SourceKind::Sql => database(slug, &text("url")).await.into(),
        SourceKind::HttpPull => service(slug, &text("base")).await,
        SourceKind::Soap => service(slug, &text("url")).await,
        SourceKind::File if source.contains_key("sftp") => service(slug, &text("sftp")).await,
        SourceKind::File => folder(slug, &inbox.join(slug)).into(),
        SourceKind::HttpPush => Finding::ok(Sources, format!("source `{slug}` calls the hub; there is nothing to reach")).into(),
    }
}

async fn database(slug: &str, url: &str) -> Finding {
    if url.starts_with("odbc:") {
        return Finding::ok(Sources, format!("source `{slug}` is read through ODBC, which is not tried here"));
    }
    match health::connect(url, LIMIT).await {
        Ok(connection) => {
            let _ = tokio::time::timeout(LIMIT, connection.close()).await;
            Finding::ok(Sources, format!("the database of source `{slug}` lets the hub in"))
        }
        Err(trouble @ (Trouble::Unreachable | Trouble::NoFile | Trouble::Url)) => {
            Finding::fail(Sources, UNREACHABLE, format!("the database of source `{slug}`: {trouble}"), HINT)
        }
        Err(trouble) => {
            let hint = "check user, password and database in the adapter's variables; the account needs no more than to read";
            Finding::fail(Sources, REFUSED, format!("the database of source `{slug}`: {trouble}"), hint)
        }
    }
}

async fn service(slug: &str, address: &str) -> Seen {
    let fail = |why: &str| Seen::from(Finding::fail(Sources, UNREACHABLE, format!("source `{slug}`: {why}"), HINT));
    let Some(door) = Url::parse(address).ok().and_then(|url| reach::door(&url, 22)) else {
        return fail("its address cannot be read");
    };
    let place = format!("source `{slug}` at {}:{}", door.host, door.port);
    match knock(&door).await {
        Ok(sight) => reach::seen(sight, Finding::ok(Sources, format!("{place} opens")), &place),
        Err(closed) => Finding::fail(Sources, UNREACHABLE, format!("{place}: {}", closed.why()), HINT).into(),
    }
}

async fn knock(door: &Door) -> Result<wire::Sight, wire::Closed> {
    let addresses = wire::resolve(door).await?;
    wire::knock(door, &addresses).await
}

/// A drop folder may be missing until its system first writes: the hub makes it.
fn folder(slug: &str, folder: &Path) -> Finding {
    match std::fs::read_dir(folder) {
        Ok(_) => Finding::ok(Sources, format!("the drop folder of source `{slug}` is there")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Finding::ok(Sources, format!("the drop folder of source `{slug}` is not there yet"))
        }
        Err(error) => {
            let message = format!("the drop folder `{}` of source `{slug}` cannot be read: {}", folder.display(), error.kind());
            Finding::fail(Sources, NO_INBOX, message, "give the user of the hub the right to read and write there")
        }
    }
}
