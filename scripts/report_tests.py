"""Reads `go test -json` and says how it went, package by package, as it goes.

    go test -json ./... | report_tests.py FOLDER

Shows the output of what failed and the reason of what was skipped. Appends the names of
the tests to FOLDER/passed, FOLDER/failed and FOLDER/skipped: those without subtests, and a
package that fails outside of its tests (it does not build, it panics, it times out).
"""

import collections
import json
import pathlib
import re
import sys

folder = pathlib.Path(sys.argv[1])
outcomes = collections.defaultdict(dict)  # package -> test -> outcome
output = collections.defaultdict(list)  # (package, test) -> lines
build_output = collections.defaultdict(list)  # import path -> lines


def leaves(tests):
    """The tests that have no subtests."""
    parents = {name.rsplit("/", i)[0] for name in tests for i in range(1, name.count("/") + 1)}
    return [name for name in tests if name not in parents]


def note(outcome, name):
    with open(folder / outcome, "a") as f:
        print(name, file=f)
    if outcome == "failed":
        (folder / "go-tests-failed").touch()


def show(lines):
    for line in lines:
        print("      " + line.rstrip("\n"))


def reason(lines):
    """Why a test was skipped: its last line of output that is not the runner's own."""
    own = [line.strip() for line in lines if line.strip() and not re.match(r"\s*(===|---)", line)]
    return re.sub(r"^\S+_test\.go:\d+: |^\w+\.go:\d+: ", "", own[-1]) if own else "no reason given"


def finish(package, event):
    """Reports a package whose last event this is."""
    tests = outcomes.pop(package, {})
    names = leaves(tests)
    count = collections.Counter(tests[name] for name in names)
    failed = event["Action"] == "fail"
    if not failed and not names:
        return  # no tests
    print(f"{'FAIL ' if failed else 'ok   '} {package} ({event.get('Elapsed', 0):.0f} s): " + ", ".join(
        f"{count[what]} {what}" for what in ("passed", "failed", "skipped") if count[what]))
    for name in names:
        note(tests[name], f"{package} {name}")
    reasons = collections.Counter(reason(output[package, name]) for name in names if tests[name] == "skipped")
    for why, times in sorted(reasons.items()):
        print(f"      {times} skipped: {why.removeprefix('SKIPPED: ')}")
    for name, outcome in tests.items():
        if outcome == "failed":
            show(output[package, name])
    if failed and not count["failed"]:
        note("failed", package)
        show(build_output.get(event.get("FailedBuild", ""), []))
        show(output[package, None])
        for (p, name), lines in output.items():  # a test that never ended
            if p == package and name and name not in tests:
                show(lines)
    sys.stdout.flush()


for line in sys.stdin:
    try:
        event = json.loads(line)
    except ValueError:
        print("      " + line.rstrip())
        continue
    package, test, action = event.get("Package"), event.get("Test"), event["Action"]
    if action == "build-output":
        build_output[event["ImportPath"]].append(event["Output"])
    elif action == "output":
        output[package, test].append(event["Output"])
    elif action in ("pass", "fail", "skip"):
        if test:
            outcomes[package][test] = {"pass": "passed", "fail": "failed", "skip": "skipped"}[action]
        else:
            finish(package, event)
