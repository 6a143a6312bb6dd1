//! Keeps up with an issuer: carries what it says to the session, and does what the session decides. Judges nothing.

pub mod keeper;

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, mpsc as thread},
    time::Duration,
};

use common::clock::Clock;
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot,
    },
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use self::keeper::{Keeper, Report, Work};
use super::{alarms::Alarms, shared_view::SharedView};
use crate::domain::{
    alarm::Alarm,
    feed::{Book, Feed, Issuers, Offer, Said},
    session::{Action, Expected, Input, Reason, Session},
    view::View,
};

/// Where to go on from.
#[derive(Debug)]
pub struct FollowConfig<B> {
    /// Whose feed it is, and how it is to be followed.
    pub expected: Expected,
    /// The file; without one everything is asked for again after a restart.
    pub book: Option<B>,
    /// What is known so far.
    pub initial: View,
}

/// Follows the issuers until `shutdown`, then says goodbye: the caller has answered its last verification by then.
///
/// Every view goes to `shared` as soon as it is proven.
pub async fn follow<B: Book>(
    config: FollowConfig<B>,
    mut issuers: impl Issuers,
    shared: Arc<SharedView>,
    clock: Arc<dyn Clock>,
    alarms: Arc<Alarms>,
    shutdown: impl Future<Output = ()>,
) {
    let FollowConfig { expected, book, initial } = config;
    let expected = Expected { keeps_file: book.is_some(), ..expected };
    let head = book.as_ref().and_then(Book::head).cloned();
    shared.publish(initial.clone());
    let session = Session::new(expected, initial, head, clock.now());
    let (to_us, mut reports) = mpsc::unbounded_channel();
    let (keeper, written) = book.map(|book| keep(Keeper::new(book, Arc::clone(&clock), to_us))).unzip();
    let mut following = Following { session, shared, clock, alarms, keeper, offers: None };
    following.until(&mut issuers, &mut reports, shutdown).await;
    drop(following);
    if let Some(written) = written {
        // What it still owes is written, or cannot be.
        let _panicked = written.await;
    }
}

fn keep<B: Book>(keeper: Keeper<B>) -> (thread::Sender<Work>, JoinHandle<()>) {
    let (work, to_do) = thread::channel();
    (work, tokio::task::spawn_blocking(move || keeper.run(&to_do)))
}

struct Following {
    session: Session,
    shared: Arc<SharedView>,
    clock: Arc<dyn Clock>,
    alarms: Arc<Alarms>,
    keeper: Option<thread::Sender<Work>>,
    offers: Option<mpsc::Receiver<Offer>>,
}

/// The stream is to be left.
struct Leave;

impl Following {
    async fn until<I: Issuers>(
        &mut self,
        issuers: &mut I,
        reports: &mut UnboundedReceiver<Report>,
        shutdown: impl Future<Output = ()>,
    ) {
        let mut shutdown = pin!(shutdown);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut good = false;
        loop {
            let mut feed = {
                let mut connecting = pin!(issuers.connect(good));
                loop {
                    tokio::select! {
                        biased;
                        () = &mut shutdown => return,
                        feed = &mut connecting => break feed,
                        Some(report) = reports.recv() => self.report(report, None::<&mut I::Feed>).unwrap_or(()),
                        _ = ticks.tick() => self.handle(Input::Tick, None::<&mut I::Feed>).unwrap_or(()),
                    }
                }
            };
            let mut stays = self.handle(Input::Connected, Some(&mut feed));
            good = false;
            while stays.is_ok() {
                stays = tokio::select! {
                    biased;
                    () = &mut shutdown => {
                        if self.relinquished().await {
                            feed.goodbye().await;
                        } else {
                            tracing::warn!("the lease could not be given up, so no goodbye is said");
                        }
                        return;
                    }
                    // Before what the issuer says, so that a flood of it delays no probe.
                    Some(report) = reports.recv() => self.report(report, Some(&mut feed)),
                    _ = ticks.tick() => self.handle(Input::Tick, Some(&mut feed)),
                    heard = feed.next() => match heard {
                        Some(input) => self.handle(input, Some(&mut feed)),
                        None => Err(Leave),
                    },
                    Some(offer) = next_offer(&mut self.offers) => {
                        // Nothing is lost meanwhile: an issuer that asks for entries renews no lease.
                        let room = tokio::time::timeout(OFFER_WAITS, feed.room()).await;
                        room.map_err(|_elapsed| Leave).and_then(|()| feed.say(Said::Offer(offer)).map_err(|_gone| Leave))
                    }
                };
                good |= self.session.agrees();
            }
            self.offers = None;
            self.handle(Input::Disconnected, None::<&mut I::Feed>).unwrap_or(());
        }
    }

