"""What a node does for pods: a network namespace and an address for each, volumes, users, names of services, network policies. Takes
manifests as they are; knows nothing of tokens. Runs as root inside of namespaces of its own."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

NODE = "10.77.0.1"
USER = 65532
MOUNTS = ["etc/envoy", "etc/ipms/settings", "etc/ipms/keys", "etc/ipms/tls", "etc/ipms/log-keys", "var/lib/ipms", "var/lib/component", "run/ipms"]
# A container: its names, its volumes, its user, no capability, no new privileges. It becomes the program, under the same process id.
START = """mount --bind "$HOSTS" /etc/hosts
while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done
shift
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
"""


def sh(*words, **more):
    done = subprocess.run(words, check=False, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


def until(what, holds, seconds=240):
    end = time.monotonic() + seconds
    while not (held := holds()):
        if time.monotonic() > end:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return held


class Pod:
    """One network namespace, and the containers in it."""

    def __init__(self, cluster, name, namespace, labels, spec):
        self.cluster, self.name, self.namespace, self.labels, self.spec = cluster, name, namespace, labels, spec
        number = cluster.made = cluster.made + 1
        self.address, self.link, self.running = f"10.77.0.{number + 1}", f"pod{number}", {}
        sh("ip", "netns", "add", name)
        sh("ip", "link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", name)
        sh("ip", "link", "set", self.link, "master", "node", "up")
        for words in (["addr", "add", f"{self.address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"], ["link", "set", "lo", "up"]):
            sh("ip", "-n", name, *words)
        cluster.pods[name] = self

    def inside(self, *words):
        return ["nsenter", f"--net=/run/netns/{self.name}", "--", *words]

    def container(self, name):
        return next(one for one in self.spec.get("initContainers", []) + self.spec["containers"] if one["name"] == name)

    def command(self, container, arguments):
        """A program of the container's image, as the container runs it."""
        image = container["image"].split(":")[0].rsplit("/", 1)[-1]
        program = self.cluster.programs.get(image, self.cluster.binaries / image)
        mounts = []
        for mount in container.get("volumeMounts", []):
            mounts += [str(self.cluster.volume(self, mount["name"])), mount["mountPath"]]
        return self.inside("unshare", "--mount", "sh", "-euc", START, "sh", *mounts, "--", str(program), *arguments)

    def environment(self, container):
        given = {one["name"]: self.name for one in container.get("env", []) if "valueFrom" in one}
        return given | {"HOSTS": str(self.cluster.room / "hosts"), "PATH": os.environ["PATH"]}

    def start(self, name):
        container = self.container(name)
        with open(self.cluster.room / f"{self.name}.{name}.log", "ab") as log:
            self.running[name] = subprocess.Popen(self.command(container, container["args"]), env=self.environment(container),
                                                  stdout=log, stderr=log)

    def probe(self, name, service=""):
        """As the kubelet asks, by the program's own word."""
        container = self.container(name)
        asked = ["healthcheck", "--config", f"/etc/ipms/settings/{container['image'].split(':')[0].rsplit('/', 1)[-1]}.toml",
                 "--service", service]
        if self.running[name].poll() is not None:
            raise SystemExit(f"{self.name}/{name} ended: {self.log(name)}")
        return subprocess.run(self.command(container, asked), env=self.environment(container), capture_output=True, check=False).returncode == 0

    def log(self, name):
        return "\n".join((self.cluster.room / f"{self.name}.{name}.log").read_text(encoding="utf-8").splitlines()[-8:])

    def stop(self, name):
        """SIGTERM, and the drain must end well."""
        process = self.running.pop(name)
        process.terminate()
        if process.wait(30) != 0:
            raise SystemExit(f"{self.name}/{name} did not end well: {self.log(name)}")

    def cut(self, cut=True):
        sh("ip", "link", "set", self.link, "down" if cut else "up")

    def reaches(self, address, port):
        """Whether a connection from this pod opens within a second."""
        words = self.inside("python3", "-c", f"import socket; socket.create_connection(('{address}', {port}), 1)")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0


