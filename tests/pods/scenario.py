#!/usr/bin/env python3
"""A site's days: install, policies, rolling restarts of every part under load, a partition that heals. A failure is: one request of a
user that is not answered with 200 while its token is live; a way that no policy names and that is open, or the other way round; a
drain that does not end with 0; anything that is not back within four minutes. How fast it goes is none."""

import copy
import json
import os
import pathlib
import subprocess
import sys

import yaml

from cluster import Cluster, sh, until

OWNER = "0b9cd5e4-3c1f-4a57-9d0e-6f2a8b1c7d30"


def certificates(cluster, room, documents):
    """What cert-manager would write: by the manifests' own names."""
    def openssl(*words):
        sh("openssl", *words)

    folder = room / "pki"
    folder.mkdir()
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    openssl("req", "-x509", *curve, "-subj", "/CN=ca", "-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.crt"))
    wanted = {one["spec"]["secretName"]: one["spec"] for one in documents if one["kind"] == "Certificate" and not one["spec"].get("isCA")}
    wanted["portal-tls"] = {"uris": ["spiffe://ipms.internal/ipms/portal"]}
    for name, spec in wanted.items():
        names = [f"URI:{uri}" for uri in spec["uris"]] + [f"DNS:{dns}" for dns in spec.get("dnsNames", [])]
        key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
        openssl("req", "-x509", *curve, "-subj", "/O=ipms", "-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"),
                "-addext", "basicConstraints=critical,CA:false", "-addext", f"subjectAltName={','.join(names)}",
                "-keyout", str(key), "-out", str(certificate))
        cluster.file_volume(name, {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes(),
                                   "ca.crt": (folder / "ca.crt").read_bytes()})


def redis(cluster, pod, *more):
    folder = cluster.room / "state" / pod.name
    folder.mkdir(parents=True, exist_ok=True)
    words = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", str(folder), "--save", "", "--appendonly", "yes",
             "--appendfsync", "always", "--aof-load-truncated", "no", "--min-replicas-to-write", "1", "--min-replicas-max-lag", "10", *more]
    pod.running["redis"] = subprocess.Popen(pod.inside(*words), stdout=subprocess.DEVNULL)

    def replicated():
        told = subprocess.run(pod.inside("redis-cli", "info", "replication"), capture_output=True, text=True, check=False).stdout
        return "connected_slaves:1" in told or "master_link_status:up" in told
    return replicated


def main():
    room, buf = pathlib.Path(sys.argv[1]), str(pathlib.Path(sys.argv[3]).resolve())
    top = str(pathlib.Path.cwd())
    documents = []
    for name in ("chart.yaml", "sidecar.yaml"):
        with open(room / name, encoding="utf-8") as file:
            documents += [one for one in yaml.safe_load_all(file) if one]
    programs = {"component": pathlib.Path(sys.argv[2], "examples/incert").resolve(), "envoy": pathlib.Path(sys.argv[4]).resolve(),
                "application": pathlib.Path("tests/pods/application.py").resolve()}
    cluster = Cluster(room, sys.argv[2], documents, programs)
    failed = True
    try:
        story(cluster, room, documents, buf, top)
        failed = False
    finally:
        cluster.stop(failed)


