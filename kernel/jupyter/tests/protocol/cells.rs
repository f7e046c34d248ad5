//! Cells: what is put out for them, in which order, and what an error does to those behind it.

use crate::page::Client;
use jupyter::Channel;
use serde_json::json;

/// Runs one cell on a fresh kernel; checks all of its outputs and its reply's status.
async fn check(code: &str, status: &str, expect: &[&str]) {
    let mut client = Client::start().await;
    let id = client.run(code).await;
    let (channel, reply) = client.reply(&id).await;
    assert_eq!((channel, reply.content["status"].as_str().unwrap()), (Channel::Shell, status), "{reply:?}");
    let input = format!("execute_input 1 {code}");
    let mut whole = vec!["status busy", &input];
    whole.extend(expect);
    whole.push("status idle");
    assert_eq!(client.outputs_of(&id).await, whole);
}

#[tokio::test]
async fn busy_is_first_and_idle_is_last() {
    check("print a", "ok", &["stream stdout a"]).await;
}

#[tokio::test]
async fn a_cell_without_outputs_is_busy_and_idle_too() {
    check("nothing", "ok", &[]).await;
}

#[tokio::test]
async fn outputs_keep_their_order() {
    let code = "print a\nshow@x b\nprint c\nupdate@x d\nclear\nvalue e";
    let expect = [
        "stream stdout a",
        "display_data x b",
        "stream stdout c",
        "update_display_data x d",
        "clear_output {\"wait\":true}",
        "execute_result 1 e",
    ];
    check(code, "ok", &expect).await;
}

#[tokio::test]
async fn an_error_is_shown_after_what_was_printed() {
    check("print a\nfail b\nprint c", "error", &["stream stdout a", "error Failed b"]).await;
}

#[tokio::test]
async fn a_cell_may_be_aborted() {
    check("abort", "aborted", &[]).await;
}

#[tokio::test]
async fn a_cell_whose_thread_is_gone_has_failed() {
    check("print a\npanic", "error", &["stream stdout a", "error CellLost the cell was given up before it ended"])
        .await;
}

#[tokio::test]
async fn an_error_reply_says_what_the_output_says() {
    let mut client = Client::start().await;
    let id = client.run("fail b").await;
    let content = client.reply(&id).await.1.content;
    assert_eq!(
        (&content["ename"], &content["evalue"], &content["traceback"]),
        (&json!("Failed"), &json!("b"), &json!(["b"]))
    );
}

#[tokio::test]
async fn a_loop_that_prints_is_few_messages() {
    let mut client = Client::start().await;
    let id = client.run("flood 20000").await;
    let outputs = client.outputs_of(&id).await;
    let lines: usize =
        outputs.iter().filter(|output| output.starts_with("stream ")).map(|output| output.lines().count()).sum();
    assert_eq!(lines, 20_000);
    assert!(outputs.len() < 200, "{} messages", outputs.len());
}

#[tokio::test]
async fn an_output_after_the_end_still_belongs_to_its_cell() {
    let mut client = Client::start().await;
    let id = client.run("late a").await;
    assert_eq!(client.outputs_of(&id).await.last().unwrap(), "status idle");
    client.ask(Channel::Control, "interrupt_request", json!({})).await;
    let late = client.until("stream stdout a").await;
    assert_eq!(late.parent.unwrap().msg_id, id);
}

#[tokio::test]
async fn cells_run_in_turn_and_are_counted_from_one() {
    let mut client = Client::start().await;
    let (first, second) = (client.run("print a").await, client.run("print b").await);
    for (id, count) in [(&first, 1), (&second, 2)] {
        assert_eq!(client.reply(id).await.1.content["execution_count"], count);
    }
    client.outputs_of(&first).await;
    assert_eq!(
        client.outputs_of(&second).await,
        ["status busy", "execute_input 2 print b", "stream stdout b", "status idle"]
    );
}

#[tokio::test]
async fn a_silent_cell_shows_nothing_and_is_not_counted() {
    let mut client = Client::start().await;
    let content = json!({"code": "print a\nvalue b\nfail c", "silent": true});
    let id = client.ask(Channel::Shell, "execute_request", content).await;
    assert_eq!(client.reply(&id).await.1.content["execution_count"], 0);
    assert_eq!(client.outputs_of(&id).await, ["status busy", "status idle"]);
}

#[tokio::test]
async fn a_cell_without_history_is_not_counted() {
    let mut client = Client::start().await;
    let id = client.ask(Channel::Shell, "execute_request", json!({"code": "print a", "store_history": false})).await;
    assert_eq!(client.reply(&id).await.1.content["execution_count"], 0);
    assert!(client.outputs_of(&id).await.contains(&"stream stdout a".to_owned()));
}

#[tokio::test]
async fn an_error_aborts_the_cells_that_wait() {
    let mut client = Client::start().await;
    let first = client.run("hold\nfail a").await;
    let waiting = [client.run("print b").await, client.run("print c").await];
    client.until("status busy").await;
    let interrupt = client.ask(Channel::Control, "interrupt_request", json!({})).await;
    client.reply(&interrupt).await;
    assert_eq!(client.reply(&first).await.1.content["status"], "error");
    for id in &waiting {
        assert_eq!(client.reply(id).await.1.content["status"], "aborted");
        assert_eq!(client.outputs_of(id).await, ["status busy", "status idle"]);
    }
    let after = client.run("print d").await;
    assert_eq!(client.reply(&after).await.1.content["execution_count"], 2);
}

#[tokio::test]
async fn an_error_aborts_cells_that_are_still_on_their_way_in() {
    let mut client = Client::start().await;
    let first = client.run("fail a").await;
    let waiting: Vec<String> = [client.run("print b").await, client.run("print c").await].into();
    client.reply(&first).await;
    for id in &waiting {
        assert_eq!(client.reply(id).await.1.content["status"], "aborted");
    }
}

#[tokio::test]
async fn without_stop_on_error_the_cells_that_wait_run() {
    let mut client = Client::start().await;
    let first = client.ask(Channel::Shell, "execute_request", json!({"code": "fail a", "stop_on_error": false})).await;
    let second = client.run("print b").await;
    assert_eq!(client.reply(&first).await.1.content["status"], "error");
    assert_eq!(client.reply(&second).await.1.content["status"], "ok");
}