class Cluster:
    """The node, its bridge, and everything on it."""

    def __init__(self, room, binaries, documents, programs):
        """`programs`: of images that are not named as a program in `binaries` is."""
        self.room, self.binaries, self.documents = pathlib.Path(room), pathlib.Path(binaries).resolve(), documents
        self.programs = programs
        self.pods, self.made, self.files, self.kept = {}, 0, {}, {}
        etc = self.room / "etc"
        shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
        (self.room / "hosts").write_text("127.0.0.1 localhost\n", encoding="utf-8")
        sh("mount", "--bind", str(etc), "/etc")
        sh("mount", "-t", "tmpfs", "tmpfs", "/run")
        sh("mount", "-t", "tmpfs", "tmpfs", "/var/lib")
        for path in MOUNTS:
            pathlib.Path("/", path).mkdir(parents=True)
        sh("ip", "link", "set", "lo", "up")
        sh("ip", "link", "add", "node", "type", "bridge")
        sh("ip", "addr", "add", f"{NODE}/24", "dev", "node")
        sh("ip", "link", "set", "node", "up")

    def file_volume(self, name, files):
        """A secret or config map: of root's, readable by the pod's group."""
        folder = self.room / "volumes" / name
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        for file, text in files.items():
            (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
            os.chown(folder / file, 0, USER)
            (folder / file).chmod(0o440)
        self.files[name] = folder

    def volume(self, pod, name):
        for volume in pod.spec.get("volumes", []):
            if volume["name"] == name:
                for kind, key in (("secret", "secretName"), ("configMap", "name")):
                    if kind in volume:
                        return self.files[volume[kind][key]]
        # An emptyDir, or a claim that outlives the pod's containers.
        if (pod.name, name) not in self.kept:
            folder = self.room / "state" / pod.name / name
            folder.mkdir(parents=True)
            os.chown(folder, USER, USER)
            folder.chmod(0o770)
            self.kept[pod.name, name] = folder
        return self.kept[pod.name, name]

    def template(self, kind, name):
        return next(one for one in self.documents if one["kind"] == kind and one["metadata"]["name"] == name)

    def pod(self, name, owner=None, namespace=None, labels=None):
        if owner is None:
            made = Pod(self, name, namespace, labels or {}, {"containers": []})
        else:
            template = owner["spec"]["template"] if "template" in owner["spec"] else owner
            made = Pod(self, name, owner["metadata"].get("namespace", "ipms"), template["metadata"]["labels"], template["spec"])
        self.renew()
        return made

    def renew(self):
        """Names and policies, after pods came or went."""
        lines = ["127.0.0.1 localhost"]
        for one in self.documents:
            if one["kind"] == "Service":
                name = one["metadata"]["name"]
                for pod in self.pods.values():
                    if one["spec"]["selector"].items() <= pod.labels.items():
                        lines.append(f"{pod.address} {name} {name}.ipms {name}.ipms.svc")
        lines += [f"{pod.address} {pod.labels['host']}" for pod in self.pods.values() if "host" in pod.labels]
        # In place: containers see this very file.
        (self.room / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for pod in self.pods.values():
            sh(*pod.inside("nft", "-f", "-"), input=self.rules(pod))

    def peers(self, policy, given):
        """Addresses of the pods that a list of peers means; None is everybody."""
        if not given:
            return None
        found = set()
        for peer in given:
            for pod in self.pods.values():
                spaces = peer.get("namespaceSelector")
                names = {"kubernetes.io/metadata.name": pod.namespace}
                near = pod.namespace == policy["metadata"].get("namespace", "ipms") if spaces is None \
                    else spaces.get("matchLabels", {}).items() <= names.items()
                if near and peer.get("podSelector", {}).get("matchLabels", {}).items() <= pod.labels.items():
                    found.add(pod.address)
        return found

    def rules(self, pod):
        """The policies that select a pod, as nft rules of its namespace; a direction that none speaks of is open."""
        text = "table inet pods\ndelete table inet pods\ntable inet pods {\n"
        ours = [one for one in self.documents if one["kind"] == "NetworkPolicy"
                and one["metadata"].get("namespace", "ipms") == pod.namespace
                and one["spec"]["podSelector"]["matchLabels"].items() <= pod.labels.items()]
        for way, hook, link, end in (("Ingress", "input", "iif", "saddr"), ("Egress", "output", "oif", "daddr")):
            chosen = [one for one in ours if way in one["spec"]["policyTypes"]]
            if not chosen:
                continue
            text += f"chain {hook} {{ type filter hook {hook} priority 0; policy drop;\n{link} lo accept\n"
            text += "ct state established,related accept\nip protocol icmp accept\n"
            # The kubelet.
            text += f"ip saddr {NODE} accept\n" if way == "Ingress" else ""
            for one in chosen:
                for rule in one["spec"].get(way.lower(), []):
                    peers = self.peers(one, rule.get("from" if way == "Ingress" else "to"))
                    if peers is not None and not peers:
                        continue
                    who = f"ip {end} {{ {', '.join(sorted(peers))} }} " if peers else ""
                    for port in rule["ports"]:
                        text += f"{who}{port['protocol'].lower()} dport {self.port(pod, port['port'])} accept\n"
            text += "}\n"
        return text + "}\n"

    @staticmethod
    def port(pod, port):
        if isinstance(port, int):
            return port
        containers = pod.spec.get("initContainers", []) + pod.spec["containers"]
        return next(one["containerPort"] for box in containers for one in box.get("ports", []) if one["name"] == port)

    def stop(self, failed):
        """Ends every process; after a failure, with the last words of each."""
        for pod in self.pods.values():
            for name, process in pod.running.items():
                if failed and name != "redis":
                    print(f"{pod.name}/{name}: {pod.log(name)}", file=sys.stderr)
                process.kill()
                process.wait()
