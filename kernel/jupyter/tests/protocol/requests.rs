//! Everything beside cells: questions, comms, interrupts, the end, and what is no message at all.

use crate::page::{Client, told};
use bytes::Bytes;
use jupyter::{Channel, Header, Message, Signer};
use serde_json::{Value, json};

/// Asks a fresh kernel; checks the reply's content, and that busy and idle enclose it.
async fn check(channel: Channel, asked: &str, content: Value, expect: Value) {
    let mut client = Client::start().await;
    let id = client.ask(channel, asked, content).await;
    let (came, reply) = client.reply(&id).await;
    assert_eq!((came, reply.header.msg_type), (channel, asked.replace("_request", "_reply")));
    for (name, value) in expect.as_object().unwrap() {
        assert_eq!(&reply.content[name], value, "{name}");
    }
    assert_eq!(client.outputs_of(&id).await, ["status busy", "status idle"]);
}

#[tokio::test]
async fn kernel_info_is_answered_on_both_channels() {
    let expect = json!({"status": "ok", "protocol_version": "5.4", "implementation": "echo", "supported_features": []});
    check(Channel::Shell, "kernel_info_request", json!({}), expect.clone()).await;
    check(Channel::Control, "kernel_info_request", json!({}), expect).await;
}

#[tokio::test]
async fn every_kind_of_completeness_is_told() {
    for (code, status) in [("print", "complete"), ("print \\", "incomplete"), ("fail", "invalid"), ("", "unknown")] {
        check(Channel::Shell, "is_complete_request", json!({"code": code}), json!({"status": status})).await;
    }
}

#[tokio::test]
async fn a_completion_is_answered_from_another_thread() {
    let expect = json!({"matches": ["fail", "flood"], "cursor_start": 2, "cursor_end": 3, "status": "ok"});
    check(Channel::Shell, "complete_request", json!({"code": "é f", "cursor_pos": 3}), expect).await;
}

#[tokio::test]
async fn an_inspection_may_find_something_or_nothing() {
    let found = json!({"found": true, "data": {"text/plain": "prints what follows"}});
    check(Channel::Shell, "inspect_request", json!({"code": "print", "cursor_pos": 1}), found).await;
    check(
        Channel::Shell,
        "inspect_request",
        json!({"code": "x", "cursor_pos": 1}),
        json!({"found": false, "status": "ok"}),
    )
    .await;
}

#[tokio::test]
async fn cells_are_remembered_and_silent_ones_are_not() {
    let mut client = Client::start().await;
    for (code, silent) in [("print a", false), ("print b", true), ("print c", false)] {
        let id = client.ask(Channel::Shell, "execute_request", json!({"code": code, "silent": silent})).await;
        client.reply(&id).await;
    }
    let id = client.ask(Channel::Shell, "history_request", json!({"hist_access_type": "tail", "n": 5})).await;
    assert_eq!(client.reply(&id).await.1.content["history"], json!([[0, 1, "print a"], [0, 2, "print c"]]));
}

/// Runs a cell that asks, answers as told, and gives what the cell then printed.
async fn asked(code: &str, allow_stdin: bool, answer: &str) -> String {
    let mut client = Client::start().await;
    let request = json!({"code": code, "allow_stdin": allow_stdin});
    let id = client.ask(Channel::Shell, "execute_request", request).await;
    if allow_stdin {
        let (channel, question) = client.reply(&id).await;
        let password = code.starts_with("secret");
        assert_eq!((channel, question.header.msg_type.as_str()), (Channel::Stdin, "input_request"));
        assert_eq!(question.content, json!({"prompt": "who?", "password": password}));
        match answer {
            "interrupt" => {
                let asked = client.ask(Channel::Control, "interrupt_request", json!({})).await;
                client.reply(&asked).await;
            }
            answer => drop(client.ask(Channel::Stdin, "input_reply", json!({"value": answer})).await),
        }
    }
    client.reply(&id).await;
    // What an interrupt puts out stands between.
    client.outputs_of(&id).await.into_iter().find(|output| output.starts_with("stream")).unwrap()
}

#[tokio::test]
async fn a_question_is_answered_on_its_own_channel() {
    assert_eq!(asked("ask who?", true, "me").await, "stream stdout Ok(Text(\"me\"))");
    assert_eq!(asked("secret who?", true, "").await, "stream stdout Ok(Text(\"\"))");
}

#[tokio::test]
async fn a_question_that_cannot_be_put_or_is_interrupted_does_not_hang() {
    assert_eq!(asked("ask who?", false, "").await, "stream stdout Ok(NotAllowed)");
    assert_eq!(asked("ask who?", true, "interrupt").await, "stream stdout Ok(Dropped)");
}

#[tokio::test]
async fn expressions_and_pages_come_with_the_reply() {
    let mut client = Client::start().await;
    let expressions = json!({"good": "value 7", "bad": "nothing"});
    let request = json!({"code": "page help", "user_expressions": expressions});
    let id = client.ask(Channel::Shell, "execute_request", request).await;
    let content = client.reply(&id).await.1.content;
    assert_eq!(content["user_expressions"]["good"]["data"], json!({"text/plain": "7"}));
    assert_eq!(content["user_expressions"]["bad"]["ename"], "Failed");
    assert_eq!(content["payload"], json!([{"source": "page", "data": {"text/plain": "help"}, "start": 0}]));
}

#[tokio::test]
async fn the_ports_are_told() {
    check(Channel::Shell, "connect_request", json!({}), json!({"shell_port": 1, "iopub_port": 4, "hb_port": 5})).await;
}

#[tokio::test]
async fn a_request_that_is_not_known_is_an_error() {
    check(Channel::Control, "debug_request", json!({}), json!({"status": "error", "ename": "UnknownRequest"})).await;
}

