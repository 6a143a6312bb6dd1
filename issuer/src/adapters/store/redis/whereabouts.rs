//! Which server is the one to write to, now: the server named, the Sentinels' master, the owner of the realm's slot in
//! a cluster. Asks others; believes of each only what a wrong answer cannot harm.

use std::{collections::HashMap, sync::Arc, time::Duration};

use redis::Cmd;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
    time::{MissedTickBehavior, timeout},
};

use super::{
    address::{Node, Topology},
    dial::{Connection, Dialler},
    refusal::Refusal,
};

/// Finds it. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Whereabouts {
    Server(Node),
    /// What the lookout saw last.
    Sentinel(watch::Receiver<Option<Node>>),
    Cluster(Arc<Cluster>),
}

#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Node>,
    /// Any key of the realm: all of them share a slot.
    key: String,
    /// How long one node and the redirections from it may take.
    step: Duration,
    owner: Mutex<Option<Node>>,
}

/// Asks the Sentinels again and again. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct Lookout {
    _tasks: JoinSet<()>,
}

impl Whereabouts {
    /// Of a topology; `key` is any key of the realm.
    pub(super) fn of(
        topology: &Topology,
        dialler: &Dialler,
        key: &str,
        deadline: Duration,
    ) -> (Self, Lookout) {
        let mut tasks = JoinSet::new();
        let found = match topology {
            Topology::Server(node) => Self::Server(node.clone()),
            Topology::Sentinel { sentinels, service } => {
                let (publish, seen) = watch::channel(None);
                let sentinels =
                    sentinels.iter().map(|node| Sentinel { node: node.clone(), connection: None });
                let watching = Watching {
                    sentinels: sentinels.collect(),
                    service: service.clone(),
                    dialler: dialler.clone(),
                    deadline,
                    publish,
                };
                tasks.spawn(watching.run());
                Self::Sentinel(seen)
            }
            Topology::Cluster { seeds } => {
                let (seeds, key) = (seeds.clone(), key.to_owned());
                Self::Cluster(Arc::new(Cluster { seeds, key, step: deadline, owner: Mutex::new(None) }))
            }
        };
        (found, Lookout { _tasks: tasks })
    }

    /// Connects to it. Waits as long as it takes: the caller has a deadline.
    pub(super) async fn connect(&mut self, dialler: &Dialler) -> Result<Connection, Refusal> {
        match self {
            Self::Server(node) => dialler.connect(node).await,
            Self::Sentinel(seen) => {
                let node = seen.wait_for(Option::is_some).await.ok().and_then(|node| node.clone());
                dialler.connect(&node.ok_or(Refusal::NoAnswer)?).await
            }
            Self::Cluster(cluster) => cluster.connect(dialler).await,
        }
    }

    /// Returns when it is another server than at the last [`Self::connect`]; otherwise never.
    pub(super) async fn moved(&mut self) {
        if let Self::Sentinel(seen) = self
            && seen.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Cluster {
    /// From the last owner or a seed along the redirections, until one serves the slot.
    async fn connect(&self, dialler: &Dialler) -> Result<Connection, Refusal> {
        let mut probe = redis::cmd("HGET");
        probe.arg(&self.key).arg("epoch");
        let last = self.owner.lock().await.clone();
        let mut refusal = Refusal::NoAnswer;
        for start in last.iter().chain(&self.seeds) {
            // A node that is cut off must not use up the time of all: the others know as well.
            match timeout(self.step, self.follow(start.clone(), dialler, &probe)).await {
                Ok(Ok((node, connection))) => {
                    *self.owner.lock().await = Some(node);
                    return Ok(connection);
                }
                Ok(Err(other)) => refusal = other,
                Err(_late) => {}
            }
        }
        *self.owner.lock().await = None;
        Err(refusal)
    }

    async fn follow(
        &self,
        mut node: Node,
        dialler: &Dialler,
        probe: &Cmd,
    ) -> Result<(Node, Connection), Refusal> {
        for _ in 0..HOPS {
            let connection = dialler.connect(&node).await?;
            let Err(error) = connection.try_ask::<Option<Vec<u8>>>(probe).await else {
                return Ok((node, connection));
            };
            // ASK is not followed: while a slot moves, its keys lie on both sides, and no step could be atomic.
            let moved = error.code() == Some("MOVED");
            let next = error.redirect_node().filter(|_| moved).and_then(|(name, _)| Node::named(name, &node));
            node = next.ok_or_else(|| Refusal::from(&error))?;
        }
        Err(Refusal::OtherNode)
    }
}

struct Sentinel {
    node: Node,
    connection: Option<Connection>,
}

struct Watching {
    sentinels: Vec<Sentinel>,
    service: String,
    dialler: Dialler,
    deadline: Duration,
    publish: watch::Sender<Option<Node>>,
}

impl Watching {
    async fn run(mut self) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let mut asking = JoinSet::new();
            for (place, sentinel) in self.sentinels.iter_mut().enumerate() {
                let (node, held) = (sentinel.node.clone(), sentinel.connection.take());
                let (dialler, service, deadline) =
                    (self.dialler.clone(), self.service.clone(), self.deadline);
                asking.spawn(async move {
                    let asked = timeout(deadline, ask(&node, held, &dialler, &service)).await;
                    (place, asked.ok().and_then(Result::ok))
                });
            }
            let mut newest: Option<(u64, Node)> = None;
            while let Some(asked) = asking.join_next().await {
                let Ok((place, Some((connection, seen)))) = asked else { continue };
                if let Some(sentinel) = self.sentinels.get_mut(place) {
                    sentinel.connection = Some(connection);
                }
                // Of two that disagree the one that heard of the later failover is right.
                if let Some(seen) = seen
                    && newest.as_ref().is_none_or(|(epoch, _)| *epoch < seen.0)
                {
                    newest = Some(seen);
                }
            }
            // No answer is no news: the master may be well without any Sentinel.
            if let Some((_, node)) = newest {
                self.publish.send_if_modified(|known| {
                    let news = known.as_ref() != Some(&node);
                    if news {
                        tracing::info!("the Sentinels name {node} as master");
                        *known = Some(node);
                    }
                    news
                });
            }
            if self.publish.is_closed() {
                return;
            }
        }
    }
}

/// The master that a Sentinel knows, and the epoch of the failover that made it one.
async fn ask(
    node: &Node,
    held: Option<Connection>,
    dialler: &Dialler,
    service: &str,
) -> Result<(Connection, Option<(u64, Node)>), Refusal> {
    let mut question = redis::cmd("SENTINEL");
    question.arg("MASTER").arg(service);
    let mut connection = match held {
        Some(connection) => connection,
        None => dialler.connect_unknown(node).await?,
    };
    let mut answer = connection.ask::<HashMap<String, String>>(&question).await;
    if answer == Err(Refusal::Denied) {
        // One that wants to know who asks.
        connection = dialler.connect_known(node).await?;
        answer = connection.ask(&question).await;
    }
    match answer {
        Ok(answer) => {
            let field = |name: &str| answer.get(name);
            let epoch = field("config-epoch").and_then(|epoch| epoch.parse().ok());
            let port = field("port").and_then(|port| port.parse().ok());
            let seen = epoch.zip(field("ip").zip(port));
            let seen = seen.map(|(epoch, (host, port))| (epoch, Node::Tcp { host: host.clone(), port }));
            Ok((connection, seen))
        }
        // It does not know the service.
        Err(Refusal::Other) => Ok((connection, None)),
        Err(refusal) => Err(refusal),
    }
}

/// Between two questions to the Sentinels.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Redirections are followed so far.
const HOPS: usize = 4;
