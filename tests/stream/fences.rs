//! Those who work on although another took their place, the frozen and the doubled, are fenced: nothing of theirs counts.

use std::time::Duration;

use super::audit::assert_exact;
use super::load::Load;
use super::reader::Reader;
use super::stage::{PATIENCE, Stage, assigned, ready, stop, wait_until};
use crate::cluster::shared;

const PARTITIONS: usize = 4;
const RATE: u32 = 400;

#[test]
fn a_zombie_is_fenced_and_joins_again() {
    let stage = Stage::new(shared(), "zombie", PARTITIONS);
    // Epochs so long that the pause falls into an open one.
    let settings = stage
        .settings()
        .set("delivery.commit_interval_ms", "1500")
        .set("delivery.commit_min_interval_ms", "1500");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let (zombie, other) = (ready(&settings), ready(&settings));
    // Back before the broker has ended its transaction, so that the group's fence alone refuses its offsets; then after it.
    for absence in [Duration::ZERO, Duration::from_secs(6)] {
        wait_until("both have partitions", || {
            assigned(&zombie) > 0 && assigned(&other) > 0
        });
        load.wait_for(RATE as usize);
        zombie.signal("STOP");
        wait_until("the other has all partitions", || {
            assigned(&other) == PARTITIONS
        });
        std::thread::sleep(absence);
        zombie.signal("CONT");
    }
    wait_until("the zombie has partitions again", || assigned(&zombie) > 0);
    load.wait_for(200);
    assert_exact(shared(), &stage, load, &reader);
    stop(zombie);
    stop(other);
}

#[test]
fn of_two_instances_with_one_name_one_ends_with_75_and_the_other_goes_on() {
    let stage = Stage::new(shared(), "rivals", PARTITIONS);
    let settings = stage.settings().set("kafka.instance_id", "same");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let mut rivals = [ready(&settings), settings.run()];
    let mut ended = [None; 2];
    wait_until("one of them ends", || {
        ended = [0, 1].map(|rival: usize| rivals[rival].wait(Duration::ZERO));
        ended != [None; 2]
    });
    load.wait_for(RATE as usize);
    let [first, second] = rivals;
    let mut survivor = match ended {
        [Some(75), None] => second,
        [None, Some(75)] => first,
        other => panic!("ended: {other:?}"),
    };
    survivor.wait_ready(PATIENCE);
    assert_exact(shared(), &stage, load, &reader);
    stop(survivor);
}
