"""The contract of client programs: one task as JSON on standard input, one outcome as JSON on standard output.

A task is one of

    {"presign": {"access": ACCESS, "method": "GET", "bucket": "b", "key": "k", "expires_s": 300, "signed_at_s": 0, "query": {}}}
    {"s3": {"access": ACCESS, "operation": {"put": {"bucket": "b", "key": "k", "body": "text"}}}}
    {"http": {"method": "GET", "url": "https://…", "headers": {}, "body": "text"}, "origin": "http://…"}

where ACCESS is {"endpoint", "region", "access_key", "secret_key", "session_token", "addressing"}, or null: then the client
uses its own default chain. "addressing" is "path" (the default) or "virtual", where the host name begins with the bucket. Operations are put, get, head, delete, list ({"bucket", "prefix"}) and create-bucket ({"bucket"}).

An outcome is one of

    {"url": "https://…", "headers": {}}                                   signed; headers that the opener must send
    {"status": 200, "headers": {}, "body": "text", "keys": [], "code": "", "message": ""}    an answer came
    {"failed": "the client's own words"}                                  no answer came, or the client cannot do this

A program exits with 0 in all three cases; any other end is a defect of the program. PARALLAX_CA_BUNDLE is the file of the
certificates to trust; the harness has set the client's own variable for it already.
"""

import json
import subprocess
import sys
import tempfile


class Failed(Exception):
    """No answer came; the client's own words."""


def main(presign=None, s3=None, http=None):
    """Reads the task, does it by the function that is meant, and writes the outcome."""
    task = json.load(sys.stdin)
    kind = next(kind for kind in ("presign", "s3", "http") if kind in task)
    function = {"presign": presign, "s3": s3, "http": http}[kind]
    try:
        if function is None:
            raise Failed(f"this client has no way to do `{kind}`")
        outcome = function(task[kind])
    except Failed as failed:
        outcome = {"failed": str(failed)}
    json.dump(outcome, sys.stdout)


def addressing(access):
    """Where URLs have the bucket: `path`, or `virtual` for the host name."""
    return (access or {}).get("addressing", "path")


def refuse_shift(task):
    """For clients that sign with their own clock, and only what they know."""
    if task.get("signed_at_s"):
        raise Failed("this client signs for now, and for no other time")
    if task.get("query"):
        raise Failed("this client signs no further query parameters")


def run(argv, env=None, stdin=None):
    """Runs a program with this environment; returns its exit code, output and errors as text."""
    done = subprocess.run(argv, input=stdin, capture_output=True, env=env, text=True, errors="replace", check=False)
    return done.returncode, done.stdout, done.stderr


def last_line(text):
    """The last line that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def temporary_file(text):
    """The path of a file with this text, in the run's own folder."""
    with tempfile.NamedTemporaryFile("w", delete=False, encoding="utf-8", newline="") as file:
        file.write(text)
        return file.name
