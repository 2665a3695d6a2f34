//! The broker: reached, let in, able, queues declared.

use std::time::Duration;

use super::{Category::Broker, Check, Finding, Seen, Status, reach, wire};
use crate::{
    bus::{
        Queue,
        rabbit::health::{self, Trouble},
    },
    config::{BusKind, Config, origin::without_secrets},
    error::Code,
    servers,
};

/// The broker cannot be reached.
pub const UNREACHABLE: Code = Code::new(8211);
/// The broker does not let the user in.
pub const CREDENTIALS: Code = Code::new(8212);
/// There is no such vhost, or no access to it.
pub const NO_VHOST: Code = Code::new(8213);
/// The broker lacks the consistent-hash exchange.
pub const NO_PLUGIN: Code = Code::new(8214);
/// Queues of the hub are not there.
pub const NO_QUEUES: Code = Code::new(8215);
/// The broker takes no messages.
pub const BLOCKED: Code = Code::new(8216);
/// The user may not declare what the hub needs.
pub const NO_PERMISSION: Code = Code::new(8217);

const LIMIT: Duration = Duration::from_secs(8);

pub(super) fn check(config: &Config, queues: &[Queue], pre: bool) -> Vec<Check> {
    if config.bus.kind == BusKind::Embedded {
        let fine = Finding::ok(Broker, "the bus is embedded: there is no broker");
        return vec![Check::new(Broker, "the broker", 5, std::future::ready(fine))];
    }
    let (url, prefix, queues) =
        (config.bus.url.clone(), config.bus.prefix.clone(), if pre { Vec::new() } else { queues.to_vec() });
    let mut checks = vec![Check::new(Broker, "the broker", 40, async move { look(&url, &prefix, &queues).await })];
    checks.extend(servers::each(&config.bus.url).iter().filter_map(|url| certificate(url)));
    checks
}

/// Every node of the broker by itself. As long as one serves, another that does not is no more than a warning.
async fn look(url: &str, prefix: &str, queues: &[Queue]) -> Seen {
    let nodes = servers::each(url);
    let looks = nodes.iter().map(|node| look_at(node, prefix, queues));
    let mut findings = futures_util::future::join_all(looks).await;
    if findings.iter().any(|finding| finding.status != Status::Fail) {
        findings.iter_mut().filter(|finding| finding.status == Status::Fail).for_each(|finding| finding.status = Status::Warn);
    }
    findings.into()
}

async fn look_at(url: &str, prefix: &str, queues: &[Queue]) -> Finding {
    let shown = without_secrets(url);
    match health::look(url, prefix, queues, LIMIT).await {
        Ok(missing) if missing.is_empty() => Finding::ok(Broker, format!("`{shown}` answers and can do what the hub needs")),
        Ok(missing) => {
            let message = format!("{} queues are not there: {}", missing.len(), missing.join(", "));
            Finding::warn(
                Broker,
                NO_QUEUES,
                message,
                "the next start of a role declares them; in a running hub, look who removed them",
            )
        }
        Err(trouble) => {
            let (code, hint) = advice(&trouble);
            Finding::fail(Broker, code, format!("`{shown}`: {trouble}"), hint)
        }
    }
}

fn advice(trouble: &Trouble) -> (Code, &'static str) {
    match trouble {
        Trouble::Url => (
            UNREACHABLE,
            "write `bus.url` as `amqp://user:password@host:5672/vhost`, several nodes as `host1:5672,host2:5672`; the vhost `/` is `%2f`",
        ),
        Trouble::Unreachable => {
            (UNREACHABLE, "check host and port of `bus.url`, that the broker runs, and that no network policy is between")
        }
        Trouble::Credentials => (
            CREDENTIALS,
            "check user and password in `bus.url` (CIVILHUB__BUS__URL); `guest` may only come from the broker's own machine",
        ),
        Trouble::Vhost => (
            NO_VHOST,
            "make the vhost (`rabbitmqctl add_vhost`), give the user access (`rabbitmqctl set_permissions`), or correct its name in `bus.url`",
        ),
        Trouble::Plugin => (NO_PLUGIN, "rabbitmq-plugins enable rabbitmq_consistent_hash_exchange"),
        Trouble::Permission => (NO_PERMISSION, "rabbitmqctl set_permissions -p VHOST USER '.*' '.*' '.*'"),
        Trouble::Blocked => {
            (BLOCKED, "give the broker memory or disk; `rabbitmqctl status` names the alarm. Nothing is lost meanwhile")
        }
    }
}

/// The certificate of a broker behind TLS.
fn certificate(url: &str) -> Option<Check> {
    let door = reach::door(&url::Url::parse(url).ok().filter(|url| url.scheme() == "amqps")?, 5671)?;
    Some(Check::new(super::Category::Certificate, "the broker's certificate", 20, async move {
        let addresses = wire::resolve(&door).await.unwrap_or_default();
        let sight = wire::knock(&door, &addresses).await.unwrap_or_default();
        Seen::from(sight.certificate.map(|validity| validity.judge("the broker")).into_iter().collect::<Vec<_>>())
    }))
}
