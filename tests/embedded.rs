//! The broker built into librdkafka: `demo` as a newcomer starts it, and `run` with the guarantee `at_least_once`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use crate::cluster::{Program, ProgramSettings};
use crate::traffic::load::{Requests, key, number};
use crate::traffic::stage::{End, WAIT_TIMEOUT, ready, wait_until};

/// `nik-stream demo`, killed when dropped.
struct Demo {
    process: Child,
    stdout: BufReader<ChildStdout>,
    printed: String,
}

impl Demo {
    fn start(arguments: &[&str]) -> Demo {
        let mut process = Command::new(env!("CARGO_BIN_EXE_nik-stream"))
            .args(["demo", "--port", "0", "--rate", "300"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        let printed = String::new();
        Demo { process, stdout, printed }
    }

    /// Waits for a line that counts results.
    fn wait_for_results(&mut self) {
        let mut line = String::new();
        while !line.contains("  results ") || line.contains("  results 0 ") {
            line.clear();
            let length = self.stdout.read_line(&mut line).expect("text");
            assert!(length > 0, "it ended: {}", self.printed);
            self.printed += &line;
        }
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.process.id());
        Command::new("sh").args(["-c", &kill]).status().expect("sh runs");
    }

    /// Waits until it exits; returns standard output and standard error.
    fn output(mut self) -> (String, String) {
        let deadline = Instant::now() + 2 * WAIT_TIMEOUT;
        while self.process.try_wait().expect("a child").is_none() {
            assert!(Instant::now() < deadline, "the demo does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut printed = std::mem::take(&mut self.printed);
        self.stdout.read_to_string(&mut printed).expect("text");
        let words = self.process.stderr.take().expect("piped");
        let words = std::io::read_to_string(words).expect("text");
        let code = self.process.wait().expect("ended").code();
        assert_eq!(code, Some(0), "{printed}{words}");
        (printed, words)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
    }
}

/// The number after this beginning of a line.
fn figure(printed: &str, line: &str) -> u64 {
    let line = printed.lines().find_map(|found| found.trim().strip_prefix(line));
    let line = line.unwrap_or_else(|| panic!("no such line:\n{printed}"));
    let digits = line.trim_start_matches(':').split_whitespace().next();
    digits.and_then(|digits| digits.parse().ok()).expect("a number")
}

#[test]
fn the_demo_ends_by_itself_with_nothing_lost_and_nothing_doubled() {
    let (printed, words) = Demo::start(&["--duration", "5"]).output();
    assert!(figure(&printed, "requests sent by the demo") > 100, "{printed}");
    assert_eq!(figure(&printed, "difference"), 0, "{printed}");
    // It prints counts every second, and how to see the page and send requests.
    for second in 1..=5 {
        let start = format!("{second:4} s  requests ");
        let lines = printed.lines().filter(|line| line.starts_with(&start));
        assert_eq!(lines.count(), 1, "{printed}");
    }
    let broker = words.split("broker on ").nth(1).expect("an address");
    let broker = broker.split(',').next().expect("an address");
    for line in [
        "http://127.0.0.1:",
        &format!("kcat -b {broker} -t nik.requests"),
        &format!("\"bootstrap.servers\": \"{broker}\""),
    ] {
        assert!(words.contains(line), "{line}: {words}");
    }
    assert!(!printed.contains('\u{1b}') && !words.contains('\u{1b}'));
}

#[test]
fn an_interrupted_demo_still_reconciles() {
    let mut demo = Demo::start(&[]);
    demo.wait_for_results();
    demo.terminate();
    let (printed, _) = demo.output();
    assert!(figure(&printed, "requests sent by the demo") > 0, "{printed}");
    assert_eq!(figure(&printed, "difference"), 0, "{printed}");
}

#[test]
fn the_demo_names_the_option_for_another_port_if_its_own_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_nik-stream"));
    // With a duration, so that a demo that does not notice ends nevertheless.
    let output = demo.args(["demo", "--port", &port, "--duration", "1"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).expect("text");
    let expected = format!("port {port} is taken: choose another with --port");
    assert!(words.contains(&expected), "{words}");
}

const TOPICS: [&str; 3] = ["requests", "results", "failures"];
const PARTITIONS: i32 = 3;

/// The number of outcomes of each request so far.
fn answers(bootstrap: &str) -> BTreeMap<usize, usize> {
    counts(bootstrap, &TOPICS[1..])
}

/// The number of records with each key in these topics.
fn counts(bootstrap: &str, topics: &[&str]) -> BTreeMap<usize, usize> {
    let reader: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "reader") // required by librdkafka, never joined
        .set("enable.auto.commit", "false") // `poll` returns nothing when a commit has ended
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "5") // no waiting for new records at the end
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    for topic in topics {
        for partition in 0..PARTITIONS {
            list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset");
        }
    }
    reader.assign(&list).expect("assigned");
    let (mut counts, mut open) = (BTreeMap::new(), list.count());
    while open > 0 {
        match reader.poll(WAIT_TIMEOUT).expect("records or an end") {
            Ok(message) => {
                let number = number(message.key()).expect("a number");
                *counts.entry(number).or_default() += 1;
            }
            Err(rdkafka::error::KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    counts
}

/// Stops the program; returns its log.
fn stopped(mut program: Program) -> String {
    assert_eq!(program.stop(Duration::from_secs(15)), Some(0), "{}", program.stderr());
    program.stderr()
}

#[test]
fn at_least_once_a_clean_stop_under_load_loses_and_doubles_nothing() {
    let mock = MockCluster::new(1).expect("an embedded broker");
    let bootstrap = mock.bootstrap_servers();
    let mut settings = ProgramSettings::at(&bootstrap)
        .set("delivery.guarantee", "at_least_once")
        .set("delivery.max_failure_ratio", "1")
        // In the embedded broker's classic protocol a member that is slow to fetch its assignment
        // starts another rebalance, during which commits are refused.
        .set("kafka.group_protocol", "consumer")
        .set("kafka.workers", "2");
    for (topic, kind) in TOPICS.into_iter().zip(["requests", "results", "failures"]) {
        mock.create_topic(topic, PARTITIONS, 1).expect("a topic");
        settings = settings.set(&format!("topics.{kind}"), topic);
    }
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &bootstrap)
        .set("linger.ms", "2")
        .create()
        .expect("a producer");
    let mut logs = Vec::new();
    let end = End::default();
    let ended = end.flag();
    let sent = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut sent = 0;
            for request in Requests::new(0, 3) {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                let key = key(sent);
                let mut record = BaseRecord::to("requests").key(&key);
                record.partition = request.partition;
                record.payload = request.value.as_deref();
                producer.send(record).expect("room in the queue");
                sent += 1;
                std::thread::sleep(Duration::from_millis(3));
            }
            producer.flush(WAIT_TIMEOUT).expect("delivered");
            sent
        });
        let end = end; // dropped when this block panics, so that the load ends
        for life in 1..=3 {
            let program = ready(&settings);
            wait_until("more requests are answered", || answers(&bootstrap).len() > life * 300);
            logs.push(stopped(program));
        }
        drop(end);
        load.join().expect("no panic")
    });
    let program = ready(&settings);
    wait_until("all requests are answered", || answers(&bootstrap).len() == sent);
    logs.push(stopped(program));
    // The broker does not deduplicate what the producer of this test may send again.
    let (requests, answers) = (counts(&bootstrap, &TOPICS[..1]), answers(&bootstrap));
    let differing: Vec<_> =
        answers.iter().filter(|(key, count)| requests.get(key) != Some(count)).collect();
    assert!(differing.is_empty(), "outcomes by request: {differing:?}\n{}", logs.join("\n--\n"));
}
