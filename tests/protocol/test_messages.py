"""The protocol itself: who answers what, in which order, and what is not listened to."""

import time

from jupyter_client.session import Session


def test_kernel_info_names_the_language(kernel):
    request = kernel.client.kernel_info()
    info = kernel.shell(lambda message: message["parent_header"].get("msg_id") == request)["content"]
    assert info["language_info"]["name"] == "rust"
    assert info["language_info"]["file_extension"] == ".rs"
    assert info["protocol_version"].startswith("5.")
    assert "kernel subshells" not in info.get("supported_features", [])


def test_busy_comes_first_and_idle_last_and_all_carry_the_parent(kernel):
    said = kernel.ok('println!("one"); eprintln!("two"); 3')
    states = [message["content"].get("execution_state") for message in said.messages]
    assert states[0] == "busy" and states[-1] == "idle", str(said)
    kinds = [message["msg_type"] for message in said.messages]
    assert kinds[1] == "execute_input", kinds


def completeness(kernel, code):
    request = kernel.client.is_complete(code)
    return kernel.shell(lambda message: message["parent_header"].get("msg_id") == request)["content"]["status"]


def test_is_complete_knows_whether_a_cell_has_ended(kernel):
    assert completeness(kernel, "let x = 1;") == "complete"
    assert completeness(kernel, "fn open() {") == "incomplete"
    assert completeness(kernel, "let text = \"open") == "incomplete"
    assert completeness(kernel, "let = = )") == "invalid"


def test_comms_and_questions_are_served_while_a_cell_runs(kernel):
    request = kernel.start('std::thread::sleep(std::time::Duration::from_secs(4)); println!("slept");')
    kernel.iopub(lambda message: message["msg_type"] == "execute_input")
    began = time.monotonic()
    asked = kernel.send("comm_info_request", {})
    kernel.shell(lambda message: message["parent_header"].get("msg_id") == asked, within=2)
    # A comm for a view that nobody has made is answered with a close or a message, not with silence until the cell ends.
    kernel.send("comm_open", {"comm_id": "nobodys", "target_name": "corriente.live", "data": {"view": "nobodys"}})
    kernel.iopub(
        lambda message: message["msg_type"] in ("comm_close", "comm_msg") and message["content"]["comm_id"] == "nobodys",
        within=3,
    )
    assert time.monotonic() - began < 3.5
    assert "slept" in kernel.wait(request).stdout


def test_a_comm_of_an_unknown_target_is_closed(kernel):
    kernel.send("comm_open", {"comm_id": "strange", "target_name": "no.such.target", "data": {}})
    kernel.iopub(lambda message: message["msg_type"] == "comm_close" and message["content"]["comm_id"] == "strange")


def test_a_message_with_a_bad_signature_is_not_executed(kernel):
    forger = Session(key=b"not the key of the connection file")
    message = forger.msg("execute_request", {"code": 'println!("forged");', "silent": False})
    forger.send(kernel.client.shell_channel.socket, message)
    said = kernel.ok('println!("genuine");')
    assert said.stdout == "genuine\n"


def test_garbage_on_the_shell_socket_stops_nothing(kernel):
    for frames in ([b""], [b"garbage"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"00", b"{", b"}", b"[", b"\xff"]):
        kernel.client.shell_channel.socket.send_multipart(frames)
    assert kernel.ok("1 + 1").plain == "2"


def asked(kernel, request):
    return kernel.shell(lambda message: message["parent_header"].get("msg_id") == request)["content"]


def completions(kernel, code):
    """What is offered at `|`, and the text that it would replace."""
    position = code.index("|")
    code = code.replace("|", "")
    content = asked(kernel, kernel.client.complete(code, position))
    return content["matches"], code[content["cursor_start"] : content["cursor_end"]]


def test_variables_methods_paths_and_commands_are_completed(kernel):
    kernel.ok("let customers = vec![1, 2];\nstruct Card { number: u64 }")
    for code, expected, replaced in [
        ("custo|", "customers", "custo"),
        ("customers.is_em|", "is_empty()", "is_em"),
        ("let é = 1; custo|", "customers", "custo"),
        (":ti|", ":time", ":ti"),
    ]:
        matches, text = completions(kernel, code)
        assert any(match.startswith(expected.rstrip("()")) for match in matches), (code, matches)
        assert text == replaced, (code, text)


def test_a_completion_says_what_each_match_is(kernel):
    kernel.ok("let accounts = 3;")
    content = asked(kernel, kernel.client.complete("accou", 5))
    kinds = {match["text"]: match["type"] for match in content["metadata"]["_jupyter_types_experimental"]}
    assert "accounts" in kinds, content


