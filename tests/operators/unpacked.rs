//! Small batches that unpack to much more: a topic that the brokers do not compress bounds them.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use crate::cluster::{shared, unique};

/// What became of each record.
#[derive(Default)]
struct Delivered(Mutex<Vec<Result<(), Option<Code>>>>);

impl ClientContext for Delivered {}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let result = result.as_ref().map(|_| ()).map_err(|(error, _)| error.rdkafka_error_code());
        self.0.lock().expect("no panic").push(result);
    }
}

#[test]
fn a_topic_without_compression_refuses_a_batch_that_unpacks_to_more_than_its_limit() {
    for (compression, expected) in
        [("producer", Ok(())), ("uncompressed", Err(Some(Code::MessageSizeTooLarge)))]
    {
        let topic = unique("unpacked");
        let settings = [("compression.type", compression), ("max.message.bytes", "1000000")];
        shared().create_topic(&topic, 1, &settings);
        let producer: ThreadedProducer<Delivered> = shared()
            .client()
            .set("compression.type", "gzip")
            .set("linger.ms", "500")
            .set("batch.size", "100000000")
            .set("message.max.bytes", "100000000")
            .create_with_context(Delivered::default())
            .expect("a producer");
        let blanks = " ".repeat(300_000);
        for _ in 0..10 {
            let record = BaseRecord::<(), str>::to(&topic).payload(&blanks);
            producer.send(record).map_err(|(error, _)| error).expect("queued");
        }
        producer.flush(Duration::from_secs(30)).expect("answered");
        let delivered = producer.context().0.lock().expect("no panic").clone();
        assert_eq!(delivered, vec![expected; 10], "{compression}");
    }
}
