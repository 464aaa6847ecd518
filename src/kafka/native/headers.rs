//! The headers of records, names and values as bytes. The safety argument is that of [`super`].

use std::ffi::{CStr, c_char};
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;
use rdkafka::message::BorrowedMessage;

use super::{NO_ERROR, raw};

/// Record headers, names and values as bytes.
pub(in crate::kafka) struct Headers(pub(super) NonNull<sys::rd_kafka_headers_t>);

impl Headers {
    /// An empty list with room for `capacity` headers.
    pub(in crate::kafka) fn with_capacity(capacity: usize) -> Self {
        // SAFETY: no arguments to keep alive; owned by us.
        Headers(
            NonNull::new(unsafe { sys::rd_kafka_headers_new(capacity) })
                .expect("librdkafka aborts when out of memory"),
        )
    }

    /// An untouched copy of a message's headers, `None` when it has none.
    pub(in crate::kafka) fn copy_of(message: &BorrowedMessage<'_>) -> Option<Self> {
        // SAFETY: the source is borrowed from the message for the call; the copy is owned by us.
        NonNull::new(unsafe { sys::rd_kafka_headers_copy(borrowed(message)?.as_ptr()) })
            .map(Headers)
    }

    /// Appends one header.
    pub(in crate::kafka) fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        let (value, length) = raw(value);
        // SAFETY: name and value are copied during the call, with their lengths given. The one error of `header_add`
        // is a read-only list, which a list of our own is not.
        unsafe {
            sys::rd_kafka_header_add(
                self.0.as_ptr(),
                name.as_ptr().cast::<c_char>(),
                name.len().cast_signed(),
                value,
                length.cast_signed(),
            );
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: owned by us; `produce` forgets the wrapper when librdkafka took the list over.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}

fn borrowed(message: &BorrowedMessage<'_>) -> Option<NonNull<sys::rd_kafka_headers_t>> {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive; on success `headers` points into it.
    let found = unsafe { sys::rd_kafka_message_headers(message.ptr(), &raw mut headers) };
    if found == NO_ERROR {
        NonNull::new(headers)
    } else {
        None
    }
}

/// Calls `visit` with each header of `message`, in order.
pub(in crate::kafka) fn each_header(
    message: &BorrowedMessage<'_>,
    mut visit: impl FnMut(&[u8], Option<&[u8]>),
) {
    let Some(headers) = borrowed(message) else {
        return;
    };
    for index in 0.. {
        let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `headers` lives as long as the message; past the last index an error is returned.
        let found = unsafe {
            sys::rd_kafka_header_get_all(
                headers.as_ptr(),
                index,
                &raw mut name,
                &raw mut value,
                &raw mut length,
            )
        };
        if found != NO_ERROR {
            return;
        }
        // SAFETY: name is NUL-terminated, value has `length` bytes; both live as long as the message.
        unsafe {
            let value =
                (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), length));
            visit(CStr::from_ptr(name).to_bytes(), value);
        }
    }
}