def test_while_a_cell_runs_known_names_are_completed_at_once(kernel):
    kernel.ok("let currencies = 3;")
    request = kernel.start("std::thread::sleep(std::time::Duration::from_secs(4));")
    kernel.iopub(lambda message: message["msg_type"] == "execute_input")
    began = time.monotonic()
    matches, _ = completions(kernel, "curren|")
    assert "currencies" in matches
    found = asked(kernel, kernel.client.inspect("currencies", 3))
    assert "i32" in found["data"]["text/plain"]
    # Long before the cell ends.
    assert time.monotonic() - began < 2.5
    kernel.wait(request)


def test_what_stands_at_the_cursor_is_explained(kernel):
    kernel.ok("/// Adds interest.\nfn interest(amount: f64) -> f64 { amount * 1.02 }\nlet balance = 1.5f64;")
    for code, position, expected in [("balance", 2, "f64"), ("interest(balance)", 3, "Adds interest"), ("String::new()", 9, "String")]:
        found = asked(kernel, kernel.client.inspect(code, position))
        assert found["found"], code
        assert expected in found["data"]["text/plain"], found["data"]
    assert not asked(kernel, kernel.client.inspect("no_such_name_at_all", 4))["found"]


def test_a_person_is_asked_and_the_answer_comes_back(kernel):
    request = kernel.client.execute('let city = input("Which city? ")?;\nlet secret = password("PIN: ")?;', allow_stdin=True)
    for prompt, hidden, answer in [("Which city? ", False, "Lima"), ("PIN: ", True, "4711")]:
        question = kernel.client.get_stdin_msg(timeout=20)["content"]
        assert (question["prompt"], question["password"]) == (prompt, hidden)
        kernel.client.input(answer)
    said = kernel.wait(request)
    assert said.reply["status"] == "ok" and "4711" not in said.everything
    assert kernel.ok('println!("{city} {}", secret.len());').stdout == "Lima 4\n"


def test_a_question_where_nobody_can_answer_is_an_error(kernel):
    said = kernel.run('let city = input("Which city? ")?;', allow_stdin=False)
    assert said.reply["status"] == "error" and "nobody can be asked" in said.error


def test_an_interrupt_ends_a_question_and_keeps_the_variables(kernel):
    kernel.ok("let before_the_question = 8;")
    request = kernel.client.execute('let city = input("Which city? ")?;', allow_stdin=True)
    kernel.client.get_stdin_msg(timeout=20)
    kernel.manager.interrupt_kernel()
    said = kernel.wait(request, within=10)
    assert said.reply["status"] == "error" and "interrupted" in said.error
    assert kernel.ok("before_the_question").plain == "8"


def test_user_expressions_are_evaluated_after_the_cell(kernel):
    said = kernel.run("let seven = 7;", user_expressions={"twice": "seven * 2", "wrong": "seven.nothing()"})
    values = said.reply["user_expressions"]
    assert values["twice"]["data"]["text/plain"] == "14"
    assert values["wrong"]["status"] == "error" and values["wrong"]["ename"] == "CompileError"
    assert said.bundles == [], "they are for the client, not for the page"


def test_cells_are_in_the_history_with_their_numbers(kernel):
    count = kernel.ok("let in_the_history = 1;").reply["execution_count"]
    found = asked(kernel, kernel.client.history(hist_access_type="search", pattern="*in_the_history*"))
    assert [entry[1:] for entry in found["history"]] == [[count, "let in_the_history = 1;"]]


def test_a_debugger_is_refused_and_nothing_stops(kernel):
    assert not asked(kernel, kernel.client.kernel_info())["debugger"]
    request = kernel.send("debug_request", {"type": "request", "command": "initialize", "seq": 1, "arguments": {}})
    assert asked(kernel, request)["status"] == "error"


def test_a_message_that_comes_twice_is_taken_once(kernel):
    kernel.ok("let mut counted = 0;")
    message = kernel.client.session.msg("execute_request", {"code": "counted += 1;", "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True})
    frames = kernel.client.session.serialize(message)
    for _ in range(3):
        kernel.client.shell_channel.socket.send_multipart(frames)
    kernel.wait(message["header"]["msg_id"])
    assert kernel.ok("counted").plain == "1"


def test_a_message_of_64_megabytes_is_dropped_and_nothing_stops(kernel):
    kernel.send("comm_msg", {"comm_id": "none", "data": {"text": "x" * (64 << 20)}})
    assert kernel.ok("2 + 2").plain == "4"


def test_comm_messages_for_comms_that_are_closed_are_dropped(kernel):
    kernel.send("comm_open", {"comm_id": "short", "target_name": "corriente.live", "data": {}})
    kernel.send("comm_close", {"comm_id": "short", "data": {}})
    for _ in range(100):
        kernel.send("comm_msg", {"comm_id": "short", "data": {"type": "credit", "until": 9}})
    assert kernel.ok("3 + 3").plain == "6"