def story(cluster, room, documents, buf, top):
    # 1. Install, in the order of nobody's choice: whatever waits for something waits.
    certificates(cluster, room, documents)
    keys = room / "keys"
    subprocess.run([cluster.binaries / "issuer", "keys", "generate"], env={"ISSUER_KEYS__DIRECTORY": str(keys)}, check=True, capture_output=True)
    cluster.file_volume("ipms-dev-keys", {one.name: one.read_bytes() for one in keys.iterdir()})
    for name in ("ipms-dev-log-keys", "ipms-log-keys"):
        cluster.file_volume(name, {"log.public.pem": (keys / "log.public.pem").read_bytes()})
    for one in documents:
        if one["kind"] == "ConfigMap":
            cluster.file_volume(one["metadata"]["name"], one["data"])
    data = [cluster.pod(f"redis-{number}", None, "ipms", {"app.kubernetes.io/name": "redis"} | ({"host": "redis"} if number == 0 else {}))
            for number in (0, 1)]
    issuers = [cluster.pod(f"ipms-issuer-{number}", cluster.template("StatefulSet", "ipms-issuer")) for number in (0, 1)]
    service = cluster.pod("ipms-verifier-a", cluster.template("Deployment", "ipms-verifier"))
    component = cluster.template("Deployment", "component")
    gated = behind_envoy(cluster, component)
    components = [cluster.pod("component-a", component), cluster.pod("component-b", component), cluster.pod("gated-a", gated)]
    portal = cluster.pod("portal", None, "ipms", {"ipms.token/role": "portal"})
    user = cluster.pod("user", None, "users", {})
    test = cluster.pod("ipms-test", cluster.template("Pod", "ipms-test"))

    master = redis(cluster, data[0])
    replica = redis(cluster, data[1], "--replicaof", data[0].address, "6379")
    until("Redis has its replica", lambda: master() and replica())
    for pod in issuers:
        pod.start("issuer")
        until(f"{pod.name} revokes", lambda pod=pod: pod.probe("issuer", "ipms.token.v1.RevocationService"))
    service.start("verifier")
    for pod in components:
        native_sidecar(pod)
    until("the service verifies", lambda: service.probe("verifier", "ipms.token.v1.VerifierService/REVERSE"))
    print("  installed: 2 issuers, Redis with a replica, a verifier, 2 components with theirs, an application behind Envoy with its own")

    # 2. helm test.
    box = test.container("test")
    told = subprocess.run(test.command(box, box["args"]), env=test.environment(box), capture_output=True, text=True, check=False)
    if told.returncode != 0 or "ok    round trip: issued, accepted, revoked, and refused" not in told.stdout:
        raise SystemExit(f"helm test: {told.stdout}{told.stderr}")
    print("  helm test:", told.stdout.splitlines()[1].strip())

    # 3. Policies.
    node = lambda address, port: subprocess.run(["python3", "-c", f"import socket; socket.create_connection(('{address}', {port}), 1)"],
                                                capture_output=True, check=False).returncode == 0
    a, b, behind = components
    ways = [
        ("a user reaches the component", user.reaches(a.address, 8080), True),
        ("the component reaches its verifier's port on loopback", a.reaches("127.0.0.1", 50052), True),
        ("nobody else does", user.reaches(a.address, 50052) or b.reaches(a.address, 50052) or portal.reaches(a.address, 50052), False),
        ("a user sees no probe of the sidecar", user.reaches(a.address, 50072), False),
        ("the node's kubelet does", node(a.address, 50072), True),
        ("a user does not reach the issuer", user.reaches(issuers[0].address, 50051), False),
        ("nor its admin port", user.reaches(issuers[0].address, 50061) or portal.reaches(issuers[0].address, 50061), False),
        ("the Portal does", portal.reaches(issuers[0].address, 50051), True),
        ("a sidecar in another namespace does", b.reaches(issuers[1].address, 50051), True),
        ("a user reaches Envoy, and not what is behind it", user.reaches(behind.address, 8080) and not user.reaches(behind.address, 8081), True),
        ("nor Envoy's admin port", user.reaches(behind.address, 9901), False),
        ("a sidecar does not reach Redis", b.reaches(data[0].address, 6379), False),
        ("an issuer does", issuers[1].reaches(data[0].address, 6379), True),
        ("a component does not reach the verifiers' service", a.reaches(service.address, 50052), False),
        ("the doctor does", test.reaches(service.address, 50052), True),
    ]
    wrong = [way for way, is_open, wanted in ways if is_open != wanted]
    # Without the rules the same way is open: it was they that closed it.
    sh(*a.inside("nft", "flush", "ruleset"))
    wrong += [] if user.reaches(a.address, 50072) else ["the policy is what closes the probe's port"]
    cluster.renew()
    if wrong:
        raise SystemExit(f"not so: {wrong}")
    print(f"  {len(ways)} ways are open or closed as the policies say")

    # 4. A user at work.
    issued = call(portal, cluster, buf, top, "ProjectService/CreateProject", {
        "project_id": "p", "owner_organisation_id": OWNER, "configuration": {
            "reversible": {"retention": {"years": 1}}, "treatment": "TREATMENT_ALWAYS_SAME",
            "output_format": {"alphabet": "ALPHABET_UUID", "length": 36}}})
    issued = issue(portal, cluster, buf, top)
    work = room / "load"
    work.mkdir()
    (work / "token").write_text(issued["token"], encoding="utf-8")
    load = Load(work, user, components)
    try:
        restarts(cluster, load, data, issuers, service, components, [component, component, gated])
        partition(cluster, load, data, issuers, lambda: issue(portal, cluster, buf, top, quiet=True), components)
        ok = load.progress(50)
    finally:
        load.stop()

    # Nobody gets past Envoy without a token.
    if (told := status(user, load.components[-1], "x.y.z")) != 401:
        raise SystemExit(f"Envoy answered {told} to no token")

    # 5. The token is revoked, and every component refuses it.
    call(portal, cluster, buf, top, "RevocationService/Revoke", {
        "token_ids": {"token_ids": [issued["record"]["tokenId"]]}, "reason": "REVOCATION_REASON_TOKEN_LEAKED"})
    for pod in load.components:
        until(f"{pod.name} refuses", lambda pod=pod: status(user, pod, issued["token"]) == 401)
    print(f"  {ok} requests of a user through all of it, none failed; revoked, and refused by every component")


