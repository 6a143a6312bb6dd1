//! Killed at any moment, the embedded store holds what it acknowledged, and each step as a whole or not at all. The child
//! is this program started again; nothing here sleeps or measures time.

#[cfg(test)]
mod check;
#[cfg(test)]
mod child;

#[cfg(test)]
mod tests {
    use std::{
        env, fs,
        io::{BufRead as _, BufReader},
        path::Path,
        process::{Child, ChildStdout, Command, Stdio},
    };

    use issuer::adapters::store::{
        embedded::{EmbeddedStore, OpenError},
        seal::Seal,
    };
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use crate::{
        check::{check, check_forgotten},
        child::{self, Acknowledged},
    };

    #[tokio::test]
    async fn a_store_that_was_killed_holds_what_it_acknowledged_and_no_half_of_a_step() {
        let rounds = env::var_os("KILL_ROUNDS").map_or(500, |text| text.to_str().unwrap().parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut random = StdRng::seed_from_u64(1);
        for round in 1..=rounds {
            let acknowledged = run(&path, round, random.random_range(1..=50));
            check(&path, &acknowledged).await;
            if round % ROUNDS_OF_A_FILE == 0 || round == rounds {
                check_forgotten(&path).await;
                fs::remove_file(&path).unwrap();
            }
        }
    }

    #[test]
    fn a_store_that_another_process_has_open_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let (running, mut told) = start(&path, 1);
        assert!(told.next().is_some());
        assert!(matches!(EmbeddedStore::open(&path, Seal::new(&[1; 32])), Err(OpenError::InUse)));
        drop(running);
        assert!(EmbeddedStore::open(&path, Seal::new(&[1; 32])).is_ok());
    }

    /// Does nothing in a run of the tests; in the child that [`run`] starts it works until it is killed.
    #[test]
    fn steps_until_killed() {
        if let (Some(path), Some(round)) = (env::var_os(PATH), env::var_os(ROUND)) {
            child::work(Path::new(&path), round.to_str().unwrap().parse().unwrap());
        }
    }

    /// Starts a child and kills it once it has acknowledged so many steps; returns all that it acknowledged.
    fn run(path: &Path, round: u32, steps: usize) -> Vec<Acknowledged> {
        let (running, mut told) = start(path, round);
        let mut acknowledged: Vec<_> = told.by_ref().take(steps).collect();
        assert_eq!(acknowledged.len(), steps, "the child ended by itself in round {round}");
        drop(running);
        acknowledged.extend(told);
        acknowledged
    }

    fn start(path: &Path, round: u32) -> (Running, impl Iterator<Item = Acknowledged>) {
        let mut program = Command::new(env::current_exe().unwrap());
        program.args(["--exact", "tests::steps_until_killed", "--nocapture", "--test-threads=1"]);
        program.env(PATH, path).env(ROUND, round.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running(program.spawn().unwrap());
        let told = told(BufReader::new(running.0.stdout.take().unwrap()));
        (running, told)
    }

    /// A child that is killed, with no chance to tidy up, and waited for.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().ok();
            self.0.wait().ok();
        }
    }

    /// What a child says, but for a line that was cut off and what the test harness says.
    fn told(mut from: BufReader<ChildStdout>) -> impl Iterator<Item = Acknowledged> {
        std::iter::from_fn(move || {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            line.strip_suffix('\n').map(Acknowledged::parse)
        })
        .flatten()
    }

    const ROUNDS_OF_A_FILE: u32 = 50;
    const PATH: &str = "KILL_STORE";
    const ROUND: &str = "KILL_ROUND";
}
