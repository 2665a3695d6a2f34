//! Three nodes of RabbitMQ that a test may kill and part from one another.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::{script, signal};

/// A cluster of one test. It ends with the test, and with the process if that is killed.
pub struct Cluster {
    dir: TempDir,
    /// Doors of the nodes.
    ports: Vec<u16>,
}

impl Cluster {
    /// Starts one; takes some fifteen seconds.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = std::process::id().to_string();
        let printed = script("rabbit_cluster.sh", &["up", &home(&dir), &owner]).await;
        let ports: Vec<u16> = printed.lines().map(|port| port.parse().unwrap()).collect();
        assert_eq!(ports.len(), 3);
        Self { dir, ports }
    }

    /// A new vhost; its address on all nodes.
    pub async fn vhost(&self, name: &str) -> String {
        self.ctl(1, &["add_vhost", name]).await;
        self.ctl(1, &["set_permissions", "-p", name, "guest", ".*", ".*", ".*"]).await;
        let doors: Vec<String> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("amqp://guest:guest@{}/{name}", doors.join(","))
    }

    /// Removes a vhost with its queues.
    pub async fn forget(&self, vhost: &str) {
        self.ctl(1, &["delete_vhost", vhost]).await;
    }

    /// The node that most clients are connected to, from 1; `asked` must be alive.
    pub async fn in_use(&self, asked: usize) -> Option<usize> {
        let mut clients: BTreeMap<usize, usize> = BTreeMap::new();
        for name in self.ctl(asked, &["list_connections", "name"]).await.lines() {
            let door = name.rsplit(':').next().and_then(|port| port.trim().parse::<u16>().ok());
            let node = door.and_then(|door| self.ports.iter().position(|port| *port == door));
            if let Some(node) = node {
                *clients.entry(node + 1).or_default() += 1;
            }
        }
        clients.into_iter().max_by_key(|(_, count)| *count).map(|(node, _)| node)
    }

    /// Makes every node write its directory of quorum queues, which it does late: one that is killed right after a queue was
    /// declared would come back without its copy.
    pub async fn sync(&self) {
        for node in 1..=3 {
            self.ctl(node, &["eval", "[dets:sync(Table) || Table <- dets:all()], ok."]).await;
        }
    }

    /// Ends a node without a chance to tidy up.
    pub async fn kill(&self, node: usize) {
        signal("-KILL", &self.script("pid", node, &[]).await).await;
    }

    /// Starts a node again after a kill, and waits until it takes connections.
    pub async fn restart(&self, node: usize) {
        self.script("start", node, &[]).await;
    }

    /// Cuts a node off from the others: it no longer knows the word that lets them in.
    pub async fn part(&self, node: usize) {
        let cut = "[begin erlang:set_cookie(N, parted), erlang:disconnect_node(N) end || N <- nodes(), not lists:prefix(\"rabbitmqcli\", atom_to_list(N))], ok.";
        self.ctl(node, &["eval", cut]).await;
    }

    /// Lets a node that was cut off find the others again.
    pub async fn heal(&self, node: usize) {
        let others: Vec<String> = (1..=3).filter(|other| *other != node).map(|other| format!("\"{other}\"")).collect();
        let heal = format!(
            "[begin [$c, _ | Rest] = atom_to_list(node()), N = list_to_atom([$c | M] ++ Rest), erlang:set_cookie(N, erlang:get_cookie()), net_adm:ping(N) end || M <- [{}]].",
            others.join(", ")
        );
        self.ctl(node, &["eval", &heal]).await;
    }

    /// The nodes that serve as a node sees it, itself included.
    pub async fn seen_by(&self, node: usize) -> usize {
        let count = self.ctl(node, &["eval", "length([N || N <- [node() | nodes()], rabbit:is_running(N)])."]).await;
        count.trim().parse().unwrap_or_default()
    }

    async fn ctl(&self, node: usize, arguments: &[&str]) -> String {
        self.script("ctl", node, arguments).await
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
