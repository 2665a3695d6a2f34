//! Hostile input of every format in use, end to end through a running hub: each gets a coded fault with its place, costs
//! only itself, and the hub stays up and small.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the output of the suite")]

mod bus;
mod csv;
mod dbf;
mod fixed;
mod hub;
mod pull;
mod push;
mod sql;

use hub::Hub;

/// The budget of memory of the whole program, under any input.
const MOST_MIB: u64 = 256;

/// One hub takes all of it, one source after another; what one input left behind must not hurt the next.
#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_input_has_a_code_a_place_and_no_victims() {
    let mut hub = Hub::start().await;
    let idle = hub.high_water_mib();
    csv::all(&mut hub).await;
    let mut marks = vec![("idle", idle), ("csv", hub.high_water_mib())];
    fixed::all(&mut hub).await;
    marks.push(("fixed", hub.high_water_mib()));
    dbf::all(&mut hub).await;
    marks.push(("dbf", hub.high_water_mib()));
    sql::all(&mut hub).await;
    marks.push(("sql", hub.high_water_mib()));
    pull::all(&mut hub).await;
    marks.push(("http_pull", hub.high_water_mib()));
    push::all(&mut hub).await;
    marks.push(("http_push", hub.high_water_mib()));
    println!("most resident memory after each source, MiB: {marks:?}");
    hub.names_no_citizen();
    hub.ends_well();
    let most = marks.last().unwrap().1;
    assert!(most <= MOST_MIB, "{most} MiB resident");
}
