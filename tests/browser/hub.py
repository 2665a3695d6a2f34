"""A demo of the hub for the browser: its process, its accounts, its commands."""

import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import time
import base64
from pathlib import Path

PROGRAM = str(Path(os.environ["CIVILHUB_BIN"]).resolve())
PASSWORD = "a password of the browser suite"
PERSONS = os.environ.get("CIVILHUB_BROWSER_PERSONS", "300")


def code(secret, now=None):
    """The six digits of RFC 6238."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">q", int(now or time.time()) // 30), hashlib.sha1).digest()
    at = mac[19] & 15
    return "%06d" % ((struct.unpack(">I", mac[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000)


class Hub:
    """`civilhub demo` in a folder of its own."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="civilhub-browser-")
        self.data = Path(self.folder.name) / "demo"
        self.log = Path(self.folder.name) / "log"
        self.secrets = {}
        self.process = None
        self.address = None

    def start(self):
        environment = dict(os.environ, CIVILHUB__HTTP__LISTEN="127.0.0.1:0", RUST_LOG="info",
                           CIVILHUB__PATHS__SCHEMAS=str(self.stricter_schemas()))
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [PROGRAM, "demo", "--persons", PERSONS, "--seed", "5", "--data", str(self.data)],
                stdout=log, stderr=subprocess.STDOUT, env=environment,
            )
        self.address = self.listening()
        return self

    def stricter_schemas(self):
        """The schemas, of which one takes no gift of a thousand or more: the router refuses what the adapters let pass."""
        folder = Path(self.folder.name) / "schemas"
        shutil.copytree("schemas", folder)
        file = folder / "donation" / "v1.json"
        schema = json.loads(file.read_text())
        schema["properties"]["amount"]["maxLength"] = len("999.99")
        file.write_text(json.dumps(schema, ensure_ascii=False))
        return folder

    def listening(self):
        """Where the hub listens: known from the sockets of the process before the demo says so at its end."""
        until = time.time() + 60
        while time.time() < until:
            assert self.process.poll() is None, self.tail()
            for port in ports_of(self.process.pid):
                if answers(port):
                    return f"http://127.0.0.1:{port}"
            time.sleep(0.1)
        raise AssertionError("the hub does not listen: " + self.tail())

    def tail(self):
        return self.log.read_text(errors="replace")[-3000:]

    def settled(self, limit=120):
        """Waits until everything is delivered."""
        until = time.time() + limit
        while "The hub stays up" not in self.log.read_text(errors="replace"):
            assert self.process.poll() is None and time.time() < until, self.tail()
            time.sleep(0.2)

    def run(self, *arguments, stdin=None, good=True):
        done = subprocess.run(
            [PROGRAM, *arguments, "--data", str(self.data)], input=stdin, capture_output=True, text=True, timeout=60
        )
        assert not good or done.returncode == 0, (arguments, done.stdout[-800:], done.stderr[-800:])
        return done.stdout

    def json(self, *arguments, stdin=None):
        return json.loads(self.run(*arguments, "-o", "json", stdin=stdin))

    def account(self, name, role, division=""):
        words = ["console", "user", "add", name, "--role", role]
        words += ["--division", division] if division else []
        self.secrets[name] = self.json(*words, stdin=PASSWORD + "\n")["secret"]

    def ledger(self):
        return [json.loads(line) for line in self.run("ledger", "export").splitlines()]

    def grow(self, rows):
        """Fills the store with rows as they would be after so many events."""
        with sqlite3.connect(self.data / "hub.db", timeout=60) as store:
            store.execute("PRAGMA synchronous = OFF")
            count = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})"
            store.execute(count + " INSERT INTO arrival (occurrence, system, bookdate, state, open, parked)"
                          " SELECT printf('%032x', i), 'fund-payment', date('2017-01-01', (i % 180) || ' days'), 'dispatched', 0, 0 FROM n")
            store.execute(count + " INSERT INTO fence (object_id, sequence, said, event_id, state)"
                          " SELECT printf('f%031x', i), i, 'upsert:' || i, printf('e%031x', i), '' FROM n")
            store.execute(count + " INSERT INTO ledger (chain, seq, at, kind, event_id, system, bookdate, dataset, body, hash)"
                          " SELECT 'load', i, i, 'received', printf('e%031x', i), 'fund-payment', '2017-01-01', 'assistance-payment',"
                          " '{\"division\":\"220104001000\"}', printf('%064x', i) FROM n")
            store.execute(count.replace(str(rows), str(rows // 200)) + " INSERT INTO dead (id, state, stage, subscription, partition_key, event_id,"
                          " occurrence, system, bookdate, dataset, code, faults, body, at, note, place, division)"
                          " SELECT printf('d%031x', i), 'rejected', 'route', '', 'k' || i, printf('e%031x', i), printf('%032x', i), 'fund-payment',"
                          " '2017-01-01', 'assistance-payment', 'CH-4103', '[]', '', i, '', i, '220104001000' FROM n")
            store.execute(f"INSERT INTO handed_over VALUES ('fund-payment', '2017-01-01', {rows}, 0)"
                          f" ON CONFLICT (system, bookdate) DO UPDATE SET records = records + {rows}")

    def case(self):
        """The number of a case that a rule has something to say about, and the event with its newest word."""
        alerts = self.json("supervise", "alerts")
        plain = [one for one in alerts if len(one["subject"]) < 40]
        assert plain, "no alert names its case"
        chosen = next((one for one in plain if one["dataset"] == "assistance-case"), plain[0])
        return chosen["subject"], chosen["event_id"]

    def choose_county(self):
        """A county with records, a record of it, and one of another county."""
        records = [(row["body"]["division"], row["event_id"]) for row in self.ledger()
                   if row["kind"] == "received" and row["body"].get("division", "")[:6].isdigit()]
        counties = {}
        for division, event in records:
            counties.setdefault(division[:6], event)
        real = [county for county in counties if county[4] != "7" and not county.endswith("00")]
        self.county = (real or list(counties))[0]
        self.elsewhere = next(county for county in counties if county != self.county)
        self.inside, self.outside = counties[self.county], counties[self.elsewhere]
        self.account("county", "viewer", self.county)

    def many(self):
        """More letters of one kind than one person may send on their way."""
        with sqlite3.connect(self.data / "hub.db", timeout=60) as store:
            store.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150) INSERT INTO dead (id, state, stage,"
                          " subscription, partition_key, event_id, occurrence, system, bookdate, dataset, code, faults, body, at, note, place,"
                          " division) SELECT printf('a%031x', i), 'rejected', 'route', '', 'many' || i, printf('b%031x', i), printf('c%031x', i),"
                          " 'funeral', '2017-01-01', 'death', 'CH-9999', '[]', '', i, '', i, '' FROM n")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.folder.cleanup()


def ports_of(pid):
    """TCP ports on which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(link))
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            yield int(fields[1].split(":")[1], 16)


def answers(port):
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        return urlopen(f"http://127.0.0.1:{port}/console/login", timeout=2).status == 200
    except (URLError, OSError):
        return False