class Load:
    """The user's requests, and the list of endpoints that they go to."""

    def __init__(self, work, user, components):
        self.work, self.generation, self.components = work, 0, list(components)
        self.route(self.components)
        self.process = subprocess.Popen(user.inside("python3", str(pathlib.Path("tests/pods/load.py").resolve()), str(work)), stdin=subprocess.PIPE)
        self.progress(20)

    def counts(self):
        try:
            return json.loads((self.work / "counts").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"ok": 0, "failed": [], "seen": {}}

    def route(self, components):
        """Endpoints change; done when no request goes by the old list any more."""
        self.generation += 1
        written = self.work / "endpoints.new"
        written.write_text(" ".join([str(self.generation), *(pod.address for pod in components)]), encoding="utf-8")
        os.replace(written, self.work / "endpoints")
        self.components = list(components)

    def settled(self):
        until("the endpoints are known", lambda: len(seen := self.counts()["seen"]) == 2 and all(one == self.generation for one in seen.values()))

    def progress(self, more):
        """So many more requests, none of them failed."""
        begun = self.counts()["ok"]

        def gone():
            counts = self.counts()
            if counts["failed"]:
                raise SystemExit(f"failed verifications: {counts['failed'][:5]}")
            return counts["ok"] >= begun + more
        until(f"{more} more requests", gone)
        return self.counts()["ok"]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def behind_envoy(cluster, component):
    """The component's pod with an application that knows no tokens, behind Envoy by its example as it is."""
    gated = copy.deepcopy(component)
    pod = gated["spec"]["template"]["spec"]
    cluster.file_volume("envoy", {"envoy.yaml": pathlib.Path("deploy/envoy/sidecar.yaml").read_bytes()})
    pod["volumes"].append({"name": "envoy", "configMap": {"name": "envoy"}})
    mounts = [{"name": "run", "mountPath": "/run/ipms"}, {"name": "envoy", "mountPath": "/etc/envoy"}]
    arguments = ["-c", "/etc/envoy/envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    pod["containers"] = [{"name": "application", "image": "application", "args": []},
                         {"name": "envoy", "image": "envoy", "args": arguments, "volumeMounts": mounts,
                          "ports": [{"name": "http", "containerPort": 8080}]}]
    return gated


def native_sidecar(pod):
    """The sidecar serves before the containers start, which end before it."""
    pod.start("verifier")
    until(f"{pod.name}'s verifier", lambda: pod.probe("verifier", "ipms.token.v1.VerifierService"))
    for container in pod.spec["containers"]:
        pod.start(container["name"])
    until(f"{pod.name}'s port", lambda: pod.reaches("127.0.0.1", 8080))
    if "envoy" in pod.running:
        until(f"{pod.name}'s application", lambda: pod.reaches("127.0.0.1", 8081))


