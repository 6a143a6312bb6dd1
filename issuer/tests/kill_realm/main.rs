//! Killed at any moment, an issuer has a line in its audit trail for every call that it answered. The child is this
//! program started again: a whole issuer but for its sockets. Nothing here sleeps or measures time.

#[cfg(test)]
mod child;

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        env, fs,
        io::{BufRead as _, BufReader},
        path::{Path, PathBuf},
        process::{Child, ChildStdout, Command, Stdio},
    };

    use common::{jws::Algorithm, keys::PublicKey};
    use issuer::adapters::audit_file::inspect::{Known, inspect};
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
    use serde_json::Value;

    use crate::child::{self, Answered};

    #[test]
    fn an_issuer_that_was_killed_has_a_line_for_every_call_that_it_answered() {
        let rounds: u32 =
            env::var_os("KILL_ROUNDS").map_or(500, |text| text.to_str().unwrap().parse().unwrap());
        let mut random = StdRng::seed_from_u64(1);
        let mut folder = child::Folder::new();
        let mut all = Vec::new();
        for round in 1..=rounds {
            let answered = run(folder.path(), round, random.random_range(1..=20));
            // As the kill left it. What earlier rounds answered is looked for once, at the end of a folder.
            check(&lines(folder.path()), &answered);
            all.extend(answered);
            if round % ROUNDS_OF_A_FOLDER == 0 || round == rounds {
                check(&lines(folder.path()), &all);
                check_chain(folder.path());
                folder = child::Folder::new();
                all.clear();
            }
        }
    }

    /// Does nothing in a run of the tests; in the child that [`run`] starts it works until it is killed.
    #[test]
    fn calls_until_killed() {
        if let (Some(path), Some(round)) = (env::var_os(PATH), env::var_os(ROUND)) {
            child::work(Path::new(&path), round.to_str().unwrap().parse().unwrap());
        }
    }

    /// Starts a child and kills it once it has answered so many calls; returns all that it answered.
    fn run(path: &Path, round: u32, calls: usize) -> Vec<Answered> {
        let mut program = Command::new(env::current_exe().unwrap());
        program.args(["--exact", "tests::calls_until_killed", "--nocapture", "--test-threads=1"]);
        program.env(PATH, path).env(ROUND, round.to_string()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut running = Running(program.spawn().unwrap());
        let mut told = told(BufReader::new(running.0.stdout.take().unwrap()));
        let mut answered: Vec<_> = told.by_ref().take(calls).collect();
        assert_eq!(answered.len(), calls, "the child ended by itself in round {round}");
        drop(running);
        answered.extend(told);
        answered
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        let is_trail = |name: &str| {
            name == "audit.jsonl"
                || name.strip_prefix("audit.jsonl.").is_some_and(|end| end.parse::<u64>().is_ok())
        };
        files.retain(|path| is_trail(path.file_name().unwrap().to_str().unwrap()));
        files.sort();
        files
    }

    /// The events of the whole lines.
    fn lines(folder: &Path) -> Vec<Value> {
        let mut events = Vec::new();
        for path in files(folder) {
            let text = fs::read_to_string(path).unwrap();
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            events.extend(whole.map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take()));
        }
        events
    }

    fn check(lines: &[Value], answered: &[Answered]) {
        let text = |event: &Value, member: &str| event[member].as_str().unwrap_or_default().to_owned();
        let of = |what: &'static str| lines.iter().filter(move |event| event["what"] == what);
        let issued: BTreeSet<_> = of("issue").map(|event| text(event, "token_id")).collect();
        let refused = of("refuse").count();
        let created: BTreeSet<_> = of("project").map(|event| text(event, "project_id")).collect();
        let appended: Vec<_> = of("append")
            .map(|event| (event["first"].as_u64().unwrap(), event["last"].as_u64().unwrap()))
            .collect();
        let mut expected_refusals = 0;
        for one in answered {
            match one {
                Answered::Issued(id) => assert!(issued.contains(id), "no line for the token {id}"),
                Answered::Refused => expected_refusals += 1,
                Answered::Created(id) => assert!(created.contains(id), "no line for the project {id}"),
                Answered::Revoked(sequence) => {
                    let has = |(first, last): &(u64, u64)| (first..=last).contains(&sequence);
                    assert!(appended.iter().any(has), "no line for the entry {sequence}");
                }
            }
        }
        assert!(refused >= expected_refusals, "{expected_refusals} were refused, {refused} lines");
    }

    fn check_chain(folder: &Path) {
        let pem = fs::read_to_string(folder.join("keys/log.public.pem")).unwrap();
        let key = PublicKey::from_pem(&pem, Algorithm::Ps256).unwrap();
        // The child was killed: its last line may be torn, and the next start would cut that off.
        let current = folder.join("audit.jsonl");
        let text = fs::read(&current).unwrap();
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        fs::write(&current, &text[..whole]).unwrap();
        let known = Known { log_keys: vec![key], line: None };
        let report = inspect(&files(folder), &known).unwrap().to_string();
        assert!(report.contains("signed by the log key"), "{report}");
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
    fn told(mut from: BufReader<ChildStdout>) -> impl Iterator<Item = Answered> {
        std::iter::from_fn(move || {
            let mut line = String::new();
            from.read_line(&mut line).unwrap();
            line.strip_suffix('\n').map(Answered::parse)
        })
        .flatten()
    }

    const ROUNDS_OF_A_FOLDER: u32 = 50;
    const PATH: &str = "KILL_FOLDER";
    const ROUND: &str = "KILL_ROUND";
}
