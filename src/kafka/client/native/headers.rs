//! The headers of records, with names and values as bytes. The safety argument is that of
//! [`super`].
//!
//! Headers are read from the bytes of the message: `headers.c` beside this file. librdkafka would
//! allocate for each header of each record, even if only one is of interest.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};

use rdkafka::bindings as sys;
use rdkafka::message::BorrowedMessage;

use super::{NO_ERROR, raw};

/// librdkafka ignores the headers of a message that has more.
const MOST_HEADERS: i64 = 100_000;

unsafe extern "C" {
    fn nik_unparsed_headers(
        message: *const sys::rd_kafka_message_t,
        start: *mut *const c_void,
    ) -> usize;
}

/// A consumed message.
///
/// # Safety
/// The pointer is valid for as long as this value is alive.
pub unsafe trait NativeMessage {
    fn native(&self) -> *mut sys::rd_kafka_message_t;
}

// SAFETY: the message that is borrowed outlives this value.
unsafe impl NativeMessage for BorrowedMessage<'_> {
    fn native(&self) -> *mut sys::rd_kafka_message_t {
        self.ptr()
    }
}

/// A list of headers to be sent.
pub struct Headers(pub(super) NonNull<sys::rd_kafka_headers_t>);

impl Headers {
    /// An empty list with room for `capacity` headers.
    pub fn with_capacity(capacity: usize) -> Self {
        // SAFETY: no arguments to keep alive; owned by us.
        Headers(
            NonNull::new(unsafe { sys::rd_kafka_headers_new(capacity) })
                .expect("librdkafka aborts when out of memory"),
        )
    }

    /// An unchanged copy of a message's headers, `None` if it has none.
    pub fn copy_of(message: &impl NativeMessage) -> Option<Self> {
        unparsed(message)?; // librdkafka would allocate memory even for a message without headers
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and passes ownership of its parsed headers to us; nothing
        // else here refers to them. Another call would parse them again.
        let found =
            unsafe { sys::rd_kafka_message_detach_headers(message.native(), &raw mut headers) };
        if found == NO_ERROR { NonNull::new(headers).map(Headers) } else { None }
    }

    /// Appends one header.
    pub fn push(&mut self, name: &[u8], value: Option<&[u8]>) {
        let (value, length) = raw(value);
        // SAFETY: name and value are copied during the call, by their lengths. `header_add` only
        // fails for read-only lists, and ours is not one.
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

    /// Removes all headers of this name.
    pub fn remove(&mut self, name: &CStr) {
        // SAFETY: the list is ours, the name is only read. It fails if there is none.
        unsafe { sys::rd_kafka_header_remove(self.0.as_ptr(), name.as_ptr()) };
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        // SAFETY: owned by us; `produce` forgets the wrapper if librdkafka took ownership of the
        // list.
        unsafe { sys::rd_kafka_headers_destroy(self.0.as_ptr()) }
    }
}

/// Calls `visit` with each header of `message`, in order.
pub fn each_header(message: &impl NativeMessage, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
    let Some(headers) = unparsed(message) else {
        return;
    };
    // As in librdkafka, if a part of the headers cannot be read, none of them count.
    if headers.clone().all(|header| header.is_some()) {
        headers.flatten().for_each(|(name, value)| visit(name, value));
    }
}

/// `None` if the message has no headers.
fn unparsed(message: &impl NativeMessage) -> Option<Unparsed<'_>> {
    let mut start = ptr::null();
    // SAFETY: the message is alive, was consumed, and is only read. The bytes live as long as it.
    let bytes = unsafe {
        let length = nik_unparsed_headers(message.native(), &raw mut start);
        super::bytes(start, length)
    };
    Unparsed::new(bytes?)
}

/// Headers as they are in a record: their number, then the name and the value of each, both with
/// their length before them. A part that cannot be read gives `None`.
#[derive(Clone)]
struct Unparsed<'a> {
    bytes: &'a [u8],
    left: i64,
}

impl<'a> Unparsed<'a> {
    fn new(mut bytes: &'a [u8]) -> Option<Self> {
        let left = number(&mut bytes)?;
        (1..=MOST_HEADERS).contains(&left).then_some(Self { bytes, left })
    }

    fn header(&mut self) -> Option<(&'a [u8], Option<&'a [u8]>)> {
        let name = number(&mut self.bytes)?;
        let name = self.bytes.split_off(..usize::try_from(name).ok()?)?;
        let value = match number(&mut self.bytes)? {
            -1 => None,
            length => Some(self.bytes.split_off(..usize::try_from(length).ok()?)?),
        };
        Some((name, value))
    }
}

impl<'a> Iterator for Unparsed<'a> {
    type Item = Option<(&'a [u8], Option<&'a [u8]>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left -= 1;
        (self.left >= 0).then(|| self.header())
    }
}

/// Takes a zigzag-encoded varint from the start of `bytes`.
fn number(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    type Header<'a> = (&'a [u8], Option<&'a [u8]>);

    fn read(bytes: &[u8]) -> Option<Vec<Header<'_>>> {
        Unparsed::new(bytes).map_or(Some(Vec::new()), Iterator::collect)
    }

    #[test]
    fn headers_are_read_from_the_bytes_of_a_record() {
        let long = [b'x'; 100];
        let bytes = [b"\x06\x02a\x04bc\x00\x01\x02\xff\xc8\x01", &long[..], b"behind"].concat();
        let expected: [Header<'_>; 3] =
            [(b"a", Some(b"bc")), (b"", None), (b"\xff", Some(&long[..]))];
        assert_eq!(read(&bytes).as_deref(), Some(&expected[..]));
    }

    #[test]
    fn no_headers_and_a_number_out_of_range_are_none() {
        for bytes in [&b""[..], b"\x00", b"\x01", b"\xc2\x9a\x0c", b"\x80", &[0x80; 11]] {
            assert!(Unparsed::new(bytes).is_none(), "{bytes:x?}");
        }
    }

    #[test]
    fn headers_that_end_too_early_are_not_read() {
        let whole = b"\x04\x02a\x04bc\x02d\x02e";
        assert_eq!(read(whole).map(|it| it.len()), Some(2));
        for end in 1..whole.len() {
            assert_eq!(read(&whole[..end]), None, "{end}");
        }
        for bytes in
            [&b"\x02\x01"[..], b"\x02\x02a\x03", b"\x02\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
        {
            assert_eq!(read(bytes), None, "{bytes:x?}");
        }
    }
}
