//! A look at a broker: can it be reached, does it let us in, can it do what the hub needs, are the queues there.

use std::time::Duration;

use lapin::{
    BasicProperties, ExchangeKind,
    options::{BasicPublishOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions},
    types::FieldTable,
};

use super::{
    link::{Dial, Live, connect, limited, nodes},
    topology::Names,
};
use crate::bus::{Error, Queue};

/// How long a broker that takes no messages has to say so after a first one.
const OBJECTION: Duration = Duration::from_millis(500);

/// What is wrong with a broker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("the URL is not of the form `amqp://user:password@host:port/vhost`")]
    Url,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("it does not let the user in: wrong user or password")]
    Credentials,
    #[error("it has no such vhost, or the user has no access to it")]
    Vhost,
    #[error("the plugin `rabbitmq_consistent_hash_exchange` is not enabled")]
    Plugin,
    #[error("the user may not declare exchanges and queues in the vhost")]
    Permission,
    #[error("it takes no messages: too little memory or disk")]
    Blocked,
}

/// Looks at the broker; the answer names the queues that are not there. One exchange is made for the time of the look.
///
/// # Errors
/// What is wrong with it.
pub async fn look(url: &str, prefix: &str, queues: &[Queue], limit: Duration) -> Result<Vec<String>, Trouble> {
    let nodes = nodes(url).map_err(|_| Trouble::Url)?;
    let dial = Dial { nodes, name: "civilhub doctor".to_owned(), connect_limit: limit, call_limit: limit };
    let (live, _blocked) = connect(&dial, 0, true).await.map_err(|error| refusal(&error))?;
    let seen = examine(&live, &Names::new(prefix), queues, limit).await;
    live.close().await;
    seen
}

/// Why a connection was refused; the broker's words for it have not changed in ten years.
fn refusal(error: &Error) -> Trouble {
    let text = error.to_string();
    if text.contains("ACCESS_REFUSED") || text.contains("Login was refused") {
        Trouble::Credentials
    } else if text.contains("vhost") || text.contains("NOT_ALLOWED") {
        Trouble::Vhost
    } else {
        Trouble::Unreachable
    }
}

async fn examine(live: &Live, names: &Names, queues: &[Queue], limit: Duration) -> Result<Vec<String>, Trouble> {
    let mut missing = Vec::new();
    for queue in queues {
        // A passive declaration of what is not there ends its channel.
        let channel = live.channel().await.map_err(|_| Trouble::Unreachable)?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let name = names.queue(queue);
        if limited(limit, channel.queue_declare(name.as_str().into(), options, FieldTable::default())).await.is_err() {
            missing.push(queue.name());
        }
    }
    try_out(live, &names.queue(&Queue::Dead), limit).await?;
    Ok(missing)
}

/// Makes a hash exchange, sends one message into the void and waits for objections.
async fn try_out(live: &Live, prefix: &str, limit: Duration) -> Result<(), Trouble> {
    let channel = live.channel().await.map_err(|_| Trouble::Unreachable)?;
    let name = format!("{prefix}.doctor-{}", std::process::id());
    let kind = ExchangeKind::Custom("x-consistent-hash".into());
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    let made = limited(limit, channel.exchange_declare(name.as_str().into(), kind, options, FieldTable::default())).await;
    made.map_err(|error| match error {
        Error::Refused(_) => Trouble::Permission,
        Error::Unreachable(text) if text.contains("exchange type") => Trouble::Plugin,
        _ => Trouble::Unreachable,
    })?;
    let sent = channel.basic_publish(
        name.as_str().into(),
        "".into(),
        BasicPublishOptions::default(),
        b"doctor",
        BasicProperties::default(),
    );
    let _ = tokio::time::timeout(limit, sent).await;
    tokio::time::sleep(OBJECTION).await;
    if live.is_blocked() {
        return Err(Trouble::Blocked);
    }
    let _ = limited(limit, channel.exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default())).await;
    Ok(())
}
