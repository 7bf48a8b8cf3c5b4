"""Jupyter's own tests for kernels, with samples for this one."""

import unittest

import jupyter_kernel_test


class Kernel(jupyter_kernel_test.KernelTests):
    kernel_name = "ftlab"
    language_name = "go"
    file_extension = ".go"

    code_hello_world = 'fmt.Println("hello, world")'
    code_stderr = 'fmt.Fprintln(os.Stderr, "oops")'

    completion_samples = [
        {"text": "strings.ToUppe", "matches": {"ToUpper", "ToUpperSpecial"}},
        {"text": "math.MaxInt6", "matches": {"MaxInt64"}},
        {"text": "x := strings.Fields", "matches": {"Fields", "FieldsFunc", "FieldsFuncSeq", "FieldsSeq"}},
    ]

    complete_code_samples = ["1 + 2", "x := 3\nx * x", "func f() int {\n\treturn 1\n}", "%%\nfmt.Println(1)", "!ls", ""]
    incomplete_code_samples = ["func f() {", "f(", "s := `text", "if x {\n", "[]int{1,", "/* note"]
    invalid_code_samples = ["foo bar", "func 3()", "x := )", "if }"]

    code_generate_error = "var s []int\ns[3] = 1"
    code_execute_result = [
        {"code": "1 + 2", "result": "3"},
        {"code": 'strings.Repeat("ab", 2)', "result": "abab"},
        {"code": "[]int{1, 2}", "result": "[1 2]"},
        {"code": "type page struct{}\nfunc (page) HTML() string { return \"<b>bold</b>\" }\npage{}", "mime": "text/html", "result": "<b>bold</b>"},
    ]
    code_display_data = [
        {"code": 'import "github.com/janpfeifer/gonb/gonbui"\ngonbui.DisplayHTML("<b>bold</b>")', "mime": "text/html"},
        {"code": 'import "ftlab/kernel/notebook"\nnotebook.Show([]struct{ A int }{{1}})', "mime": "text/html"},
        {"code": 'import "ftlab/kernel/notebook"\nnotebook.Markdown("*text*")', "mime": "text/markdown"},
    ]

    code_history_pattern = "1?+*2"
    supported_history_operations = ("tail", "range", "search")

    code_inspect_sample = "strings.ToUpper"


class More(unittest.TestCase):
    """What a front end does and the tests above do not."""

    @classmethod
    def setUpClass(cls):
        cls.km, cls.kc = jupyter_kernel_test.start_new_kernel(kernel_name="ftlab")

    @classmethod
    def tearDownClass(cls):
        cls.kc.stop_channels()
        cls.km.shutdown_kernel()

    def run_cell(self, code, **options):
        outputs = []
        reply = self.kc.execute_interactive(code, output_hook=outputs.append, timeout=60, **options)
        jupyter_kernel_test.validate_message(reply, "execute_reply")
        for m in outputs:
            jupyter_kernel_test.validate_message(m, m["msg_type"])
        return reply["content"], [m for m in outputs if m["msg_type"] not in ("status", "execute_input")]

    def reply(self, kind):
        while True:  # a test that failed may have left one
            m = self.kc.get_shell_msg(timeout=30)
            if m["msg_type"] == kind:
                jupyter_kernel_test.validate_message(m, kind)
                return m["content"]

    def test_stdin(self):
        asked = []

        def answer(message):
            asked.append(message["content"])
            self.kc.input("Ada")

        reply, outputs = self.run_cell(
            'import "github.com/janpfeifer/gonb/gonbui"\n'
            'gonbui.RequestInput("who? ", false)\n'
            "var name string\nfmt.Scanln(&name)\nfmt.Printf(\"hello %s\\n\", name)",
            allow_stdin=True, stdin_hook=answer)
        self.assertEqual(reply["status"], "ok", outputs)
        self.assertEqual([(a["prompt"], a["password"]) for a in asked], [("who? ", False)])
        self.assertIn("hello Ada", "".join(m["content"].get("text", "") for m in outputs))

    def test_error_is_one_message(self):
        for code in ["var s []int\ns[3] = 1", "missing()", "foo bar", "os.Exit(3)"]:
            with self.subTest(code=code):
                reply, outputs = self.run_cell(code)
                self.assertEqual(reply["status"], "error")
                self.assertEqual([m["msg_type"] for m in outputs], ["error"])
                for key in ("ename", "evalue", "traceback"):
                    self.assertEqual(reply[key], outputs[0]["content"][key])

    def test_count(self):
        first, _ = self.run_cell("1;")
        self.run_cell("2;", silent=True)
        second, _ = self.run_cell("3;")
        self.assertEqual(second["execution_count"], first["execution_count"] + 1)

    def test_display_update(self):
        reply, outputs = self.run_cell(
            'import "github.com/janpfeifer/gonb/gonbui"\n'
            'gonbui.UpdateHTML("place", "<i>one</i>")\ngonbui.UpdateHTML("place", "<i>two</i>")')
        self.assertEqual(reply["status"], "ok", outputs)
        self.assertEqual([m["msg_type"] for m in outputs], ["display_data", "update_display_data"])
        self.assertEqual({m["content"]["transient"]["display_id"] for m in outputs}, {"place"})

    def test_completion_says_where(self):
        self.kc.complete("strings.ToUppe")
        reply = self.reply("complete_reply")
        self.assertEqual((reply["cursor_start"], reply["cursor_end"]), (8, 14))

    def test_control_while_busy(self):
        cell = self.kc.execute("time.Sleep(20 * time.Second)")
        while True:  # an interrupt that overtakes the cell would be for nothing
            m = self.kc.get_iopub_msg(timeout=30)
            if m["msg_type"] == "execute_input" and m["parent_header"]["msg_id"] == cell:
                break
        message = self.kc.session.msg("kernel_info_request")
        self.kc.control_channel.send(message)
        reply = self.kc.get_control_msg(timeout=5)
        self.assertEqual(reply["msg_type"], "kernel_info_reply")
        self.km.interrupt_kernel()
        reply = self.reply("execute_reply")
        self.assertEqual((reply["status"], reply["ename"]), ("error", "Interrupted"))


del jupyter_kernel_test.KernelTests, jupyter_kernel_test.IopubWelcomeTests  # the loader would find them bare
