//! A producer that reports records which were not delivered, when it sends batches, and
//! transactional requests which ended without an answer.
//!
//! The safety argument is that of [`super`] and [`super::callbacks`]. The interceptor runs on
//! librdkafka's own threads, which end before the context does.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaType;

use super::callbacks;
use super::{NO_ERROR, millis};

/// How long one poll waits for delivery reports; closing a producer may take as long.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The key of `Produce` in Kafka's protocol.
const PRODUCE: i16 = 0;
/// The keys of the requests that change a transaction: `AddPartitionsToTxn`,
/// `AddOffsetsToTxn`, `EndTxn`, `TxnOffsetCommit`.
const TRANSACTIONAL: [i16; 4] = [24, 25, 26, 28];

/// The name under which the interceptors are registered.
const INTERCEPTOR: *const c_char = c"nik-stream".as_ptr();

/// A record of which the brokers have confirmed no delivery.
#[derive(Clone, Copy, Debug)]
pub struct Undelivered<'a> {
    pub topic: &'a CStr,
    pub partition: i32,
    pub code: RDKafkaErrorCode,
    /// The tag with which it was sent.
    pub tag: usize,
    /// Whether a broker may have stored it: it was sent, and the answer is missing.
    pub may_be_stored: bool,
}

/// The callbacks of a producer.
pub trait ProducerCallbacks: ClientContext {
    /// A record was not delivered.
    fn undelivered(&self, record: Undelivered<'_>);
    /// A batch is sent. Called on librdkafka's own threads.
    fn batch_sent(&self);
    /// A transactional request ended without an answer, so it may still reach the broker. Called
    /// for each attempt, before librdkafka repeats the request, and on librdkafka's own threads.
    fn unanswered(&self);
}

/// A producer, and the thread that polls it.
pub struct ProducerClient<C: ProducerCallbacks> {
    client: Arc<Client<C>>,
    stop: Arc<AtomicBool>,
    poller: Option<JoinHandle<()>>,
}

impl<C: ProducerCallbacks + 'static> ProducerClient<C> {
    pub fn new(config: &ClientConfig, context: C) -> Result<Self, KafkaError> {
        let native = config.create_native_config()?;
        // SAFETY: the configuration is alive, its client gets this context, and names and callbacks
        // are static.
        unsafe {
            callbacks::register::<C>(native.ptr());
            sys::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(on_delivery::<C>));
            sys::rd_kafka_conf_interceptor_add_on_new(
                native.ptr(),
                INTERCEPTOR,
                Some(on_new::<C>),
                ptr::null_mut(),
            );
        }
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_PRODUCER, context)?;
        let (client, stop) = (Arc::new(client), Arc::new(AtomicBool::new(false)));
        let poller = std::thread::Builder::new().name("producer-poll".to_owned()).spawn({
            let (client, stop) = (Arc::clone(&client), Arc::clone(&stop));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    // SAFETY: see the module's argument.
                    unsafe { sys::rd_kafka_poll(client.native_ptr(), millis(POLL_TIMEOUT)) };
                }
            }
        });
        let poller = poller.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { client, stop, poller: Some(poller) })
    }

    pub fn client(&self) -> &Client<C> {
        &self.client
    }

    pub fn context(&self) -> &C {
        self.client.context()
    }

    /// A topic to produce to. This sends no request.
    pub fn topic(&self, name: &CStr) -> Result<Topic<C>, RDKafkaErrorCode> {
        // SAFETY: see the module's argument; the name is copied, and the handle is ours.
        unsafe {
            let handle =
                sys::rd_kafka_topic_new(self.client.native_ptr(), name.as_ptr(), ptr::null_mut());
            let handle = NonNull::new(handle).ok_or_else(|| sys::rd_kafka_last_error())?;
            Ok(Topic { name: name.to_owned(), handle, client: Arc::clone(&self.client) })
        }
    }

    /// Gives up the records that are queued or wait for a broker's answer: they are reported as
    /// undelivered.
    pub fn purge(&self) {
        let both = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: see the module's argument. The call fails only for a consumer.
        unsafe { sys::rd_kafka_purge(self.client.native_ptr(), both) };
    }
}

