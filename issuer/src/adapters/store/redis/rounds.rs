//! Steps of many callers that wait for the replicas together: what comes while one round is under way goes with the next.
//! Knows neither steps nor connections.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::refusal::Refusal;

/// Those who wait on one connection: a call that waits for replicas holds up whatever is sent behind it, so there is one
/// such call at a time, for all that are there.
#[derive(Debug)]
pub(super) struct Rounds<C, A> {
    waiting: Mutex<Vec<Waiting<C, A>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Waiting<C, A> {
    command: C,
    tell: oneshot::Sender<Result<A, Refusal>>,
}

impl<C, A> Default for Rounds<C, A> {
    fn default() -> Self {
        Self { waiting: Mutex::default(), turn: Arc::default() }
    }
}

impl<C: Send, A: Send + 'static> Rounds<C, A> {
    /// Takes `command` with others. `send` takes all of them, in order, and answers each. A round goes on without whoever
    /// began it; who gave up before it began is left out.
    pub(super) async fn take<F>(&self, command: C, send: impl Fn(Vec<C>) -> F) -> Result<A, Refusal>
    where
        F: Future<Output = Result<Vec<Result<A, Refusal>>, Refusal>> + Send + 'static,
    {
        let (tell, mut told) = oneshot::channel();
        self.lock().push(Waiting { command, tell });
        loop {
            let turn = tokio::select! {
                biased;
                answer = &mut told => return answer.unwrap_or(Err(Refusal::NoAnswer)),
                turn = Arc::clone(&self.turn).lock_owned() => turn,
            };
            let (commands, tells) = self.next();
            if tells.is_empty() {
                // Ours went with the round before.
                continue;
            }
            let round = send(commands);
            tokio::spawn(async move {
                let mut answers = round.await.map(Vec::into_iter);
                for tell in tells {
                    let answer = match &mut answers {
                        Ok(answers) => answers.next().unwrap_or(Err(Refusal::Foreign)),
                        Err(refusal) => Err(*refusal),
                    };
                    // Nobody may wait for it any more.
                    let _ = tell.send(answer);
                }
                drop(turn);
            });
        }
    }

    /// Those whose turn it is.
    fn next(&self) -> (Vec<C>, Vec<oneshot::Sender<Result<A, Refusal>>>) {
        let mut waiting = self.lock();
        waiting.retain(|one| !one.tell.is_closed());
        let now = MOST.min(waiting.len());
        let later = waiting.split_off(now);
        mem::replace(&mut *waiting, later).into_iter().map(|one| (one.command, one.tell)).unzip()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waiting<C, A>>> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Steps in one round.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{sync::Semaphore, task::JoinSet, time::timeout};

    use super::*;

    /// Sends what is allowed to be sent, and remembers it.
    #[derive(Clone)]
    struct Line {
        rounds: Arc<Rounds<u32, u32>>,
        sent: Arc<Mutex<Vec<Vec<u32>>>>,
        go: Arc<Semaphore>,
    }

    impl Line {
        fn new() -> Self {
            Self { rounds: Arc::default(), sent: Arc::default(), go: Arc::new(Semaphore::new(0)) }
        }

        async fn take(self, number: u32) -> Result<u32, Refusal> {
            let (log, go) = (self.sent, self.go);
            let send = move |numbers: Vec<u32>| {
                log.lock().unwrap().push(numbers.clone());
                let go = Arc::clone(&go);
                async move {
                    go.acquire().await.unwrap().forget();
                    let answer = |number| if number == 13 { Err(Refusal::Other) } else { Ok(number) };
                    if numbers.contains(&99) {
                        Err(Refusal::TooFewCopies)
                    } else {
                        Ok(numbers.into_iter().map(answer).collect())
                    }
                }
            };
            self.rounds.take(number, send).await
        }

        fn sent(&self) -> Vec<Vec<u32>> {
            self.sent.lock().unwrap().clone()
        }
    }

    async fn settle() {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_comes_during_a_round_goes_together_with_the_next_in_order() {
        let line = Line::new();
        let many = u32::try_from(MOST).unwrap() + 2;
        let mut calls = JoinSet::new();
        for number in 0..many {
            calls.spawn(line.clone().take(number));
            settle().await;
        }
        assert_eq!(line.sent(), [[0]]);
        line.go.add_permits(3);
        let mut answers = calls.join_all().await;
        answers.sort_by_key(|answer| answer.unwrap_or(u32::MAX));
        assert_eq!(answers.len(), usize::try_from(many).unwrap());
        assert!(answers.iter().zip(0..).all(|(answer, number)| {
            *answer
                == if number < 13 {
                    Ok(number)
                } else if number == many - 1 {
                    Err(Refusal::Other)
                } else {
                    Ok(number + 1)
                }
        }));
        let sent = line.sent();
        assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [1, MOST, 1]);
        assert!(sent.concat().is_sorted());
    }

    #[tokio::test]
    async fn a_round_that_fails_fails_for_all_of_it_and_no_other() {
        let line = Line::new();
        let mut calls = JoinSet::new();
        for number in [1, 99, 2] {
            calls.spawn(line.clone().take(number));
            settle().await;
        }
        line.go.add_permits(2);
        let answers = calls.join_all().await;
        assert_eq!(answers.iter().filter(|answer| **answer == Err(Refusal::TooFewCopies)).count(), 2);
        assert!(answers.contains(&Ok(1)));
    }

    #[tokio::test]
    async fn who_gives_up_is_left_out_and_ends_no_round() {
        let line = Line::new();
        let mut first = Box::pin(line.clone().take(1));
        assert!(timeout(Duration::ZERO, &mut first).await.is_err());
        let second = tokio::spawn(line.clone().take(2));
        let third = tokio::spawn(line.clone().take(3));
        settle().await;
        // One began a round that is under way, another waits.
        drop(first);
        second.abort();
        settle().await;
        line.go.add_permits(2);
        assert_eq!(third.await.unwrap(), Ok(3));
        assert_eq!(line.sent(), [[1], [3]]);
        let broken = line.rounds.take(4, |_| async { panic!("in a round") });
        assert_eq!(broken.await, Err(Refusal::NoAnswer));
        line.go.add_permits(1);
        assert_eq!(line.take(5).await, Ok(5));
    }
}
