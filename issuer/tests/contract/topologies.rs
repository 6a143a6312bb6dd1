//! The contract over each topology of Redis, over TLS as a user of few rights, and over Valkey.

use issuer::{
    adapters::store::redis::{OpenError, RedisSettings, Refusal, StoreTls, Unfit},
    domain::ports::Store as _,
};

use crate::{
    every_claim,
    server::{RedisServer, open},
    servers::{cluster::Cluster, sentinel::Group, tls::Guarded, valkey},
};

#[tokio::test]
async fn the_contract_holds_under_sentinels_with_two_of_three_copies() {
    let group = Group::start();
    every_claim(&group.settings()).await;
}

#[tokio::test]
async fn the_contract_holds_in_a_cluster_with_each_realm_in_one_slot() {
    let cluster = Cluster::start();
    every_claim(&cluster.settings()).await;
    let used = cluster.nodes.iter().filter(|(node, _)| node.tell("DBSIZE").trim() != ":0").count();
    assert_eq!(used, 3, "realms lie on every master");
}

#[tokio::test]
async fn the_contract_holds_over_tls_as_a_user_of_few_rights() {
    let guarded = Guarded::start(&[]);
    every_claim(&guarded.settings()).await;
}

#[tokio::test]
async fn the_contract_holds_over_valkey() {
    let (server, port) = RedisServer::listening(&valkey(), &[]);
    let url = format!("redis://127.0.0.1:{port}").parse().unwrap();
    every_claim(&RedisSettings { url, ..server.settings() }).await;
}

#[tokio::test]
async fn the_contract_holds_over_valkey_with_copies_on_the_disks() {
    let (master, port) = RedisServer::listening(&valkey(), &["--min-replicas-to-write", "1"]);
    let following = ["--replicaof", "127.0.0.1", &port];
    let _replica = RedisServer::listening(&valkey(), &following);
    crate::servers::until("the replica has joined", || {
        master.tell("INFO replication").contains("state=online")
    });
    let settings = RedisSettings { copies: 2, ..master.settings() };
    // Until it has written its copy of the data once, a replica has nothing on its disk.
    let store = open(&settings, "first").await.unwrap();
    while store.confirmed_end().await.is_err() {}
    every_claim(&settings).await;
    let waits = master.tell("INFO commandstats");
    assert!(waits.contains("cmdstat_waitaof:calls="), "{waits}");
}

#[tokio::test]
async fn whoever_is_not_trusted_is_not_talked_to() {
    let guarded = Guarded::start(&[]);
    let settings = guarded.settings();
    let refused = async |settings: RedisSettings| match open(&settings, "test").await {
        Err(OpenError::Unfit(Unfit::Refused(refusal))) => refusal,
        other => panic!("{other:?}"),
    };
    let other = Guarded::start(&[]);
    let (ours, theirs) = (settings.tls.clone().unwrap(), other.settings().tls.unwrap());
    let foreign_ca = StoreTls { ca: theirs.ca.clone(), ..ours.clone() };
    let tls = |tls| RedisSettings { tls: Some(tls), ..settings.clone() };
    assert_eq!(refused(tls(foreign_ca)).await, Refusal::NotTrusted);
    // Redis ends the connection of whoever shows no certificate, or one of others.
    let foreign_own = StoreTls { own: theirs.own, ..ours.clone() };
    for unknown in [foreign_own, StoreTls { own: None, ..ours.clone() }] {
        let refusal = refused(tls(unknown)).await;
        assert!(matches!(refusal, Refusal::NoAnswer | Refusal::NotTrusted), "{refusal:?}");
    }
    // The certificate speaks of an address, not of this name.
    let url = format!("rediss://ipms@localhost:{}", guarded.port).parse().unwrap();
    assert_eq!(refused(RedisSettings { url, ..settings.clone() }).await, Refusal::NotTrusted);
    let wrong = guarded.files.path().join("wrong");
    crate::servers::tls::private(&wrong, "another");
    let password = RedisSettings { password_file: Some(wrong), ..settings.clone() };
    assert_eq!(refused(password).await, Refusal::Denied);
    assert_eq!(refused(RedisSettings { password_file: None, ..settings.clone() }).await, Refusal::Denied);
    for (name, named) in [("ca", "store.ca"), ("certificate", "store.certificate"), ("key", "store.key")] {
        let (missing, mut files) = (guarded.files.path().join("missing"), ours.clone());
        match name {
            "ca" => files.ca = missing,
            "certificate" => files.own.as_mut().unwrap().0 = missing,
            _ => files.own.as_mut().unwrap().1 = missing,
        }
        let told = open(&tls(files), "test").await.unwrap_err().to_string();
        assert!(told.contains(named), "{told}");
    }
    assert!(open(&settings, "test").await.is_ok());
}

#[tokio::test]
async fn tls_1_2_is_spoken_and_nothing_older() {
    let at = |protocols: &str| Guarded::start(&["--tls-protocols", protocols]);
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let guarded = at(protocols);
        assert!(open(&guarded.settings(), "test").await.is_ok(), "{protocols}");
    }
    let old = at("TLSv1.1");
    assert!(open(&old.settings(), "test").await.is_err());
}

#[tokio::test]
async fn a_password_is_in_no_error_and_no_debug_text() {
    let guarded = Guarded::start(&[]);
    guarded.tell("ACL SETUSER ipms resetpass >another");
    let error = open(&guarded.settings(), "test").await.unwrap_err();
    for text in [format!("{error:?}"), error.to_string(), format!("{:?}", guarded.settings())] {
        assert!(!text.contains("secret"), "{text}");
    }
    guarded.tell("ACL SETUSER ipms resetpass >secret");
    let store = format!("{:?}", open(&guarded.settings(), "test").await.unwrap());
    assert!(!store.contains("secret"), "{store}");
}
