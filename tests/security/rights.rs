//! The rights in `docs/security.md`: they suffice, and each one that is missing is named.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use super::{Secured, USERS, secured, table};
use crate::cluster::{Grant, NewRecord, ProgramSettings};
use crate::operators::done;
use crate::traffic::stage::{Stage, WAIT_TIMEOUT, ready, stop, wait_for_obstacle, wait_until};
use nik_stream::telemetry::obstacle::Obstacle;

/// The metric of workers that lacked a right.
const RESTARTS: &str = "nik_stream_worker_restarts_total{cause=\"denied\"}";

/// A right without its user: operation, kind, name, whether the name is a prefix.
type Right = (String, String, String, bool);

/// The rights that the page lists for a command, with the names of a stage.
fn listed(stage: &Stage, command: &str) -> Vec<Right> {
    let rows = table("| for | operation | on | named |").into_iter();
    let rows = rows.filter(|row| row[0] == command);
    let rights: Vec<Right> = rows
        .map(|row| {
            let (begins, name) = match row[3].as_str() {
                "topics.requests" => (false, stage.requests.clone()),
                "topics.results" => (false, stage.results.clone()),
                "topics.failures" => (false, stage.failures.clone()),
                "kafka.group_id" => (false, stage.group.clone()),
                "<kafka.group_id>-replay" => (false, format!("{}-replay", stage.group)),
                "<kafka.group_id>- (prefixed)" => (true, format!("{}-", stage.group)),
                other => panic!("the page names {other}"),
            };
            (row[1].clone(), row[2].clone(), name, begins)
        })
        .collect();
    assert!(!rights.is_empty(), "no rights for {command}");
    rights
}

/// A new user with these rights, by the number in its name and password.
fn user(secured: &Secured, rights: &[Right]) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < USERS, "more users than the broker knows");
    let grants: Vec<Grant> = rights
        .iter()
        .cloned()
        .map(|(operation, kind, name, prefixed)| Grant {
            user: format!("user-{number}"),
            operation,
            kind,
            name,
            prefixed,
        })
        .collect();
    if !grants.is_empty() {
        secured.cluster.grant(&grants);
    }
    number
}

fn settings_of(secured: &Secured, stage: &Stage, user: usize) -> ProgramSettings {
    let (name, password) = (format!("user-{user}"), format!("secret-{user}"));
    secured.by_password(&name, &password, stage.settings().set("kafka.workers", "1"))
}

/// A user with all of these rights; and for each right a user who lacks it, with the expected message.
fn users(secured: &Secured, rights: &[Right]) -> (usize, Vec<(usize, String)>) {
    let all = user(secured, rights);
    let lacking = rights.iter().enumerate().map(|(missing, right)| {
        let mut rest = rights.to_vec();
        rest.remove(missing);
        let (operation, kind, name, _) = right;
        let needs = format!(
            "not authorized: the user of kafka.security needs {operation} on {kind} {name}"
        );
        (user(secured, &rest), needs)
    });
    (all, lacking.collect())
}

/// Runs a command as each of `lacking`; asserts that it names the missing right.
fn assert_named(secured: &Secured, stage: &Stage, lacking: &[(usize, String)], arguments: &[&str]) {
    for (user, needs) in lacking {
        let settings = settings_of(secured, stage, *user);
        let said = settings.command(arguments).output().expect("runs");
        let words = String::from_utf8(said.stderr).expect("text");
        assert_eq!(words.trim_end(), format!("nik-stream: {needs}"), "{arguments:?}");
        let code = if ["audit", "compare"].contains(&arguments[0]) { 3 } else { 1 };
        assert_eq!(said.status.code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn the_service_works_with_the_rights_of_the_page_and_names_each_missing_one() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "rights", 1);
    let (all, lacking) = users(secured, &listed(&stage, "run"));
    let requests = [r#"{"nik":[],"process":"limited"}"#, "{"]
        .map(|text| NewRecord { value: Some(text.into()), ..NewRecord::default() });
    let program = ready(&settings_of(secured, &stage, all));
    secured.cluster.produce(&stage.requests, &requests);
    stage.wait_for_outcomes(&secured.cluster, 2);
    stop(program);

    thread::scope(|scope| {
        for (user, needs) in &lacking {
            let stage = &stage;
            scope.spawn(move || {
                let mut program = settings_of(secured, stage, *user).run();
                wait_until(needs, || program.is_held_up_by(needs));
                // Without the right to write to a topic, no worker has to restart.
                if !needs.contains("Write on topic") {
                    wait_until("it is refused again", || program.metrics()[RESTARTS] > 1.5);
                }
                let words = program.stderr();
                assert_eq!(words.matches(&format!("\"message\":\"{needs}")).count(), 1, "{words}");
                // It keeps running and waits for the right.
                assert_eq!(program.wait(std::time::Duration::ZERO), None, "{words}");
            });
        }
    });
}

#[test]
fn the_service_continues_when_a_missing_right_is_granted() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "later", 1);
    let rights = listed(&stage, "run");
    let results = rights.iter().position(|it| it.2 == stage.results);
    let mut fewer = rights.clone();
    // The topic is visible, but may not be written.
    fewer[results.expect("listed")].0 = "Describe".to_owned();
    let late = user(secured, &fewer);
    let mut program = settings_of(secured, &stage, late).run();
    secured.cluster.produce(
        &stage.requests,
        &[NewRecord {
            value: Some(br#"{"nik":[],"process":"limited"}"#.to_vec()),
            ..NewRecord::default()
        }],
    );
    let needs = format!("needs Write on topic {}", stage.results);
    wait_for_obstacle(&program, Obstacle::Denied, &needs);
    let (operation, kind, name, prefixed) = rights[results.expect("listed")].clone();
    secured.cluster.grant(&[Grant {
        user: format!("user-{late}"),
        operation,
        kind,
        name,
        prefixed,
    }]);
    stage.wait_for_outcomes(&secured.cluster, 1);
    program.wait_ready(WAIT_TIMEOUT);
    stop(program);
}

#[test]
fn without_the_right_to_write_to_a_reply_topic_the_stream_continues() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "replies", 1);
    let reply = format!("{}.reply", stage.group);
    secured.cluster.create_topic(&reply, 1, &[]);
    let mut rights = listed(&stage, "run");
    // The topic is visible, but may not be written.
    rights.push(("Describe".to_owned(), "topic".to_owned(), reply.clone(), false));
    let user = user(secured, &rights);
    let program = ready(&settings_of(secured, &stage, user).set("topics.reply_allowed", &reply));
    secured.cluster.produce(
        &stage.requests,
        &[NewRecord {
            value: Some(br#"{"nik":[],"process":"limited"}"#.to_vec()),
            headers: vec![(b"kafka_replyTopic".to_vec(), Some(reply.clone().into_bytes()))],
            ..NewRecord::default()
        }],
    );
    let (results, _) = stage.wait_for_outcomes(&secured.cluster, 1);
    assert_eq!(results.len(), 1);
    let needs = format!("needs Write on topic {reply}");
    assert!(program.stderr().contains(&needs), "{}", program.stderr());
    stop(program);
}

