"""jupyter console, as ft repl starts it, in a terminal."""

import os
import unittest

import pexpect


class Console(unittest.TestCase):
    def leave(self, c):
        c.sendeof()
        c.expect(r"really want to exit \(\[y\]/n\)\? ?")
        c.send("y\r")
        c.expect(pexpect.EOF)
        c.close()
        self.assertEqual((c.exitstatus, c.signalstatus), (0, None))

    def test_session(self):
        env = {**os.environ, "TERM": "dumb", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "120", "LINES": "40"}
        c = pexpect.spawn(os.environ["FT"], ["repl", "--", "--simple-prompt"], env=env, encoding="utf-8", timeout=90)
        c.expect(r"In \[1\]: ")
        c.sendline("1+2")
        c.expect(r"Out\[1\]: 3")
        c.expect(r"In \[2\]: ")
        c.sendline("missing()")
        c.expect("undefined: missing")
        c.expect(r"In \[3\]: ")
        c.sendline('fmt.Println("running"); time.Sleep(time.Hour)')
        c.expect(r"\r\nrunning")
        c.sendintr()
        c.expect("Interrupted")
        c.expect(r"In \[4\]: ")
        c.sendline("6*7")
        c.expect(r"Out\[4\]: 42")
        c.expect(r"In \[5\]: ")
        self.leave(c)

    def test_arrows_and_completeness(self):
        """With the line editor: the arrow brings back a cell of another session, an open
        bracket is gone on with, and only a whole cell is run."""
        env = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        for turn in range(2):
            c = pexpect.spawn(os.environ["FT"], ["repl"], env=env, encoding="utf-8", timeout=90, dimensions=(40, 120))
            c.expect(r"In .*\[.*1.*\].*: ")
            if turn == 0:
                c.send("6*111\r")
                c.expect("666")
            else:
                c.send("\x1b[A")  # up
                c.expect(r"6.*\*.*111")
                c.send("\r")
                c.expect("666", timeout=60)
                c.expect(r"In .*\[.*2.*\].*: ")
                c.send("func f() int {\r")
                c.expect(r"\.\.\.")
                c.send("return 5\r}\r")
                c.expect(r"In .*\[.*3.*\].*: ")
                c.send("f()*111\r")
                c.expect("555")
            c.expect(r"In .*\[.*\].*: ")
            self.leave(c)
