//! A cluster of three masters, and a replica where a test wants one.

use std::path::Path;

use issuer::adapters::store::redis::RedisSettings;

use super::until;
use crate::server::{REDIS, RedisServer, free_port};

/// The nodes: the masters, then replicas.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<(RedisServer, String)>,
}

impl Cluster {
    pub(crate) fn start() -> Self {
        let nodes: Vec<_> = (0..3).map(|_| node()).collect();
        let cluster = Self { nodes };
        for (master, slots) in ["0 5460", "5461 10922", "10923 16383"].into_iter().enumerate() {
            assert_eq!(cluster.nodes[master].0.tell(&format!("CLUSTER ADDSLOTSRANGE {slots}")), "+OK\r\n");
            cluster.nodes[master].0.tell(&format!("CLUSTER SET-CONFIG-EPOCH {}", master + 1));
            cluster.meet(master);
        }
        cluster.well(3);
        cluster
    }

    /// Adds a replica of that master, and waits until it is in step.
    pub(crate) fn replicate(&mut self, master: usize) -> usize {
        let id = self.id(master);
        self.nodes.push(node());
        let last = self.nodes.len() - 1;
        self.meet(last);
        self.well(last + 1);
        until("it takes up its role", || {
            self.nodes[last].0.tell(&format!("CLUSTER REPLICATE {id}")).starts_with("+OK")
        });
        until("the replica is in step", || {
            self.nodes[master].0.tell("INFO replication").contains("state=online")
                && self.nodes[last].0.tell("INFO replication").contains("master_link_status:up")
        });
        last
    }

    fn meet(&self, node: usize) {
        let bus = self.nodes[0].0.tell("CONFIG GET cluster-port");
        let bus = bus.lines().last().unwrap_or_default().to_owned();
        let told = self.nodes[node].0.tell(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", self.nodes[0].1));
        assert_eq!(told, "+OK\r\n");
    }

    /// Waits until every node knows so many and thinks the cluster well.
    pub(crate) fn well(&self, nodes: usize) {
        until("the cluster is well", || {
            self.nodes.iter().all(|(node, _)| {
                let info = node.tell("CLUSTER INFO");
                info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{nodes}\r"))
            })
        });
    }

    pub(crate) fn id(&self, node: usize) -> String {
        let told = self.nodes[node].0.tell("CLUSTER MYID");
        told.lines().nth(1).unwrap().to_owned()
    }

    /// The master that holds a realm's keys, and their slot.
    pub(crate) fn owner(&self, realm: &str) -> (usize, u32) {
        let told = self.nodes[0].0.tell(&format!("CLUSTER KEYSLOT {{ipms:{realm}}}:v1:meta"));
        let slot: u32 = told.trim().trim_start_matches(':').parse().unwrap();
        let owner = [5460, 10922, 16383].iter().position(|last| slot <= *last).unwrap();
        (owner, slot)
    }

    pub(crate) fn settings(&self) -> RedisSettings {
        let nodes: Vec<_> = self.nodes.iter().map(|(_, port)| format!("127.0.0.1:{port}")).collect();
        let url = format!("redis-cluster://{}", nodes.join(",")).parse().unwrap();
        RedisSettings { url, ..self.nodes[0].0.settings() }
    }
}

fn node() -> (RedisServer, String) {
    let bus = free_port();
    let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1500", "--cluster-port", &bus];
    let replication = ["--repl-diskless-sync-delay", "0", "--cluster-require-full-coverage", "no"];
    RedisServer::listening(Path::new(REDIS), &[&options[..], &replication].concat())
}
