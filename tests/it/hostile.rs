//! Hostile input of every format in use, end to end through a running hub: each gets a coded fault with its place, costs
//! only itself, and the hub stays up and small.

#![allow(clippy::print_stdout, reason = "figures for whoever reads the output of the suite")]

mod archive;
mod bus;
mod csv;
mod dbf;
mod fixed;
mod hub;
mod pull;
mod push;
mod soap;
mod sql;
mod vendor;
mod xlsx;

use hub::Hub;

/// The budget of memory of the whole program, under any input.
const MOST_MIB: u64 = 256;

/// One hub for each source: what one input left behind must not hurt the next.
macro_rules! sources {
    ($($source:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $source() {
            let mut hub = Hub::start().await;
            let idle = hub.high_water_mib();
            $source::all(&mut hub).await;
            hub.names_no_citizen();
            let most = hub.high_water_mib();
            println!("{}: most resident memory {idle} MiB idle, {most} MiB after all", stringify!($source));
            hub.ends_well();
            assert!(most <= MOST_MIB, "{most} MiB resident");
        }
    )*};
}

sources! { archive csv dbf fixed pull push soap sql vendor xlsx }
