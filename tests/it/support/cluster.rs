//! Three nodes of RabbitMQ that a test may kill, freeze and part from one another.

use std::net::SocketAddr;

use tempfile::TempDir;

use super::{script, signal};

/// A cluster of one test. It ends with the test, and with the process if that is killed.
pub struct Cluster {
    dir: TempDir,
    nodes: Vec<SocketAddr>,
}

impl Cluster {
    /// Starts one; takes some forty seconds.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = std::process::id().to_string();
        let ports = script("rabbit_cluster.sh", &["up", &home(&dir), &owner]).await;
        let nodes: Vec<_> = ports.lines().map(|port| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).collect();
        assert_eq!(nodes.len(), 3);
        Self { dir, nodes }
    }

    /// The doors of the nodes.
    pub fn nodes(&self) -> Vec<SocketAddr> {
        self.nodes.clone()
    }

    /// The number of the node with this door, from 1.
    pub fn number(&self, door: SocketAddr) -> usize {
        self.nodes.iter().position(|node| *node == door).unwrap() + 1
    }

    /// Ends a node without a chance to tidy up.
    pub async fn kill(&self, node: usize) {
        signal("-KILL", &self.script("pid", node, &[]).await).await;
    }

    /// Starts a node again after a kill.
    pub async fn restart(&self, node: usize) {
        self.script("start", node, &[]).await;
    }

    /// Cuts a node off from the others, which still serve and are served: it no longer knows the word that lets them in.
    pub async fn part(&self, node: usize) {
        let cut = "[begin erlang:set_cookie(N, parted), erlang:disconnect_node(N) end || N <- nodes(), not lists:prefix(\"rabbitmqcli\", atom_to_list(N))], ok.";
        self.script("ctl", node, &["eval", cut]).await;
    }

    /// Lets a node that was cut off find the others again.
    pub async fn heal(&self, node: usize) {
        let numbers: Vec<String> = (1..=3).filter(|other| *other != node).map(|other| other.to_string()).collect();
        let heal = format!(
            "[begin [$c, _ | Rest] = atom_to_list(node()), N = list_to_atom([$c | M] ++ Rest), erlang:set_cookie(N, erlang:get_cookie()), net_adm:ping(N) end || M <- [\"{}\", \"{}\"]].",
            numbers[0], numbers[1]
        );
        self.script("ctl", node, &["eval", &heal]).await;
    }

    /// The nodes that a node sees, itself included.
    pub async fn seen_by(&self, node: usize) -> usize {
        let count = self.script("ctl", node, &["eval", "length([N || N <- [node() | nodes()], rabbit:is_running(N)])."]).await;
        count.trim().parse().unwrap_or_default()
    }

    async fn script(&self, verb: &str, node: usize, more: &[&str]) -> String {
        script("rabbit_cluster.sh", &[&[verb, home(&self.dir).as_str(), node.to_string().as_str()], more].concat()).await
    }
}

fn home(dir: &TempDir) -> String {
    dir.path().join("cluster").display().to_string()
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/rabbit_cluster.sh");
        let _ = std::process::Command::new(script).args(["remove", &home(&self.dir)]).status();
    }
}