def restarts(cluster, load, data, issuers, service, components, templates):
    for pod in reversed(issuers):
        pod.stop("issuer")
        load.progress(20)
        pod.start("issuer")
        until(f"{pod.name} issues again", lambda pod=pod: pod.probe("issuer", "ipms.token.v1.IssuerService"))
    service.stop("verifier")
    service.start("verifier")
    # The replica, then the master: nothing can be issued meanwhile, and nobody's verification needs it.
    for number, more in ((1, ["--replicaof", data[0].address, "6379"]), (0, [])):
        data[number].stop("redis")
        load.progress(20)
        ready = redis(cluster, data[number], *more)
        until(f"redis-{number} is back", ready)
        for pod in issuers:
            until(f"{pod.name} issues again", lambda pod=pod: pod.probe("issuer", "ipms.token.v1.IssuerService"))
    # maxSurge 1, maxUnavailable 0: a new pod is ready before an old one ends, the component before its sidecar.
    for old, template in zip(list(components), templates):
        new = cluster.pod(f"{old.name}-new", template)
        native_sidecar(new)
        load.route([pod for pod in load.components if pod is not old] + [new])
        load.settled()
        for container in reversed(old.spec["containers"]):
            old.stop(container["name"])
        old.stop("verifier")
        load.progress(20)
    print("  every part restarted, one after the other")


def partition(cluster, load, data, issuers, issue, components):
    one = load.components[0]
    reverse = "ipms.token.v1.VerifierService/REVERSE"
    until("reverse tokens can be decided", lambda: one.probe("verifier", reverse))
    # No issuer can be reached: exposing data stops by itself (3 s here), protecting it goes on.
    for pod in issuers:
        pod.cut()
    until("reverse tokens are refused when nobody can know", lambda: not one.probe("verifier", reverse))
    load.progress(50)
    for pod in issuers:
        pod.cut(False)
    until("reverse tokens can be decided again", lambda: one.probe("verifier", reverse))
    # Half of the copies are not enough to issue, and verifying needs none.
    data[1].cut()
    until("nothing is issued without a majority of copies", lambda: issue() is None)
    load.progress(20)
    data[1].cut(False)
    until("issued again", issue)
    print("  cut off and back: reverse refused meanwhile, pseudonymisation served")


def call(portal, cluster, buf, top, method, message, quiet=False):
    """As the Portal, over TLS, by a client that is not ours."""
    tls = cluster.files["portal-tls"]
    words = [buf, "curl", "--schema", f"{top}/proto", "--protocol", "grpc", "--cacert", f"{tls}/ca.crt", "--cert", f"{tls}/tls.crt",
             "--key", f"{tls}/tls.key", "-d", json.dumps(message), f"https://ipms-issuer:50051/ipms.token.v1.{method}"]
    start = 'mount --bind "$HOSTS" /etc/hosts; exec "$@"'
    environment = {"HOSTS": str(cluster.room / "hosts"), "PATH": os.environ["PATH"], "HOME": str(cluster.room)}
    told = subprocess.run(portal.inside("unshare", "--mount", "sh", "-euc", start, "sh", *words), env=environment,
                          capture_output=True, text=True, check=False)
    if told.returncode != 0:
        if quiet:
            return None
        raise SystemExit(f"{method}: {told.stdout}{told.stderr}")
    return json.loads(told.stdout)


def issue(portal, cluster, buf, top, quiet=False):
    return call(portal, cluster, buf, top, "IssuerService/IssueToken", {
        "project_id": "p", "organisation_id": OWNER, "token_type": "TOKEN_TYPE_PSEUDONYMISATION",
        "approval": {"request_id": "r", "requested_by": "u", "automatic": {}, "purpose": "tests"}}, quiet)


def status(user, pod, token):
    words = user.inside("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}",
                        "-H", "Content-Type: application/json", "-d", '{"data":["x"]}', f"http://{pod.address}:8080/api/request-psn")
    return int(subprocess.run(words, capture_output=True, text=True, check=False).stdout or 0)


main()
