"""Compares the table of docs/INTEGRATION.md with what the libraries did with the tokens of deviant.py.

`table.py FOLDER DOCUMENT NODE_MODULES` ends with 1 and the difference; with `--write` behind it writes the table instead.
"""

import difflib
import json
import pathlib
import sys
from importlib.metadata import version

folder, document, modules = map(pathlib.Path, sys.argv[1:4])
BEGIN, END = "<!-- what the libraries did: begin -->\n", "<!-- end -->"
read = lambda name: json.loads((folder / name).read_text())
rows = read("deviant.json")
libraries = {
    f"PyJWT {version('PyJWT')}": read("deviant.pyjwt.json"),
    f"joserfc {version('joserfc')}": read("deviant.joserfc.json"),
    f"jose {json.loads((modules / 'jose/package.json').read_text())['version']}": read("deviant.jose.json"),
}
CELLS = {(True, True): "**accepted**", (True, False): "refused if told to", (False, False): "refused"}

assert all(len(taken) == len(rows) for taken in libraries.values())
told = [[CELLS[tuple(taken[number])] for taken in libraries.values()] for number in range(len(rows))]
(good, *deviant) = zip(rows, told)
assert good[0]["verdict"] == "ACCEPTED" and set(good[1]) == {"**accepted**"}, "a good token is not taken"
lines = ["| our token, changed in one thing and signed with its key | here | " + " | ".join(libraries) + " |",
         "|---|---|" + "---|" * len(libraries)]
alike = []
for row, cells in deviant:
    if set(cells) == {"refused"}:
        alike.append(row["what"])
    else:
        lines.append(f"| {row['what']} | `{row['verdict']}` | " + " | ".join(cells) + " |")
assert alike, "nothing is refused by all"
lines += ["", "Refused by all of them: " + "; ".join(alike) + "."]
table = "\n".join(lines) + "\n"

text = document.read_text()
before, rest = text.split(BEGIN)
written, after = rest.split(END)
if sys.argv[4:] == ["--write"]:
    document.write_text(before + BEGIN + table + END + after)
elif written != table:
    difference = difflib.unified_diff(written.splitlines(), table.splitlines(), str(document), "what the libraries did", lineterm="")
    sys.exit("\n".join(difference))
print(f"{document}: {len(deviant)} deviations, {len(alike)} refused by all, as the document says")
