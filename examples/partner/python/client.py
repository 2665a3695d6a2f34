#!/usr/bin/env python3
"""A partner's program, complete: sign requests after RFC 9421, fetch events, answer queries, acknowledge.

    pip install cryptography
    python3 client.py http://127.0.0.1:8090 bank-icbc/1 bank-icbc.key

Everything that is not Python's own is `cryptography`, for Ed25519 and ECDSA P-256.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Key:
    """A secret key as `civilhub partner keygen` writes it."""

    def __init__(self, text: str):
        name, encoded = text.strip().split("-secret:")
        seed = base64.b64decode(encoded)
        self.algorithm = name
        if name == "ed25519":
            self._key = Ed25519PrivateKey.from_private_bytes(seed)
        elif name == "ecdsa-p256-sha256":
            self._key = ec.derive_private_key(int.from_bytes(seed, "big"), ec.SECP256R1())
        else:
            raise ValueError(f"this client does not sign with {name}")

    def sign(self, text: bytes) -> bytes:
        if self.algorithm == "ed25519":
            return self._key.sign(text)
        r, s = utils.decode_dss_signature(self._key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def signed_headers(key: Key, keyid: str, method: str, url: str, body: bytes) -> dict:
    """The headers that make a request one of the owner of the key."""
    headers, covered = {}, ['"@method"', '"@target-uri"']
    lines = [f'"@method": {method}', f'"@target-uri": {url}']
    if body:
        headers["content-digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        covered.append('"content-digest"')
        lines.append(f'"content-digest": {headers["content-digest"]}')
    nonce = secrets.token_urlsafe(18)
    parameters = f'({" ".join(covered)});created={int(time.time())};keyid="{keyid}";nonce="{nonce}";alg="{key.algorithm}"'
    lines.append(f'"@signature-params": {parameters}')
    signature = base64.b64encode(key.sign("\n".join(lines).encode())).decode()
    headers["signature-input"] = f"sig1={parameters}"
    headers["signature"] = f"sig1=:{signature}:"
    return headers


class Hub:
    """The partner API."""

    def __init__(self, base: str, keyid: str, key: Key):
        self.base, self.keyid, self.key = base.rstrip("/"), keyid, key

    def call(self, method: str, path: str, body=None, idempotency_key: str | None = None):
        """One request; tried again, with the same Idempotency-Key and a fresh signature, when the hub says that this helps."""
        url, data = self.base + path, b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
        own = idempotency_key or secrets.token_urlsafe(18)
        for attempt in range(5):
            headers = signed_headers(self.key, self.keyid, method, url, data)
            if data:
                headers["content-type"] = "application/json"
            if method == "POST":
                headers["idempotency-key"] = own
            request = urllib.request.Request(url, data=data or None, headers=headers, method=method)
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None
            except urllib.error.HTTPError as error:
                problem = json.loads(error.read() or b"{}")
                if not problem.get("retryable") or attempt == 4:
                    raise SystemExit(f'{problem.get("code")} {problem.get("detail")} (trace {problem.get("trace_id")}): {problem.get("hint")}')
                time.sleep(int(error.headers.get("retry-after", "1")))


def look_up(number: str) -> tuple[str, list]:
    """The bank's own books. Here: nobody has an account."""
    return "NONE", []


def main() -> None:
    base, keyid, file = sys.argv[1:4]
    if urlsplit(base).scheme not in ("http", "https"):
        raise SystemExit("the first argument is the address of the hub")
    with open(file, encoding="utf-8") as text:
        hub = Hub(base, keyid, Key(text.read()))
    done: set[str] = set()  # in a real program: a table, for a delivery may come twice
    after, answered = 0, 0
    while True:
        page = hub.call("GET", f"/v1/events?after={after}&limit=100")
        for entry in page["events"]:
            event = entry["event"]
            if event is None or event["deliveryid"] in done:
                continue
            record = event["data"]["record"]
            if event["type"].startswith("asset-query."):
                outcome, accounts = look_up(record["subject"]["id_number"])
                answer = {"query_no": record["query_no"], "subject": record["subject"], "outcome": outcome, "answers": accounts}
                hub.call("POST", "/v1/answers", answer, idempotency_key=record["query_no"])
                answered += 1
            done.add(event["deliveryid"])
        if page["events"]:
            after = page["next"]
            hub.call("POST", "/v1/events/ack", {"cursor": after})
        if not page["more"]:
            break
    print(f"{len(done)} events, {answered} queries answered")


if __name__ == "__main__":
    main()
