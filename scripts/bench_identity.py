#!/usr/bin/env python3
"""Ours beside Splink on the same file in the same run: F1 over clusters and records per CPU-second of both.

  pip install splink pypinyin pandas
  scripts/bench_identity.py FOLDER CIVILHUB       FOLDER holds people.ndjson, truth.csv and pairs.csv

Splink gets what a careful user gives it: cleaned and derived columns (upgraded numbers, pinyin, address parts), term
frequencies, ten blocking rules, and the guard that two valid numbers never merge. Neither is shown the truth, and both
train on the file itself. CPU time is that of the processes, reading and training included.
"""

import csv
import json
import os
import re
import resource
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from pathlib import Path

WEIGHTS = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]


def check(body):
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, WEIGHTS)) % 11]


def number(text):
    """The number in standard form, and whether it is valid."""
    text = unicodedata.normalize("NFKC", text or "").replace(" ", "").upper()
    if re.fullmatch(r"\d{15}", text):
        body = text[:6] + "19" + text[6:]
        text = body + check(body)
    valid = re.fullmatch(r"\d{17}[\dX]", text) is not None and check(text[:17]) == text[17]
    return text or None, valid


def clean(row):
    from pypinyin import lazy_pinyin

    name = re.sub(r"[\s·•.?]", "", unicodedata.normalize("NFKC", row.get("name") or "")) or None
    id_number, valid = number(row.get("id_number"))
    digits = re.sub(r"\D", "", row.get("birth_date") or "")
    birth = digits if len(digits) == 8 else None
    if not birth and valid:
        birth = id_number[6:14]
    address = re.sub(r"[\s　]", "", unicodedata.normalize("NFKC", row.get("address") or ""))
    road = re.search(r"([^市县区旗镇乡道社]{2,8}(?:路|街)|[^市县区旗镇乡]{2,8}村)(\d+)", address)
    phone = re.sub(r"\D", "", row.get("phone") or "")
    return {
        "unique_id": row["record_id"],
        "name": name,
        "pinyin": " ".join(sorted(lazy_pinyin(name))) if name else None,
        "id_number": id_number,
        "valid_number": id_number if valid else None,
        "birth": birth,
        "birth_year": birth[:4] if birth else None,
        "sex": {"男": "1", "女": "2"}.get(row.get("sex"), row.get("sex")),
        "address": address or None,
        "road": road.group(1) if road else None,
        "door": road.group(0) if road else None,
        "phone": phone[-11:] or None,
    }


def splink_clusters(path):
    """Clusters by record, with the guard, for several thresholds."""
    import pandas
    import splink.comparison_library as cl
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on

    with open(path) as file:
        frame = pandas.DataFrame([clean(json.loads(line)) for line in file])
    settings = SettingsCreator(
        link_type="dedupe_only",
        comparisons=[
            cl.CustomComparison(
                output_column_name="name",
                comparison_levels=[
                    {"sql_condition": "name_l IS NULL OR name_r IS NULL", "is_null_level": True},
                    {"sql_condition": "name_l = name_r", "tf_adjustment_column": "name"},
                    {"sql_condition": "pinyin_l = pinyin_r"},
                    {"sql_condition": "levenshtein(name_l, name_r) = 1"},
                    {"sql_condition": "name_l[1] = name_r[1]"},
                    {"sql_condition": "ELSE"},
                ],
            ),
            cl.DamerauLevenshteinAtThresholds("id_number", [1, 2]),
            cl.DamerauLevenshteinAtThresholds("birth", [1]),
            cl.ExactMatch("sex"),
            cl.CustomComparison(
                output_column_name="address",
                comparison_levels=[
                    {"sql_condition": "address_l IS NULL OR address_r IS NULL", "is_null_level": True},
                    {"sql_condition": "address_l = address_r"},
                    {"sql_condition": "door_l = door_r"},
                    {"sql_condition": "road_l = road_r"},
                    {"sql_condition": "ELSE"},
                ],
            ),
            cl.DamerauLevenshteinAtThresholds("phone", [1]),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("id_number"),
            block_on("substr(id_number, 1, 17)"),
            block_on("substr(id_number, 7, 12)"),
            block_on("phone", "name"),
            block_on("phone", "birth"),
            block_on("pinyin", "birth_year"),
            block_on("birth", "substr(name, 1, 1)"),
            block_on("pinyin", "substr(birth, 5, 4)"),
            block_on("pinyin", "road"),
            block_on("door", "substr(name, 1, 1)"),
        ],
        retain_matching_columns=False,
        additional_columns_to_retain=["valid_number"],
    )
    api = DuckDBAPI()
    table = api.register(frame)
    linker = Linker(table, settings, log_level=40)
    linker.training.estimate_probability_two_random_records_match([block_on("id_number")], recall=0.75)
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("id_number"), max_pairs=1e6)
    linker.training.estimate_parameters_using_expectation_maximisation(block_on("name", "birth"), max_pairs=1e6)
    pairs = linker.inference.predict(threshold_match_probability=0.5).as_pandas_dataframe()
    return {least: guarded(frame, pairs[pairs["match_probability"] >= least]) for least in (0.5, 0.9, 0.99, 0.999, 0.9999)}


