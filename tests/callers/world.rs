//! An issuer and a verifier that follows it, all over TLS, and callers with certificates. No claim lives here.
#![expect(clippy::unwrap_used, reason = "a world that cannot be built must fail its test")]

use std::{net::SocketAddr, path::Path, sync::Arc};

use common::{
    clock::SystemClock,
    revocation::lease::BootId,
    runtime::{
        settings_file::SettingsFile,
        shutdown::Shutdown,
        tls::{ClientTls, TlsFiles},
    },
};
use harness::{calls::Calls, keys, orders::OWNER};
use hyper_util::rt::TokioIo;
use issuer::commands::doctor::Trip;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::pki::{Authority, write};

pub(crate) const PORTAL: &str = "spiffe://ipms.test/portal";
/// Follows tokens through: at the issuer a Portal for the organisation of round trips, at the verifier a component.
pub(crate) const TESTER: &str = "spiffe://ipms.test/tester";
/// A Portal for one organisation, one project and one type.
pub(crate) const NARROW: &str = "spiffe://ipms.test/narrow";
pub(crate) const VERIFIER: &str = "verifier.ipms.test";
pub(crate) const COMPONENT: &str = "spiffe://ipms.test/component";
pub(crate) const OPERATOR: &str = "spiffe://ipms.test/operator";
pub(crate) const STRANGER: &str = "spiffe://ipms.test/stranger";

pub(crate) struct World {
    ca: Authority,
    issuer: SocketAddr,
    verifier: SocketAddr,
    shutdown: Shutdown,
    serving: [JoinHandle<()>; 2],
    folder: TempDir,
}

impl World {
    pub(crate) async fn start() -> Self {
        let ca = Authority::new("A");
        let folder = tempfile::tempdir().unwrap();
        keys::copy_into(&folder.path().join("keys"), 1);
        let files = |who: &str, name: &str, serial: u64| {
            let list = ca.withdraw(1, &[]);
            write(folder.path(), who, &ca.issue(&[name], serial, 2090), &ca.pem, Some(&list))
        };
        let clock = Arc::new(SystemClock);
        let shutdown = Shutdown::manual();

        let path = |name: &str| folder.path().join(name).display().to_string();
        let (keys, store, audit) = (path("keys"), path("issuer.redb"), path("audit.jsonl"));
        let text = format!(
            "keys.directory = '{keys}'\nstore.path = '{store}'\naudit.path = '{audit}'\n{}",
            listeners(
                &files("issuer", "localhost", 1),
                "roles = ['portal']\norganisations = ['d0c70000-0000-4000-8000-000000000000']"
            )
        );
        let settings = issuer::settings::Settings::read(file(&text, "ISSUER_")).unwrap();
        let bound = issuer::wiring::start(settings, Arc::<SystemClock>::clone(&clock), shutdown.clone());
        let bound = Box::pin(bound).await.unwrap();
        let issuer = bound.grpc_address().unwrap();
        let issuing = tokio::spawn(async move { Box::pin(bound.serve()).await.unwrap() });

        let own = files("following", VERIFIER, 2);
        let text = format!(
            "issuer.endpoints = ['https://localhost:{}']\nissuer.log_keys = ['{}']\nissuer.ca = '{}'\n\
             issuer.certificate = '{}'\nissuer.key = '{}'\n{}",
            issuer.port(),
            path("keys/log.public.pem"),
            own.ca.display(),
            own.certificate.display(),
            own.key.display(),
            listeners(&files("verifier", "localhost", 3), "roles = ['component']")
        );
        let settings = verifier::settings::Settings::read(file(&text, "VERIFIER_"), "follower-a").unwrap();
        let starting = verifier::wiring::start(settings, clock, BootId([1; 16]), shutdown.clone());
        let running = Box::pin(starting).await.unwrap();
        let verifier = running.bound().grpc_address().unwrap();
        let verifying = tokio::spawn(async move { Box::pin(running.serve()).await.unwrap() });
        Self { ca, issuer, verifier, shutdown, serving: [issuing, verifying], folder }
    }

    pub(crate) async fn end(self) {
        self.shutdown.end();
        for serving in self.serving {
            serving.await.unwrap();
        }
    }

    /// Calls to both, as `name`.
    pub(crate) fn calls(&self, name: &str) -> Calls {
        Calls::over(self.channel(name, self.issuer), self.channel(name, self.verifier))
    }

    /// Calls of the Portal to the issuer and of a component to the verifier.
    pub(crate) fn ours(&self) -> Calls {
        Calls::over(self.channel(PORTAL, self.issuer), self.channel(COMPONENT, self.verifier))
    }

    /// A round trip as `name`, over TLS.
    pub(crate) fn trip(&self, name: &str) -> Trip {
        let files = write(self.folder.path(), "doctor", &self.ca.issue(&[name], 8, 2090), &self.ca.pem, None);
        let at = |address: SocketAddr| format!("https://localhost:{}", address.port()).parse().unwrap();
        Trip { issuer: at(self.issuer), verifier: at(self.verifier), tls: Some(files) }
    }

    /// What was written down so far.
    pub(crate) fn trail(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap()
    }

    fn channel(&self, name: &str, address: SocketAddr) -> Channel {
        let files = write(self.folder.path(), "caller", &self.ca.issue(&[name], 9, 2090), &self.ca.pem, None);
        let tls = Arc::new(ClientTls::open(files, Arc::new(SystemClock)).unwrap());
        let connect = tower::service_fn(move |target: Uri| {
            let tls = Arc::clone(&tls);
            async move { tls.connect(&target).await.map(TokioIo::new) }
        });
        let target: Uri = format!("https://localhost:{}", address.port()).parse().unwrap();
        Endpoint::from(target).connect_with_connector_lazy(connect)
    }
}

fn listeners(files: &TlsFiles, tester: &str) -> String {
    let show = |path: &Path| path.display().to_string();
    format!(
        "grpc.listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'\ntoken.holder_required = ['REVERSE']\n\
         tls.certificate = '{}'\ntls.key = '{}'\ntls.client_ca = '{}'\ntls.crl = '{}'\n\
         [callers]\n'{PORTAL}'.roles = ['portal']\n'{VERIFIER}'.roles = ['verifier']\n\
         '{COMPONENT}'.roles = ['component']\n'{OPERATOR}'.roles = ['operator']\n\
         [callers.'{TESTER}']\n{tester}\n[callers.'{NARROW}']\nroles = ['portal']\norganisations = ['{OWNER}']\nprojects = ['p1']\n\
         token_types = ['PSEUDONYMISATION']\n",
        show(&files.certificate),
        show(&files.key),
        show(&files.ca),
        show(files.crl.as_ref().unwrap()),
    )
}

fn file(text: &str, prefix: &str) -> SettingsFile {
    SettingsFile::new(text.parse().unwrap(), [], prefix)
}
