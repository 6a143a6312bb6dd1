//! The memory of a process that holds keys is its own.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    process::{Command, Stdio},
};

use harness::{programs::path_of, until};

/// Nobody's, when the tests are run by root: what root may do tells nothing.
const SOMEBODY: u32 = 65_534;

#[tokio::test]
async fn the_memory_of_both_programs_is_neither_dumped_nor_read_by_others() {
    for name in ["issuer", "verifier"] {
        let folder = tempfile::tempdir().unwrap();
        let root = rustix::process::geteuid().is_root();
        let program = folder.path().join(name);
        fs::copy(path_of(name), &program).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut command = Command::new(&program);
        command.env_clear().current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
        let prefix = name.to_uppercase();
        for (key, value) in [
            ("GRPC__LISTEN", "127.0.0.1:0"),
            ("ADMIN__LISTEN", "127.0.0.1:0"),
            ("GRPC__INSECURE_LOOPBACK", "true"),
        ] {
            command.env(format!("{prefix}_{key}"), value);
        }
        if name == "verifier" {
            command.env("VERIFIER_ISSUER__ENDPOINTS", "http://127.0.0.1:1");
            command.env("VERIFIER_ISSUER__LOG_KEYS", "keys/log.public.pem");
            fs::create_dir(folder.path().join("keys")).unwrap();
            harness::keys::copy_into(&folder.path().join("keys"), 1);
            fs::set_permissions(folder.path().join("keys"), fs::Permissions::from_mode(0o755)).unwrap();
        } else {
            let mut generate = Command::new(&program);
            generate.args(["keys", "generate"]).current_dir(folder.path()).stdout(Stdio::null());
            if root {
                generate.uid(SOMEBODY).gid(SOMEBODY);
            }
            assert!(generate.status().unwrap().success());
        }
        if root {
            command.uid(SOMEBODY).gid(SOMEBODY);
        }
        let mut running = command.stdout(Stdio::null()).spawn().unwrap();
        let about = format!("/proc/{}", running.id());
        // Of a process that can be dumped or read, this belongs to its user.
        let private = until("its memory is its own", async || {
            let owner = fs::metadata(format!("{about}/mem")).ok()?.uid();
            let limits = fs::read_to_string(format!("{about}/limits")).ok()?;
            let core = limits.lines().find(|line| line.starts_with("Max core file size"))?.to_owned();
            let zero = core.split_whitespace().skip(4).take(2).all(|limit| limit == "0");
            (owner == 0 && zero).then_some(core)
        });
        private.await;
        assert!(running.try_wait().unwrap().is_none(), "{name} has ended");
        running.kill().unwrap();
        running.wait().unwrap();
    }
}
