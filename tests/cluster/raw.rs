//! Records as bytes: the wrapper cannot send header names that are not UTF-8, and panics when it
//! reads one.
#![allow(unsafe_code)] // direct calls into librdkafka, each with its reason

use std::ffi::{CStr, CString, c_void};
use std::ptr::{null, null_mut};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::{RDKafka, RDKafkaErrorCode};
use sys::{
    rd_kafka_vtype_t as Kind, rd_kafka_vu_s__bindgen_ty_1 as Field,
    rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_2 as NameAndValue,
};

use super::records::NewRecord;

/// A name and a value, which may be null.
pub type Header = (Vec<u8>, Option<Vec<u8>>);

/// Puts the record into the producer's queue. `client` is a live producer, which the wrapper holds
/// during the call.
pub fn produce(
    client: *mut RDKafka,
    topic: &str,
    record: &NewRecord,
) -> Result<(), RDKafkaErrorCode> {
    let topic = CString::new(topic).expect("a topic's name");
    let names: Vec<CString> = record
        .headers
        .iter()
        .map(|(name, _)| CString::new(&name[..]).expect("no zero in the name"))
        .collect();
    let mut fields = vec![
        field(Kind::RD_KAFKA_VTYPE_TOPIC, Field { cstr: topic.as_ptr() }),
        field(Kind::RD_KAFKA_VTYPE_PARTITION, Field { i32_: record.partition.unwrap_or(-1) }),
        field(Kind::RD_KAFKA_VTYPE_MSGFLAGS, Field { i: sys::RD_KAFKA_MSG_F_COPY }),
        field(Kind::RD_KAFKA_VTYPE_VALUE, memory(record.value.as_deref())),
        field(Kind::RD_KAFKA_VTYPE_KEY, memory(record.key.as_deref())),
        // 0: the current time.
        field(Kind::RD_KAFKA_VTYPE_TIMESTAMP, Field { i64_: record.timestamp.unwrap_or(0) }),
    ];
    for (name, (_, value)) in names.iter().zip(&record.headers) {
        let value = value.as_deref();
        let header = NameAndValue {
            name: name.as_ptr(),
            val: value.map_or(null(), |value| value.as_ptr().cast()),
            size: value.map_or(0, |value| isize::try_from(value.len()).expect("a header's length")),
        };
        fields.push(field(Kind::RD_KAFKA_VTYPE_HEADER, Field { header }));
    }
    // SAFETY: each field's union holds the member that its kind names; all pointers live until the
    // call returns, and MSG_F_COPY and the headers are copied within it. No opaque is given, as the
    // wrapper's context has `()` for it.
    let error = unsafe { sys::rd_kafka_produceva(client, fields.as_ptr(), fields.len()) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the caller owns this error object; it is read once, then destroyed.
    unsafe {
        let code = sys::rd_kafka_error_code(error);
        sys::rd_kafka_error_destroy(error);
        Err(code.into())
    }
}

/// Sends what is queued without its linger, and waits until it is acknowledged. (The wrapper's flush
/// ends the linger for an instant only, which the client's threads may miss.) `client` is a live
/// producer that another thread polls.
pub fn flush(client: *mut RDKafka, timeout: Duration) -> Result<(), RDKafkaErrorCode> {
    let timeout_ms = i32::try_from(timeout.as_millis()).expect("a few minutes");
    // SAFETY: the wrapper holds the client during the call.
    match unsafe { sys::rd_kafka_flush(client, timeout_ms) } {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// Adds `brokers` to a client, which may have forgotten them (librdkafka's issue 5301; the program
/// does the same). `client` is alive, and the wrapper holds it during the call.
pub fn add_brokers(client: *mut RDKafka, brokers: &str) {
    let brokers = CString::new(brokers).expect("addresses");
    // SAFETY: the call copies the string.
    unsafe { sys::rd_kafka_brokers_add(client, brokers.as_ptr()) };
}

/// The headers in order, with their names as bytes.
pub fn headers(message: &BorrowedMessage<'_>) -> Vec<Header> {
    let mut headers = null_mut();
    // SAFETY: the message lives as long as the borrow, and its headers as long as the message.
    if unsafe { sys::rd_kafka_message_headers(message.ptr(), &raw mut headers) }
        != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    {
        return Vec::new();
    }
    let get = |index| {
        let (mut name, mut value, mut length) = (null(), null::<c_void>(), 0);
        // SAFETY: `headers` is valid as above; an index past the end is an error, not undefined.
        let code = unsafe {
            sys::rd_kafka_header_get_all(
                headers,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut length,
            )
        };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka ends names with a zero, and a value that is not null has `length`
        // bytes; both are copied here.
        unsafe {
            let name = CStr::from_ptr(name).to_bytes().to_vec();
            let value = (!value.is_null())
                .then(|| std::slice::from_raw_parts(value.cast::<u8>(), length).to_vec());
            Some((name, value))
        }
    };
    (0..).map_while(get).collect()
}

fn field(vtype: Kind, u: Field) -> sys::rd_kafka_vu_t {
    sys::rd_kafka_vu_t { vtype, u }
}

// A null pointer means that there is no value; an empty slice has a pointer and length 0.
fn memory(bytes: Option<&[u8]>) -> Field {
    let ptr = bytes.map_or(null_mut(), |bytes| bytes.as_ptr().cast_mut().cast());
    let size = bytes.map_or(0, <[u8]>::len);
    Field { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
}
