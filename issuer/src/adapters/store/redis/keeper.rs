//! Keeps one connection alive, to a server that is fit for use and the right one; says so when it is not. Asks for nobody.

use std::{sync::Arc, time::Duration};

use common::clock::Clock;
use rand::{RngExt as _, rngs::StdRng};
use redis::Value;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{
    checks::{Demands, Risk, Unfit},
    dial::{Connection, Dialler},
    refusal::Refusal,
    standing::Standing,
    whereabouts::Whereabouts,
};

/// What connections are made with.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) dialler: Dialler,
    pub(super) whereabouts: Whereabouts,
    pub(super) demands: Demands,
    pub(super) deadline: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) standing: Arc<Standing>,
    /// Changed by whoever finds the server unfit, so that all look again.
    pub(super) doubt: watch::Sender<()>,
}

/// A connection in use.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub(super) number: u64,
    pub(super) connection: Connection,
    /// Copies can be waited for until they are on the replicas' disks (`WAITAOF`).
    pub(super) fsynced: bool,
}

/// A new connection to a server that is fit for use, and whether it knows `WAITAOF`.
pub(super) async fn dial(target: &mut Target) -> Result<(Connection, bool), Unfit> {
    let patience = target.deadline.saturating_mul(PATIENCE);
    let connecting = target.whereabouts.connect(&target.dialler);
    let connected = timeout(patience, connecting).await.map_err(|_late| Unfit::from(Refusal::NoAnswer))?;
    let connection = connected?;
    let looking = async {
        target.demands.check(&connection).await?;
        look(target, &connection).await?;
        fsynced(&target.demands, &connection).await
    };
    let fsynced = timeout(patience, looking).await.unwrap_or(Err(Unfit::from(Refusal::NoAnswer)))?;
    Ok((connection, fsynced))
}

/// Whether the server knows `WAITAOF`: asked, for Valkey tells Redis's old version.
async fn fsynced(demands: &Demands, connection: &Connection) -> Result<bool, Unfit> {
    let never = [Risk::AppendOnly, Risk::AppendFsync, Risk::Config];
    if demands.copies == 1 || never.iter().any(|risk| demands.accepted.contains(risk)) {
        return Ok(false);
    }
    let mut ask = redis::cmd("WAITAOF");
    ask.arg(0).arg(0).arg(1);
    match connection.ask::<Value>(&ask).await {
        Ok(_) => Ok(true),
        Err(Refusal::Other) => Ok(false),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Whether it answers at all, and what its clock says.
async fn look(target: &Target, connection: &Connection) -> Result<(), Refusal> {
    let asked = target.clock.now().wall;
    let (seconds, _): (u64, u64) = connection.ask(&redis::cmd("TIME")).await?;
    target.standing.compare_clocks(asked, seconds, &*target.clock);
    Ok(())
}

/// Keeps one connection alive.
pub(super) struct Keeper {
    pub(super) target: Target,
    pub(super) publish: watch::Sender<Option<Live>>,
    pub(super) told: mpsc::Receiver<u64>,
    pub(super) random: StdRng,
}

impl Keeper {
    pub(super) async fn run(mut self, mut ready: Option<(Connection, bool)>) {
        let (mut number, mut failures) = (0, 0_u32);
        loop {
            let dialled = match ready.take() {
                Some(made) => Ok(made),
                None => dial(&mut self.target).await,
            };
            match dialled {
                Ok((connection, fsynced)) => {
                    if failures > 0 {
                        tracing::info!("Redis is used again");
                    }
                    (number, failures) = (number + 1, 0);
                    let live = Live { number, connection: connection.clone(), fsynced };
                    self.publish.send_replace(Some(live));
                    let over = self.watch(number, connection).await;
                    self.publish.send_replace(None);
                    if over {
                        return;
                    }
                    // At once, but for the many that broke together.
                    self.pause(0).await;
                }
                Err(unfit) => {
                    if failures == 0 {
                        tracing::error!("Redis is not used: {unfit}");
                    }
                    self.target.standing.complain(&unfit);
                    failures = failures.saturating_add(1);
                    self.pause(failures).await;
                }
            }
        }
    }

    async fn pause(&mut self, failures: u32) {
        let most = FIRST_WAIT.saturating_mul(1 << failures.min(8)).min(LONGEST_WAIT);
        tokio::time::sleep(most.mul_f64(self.random.random_range(0.5..1.0))).await;
    }

    /// Returns when the connection is worth nothing any more; `true`: nobody wants one.
    async fn watch(&mut self, number: u64, connection: Connection) -> bool {
        let mut looks = 0_u32;
        let mut doubted = self.target.doubt.subscribe();
        loop {
            let mut check = false;
            tokio::select! {
                broken = self.told.recv() => match broken {
                    None => return true,
                    Some(broken) if broken == number => return false,
                    // Of a connection before this one.
                    Some(_) => continue,
                },
                () = self.target.whereabouts.moved() => return false,
                // The sender lives as long as this.
                _ = doubted.changed() => check = true,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            looks = looks.wrapping_add(1);
            let looked = timeout(self.target.deadline, async {
                look(&self.target, &connection).await?;
                if check || looks.is_multiple_of(CHECK_AFTER) {
                    self.target.demands.check(&connection).await?;
                }
                Ok(())
            });
            match looked.await.unwrap_or(Err(Unfit::Refused(Refusal::NoAnswer))) {
                Ok(()) => {}
                Err(unfit) => {
                    if let Unfit::Wrong(_) = unfit {
                        self.target.standing.complain(&unfit);
                        tracing::error!("Redis is not used any more: {unfit}");
                        if !check {
                            self.target.doubt.send_replace(());
                        }
                    }
                    return false;
                }
            }
        }
    }
}

/// An idle connection is looked at so often: a frozen server is noticed without a call.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The server's settings are checked at each such look: several times a minute.
const CHECK_AFTER: u32 = 15;
/// Making a connection may take so many deadlines.
const PATIENCE: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(25);
const LONGEST_WAIT: Duration = Duration::from_secs(1);