#[tokio::test]
async fn content_that_is_no_object_is_an_empty_question() {
    check(Channel::Shell, "is_complete_request", json!(["x"]), json!({"status": "unknown"})).await;
}

#[tokio::test]
async fn a_comm_is_served_while_a_cell_runs() {
    let mut client = Client::start().await;
    let cell = client.run("hold").await;
    client.until("execute_input 1 hold").await;
    let opened = client.comm("comm_open", json!({"comm_id": "c", "target_name": "echo", "data": {"n": 1}})).await;
    let echoed = client.until("comm_msg {\"comm_id\":\"c\",\"data\":{\"n\":1}}").await;
    assert_eq!(echoed.buffers, [Bytes::from_static(&[0, 255])]);
    // The page sees the status of the cell again, after that of the comm.
    let statuses = [client.output().await, client.output().await];
    let said: Vec<(String, String)> = statuses.iter().map(|m| (told(m), m.parent.clone().unwrap().msg_id)).collect();
    assert_eq!(said, [("status idle".to_owned(), opened), ("status busy".to_owned(), cell.clone())]);
    client.comm("comm_msg", json!({"comm_id": "c", "data": "go"})).await;
    assert_eq!(client.reply(&cell).await.1.content["status"], "ok");
    assert!(client.outputs_of(&cell).await.contains(&"stream stdout going".to_owned()));
}

#[tokio::test]
async fn an_interrupt_is_served_while_a_cell_runs() {
    let mut client = Client::start().await;
    let cell = client.run("hold").await;
    client.until("execute_input 1 hold").await;
    let interrupt = client.ask(Channel::Control, "interrupt_request", json!({})).await;
    assert_eq!(client.reply(&interrupt).await.0, Channel::Control);
    client.reply(&cell).await;
    assert!(client.outputs_of(&cell).await.contains(&"stream stdout interrupted".to_owned()));
}

#[tokio::test]
async fn open_comms_are_listed_until_they_close() {
    let mut client = Client::start().await;
    for (id, target) in [("a", "echo"), ("b", "nobody")] {
        client.comm("comm_open", json!({"comm_id": id, "target_name": target, "data": {}})).await;
    }
    // Nobody is at home there: the kernel closes it.
    client.until("comm_close {\"comm_id\":\"b\",\"data\":{}}").await;
    let cell = client.run("comm k").await;
    let opened = client
        .until("comm_open {\"comm_id\":\"k\",\"data\":{\"from\":\"kernel\"},\"metadata\":{},\"target_name\":\"page\"}")
        .await;
    assert_eq!(opened.buffers, [Bytes::from_static(&[7])]);
    client.reply(&cell).await;
    let asked = client.ask(Channel::Shell, "comm_info_request", json!({})).await;
    let all = json!({"a": {"target_name": "echo"}, "k": {"target_name": "page"}});
    assert_eq!(client.reply(&asked).await.1.content["comms"], all);
    client.comm("comm_close", json!({"comm_id": "a"})).await;
    let asked = client.ask(Channel::Shell, "comm_info_request", json!({"target_name": "echo"})).await;
    assert_eq!(client.reply(&asked).await.1.content["comms"], json!({}));
}

#[tokio::test]
async fn what_is_no_message_is_dropped_and_nothing_stops() {
    let mut client = Client::start().await;
    let forged = Message { header: Header::new("shutdown_request", "page"), content: json!({}), ..Message::default() };
    let mut frames = Signer::new("another key").encode(&forged);
    client.raw(Channel::Control, frames.clone()).await;
    frames[1] = Bytes::new();
    client.raw(Channel::Control, frames).await;
    for frames in [vec![], vec![Bytes::from_static(b"\xff\x00")], vec![Bytes::from_static(b"<IDS|MSG>")]] {
        client.raw(Channel::Shell, frames.clone()).await;
        client.raw(Channel::Iopub, frames).await;
    }
    client.comm("comm_msg", json!({"comm_id": "never opened"})).await;
    client.comm("comm_open", json!("no object")).await;
    client.ask(Channel::Stdin, "input_reply", json!({"value": "unasked"})).await;
    let id = client.run("print still here").await;
    assert_eq!(client.reply(&id).await.1.content["status"], "ok");
}

#[tokio::test]
async fn a_listener_is_welcomed() {
    let mut client = Client::start().await;
    client.raw(Channel::Iopub, vec![Bytes::from_static(b"\x01")]).await;
    let welcome = client.output().await;
    assert_eq!(told(&welcome), "iopub_welcome {\"subscription\":\"\"}");
    assert_eq!((welcome.parent, welcome.identities), (None, vec![Bytes::from_static(b"iopub_welcome")]));
    client.raw(Channel::Iopub, vec![Bytes::from_static(b"\x01status")]).await;
    assert_eq!(told(&client.output().await), "iopub_welcome {\"subscription\":\"status\"}");
}

#[tokio::test]
async fn shutdown_is_answered_then_the_kernel_ends() {
    for (channel, restart) in [(Channel::Control, true), (Channel::Shell, false)] {
        let mut client = Client::start().await;
        client.run("hold").await;
        let id = client.ask(channel, "shutdown_request", json!({"restart": restart})).await;
        let (came, reply) = client.reply(&id).await;
        assert_eq!((came, &reply.content["restart"]), (channel, &json!(restart)));
        let said = client.outputs_of(&id).await;
        let broadcast = format!("shutdown_reply {{\"restart\":{restart},\"status\":\"ok\"}}");
        assert_eq!(said, ["status busy", &broadcast, "status idle"]);
        client.kernel.await.unwrap().unwrap();
    }
}