    /// Whether nobody can go on from this verifier's lease: after a goodbye the issuer waits for it no more.
    async fn relinquished(&self) -> bool {
        let Some(keeper) = &self.keeper else { return true };
        let (done, answer) = oneshot::channel();
        keeper.send(Work::Relinquish(done)).is_ok() && answer.await.unwrap_or(false)
    }

    fn report(&mut self, report: Report, feed: Option<&mut impl Feed>) -> Result<(), Leave> {
        match report {
            Report::Kept(cursor) => return self.handle(Input::Kept(cursor), feed),
            Report::KeysKept(keys) => return self.handle(Input::KeysKept(keys), feed),
            Report::Failing => self.alarms.raise(Alarm::SnapshotFailed),
            Report::Working => self.alarms.end(Alarm::SnapshotFailed),
        }
        Ok(())
    }

    fn handle(&mut self, input: Input, mut feed: Option<&mut impl Feed>) -> Result<(), Leave> {
        let mut say = |said| match &mut feed {
            Some(feed) => feed.say(said).map_err(|_gone| Leave),
            None => Ok(()),
        };
        let mut done = Ok(());
        for action in self.session.handle(input, self.clock.now()) {
            match action {
                Action::Publish(view) => self.shared.publish(view),
                Action::Keep(keep) => self.ask_keeper(Work::Keep(Box::new(keep))),
                Action::Hello { head, limits } => done = done.and(say(Said::Hello { head, limits })),
                Action::Probe(number) => done = done.and(say(Said::Probe(number))),
                Action::Acknowledge(cursor, keys) => done = done.and(say(Said::Acknowledge(cursor, keys))),
                Action::Offer { after } => self.offer(after),
                Action::Raise(alarm) => self.alarms.raise(alarm),
                Action::IssuerBelieved => {
                    let about = Alarm::ALL.into_iter().filter(|alarm| alarm.is_about_the_issuer());
                    about.for_each(|alarm| self.alarms.end(alarm));
                }
                Action::Disconnect(reason) => {
                    if reason == Reason::LimitsRaised {
                        tracing::info!(%reason, "the issuer is greeted again");
                    } else {
                        tracing::warn!(%reason, "the issuer is left");
                    }
                    done = Err(Leave);
                }
            }
        }
        done
    }

    fn offer(&mut self, after: u64) {
        if self.offers.is_none() {
            let (to, offers) = mpsc::channel(1);
            self.offers = Some(offers);
            self.ask_keeper(Work::Offer { after, to });
        }
    }

    fn ask_keeper(&self, work: Work) {
        if let Some(keeper) = &self.keeper {
            // It ends before us only if it panicked: then nothing is acknowledged any more.
            if keeper.send(work).is_err() {
                self.alarms.raise(Alarm::SnapshotFailed);
            }
        }
    }
}

async fn next_offer(offers: &mut Option<mpsc::Receiver<Offer>>) -> Option<Offer> {
    let offer = offers.as_mut()?.recv().await;
    if offer.is_none() {
        *offers = None;
    }
    offer
}

/// How often the session looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// An issuer that does not take an offer for so long is left.
const OFFER_WAITS: Duration = Duration::from_secs(5);
