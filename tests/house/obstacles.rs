//! Each obstacle of the closed list is provoked by a test.

use std::fs;
use std::path::Path;

use nik_stream::telemetry::obstacle::Obstacle;

use super::source::sources;

/// The obstacles whose tests do not use `wait_for_obstacle`, each with its file and its test.
const PROVOKED: [(Obstacle, &str, &str); 5] = [
    (
        Obstacle::Stopping,
        "tests/stream/stops.rs",
        "a_hung_broker_does_not_prevent_a_stop_and_a_second_signal_ends_it_at_once",
    ),
    (
        Obstacle::BrokersUnknown,
        "tests/stream/health.rs",
        "until_a_broker_has_answered_readiness_says_so",
    ),
    (
        Obstacle::BreakerOpen,
        "tests/stream/breaker.rs",
        "a_flood_is_stopped_after_a_window_until_an_operator_resumes_it",
    ),
    (
        Obstacle::NoAssignment,
        "tests/stream/health.rs",
        "a_worker_that_cannot_join_the_group_is_named",
    ),
    (
        Obstacle::PositionUnknown,
        "src/kafka/stream/consumer/starts.rs",
        "a_partition_whose_position_stays_unknown_is_reported_until_it_is_known",
    ),
];

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

#[test]
fn each_obstacle_is_provoked_by_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tests = sources("tests");
    // Without spaces, as a call may take several lines.
    let tests: String = tests.iter().flat_map(|it| it.text.split_whitespace()).collect();
    for obstacle in Obstacle::ALL {
        let is_awaited = ["&program", "program"].iter().any(|program| {
            tests.contains(&format!("wait_for_obstacle({program},Obstacle::{obstacle:?},"))
        });
        let named = PROVOKED.iter().find(|it| it.0 == obstacle);
        assert!(is_awaited || named.is_some(), "no test provokes {obstacle:?}");
        if let Some((_, file, test)) = named {
            assert!(!is_awaited, "{obstacle:?} is provoked elsewhere");
            assert!(read(&root.join(file)).contains(&format!("fn {test}() {{")), "{file}: {test}");
        }
    }
}
