//! The network between the hub and the broker: resets, silence, slowness.

use std::time::Duration;

use civilhub::bus::rabbit::RabbitBus;

use super::{faults::Traffic, options};
use crate::support::{
    broker::Broker,
    proxy::{Fault, Proxy},
};

/// The broker of the suite behind a proxy.
async fn behind_proxy() -> (Proxy, String) {
    let url = url::Url::parse(&Broker::shared().await).unwrap();
    let proxy = Proxy::start(&format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5672))).await;
    let mut through = url;
    through.set_host(Some("127.0.0.1")).unwrap();
    through.set_port(Some(proxy.address().port())).unwrap();
    (proxy, through.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_and_half_closes_are_survived() {
    let (proxy, url) = behind_proxy().await;
    let traffic = Traffic::start(RabbitBus::connect(options(&url)).await.unwrap()).await;
    proxy.reset();
    traffic.flows().await;
    proxy.half_close();
    traffic.flows().await;
    traffic.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_is_noticed() {
    let (proxy, url) = behind_proxy().await;
    let traffic = Traffic::start(RabbitBus::connect(options(&url)).await.unwrap()).await;
    proxy.set(Fault::Blackhole);
    tokio::time::sleep(Duration::from_secs(12)).await;
    proxy.set(Fault::None);
    traffic.flows().await;
    traffic.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_network_only_slows() {
    let (proxy, url) = behind_proxy().await;
    let traffic = Traffic::start(RabbitBus::connect(options(&url)).await.unwrap()).await;
    proxy.set(Fault::Latency(Duration::from_millis(50)));
    traffic.flows().await;
    proxy.set(Fault::Trickle(200_000));
    traffic.flows().await;
    proxy.set(Fault::None);
    traffic.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_away_or_silent_is_passed_by() {
    let ((first, url), (second, _)) = (behind_proxy().await, behind_proxy().await);
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let door = first.address().to_string();
    let nodes = url.replace(&door, &format!("{away},{door},{}", second.address()));
    let traffic = Traffic::start(RabbitBus::connect(options(&nodes)).await.unwrap()).await;
    // Its connections stay open and it would even be dialled again: only the other one helps.
    first.set(Fault::Blackhole);
    traffic.flows().await;
    traffic.finish().await;
}
