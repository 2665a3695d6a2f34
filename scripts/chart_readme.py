#!/usr/bin/env python3
"""Makes the table of values in charts/civilhub/README.md from the comments of values.yaml.

A key is in the table if a comment `# -- …` stands right above it; more comment lines belong to it. A key without comment must
have commented keys below it.

Usage: chart_readme.py           writes the table
       chart_readme.py --check   exit code 1 if it is not as it would be written, or a key has no comment
"""

import json
import re
import sys
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parent.parent / "charts/civilhub"
BEGIN, END = "<!-- values -->\n", "<!-- /values -->"
KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9]*):(.*)$")


def commented(text):
    """Path of each commented key with its comment, in the order of the file."""
    path, comment, found = [], None, []
    block = None  # indentation of a block scalar or of a value that is not ours to read
    for line in text.splitlines():
        stripped = line.strip()
        indent = len(line) - len(line.lstrip())
        if block is not None and (not stripped or indent > block):
            continue
        block = None
        if stripped.startswith("# -- "):
            comment = [stripped[5:]]
        elif stripped.startswith("#") and comment is not None:
            comment.append(stripped.lstrip("# "))
        elif match := KEY.match(line):
            path = path[: indent // 2] + [match[2]]
            if comment is not None:
                found.append((".".join(path), " ".join(comment)))
                block = indent  # what is below belongs to the commented key
            comment = None
        else:
            comment = None
    return found


def look(values, path):
    for name in path.split("."):
        values = values[name]
    return values


def leaves(values, path=""):
    for name, value in values.items():
        inner = f"{path}.{name}" if path else name
        yield inner
        if isinstance(value, dict):
            yield from leaves(value, inner)


def uncommented(values, found):
    """Keys that neither have a comment nor lie under, or above, one that has."""
    known = [path for path, _ in found]
    for path in leaves(values):
        if not any(path == k or path.startswith(k + ".") or k.startswith(path + ".") for k in known):
            yield path


def table(values, found):
    rows = ["| value | default | |", "|---|---|---|"]
    for path, comment in found:
        default = json.dumps(look(values, path), ensure_ascii=False).replace("|", "\\|")
        rows.append(f"| `{path}` | `{default}` | {comment.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def main():
    text = (CHART / "values.yaml").read_text()
    values, found = yaml.safe_load(text), commented(text)
    bare = list(uncommented(values, found))
    if bare:
        sys.exit("values.yaml: no comment `# -- …` above " + ", ".join(bare))
    readme = CHART / "README.md"
    old = readme.read_text()
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    new = before + BEGIN + table(values, found) + END + after
    if "--check" in sys.argv[1:]:
        if new != old:
            sys.exit("charts/civilhub/README.md is stale: run scripts/chart_readme.py")
        print(f"good: {len(found)} values")
        return
    readme.write_text(new)


if __name__ == "__main__":
    main()
