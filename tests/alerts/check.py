"""Checks for tests/alerts/run. `documents`: each alert has a test that it fires and a section of the runbook. `live URL [--picture FILE]`:
every expression of the dashboard and of the alerts is evaluated by a Prometheus, and the dashboard is drawn from what it says."""
import html
import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DEPLOY = pathlib.Path("deploy")
ALERTS = (DEPLOY / "prometheus/alerts.yaml").read_text()
PANELS = json.loads((DEPLOY / "prometheus/dashboard.json").read_text())["panels"]


def documents():
    names = re.findall(r"- alert: (\w+)", ALERTS)
    assert len(names) == len(set(names)) > 10, names
    headings = re.findall(r"^## (.+)$", (DEPLOY / "RUNBOOK.md").read_text(), re.M)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    links = re.findall(r"runbook_url: deploy/RUNBOOK.md#(\S+)", ALERTS)
    assert len(links) == len(names) and set(links) <= anchors, set(links) - anchors
    assert {one for one in anchors if one.startswith("alert-")} == set(links), "a section without an alert"
    tests = (DEPLOY / "prometheus/alerts.test.yaml").read_text()
    for name in names:
        assert re.search(rf"alertname: {name}\n +exp_alerts:\n +- exp_labels", tests), f"{name} is never seen to fire"
        assert re.search(rf"alertname: {name}\n +exp_alerts: \[\]", tests), f"{name} is never seen not to fire"
    print(f"{len(names)} alerts, each with a section and a test")


def ask(base, path, **query):
    with urllib.request.urlopen(f"{base}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]["result"]


def live(base, picture=None):
    deadline = time.monotonic() + 60
    missing = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
    checked = len(missing)
    while missing:
        assert time.monotonic() < deadline, f"nothing is found by {missing}"
        time.sleep(0.5)
        try:
            missing = [one for one in missing if not ask(base, "query", query=one[1])]
        except (urllib.error.URLError, ConnectionError):
            continue  # It begins to listen.
    for name, expression in re.findall(r'- alert: (\w+)\n +expr: "((?:[^"\\]|\\.)*)"', ALERTS):
        ask(base, "query", query=json.loads(f'"{expression}"'))
    print(f"{checked} expressions of the dashboard, each with data")
    if picture:
        time.sleep(30)
        pathlib.Path(picture).write_text(draw(base))


def draw(base):
    """Each panel as lines over the last half minute."""
    width, height, across = 300, 150, 3
    now = time.time()
    parts = []
    for index, panel in enumerate(PANELS):
        x, y = index % across * width, index // across * height
        rows = ask(base, "query_range", query=panel["targets"][0]["expr"], start=now - 30, end=now, step=1)
        finite = lambda text: float(text) if text not in ("+Inf", "NaN", "-Inf") else None
        series = [(row["metric"], [(t, finite(v)) for t, v in row["values"]]) for row in rows]
        most = max([v for _, points in series for _, v in points if v is not None] + [0]) or 1
        parts.append(f'<g transform="translate({x},{y})"><rect x="4" y="4" width="{width - 8}" height="{height - 8}" rx="4" fill="#fff" stroke="#ccc"/>'
                     f'<text x="12" y="22" font-weight="bold">{html.escape(panel["title"])}</text>'
                     f'<text x="{width - 12}" y="38" text-anchor="end" fill="#888">{most:.4g}</text>')
        for number, (metric, points) in enumerate(series):
            line = " ".join(f"{12 + (t - now + 30) / 30 * (width - 24):.1f},{height - 40 - v / most * (height - 90):.1f}"
                            for t, v in points if v is not None)
            hue = number * 67 % 360
            parts.append(f'<polyline points="{line}" fill="none" stroke="hsl({hue},60%,45%)" stroke-width="1.5"/>')
        words = [" ".join(v for k, v in sorted(m.items()) if k not in ("instance", "job", "__name__")) or m.get("__name__", "")
                 for m, _ in series]
        legend = ", ".join(dict.fromkeys(words))
        parts.append(f'<text x="12" y="{height - 16}" fill="#555" font-size="8">{html.escape(legend[:62])}</text></g>')
    rows = -(-len(PANELS) // across)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across * width} {rows * height}" font-family="sans-serif" font-size="10">'
            f'<rect width="100%" height="100%" fill="#f4f5f5"/>{"".join(parts)}</svg>\n')


if sys.argv[1] == "documents":
    documents()
else:
    live(sys.argv[2], sys.argv[4] if sys.argv[3:4] == ["--picture"] else None)
