//! Killed with -9 at random moments while records flow: the same effects as without a kill, each exactly once.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Province, Stub, all_is_well, drain, hub, province::HandIn};
use crate::support::hub::{Backends, Books, HubFolder, total};

/// Persons whose exports make a little more than [`RECORDS`] records.
const PERSONS: u64 = 11_000;
const RECORDS: i64 = 20_000;
/// Deliveries a second to the stub: slow enough that the flow outlasts the kills.
const RATE: u32 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_on_the_embedded_bus() {
    killed_at_random(Backends::Embedded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_on_servers() {
    killed_at_random(Backends::servers().await).await;
}

async fn killed_at_random(backends: Backends) {
    let province = Province::write(PERSONS).await;
    let stub = Stub::start().await;
    let killed = hub(&province, "killed", backends, &stub, RATE);
    let started = Instant::now();
    let mut files = HandIn::new(&province);
    let kills = kill_often(&killed, &mut files, &stub).await;
    let disturbed = started.elapsed();
    killed.set_partners(&stub.url, 0);
    while files.left() > 0 {
        files.step(&killed, usize::MAX);
        drain(&killed).await;
    }
    drain(&killed).await;
    println!("{kills} kills in {disturbed:?}, drained after {:?}: {:?}", started.elapsed(), stub.seen());
    let books = all_is_well(&killed, &stub).await;
    assert!(total(&books, "received") >= RECORDS, "{books:#?}");

    let other = Stub::start().await;
    let undisturbed = hub(&province, "undisturbed", Backends::Embedded, &other, 0);
    undisturbed.keys_of(&killed);
    HandIn::new(&province).all(&undisturbed);
    let started = Instant::now();
    drain(&undisturbed).await;
    println!("undisturbed: {:?}, {:?}", started.elapsed(), other.seen());
    let reference = all_is_well(&undisturbed, &other).await;
    assert_eq!(stub.events(), other.events(), "other events than without kills");
    // What the index tells of keys depends on the order of arrival.
    let of_sources = |books: Books| books.into_iter().filter(|(system, _)| system != "person-index").collect::<Books>();
    assert_eq!(of_sources(books), of_sources(reference), "other books than without kills");
}

/// Starts the hub and kills it, while files come in; gives the number of kills.
async fn kill_often(hub: &HubFolder, files: &mut HandIn, stub: &Stub) -> usize {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let wanted: usize = number("CIVILHUB_KILLS").unwrap_or(50).try_into().unwrap();
    let seed = number("CIVILHUB_SEED").unwrap_or_else(rand::random);
    println!("CIVILHUB_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let portion = files.left() / wanted + 1;
    let (mut kills, mut ends) = (0, 0);
    while kills < wanted {
        // More starts than attempts, with the partner away: no record of its queue may be taken for the culprit.
        stub.set_away((wanted / 10..wanted * 6 / 10).contains(&kills));
        let mut child = hub.start(&["serve", "all", "--once"]);
        // One in five dies while it starts, the others in mid-flow.
        let life = if random.random_bool(0.2) { random.random_range(0..500) } else { random.random_range(500..3_500) };
        let half = Duration::from_millis(life / 2);
        tokio::time::sleep(half).await;
        files.step(hub, portion);
        tokio::time::sleep(half).await;
        match child.try_wait().unwrap() {
            None => {
                child.kill().await.unwrap();
                kills += 1;
            }
            Some(status) => {
                assert!(status.success(), "{status}: {}", hub.log_tail());
                ends += 1;
                assert!(files.left() > 0 && ends < 20, "the flow has ended after {kills} kills: {:?}", stub.seen());
            }
        }
    }
    kills
}
