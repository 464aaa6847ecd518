//! SIGKILL under load: a `read_committed` reader still sees exactly one outcome of each request.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cluster::shared;
use crate::traffic::audit::assert_exact;
use crate::traffic::load::Load;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{End, Stage, assigned, ready, stop, wait_until};

const PARTITIONS: usize = 4;
const RATE: u32 = 400;

/// Does `work` while it compares the committed offsets with what can be read: no offset is
/// committed without its outcome. (One transaction makes both visible, though each partition at its
/// own moment.)
fn while_offsets_are_compared(stage: &Stage, reader: &Reader, work: impl FnOnce()) {
    let end = End::default();
    let ended = end.flag();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut comparisons = 0;
            while !ended.load(Ordering::Relaxed) {
                let committed = shared().committed(&stage.group, &stage.requests);
                wait_until("the outcomes before each committed offset can be read", || {
                    let seen = reader.by_partition();
                    committed
                        .iter()
                        .all(|(partition, next)| seen.get(partition).unwrap_or(&0) >= next)
                });
                comparisons += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            comparisons
        });
        let end = end; // dropped when the work panics, so that the thread ends
        work();
        drop(end);
        assert!(watch.join().expect("an outcome for each committed offset") > 3);
    });
}

#[test]
fn kills_under_load_lose_nothing_and_double_nothing() {
    let stage = Stage::new(shared(), "killed", PARTITIONS);
    let settings = stage.settings().set("kafka.instance_id", "only");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    while_offsets_are_compared(&stage, &reader, || {
        for crash in 0..5 {
            let program = settings.run();
            reader.wait_for(reader.count() + 150 + 31 * crash);
            program.kill9();
        }
        let program = settings.run();
        reader.wait_for(load.sent());
        stop(program);
    });
    let program = ready(&settings);
    assert_exact(shared(), &stage, load, &reader);
    stop(program);
}

#[test]
fn another_dynamic_member_replaces_a_killed_one_without_loss_or_duplicates() {
    let stage = Stage::new(shared(), "replaced", PARTITIONS);
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let (first, second) = (stage.run(), stage.run());
    load.wait_for(400);
    first.kill9();
    wait_until("the other has all partitions", || assigned(&second) == PARTITIONS);
    load.wait_for(200);
    assert_exact(shared(), &stage, load, &reader);
    stop(second);
}
