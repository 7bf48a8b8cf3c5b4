"""Runs the tests of a module beside this file; one line of JSON on descriptor 3 a test."""

import importlib
import json
import os
import pathlib
import sys
import unittest

report = os.fdopen(3, "w", buffering=1)


class Result(unittest.TestResult):
    """Tells of every test when it has ended; of subtests, the worst outcome."""

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.why = "pass", ""

    def worse(self, outcome, why):
        if self.outcome != "fail":
            self.outcome = outcome
        self.why += why + "\n"

    def addError(self, test, err):
        self.addFailure(test, err)

    def addFailure(self, test, err):
        why = self._exc_info_to_string(err, test)
        if not isinstance(test, unittest.TestCase):  # setUpClass
            print(json.dumps({"name": str(test), "outcome": "fail", "why": why}), file=report)
            return
        self.worse("fail", why)

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.worse("fail", str(subtest) + "\n" + self._exc_info_to_string(err, test))

    def addSkip(self, test, reason):
        self.worse("skip", reason)

    def stopTest(self, test):
        super().stopTest(test)
        name = type(test).__name__ + "/" + test._testMethodName
        print(json.dumps({"name": name, "outcome": self.outcome, "why": self.why}), file=report)


sys.path.insert(0, str(pathlib.Path(__file__).parent))
tests = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(sys.argv[1]))
tests.run(Result())
