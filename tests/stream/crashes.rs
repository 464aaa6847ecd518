//! Kill -9 in mid load: for a `read_committed` reader each request has one outcome all the same.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::cluster::shared;
use crate::traffic::audit::assert_exact;
use crate::traffic::load::Load;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{End, Stage, assigned, ready, stop, wait_until};

const PARTITIONS: usize = 4;
const RATE: u32 = 400;

/// Runs `work` while the group's committed positions are compared with what can be read: an offset is never committed without
/// its outcome. (Both become visible in one transaction, each partition in its own moment.)
fn while_positions_are_watched(stage: &Stage, reader: &Reader, work: impl FnOnce()) {
    let end = End::default();
    let ended = end.flag();
    std::thread::scope(|scope| {
        let watch = scope.spawn(move || {
            let mut looks = 0;
            while !ended.load(Ordering::Relaxed) {
                let committed = shared().committed(&stage.group, &stage.requests);
                wait_until("the outcomes before each committed position show", || {
                    let seen = reader.by_partition();
                    committed
                        .iter()
                        .all(|(partition, next)| seen.get(partition).unwrap_or(&0) >= next)
                });
                looks += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            looks
        });
        let end = end; // dropped here when the work fails, so that the watch ends
        work();
        drop(end);
        assert!(watch.join().expect("positions within what can be read") > 3);
    });
}

#[test]
fn kills_in_mid_load_lose_nothing_and_double_nothing() {
    let stage = Stage::new(shared(), "killed", PARTITIONS);
    let settings = stage.settings().set("kafka.instance_id", "only");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    while_positions_are_watched(&stage, &reader, || {
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
fn a_killed_dynamic_member_is_replaced_by_another_that_loses_and_doubles_nothing() {
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