def guarded(frame, pairs):
    """Best first, never two valid numbers in one cluster."""
    parent = {record: record for record in frame["unique_id"]}
    valid = {record: {held} if held else set() for record, held in zip(frame["unique_id"], frame["valid_number"])}

    def root(record):
        while parent[record] != record:
            parent[record] = parent[parent[record]]
            record = parent[record]
        return record

    for one, other in pairs.sort_values("match_probability", ascending=False)[["unique_id_l", "unique_id_r"]].itertuples(index=False):
        left, right = root(one), root(other)
        if left != right and len(valid[left] | valid[right]) <= 1:
            parent[right] = left
            valid[left] |= valid[right]
    return {record: root(record) for record in parent}


def count(sizes):
    return sum(size * (size - 1) // 2 for size in sizes)


def f1(truth, clusters):
    both = count(Counter((truth[record], clusters[record]) for record in truth).values())
    precision = both / max(count(Counter(clusters.values()).values()), 1)
    recall = both / max(count(Counter(truth.values()).values()), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def merged(pairs, truth, clusters, kind):
    """Pairs of persons who share a cluster, of those on record."""
    of = {}
    for record, person in truth.items():
        of.setdefault(person, set()).add(clusters[record])
    known = [(one, other) for name, one, other in pairs if name == kind and one in of and other in of]
    return sum(bool(of[one] & of[other]) for one, other in known), len(known)


def column(path, name):
    with open(path, newline="") as file:
        return {row["record_id"]: row[name] for row in csv.DictReader(file)}


def ours(folder, civilhub):
    """Trains on the file and links it, as two processes."""
    people, model, output = folder / "people.ndjson", folder / "model.toml", folder / "clusters.csv"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([civilhub, "identity", "train", "--input", people, "--output", model], check=True)
    subprocess.run([civilhub, "identity", "match", "--input", people, "--output", output, "--model", model], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return column(output, "cluster_id"), cpu


def main(folder, civilhub):
    truth = column(folder / "truth.csv", "person")
    with open(folder / "pairs.csv", newline="") as file:
        pairs = [(row["kind"], row["person"], row["other"]) for row in csv.DictReader(file)]
    results = {"civilhub": ours(folder, civilhub)}
    before, wall = os.times(), time.time()
    clusters = splink_clusters(folder / "people.ndjson")
    after = os.times()
    # The threshold is chosen with the truth, in favour of the rival.
    best = max(clusters, key=lambda least: f1(truth, clusters[least])[2])
    results["splink"] = clusters[best], after.user + after.system - before.user - before.system
    print(f"{len(truth)} records of {len(set(truth.values()))} persons; splink: {time.time() - wall:.0f} s by the clock, threshold {best}")
    print(f"{'':10} {'precision':>9} {'recall':>8} {'F1':>8} {'twins merged':>13} {'namesakes':>10} {'CPU s':>7} {'records/CPU-s':>14}")
    for name, (found, cpu) in results.items():
        precision, recall, both = f1(truth, found)
        twins, namesakes = (merged(pairs, truth, found, kind) for kind in ("twins", "namesakes"))
        print(f"{name:10} {precision:9.5f} {recall:8.5f} {both:8.5f} {'%d of %d' % twins:>13} {'%d of %d' % namesakes:>10} "
              f"{cpu:7.1f} {len(truth) / cpu:14.0f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2])
