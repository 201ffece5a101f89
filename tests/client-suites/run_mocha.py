"""ioredis' functional tests, file by file, so that what one leaves behind spoils no other.

    run_mocha.py FOLDER RESP_PORT METRICS TOLD

FOLDER is a copy of ioredis with its node_modules, in which the port stands already. A test that does not pass in the
company of its file, or of the commands' files is not reached, is tried once more alone, and that counts: a test that uses a command which
is not here leaves rejections behind that mocha blames on the next one. Writes to TOLD what pytest_told.py does.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

folder, port, metrics, told = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], open(sys.argv[4], "a", buffering=1)
HOOKS = Path(__file__).with_name("mocha_told.cjs")
MOCHA = ["node_modules/.bin/mocha", "--no-experimental-strip-types"]
HELPERS = "test/helpers/*.ts"
# Files about Sentinel, TLS and sharded channels, which ask mocks or what is not here.
OTHER = {"sentinel", "sentinel_nat", "tls", "spub_ssub", "hash_field_subkey_notifications"}


def served():
    """The names of the commands that the node has."""
    with socket.create_connection(("127.0.0.1", port)) as door:
        door.sendall(b"COMMAND LIST\r\nPING\r\n")
        answer = b""
        while not answer.endswith(b"+PONG\r\n"):
            answer += door.recv(65536)
    return set(re.findall(rb"\r\n([a-z.]+)\r\n", answer))


def asked():
    """Commands since the node began, and the unknown ones among them."""
    with urllib.request.urlopen(metrics, timeout=10) as page:
        counts = re.findall(r'henge_resp_commands_total\{command="(.*)"\} (\d+)', page.read().decode())
    return sum(int(n) for _, n in counts), sum(int(n) for name, n in counts if name == "unknown")


def mocha(*arguments, seconds):
    """Runs mocha; its exit status and its words."""
    with tempfile.NamedTemporaryFile("r") as lines:
        env = dict(os.environ, TS_NODE_TRANSPILE_ONLY="true", NODE_ENV="test", METRICS=metrics, TOLD=lines.name)
        try:
            run = subprocess.run([*MOCHA, *arguments], cwd=folder, env=env, capture_output=True, text=True, timeout=seconds)
            status, words = run.returncode, run.stdout + run.stderr
        except subprocess.TimeoutExpired:
            status, words = None, f"ran past {seconds} s"
        return status, words, [json.loads(line) for line in lines]


def alone(file, name):
    """One test in a process of its own."""
    before = asked()
    status, words, _ = mocha("--require", HOOKS, HELPERS, file, "--grep", f"^{re.escape(name)}$".replace("/", r"\/"), seconds=60)
    after = asked()
    passed = status == 0 and re.search(r"^\s*1 passing", words, re.M)
    skipped = status == 0 and re.search(r"^\s*1 pending", words, re.M)
    return {
        "name": name,
        "outcome": "passed" if passed else "skipped" if skipped else "failed",
        "words": "" if passed else words[words.find("failing"):],
        "commands": after[0] - before[0],
        "unknown": after[1] - before[1],
    }


def listed(files):
    """The names of the tests of each file, in order."""
    _, words, _ = mocha("--dry-run", "--reporter", "json", HELPERS, *files, seconds=300)
    tests = {file: [] for file in files}
    for test in json.loads(words[words.index("{"):words.rindex("}") + 1])["tests"]:
        tests[str(Path(test["file"]).relative_to(folder.resolve()))].append(test["fullTitle"])
    return tests


def not_tried(command):
    """What is told of a test whose file is about a command that is not here."""
    words = f"unknown command '{command}' (not tried)"
    return {"outcome": "failed", "words": words, "commands": 1, "unknown": 1}


def tried(files, tests):
    """What is told of each test of these files, run together."""
    _, _, lines = mocha("--require", HOOKS, HELPERS, *files, seconds=600)
    together = {line["name"]: line for line in lines}
    for file in files:
        for name in tests[file]:
            line = together.get(f"{file}: {name}")
            spoiled = line is None or (line["outcome"] == "failed" and len(files) == 1)
            yield file, name, alone(file, name) if spoiled else line


def main():
    names = served()
    found = [*sorted(folder.glob("test/functional/*.ts")), *sorted(folder.glob("test/functional/commands/*.ts"))]
    files = [str(path.relative_to(folder)) for path in found if path.stem not in OTHER]
    tests = listed(files)
    commands = [file for file in files if "/commands/" in file]
    here = [file for file in commands if Path(file).stem.encode() in names]
    for file in set(commands) - set(here):
        for name in tests[file]:
            told.write(json.dumps({"name": f"{file}: {name}", **not_tried(Path(file).stem)}) + "\n")
    # Those of a command leave nothing behind, and may run together.
    for group in [here] + [[file] for file in files if file not in commands]:
        for file, name, line in tried(group, tests):
            told.write(json.dumps({**line, "name": f"{file}: {name}"}) + "\n")


main()
