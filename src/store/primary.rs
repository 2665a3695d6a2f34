//! A database with standbys: the pool leads to the server that takes writes, and follows when another one is promoted.
//!
//! Every server is asked once a second. The primary of the newest timeline is taken: PostgreSQL begins a new one with each
//! promotion, so a former primary that comes back by mistake is told from the present one. Never back to an older timeline
//! than was seen: its data lack what was committed since.

use std::{
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    AnyConnection, AnyPool, Connection, Row as _,
    any::{AnyConnectOptions, AnyPoolOptions},
};

/// How often the servers are asked, and how long each may take to answer.
const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for a connection: shorter than elsewhere, because it may be that of a server that is no more.
const ACQUIRE: Duration = Duration::from_secs(10);
/// At the start a promotion may be under way.
const START: Duration = Duration::from_secs(20);

/// Empty on a standby.
const TIMELINE: &str =
    "SELECT CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";

/// What is known of the primary.
struct Known {
    /// Its number among the servers.
    chosen: usize,
    /// Eight hexadecimal digits.
    timeline: String,
    /// Connections that are older lead to another server.
    since: Instant,
}

type Shared = Arc<Mutex<Known>>;

/// A pool to whichever server is the primary.
pub(super) async fn pool(urls: &[String], connections: u32) -> Result<AnyPool, sqlx::Error> {
    let servers: Vec<AnyConnectOptions> = urls.iter().map(|url| AnyConnectOptions::from_str(url)).collect::<Result<_, _>>()?;
    let mut eyes: Vec<Eye> = servers.iter().cloned().map(Eye::new).collect();
    let (chosen, timeline) = first(&mut eyes).await?;
    let known = Arc::new(Mutex::new(Known { chosen, timeline, since: Instant::now() }));
    let (fresh, used) = (Arc::clone(&known), Arc::clone(&known));
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .after_connect(move |connection, _| {
            let known = Arc::clone(&fresh);
            Box::pin(async move { admit(connection, &known).await })
        })
        // Instead of the pool's own test, which has no limit of time.
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            let turned = lock(&used).since;
            Box::pin(async move {
                if meta.age > turned.elapsed() {
                    return Err(sqlx::Error::Protocol("the connection leads to a former primary".to_owned()));
                }
                within(connection.ping()).await.map(|()| true)
            })
        })
        .connect_with(servers[chosen].clone())
        .await?;
    tokio::spawn(follow(pool.clone(), servers, eyes, known));
    Ok(pool)
}

/// The primary at the start.
async fn first(eyes: &mut [Eye]) -> Result<(usize, String), sqlx::Error> {
    let began = Instant::now();
    loop {
        if let Some(found) = newest(&look(eyes).await, 0) {
            return Ok(found);
        }
        if began.elapsed() > START {
            return Err(unlike("no server of `store.url` takes writes"));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Turns the pool whenever another server has become the primary; ends with the pool.
async fn follow(pool: AnyPool, servers: Vec<AnyConnectOptions>, mut eyes: Vec<Eye>, known: Shared) {
    let mut closed = std::pin::pin!(pool.close_event());
    loop {
        tokio::select! {
            () = &mut closed => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        let seen = look(&mut eyes).await;
        let mut known = lock(&known);
        let Some((chosen, timeline)) = newest(&seen, known.chosen).filter(|(_, timeline)| *timeline >= known.timeline) else {
            continue;
        };
        if chosen != known.chosen {
            tracing::warn!(place = chosen + 1, "another server of `store.url` is the primary now");
            pool.set_connect_options(servers[chosen].clone());
            known.since = Instant::now();
        }
        (known.chosen, known.timeline) = (chosen, timeline);
    }
}

/// A new connection may be used only if its server takes writes and lacks nothing that was committed.
async fn admit(connection: &mut AnyConnection, known: &Shared) -> Result<(), sqlx::Error> {
    let timeline = within(timeline(connection)).await?;
    if timeline.is_empty() {
        return Err(unlike("the server is a standby"));
    }
    if timeline < lock(known).timeline {
        return Err(unlike("the server is a former primary"));
    }
    Ok(())
}

/// A look at one server, by a connection that is kept.
struct Eye {
    options: AnyConnectOptions,
    connection: Option<AnyConnection>,
}

impl Eye {
    fn new(options: AnyConnectOptions) -> Self {
        Self { options, connection: None }
    }

    /// The timeline on which it writes; empty for a standby, nothing when it does not answer.
    async fn look(&mut self) -> Option<String> {
        let answer = within(async {
            // Out of its place while it is asked: one that gave no answer is not used again.
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => AnyConnection::connect_with(&self.options).await?,
            };
            let timeline = timeline(&mut connection).await?;
            self.connection = Some(connection);
            Ok(timeline)
        });
        answer.await.ok()
    }
}

/// Asks all servers at once.
async fn look(eyes: &mut [Eye]) -> Vec<Option<String>> {
    futures_util::future::join_all(eyes.iter_mut().map(Eye::look)).await
}

/// The primary with the newest timeline; of two with the same one the server in use.
fn newest(seen: &[Option<String>], chosen: usize) -> Option<(usize, String)> {
    let primaries = seen.iter().enumerate().filter_map(|(place, timeline)| Some((place, timeline.as_ref()?)));
    let primaries = primaries.filter(|(_, timeline)| !timeline.is_empty());
    let best = primaries.max_by_key(|(place, timeline)| (*timeline, *place == chosen, std::cmp::Reverse(*place)));
    best.map(|(place, timeline)| (place, timeline.clone()))
}

async fn timeline(connection: &mut AnyConnection) -> Result<String, sqlx::Error> {
    sqlx::query(TIMELINE).fetch_one(connection).await?.try_get(0)
}

async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

fn unlike(what: &str) -> sqlx::Error {
    std::io::Error::other(what).into()
}

fn lock(known: &Shared) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_timeline_wins() {
        let seen = |texts: &[Option<&str>]| texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
        let found = |texts: &[Option<&str>], chosen| newest(&seen(texts), chosen).map(|(place, _)| place);
        assert_eq!(found(&[Some("00000001"), Some("")], 1), Some(0), "a standby is no choice");
        assert_eq!(found(&[Some("00000001"), Some("00000002")], 0), Some(1), "a former primary that came back");
        assert_eq!(found(&[Some("00000001"), Some("00000001")], 1), Some(1), "no change without a reason");
        assert_eq!(found(&[Some("00000001"), Some("00000001")], 2), Some(0));
        assert_eq!(found(&[None, Some("")], 0), None);
    }
}