#[test]
fn the_topics_commands_work_with_the_rights_of_the_page_and_name_each_missing_one() {
    let secured = secured();
    let stage = Stage::named(&secured.cluster, "made");
    let verify = listed(&stage, "topics verify");
    let create = listed(&stage, "topics create");
    let rights = [&create[..], &verify].concat();
    let (all, lacking) = users(secured, &rights);
    let arguments = ["topics", "create", "--partitions", "1"];
    // In the order of the topics, since each user creates the topics before the denied one.
    assert_named(secured, &stage, &lacking[..create.len()], &arguments);
    done(&settings_of(secured, &stage, all), &arguments);

    let (all, lacking) = users(secured, &verify);
    done(&settings_of(secured, &stage, all), &["topics", "verify"]);
    assert_named(secured, &stage, &lacking, &["topics", "verify"]);
}

#[test]
fn the_dlq_commands_work_with_the_rights_of_the_page_and_name_each_missing_one() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "letters", 1);
    let broken = NewRecord { value: Some(b"{".to_vec()), ..NewRecord::default() };
    secured.cluster.produce(&stage.requests, &[broken]);
    let program = ready(&stage.settings());
    let (_, failures) = stage.wait_for_outcomes(&secured.cluster, 1);
    stop(program);
    // Not at 0 if the first epoch was aborted.
    let place = format!("0:{}", failures[0].offset);
    for (command, arguments, tells) in [
        ("dlq list", &["dlq", "list", "--each"][..], "malformed_json"),
        ("dlq show", &["dlq", "show", place.as_str()], "malformed_json"),
        (
            "dlq dismiss",
            &["dlq", "dismiss", "--yes", "--why", "x", "--reason", "internal"],
            "filtered out             1",
        ),
        ("dlq replay", &["dlq", "replay", "--yes"], "sent                     1"),
    ] {
        let (all, lacking) = users(secured, &listed(&stage, command));
        assert_named(secured, &stage, &lacking, arguments);
        let out = done(&settings_of(secured, &stage, all), arguments);
        assert!(out.contains(tells), "{out}");
    }
    assert_eq!(secured.cluster.read_committed(&stage.requests).len(), 2);
}

#[test]
fn audit_and_compare_work_with_the_rights_of_the_page_and_name_each_missing_one() {
    let secured = secured();
    let stage = Stage::new(&secured.cluster, "audited", 1);
    let broken = NewRecord { value: Some(b"{".to_vec()), ..NewRecord::default() };
    secured.cluster.produce(&stage.requests, &[broken]);
    let program = ready(&stage.settings());
    stage.wait_for_outcomes(&secured.cluster, 1);
    stop(program);
    let dir = TempDir::new().expect("a directory");
    let candidate = dir.path().join("candidate.toml");
    std::fs::write(&candidate, "rules.min_age = 17").expect("written");
    let candidate = candidate.display().to_string();
    for (arguments, tells) in [
        (
            &["audit", "--since", "1d"][..],
            "failures                   1\nlost                       0",
        ),
        (&["compare", "--since", "1d", "--candidate", &candidate], "requests "),
    ] {
        let (all, lacking) = users(secured, &listed(&stage, arguments[0]));
        assert_named(secured, &stage, &lacking, arguments);
        let out = done(&settings_of(secured, &stage, all), arguments);
        assert!(out.contains(tells), "{out}");
    }
}
