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


if __name__ == "__main__":
    unittest.main()