impl<C: ProducerCallbacks> Drop for ProducerClient<C> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(poller) = self.poller.take() {
            let _ = poller.join(); // it cannot panic: it only runs librdkafka
        }
    }
}

/// A topic of one client, which is kept alive.
pub struct Topic<C: ProducerCallbacks> {
    name: CString,
    handle: NonNull<sys::rd_kafka_topic_t>,
    client: Arc<Client<C>>,
}

// SAFETY: librdkafka's handles may be used from any thread.
unsafe impl<C: ProducerCallbacks> Send for Topic<C> {}

impl<C: ProducerCallbacks> Topic<C> {
    pub fn name(&self) -> &CStr {
        &self.name
    }

    pub(super) fn client(&self) -> *mut sys::rd_kafka_t {
        self.client.native_ptr()
    }

    pub(super) fn handle(&self) -> *mut sys::rd_kafka_topic_t {
        self.handle.as_ptr()
    }
}

impl<C: ProducerCallbacks> Drop for Topic<C> {
    fn drop(&mut self) {
        // SAFETY: owned by this value, destroyed once, before its client.
        unsafe { sys::rd_kafka_topic_destroy(self.handle.as_ptr()) }
    }
}

unsafe extern "C" fn on_delivery<C: ProducerCallbacks>(
    _: *mut sys::rd_kafka_t,
    message: *const sys::rd_kafka_message_t,
    opaque: *mut c_void,
) {
    // SAFETY: see the module's argument; message and topic name are alive during the call.
    unsafe {
        let message = &*message;
        if message.err != NO_ERROR {
            let status = sys::rd_kafka_message_status(message);
            let not_stored = sys::rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
            (*opaque.cast::<C>()).undelivered(Undelivered {
                topic: CStr::from_ptr(sys::rd_kafka_topic_name(message.rkt)),
                partition: message.partition,
                code: message.err.into(),
                tag: message._private.addr(),
                may_be_stored: status != not_stored,
            });
        }
    }
}

unsafe extern "C" fn on_new<C: ProducerCallbacks>(
    client: *mut sys::rd_kafka_t,
    _: *const sys::rd_kafka_conf_t,
    _: *mut c_void,
    _: *mut c_char,
    _: usize,
) -> sys::rd_kafka_resp_err_t {
    // SAFETY: the client is alive and has sent no request yet; the name is static.
    unsafe {
        let error = sys::rd_kafka_interceptor_add_on_request_sent(
            client,
            INTERCEPTOR,
            Some(on_request::<C>),
            ptr::null_mut(),
        );
        if error != NO_ERROR {
            return error;
        }
        sys::rd_kafka_interceptor_add_on_response_received(
            client,
            INTERCEPTOR,
            Some(on_response::<C>),
            ptr::null_mut(),
        )
    }
}

unsafe extern "C" fn on_request<C: ProducerCallbacks>(
    client: *mut sys::rd_kafka_t,
    _: i32,
    _: *const c_char,
    _: i32,
    api_key: i16,
    _: i16,
    _: i32,
    _: usize,
    _: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    if api_key == PRODUCE {
        // SAFETY: see the module's argument.
        let context = unsafe { &*sys::rd_kafka_opaque(client).cast::<C>() };
        context.batch_sent();
    }
    NO_ERROR
}

/// `error` is that of the connection. A broker's answer has none, even if its content is an error.
unsafe extern "C" fn on_response<C: ProducerCallbacks>(
    client: *mut sys::rd_kafka_t,
    _: i32,
    _: *const c_char,
    _: i32,
    api_key: i16,
    _: i16,
    _: i32,
    _: usize,
    _: i64,
    error: sys::rd_kafka_resp_err_t,
    _: *mut c_void,
) -> sys::rd_kafka_resp_err_t {
    if error != NO_ERROR && TRANSACTIONAL.contains(&api_key) {
        // SAFETY: see the module's argument.
        let context = unsafe { &*sys::rd_kafka_opaque(client).cast::<C>() };
        context.unanswered();
    }
    NO_ERROR
}
