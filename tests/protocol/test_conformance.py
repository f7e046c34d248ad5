"""The tests that the Jupyter project gives to authors of kernels."""

import unittest

import jupyter_kernel_test


class Conformance(jupyter_kernel_test.KernelTests):
    """What a client of any kernel relies on."""

    kernel_name = "corriente"
    language_name = "rust"
    file_extension = ".rs"
    code_hello_world = 'println!("hello, world");'
    code_stderr = 'eprintln!("to standard error");'
    code_execute_result = [{"code": "6 * 7", "result": "42"}]
    code_generate_error = 'panic!("on purpose");'
    complete_code_samples = ["let x = 1;", "fn twice(x: i32) -> i32 { x * 2 }"]
    incomplete_code_samples = ["fn open() {", "let list = vec!["]
    invalid_code_samples = ["let = = )"]
    code_display_data = [
        {"code": 'display!(html("<b>bold</b>"));', "mime": "text/html"},
        {"code": 'display!(df!("n" => [1])?);', "mime": "text/html"},
        {"code": 'display!(markdown("**bold**"));', "mime": "text/markdown"},
    ]
    completion_samples = [{"text": "read_kaf", "matches": {"read_kafka"}}]
    code_inspect_sample = "String"
    code_page_something = ":help"
    code_clear_output = "clear_output(false);"
    code_history_pattern = "6 ? 7"
    supported_history_operations = ("tail", "range", "search")


class Welcome(jupyter_kernel_test.IopubWelcomeTests):
    """A client that listens is welcomed."""

    kernel_name = "corriente"
    support_iopub_welcome = True


if __name__ == "__main__":
    unittest.main()
