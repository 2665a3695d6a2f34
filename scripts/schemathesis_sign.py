"""Signs every request that Schemathesis makes, after RFC 9421, with the key of CIVILHUB_KEY and CIVILHUB_KEYID."""

import atexit
import collections
import os
import pathlib
import sys

import requests
import schemathesis

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "examples/partner/python"))
from client import Key, signed_headers  # noqa: E402

KEY = Key(pathlib.Path(os.environ["CIVILHUB_KEY"]).read_text())
KEYID = os.environ["CIVILHUB_KEYID"]


class Signature(requests.auth.AuthBase):
    """Called when the request is ready: what is signed is what is sent."""

    def __call__(self, request):
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        for name in ("signature", "signature-input", "content-digest"):
            request.headers.pop(name, None)
        request.headers.update(signed_headers(KEY, KEYID, request.method, request.url, body))
        return request


@schemathesis.hook
def before_call(context, case, kwargs):
    kwargs["auth"] = Signature()



@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value.encode() if isinstance(value, str) else value


STATUSES = collections.Counter()


@schemathesis.hook
def after_call(context, case, response):
    STATUSES[response.status_code] += 1


@atexit.register
def told():
    """How the API answered: signed requests that were all refused would prove nothing."""
    print("answers:", dict(sorted(STATUSES.items())), file=sys.stderr)
    if STATUSES and (STATUSES[401] > STATUSES.total() // 4 or not STATUSES[200]):
        print("most requests were refused: they are not signed as the API wants it", file=sys.stderr)
        os._exit(1)
