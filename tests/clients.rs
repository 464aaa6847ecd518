//! The clients in `examples/clients` on a real Kafka: each sends requests and reads their outcomes.

use std::process::Command;
use std::time::Duration;

use crate::cluster::{ProgramSettings, shared};

/// The reply topic of the client that waits for its answer, and what it prints.
const REPLIES: &str = "ask.replies";
const ANSWER: &str = concat!(
    r#"{"message":"success","errors":[],"data":{"3273010101900001":true},"summary":{"number":1,"number_processed":1,"error":0,"#,
    r#""valid":{"all_section":1,"section":{"length":1,"area":1,"dob":1,"gender":1,"computerized":1}}}}"#,
    "\n"
);

/// The block of the page that shows what the other clients print.
fn shown() -> &'static str {
    let page = include_str!("../examples/clients/README.md");
    let block = page.split("```").nth(1).and_then(|it| it.split_once('\n'));
    block.expect("a block").1
}

/// The printed lines, request by request: each begins with the number of its request.
pub fn by_request(printed: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_by_key(|line| line.split(' ').next());
    lines
}

#[test]
fn every_client_reads_the_outcomes_of_its_requests() {
    let cluster = shared(); // no other test on it uses the default topic names
    let settings = ProgramSettings::new(cluster).set("topics.reply_allowed", REPLIES);
    cluster.create_topic(REPLIES, 2, &[]);
    let made = settings.command(&["topics", "create"]).output();
    let made = made.expect("it runs");
    assert!(made.status.success(), "{made:?}");
    let mut program = settings.run();
    program.wait_ready(Duration::from_mins(1));

    let clients = ["python", "java", "java-reply", "node", "go", "kcat"];
    let running = clients.map(|client| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/script/client");
        let mut command = Command::new("timeout"); // the first run spends most of it on installing
        command.args(["600", script, client]);
        command.env("BOOTSTRAP_SERVERS", cluster.bootstrap());
        command.env("REPLIES", REPLIES);
        (client, std::thread::spawn(move || command.output()))
    });
    for (client, thread) in running {
        let output = thread.join().expect("no panic").expect("timeout runs");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client}: {words}");
        let printed = String::from_utf8_lossy(&output.stdout);
        let expected = if client == "java-reply" { ANSWER } else { shown() };
        assert_eq!(by_request(&printed), by_request(expected), "{client}: {words}");
    }
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
}
