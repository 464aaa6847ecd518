//! The examples of `examples/clients` on a real Kafka: each asks, and reads its outcomes.

use std::process::Command;
use std::time::Duration;

use crate::cluster::{ProgramSettings, shared};

/// The topic of the answers to the client that waits for one, and what it prints.
const REPLIES: &str = "ask.replies";
const ANSWER: &str = concat!(
    r#"{"message":"success","errors":[],"data":{"3273010101900001":true},"summary":{"number":1,"number_processed":1,"error":0,"#,
    r#""valid":{"all_section":1,"section":{"length":1,"area":1,"dob":1,"gender":1,"computerized":1}}}}"#,
    "\n"
);

/// The block of their page that shows what they print.
fn shown() -> &'static str {
    let page = include_str!("../examples/clients/README.md");
    let block = page.split("```").nth(1).and_then(|it| it.split_once('\n'));
    block.expect("a block").1
}

#[test]
fn every_client_reads_the_outcomes_of_its_own_requests() {
    let cluster = shared(); // where no other test uses the topics' own names
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
        let mut command = Command::new("timeout"); // of which installing takes the most, once
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
        assert_eq!(printed, expected, "{client}: {words}");
    }
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0));
}
