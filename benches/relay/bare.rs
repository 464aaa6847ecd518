//! The bare relay consumes, produces and commits the same bytes through librdkafka's batch calls,
//! and does nothing else. The program is compared with it: it is the least that these bytes cost
//! with this client library.
//!
//! The safety argument, once for all calls here:
//! - Every handle is made by [`Client::new`] or from one made there, and lives until the process
//!   ends: nothing is freed early, and nothing is used after it is freed.
//! - A message is read between the call that returned it and its `rd_kafka_message_destroy`, by
//!   this thread only.
//! - Texts are `CString`s that outlive the call they are handed to; what is produced is copied by
//!   the call (`MSG_F_COPY`).
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL as QUEUE_FULL;
use sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR as NO_ERROR;

const BATCH: usize = 1_000;
const CALL_MS: i32 = 30_000;
/// The program's default cadence.
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);
const COMMIT_RECORDS: usize = 100_000;

/// The arguments of a relay.
pub struct Job {
    pub bootstrap: String,
    pub group: String,
    pub from: String,
    pub to: String,
    pub partitions: i32,
    /// Outcomes and offsets are in one transaction.
    pub transactions: bool,
}

/// A librdkafka handle.
struct Client(*mut sys::rd_kafka_t);

fn text(text: &str) -> CString {
    CString::new(text).expect("no NUL in it")
}

impl Client {
    fn new(kind: sys::rd_kafka_type_t, properties: &[(&str, &str)]) -> Self {
        let mut why = [0; 512];
        // SAFETY: see the file's argument; `why` is given with its length, and the client takes
        // ownership of the settings.
        unsafe {
            let settings = sys::rd_kafka_conf_new();
            for (name, value) in properties {
                let (name, value) = (text(name), text(value));
                let (name, value) = (name.as_ptr(), value.as_ptr());
                let set =
                    sys::rd_kafka_conf_set(settings, name, value, why.as_mut_ptr(), why.len());
                assert!(
                    set == sys::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK,
                    "{:?}",
                    CStr::from_ptr(why.as_ptr())
                );
            }
            let client = sys::rd_kafka_new(kind, settings, why.as_mut_ptr(), why.len());
            assert!(!client.is_null(), "{:?}", CStr::from_ptr(why.as_ptr()));
            Client(client)
        }
    }
}

/// Reads a topic from its beginning, a batch at a time, without a group's partitions.
pub struct Reader {
    client: Client,
    queue: *mut sys::rd_kafka_queue_t,
    batch: Vec<*mut sys::rd_kafka_message_t>,
}

