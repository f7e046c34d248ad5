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
