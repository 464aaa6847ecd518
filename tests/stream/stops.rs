//! SIGTERM or SIGINT under load: the open epoch is committed, the member leaves the group, and the
//! process exits in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cluster::proxy::{JOIN_GROUP, LEAVE_GROUP, Proxy, Verdict};
use crate::cluster::{KafkaCluster, ProgramSettings, shared};
use crate::traffic::audit::assert_exact;
use crate::traffic::load::Load;
use crate::traffic::reader::Reader;
use crate::traffic::stage::{Stage, assigned, ready, stop, wait_until};

const PARTITIONS: usize = 4;
const RATE: u32 = 400;

#[test]
fn a_stop_under_load_exits_with_0_and_leaves_the_group_at_once() {
    let stage = Stage::new(shared(), "stopped", PARTITIONS);
    // The session is so long that only a member that leaves is replaced in time.
    let settings = stage.settings().set("kafka.session_timeout_ms", "600000");
    let load = Load::start(shared(), &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(shared(), &stage);
    let mut programs = [ready(&settings), ready(&settings)];
    for _ in 0..3 {
        load.wait_for(300);
        let [mut first, second] = programs;
        // The signal of Ctrl-C; other tests use SIGTERM.
        first.signal("INT");
        let code = first.wait(Duration::from_secs(15));
        assert_eq!(code, Some(0), "{}", first.stderr());
        reader.wait_for(load.sent());
        wait_until("the other has all partitions", || assigned(&second) == PARTITIONS);
        programs = [second, ready(&settings)];
    }
    assert_exact(shared(), &stage, load, &reader);
    programs.into_iter().for_each(stop);
}

#[test]
fn a_member_without_partitions_that_stops_while_it_joins_again_leaves_the_group() {
    let (proxy, cluster) = Proxy::with_cluster();
    let stage = Stage::behind(&proxy, cluster, "stopped-joining", 1);
    // The session is so long that only a member that leaves is replaced in time.
    let settings =
        stage.settings().set("kafka.session_timeout_ms", "600000").set("kafka.workers", "1");
    let (owner, mut standby) = (ready(&settings), ready(&settings));
    assert_eq!(assigned(&owner), 1);
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let counted = Arc::clone(&counts);
    proxy.judge(move |request| {
        for (count, key) in counted.iter().zip([JOIN_GROUP, LEAVE_GROUP]) {
            count.fetch_add(usize::from(request.api_key == key), Ordering::SeqCst);
        }
        Verdict::Forward
    });
    let (joins, leaves) =
        (|| counts[0].load(Ordering::SeqCst), || counts[1].load(Ordering::SeqCst));
    // While the owner is frozen, no request to join is answered.
    owner.signal("STOP");
    let third = settings.run();
    // The third member asks for its id, then it joins; the standby joins again.
    wait_until("the standby joins again", || joins() >= 3);
    standby.signal("INT");
    wait_until("the standby leaves", || leaves() >= 1);
    owner.signal("CONT");
    assert_eq!(standby.wait(Duration::from_secs(15)), Some(0), "{}", standby.stderr());
    stop(owner);
    wait_until("the third member has the partition", || assigned(&third) == 1);
    stop(third);
}

#[test]
fn a_hung_broker_does_not_prevent_a_stop_and_a_second_signal_ends_it_at_once() {
    // A broker that loses its leadership for a moment may skip markers. The impatient instance has
    // no time to end its transactions again, and nothing in the topics says how they ended.
    let cluster = KafkaCluster::start_with(1, "broker.session.timeout.ms=60000\n", &[]);
    let stage = Stage::new(&cluster, "hung", PARTITIONS);
    let load = Load::start(&cluster, &stage.requests, PARTITIONS, RATE);
    let reader = Reader::start(&cluster, &stage);
    let (mut patient, mut impatient) = (stage.run(), stage.run());
    wait_until("both have partitions", || assigned(&patient) > 0 && assigned(&impatient) > 0);
    load.wait_for(RATE as usize);
    cluster.pause(1);
    patient.signal("TERM");
    impatient.signal("TERM");
    for program in [&patient, &impatient] {
        wait_until("it reports that it is stopping", || program.is_held_up_by("stopping\n"));
        assert_eq!(program.get("/livez").expect("an answer").0, 200);
    }
    impatient.signal("TERM");
    assert_eq!(impatient.wait(Duration::from_secs(3)), Some(130));
    assert_eq!(patient.wait(Duration::from_secs(15)), Some(0));
    cluster.resume(1);
    let program = stage.run();
    assert_exact(&cluster, &stage, load, &reader);
    stop(program);
}

#[test]
fn a_stop_is_noticed_while_no_broker_answers() {
    let mut program = ProgramSettings::at("127.0.0.1:1").run();
    wait_until("it reports the failed connection", || program.is_held_up_by("no broker answers"));
    program.signal("TERM");
    assert_eq!(program.wait(Duration::from_secs(7)), Some(0));
}