impl Reader {
    pub fn new(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> Self {
        let client = Client::new(
            sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
            &[
                ("bootstrap.servers", bootstrap),
                ("group.id", group),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("isolation.level", "read_committed"),
                ("check.crcs", "true"),
                ("fetch.queue.backoff.ms", "5"),
                ("fetch.wait.max.ms", "100"),
            ],
        );
        let topic = text(topic);
        // SAFETY: see the file's argument; the list is ours and destroyed once.
        let queue = unsafe {
            let list = sys::rd_kafka_topic_partition_list_new(partitions);
            for partition in 0..partitions {
                (*sys::rd_kafka_topic_partition_list_add(list, topic.as_ptr(), partition)).offset =
                    0;
            }
            let assigned = sys::rd_kafka_assign(client.0, list);
            sys::rd_kafka_topic_partition_list_destroy(list);
            assert!(assigned == NO_ERROR, "{assigned:?}");
            sys::rd_kafka_queue_get_consumer(client.0)
        };
        Reader { client, queue, batch: Vec::with_capacity(BATCH) }
    }

    /// The next records; they are freed by the next call.
    fn next(&mut self) -> &[*mut sys::rd_kafka_message_t] {
        // SAFETY: see the file's argument; the call writes at most `BATCH` pointers, for which
        // there is room.
        unsafe {
            for message in self.batch.drain(..) {
                sys::rd_kafka_message_destroy(message);
            }
            let count =
                sys::rd_kafka_consume_batch_queue(self.queue, 5, self.batch.as_mut_ptr(), BATCH);
            self.batch.set_len(usize::try_from(count).unwrap_or(0));
        }
        &self.batch
    }

    /// Shows the next records to `visit`: key and value.
    pub fn visit(&mut self, mut visit: impl FnMut(&[u8], &[u8])) {
        for &message in self.next() {
            // SAFETY: see the file's argument; a message's pointers are valid for its lengths, or
            // null with length 0.
            let (key, value) = unsafe {
                let it = &*message;
                assert!(it.err == NO_ERROR, "{:?}", it.err);
                let slice = |at: *mut std::ffi::c_void, length| {
                    if at.is_null() {
                        &[][..]
                    } else {
                        std::slice::from_raw_parts(at.cast::<u8>(), length)
                    }
                };
                (slice(it.key, it.key_len), slice(it.payload, it.len))
            };
            visit(key, value);
        }
    }
}

/// Relays until the process is killed.
pub fn relay(job: &Job) -> ! {
    let id = format!("{}-bare", job.group);
    let mut properties = vec![
        ("bootstrap.servers", job.bootstrap.as_str()),
        ("enable.idempotence", "true"),
        ("compression.type", "lz4"),
        ("linger.ms", "5"),
        ("queue.buffering.max.messages", "200000"),
        ("retry.backoff.ms", "10"),
        ("message.max.bytes", "6000000"),
    ];
    if job.transactions {
        properties.push(("transactional.id", &id));
    }
    let producer = Client::new(sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, &properties);
    let to = text(&job.to);
    // SAFETY: see the file's argument.
    let to = unsafe { sys::rd_kafka_topic_new(producer.0, to.as_ptr(), null_mut()) };
    if job.transactions {
        // SAFETY: see the file's argument.
        transactional(unsafe { sys::rd_kafka_init_transactions(producer.0, CALL_MS) });
    }
    let mut reader = Reader::new(&job.bootstrap, &job.group, &job.from, job.partitions);
    let mut positions = vec![-1; usize::try_from(job.partitions).expect("a count")];
    let mut outgoing = Vec::with_capacity(BATCH);
    loop {
        if job.transactions {
            // SAFETY: see the file's argument.
            transactional(unsafe { sys::rd_kafka_begin_transaction(producer.0) });
        }
        let mut records = 0;
        let mut began = Instant::now();
        while records < COMMIT_RECORDS && (records == 0 || began.elapsed() < COMMIT_INTERVAL) {
            let batch = reader.next();
            if records == 0 {
                began = Instant::now();
            }
            outgoing.clear();
            for &message in batch {
                // SAFETY: see the file's argument. (The copy's pointers are the message's, which
                // lives until the next batch.)
                let mut copy = unsafe { *message };
                assert!(copy.err == NO_ERROR, "{:?}", copy.err);
                positions[usize::try_from(copy.partition).expect("a partition")] = copy.offset + 1;
                copy._private = null_mut();
                outgoing.push(copy);
            }
            records += outgoing.len();
            produce(&producer, to, &mut outgoing);
        }
        commit(job, &producer, &reader, &positions);
    }
}

/// Queues all of `records`; waits while the queue is full.
fn produce(
    producer: &Client,
    topic: *mut sys::rd_kafka_topic_t,
    records: &mut Vec<sys::rd_kafka_message_t>,
) {
    let flags = sys::RD_KAFKA_MSG_F_COPY | sys::RD_KAFKA_MSG_F_PARTITION;
    while !records.is_empty() {
        let count = i32::try_from(records.len()).expect("a batch");
        // SAFETY: see the file's argument; the array is given with its length.
        unsafe {
            sys::rd_kafka_produce_batch(topic, -1, flags, records.as_mut_ptr(), count);
            sys::rd_kafka_poll(producer.0, 0);
        }
        records.retain_mut(|record| {
            assert!(matches!(record.err, NO_ERROR | QUEUE_FULL), "{:?}", record.err);
            std::mem::replace(&mut record.err, NO_ERROR) == QUEUE_FULL
        });
        if !records.is_empty() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Commits the relayed records and their offsets.
fn commit(job: &Job, producer: &Client, reader: &Reader, positions: &[i64]) {
    let from = text(&job.from);
    // SAFETY: see the file's argument; list and membership are ours, and destroyed once.
    unsafe {
        let flushed = sys::rd_kafka_flush(producer.0, CALL_MS);
        assert!(flushed == NO_ERROR, "{flushed:?}");
        let list = sys::rd_kafka_topic_partition_list_new(job.partitions);
        for (partition, &position) in (0..).zip(positions).filter(|(_, position)| **position >= 0) {
            (*sys::rd_kafka_topic_partition_list_add(list, from.as_ptr(), partition)).offset =
                position;
        }
        if job.transactions {
            let membership = sys::rd_kafka_consumer_group_metadata(reader.client.0);
            transactional(sys::rd_kafka_send_offsets_to_transaction(
                producer.0, list, membership, CALL_MS,
            ));
            sys::rd_kafka_consumer_group_metadata_destroy(membership);
            transactional(sys::rd_kafka_commit_transaction(producer.0, CALL_MS));
        } else {
            let committed = sys::rd_kafka_commit(reader.client.0, list, 0);
            assert!(committed == NO_ERROR, "{committed:?}");
        }
        sys::rd_kafka_topic_partition_list_destroy(list);
    }
}

fn transactional(error: *mut sys::rd_kafka_error_t) {
    // SAFETY: called only if the error is not null. It is never destroyed, as the panic ends the
    // process, so its text stays alive.
    let words = || unsafe { CStr::from_ptr(sys::rd_kafka_error_string(error)) };
    assert!(error.is_null(), "{:?}", words());
}
