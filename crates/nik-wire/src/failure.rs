//! What becomes of a request that cannot be processed.

/// The reasons and their texts, said once: so none is without a text or missing in `ALL`.
macro_rules! reasons {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// Why a request could not be processed. In the order of the checks: the first that fails names the
        /// reason.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Reason {
            $($(#[$doc])+ $name,)+
        }

        impl Reason {
            /// Every reason.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$name),+];

            /// The text of the header `nik-failure-reason` and of the metric's label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

reasons! {
    /// The record has no value (null; a value of 0 bytes is `MalformedJson`).
    Tombstone = "tombstone",
    /// The request has more bytes than the limit.
    RequestTooLarge = "request_too_large",
    /// Not UTF-8 (a byte order mark counts), not JSON, nested deeper than 128, an escaped lone
    /// surrogate, or bytes after the object.
    MalformedJson = "malformed_json",
    /// Not an object; `nik` missing, given twice or not an array; `process` missing, given twice or
    /// not text.
    InvalidRequest = "invalid_request",
    /// `process` is neither `limited` nor `full`.
    UnknownProcess = "unknown_process",
    /// The list has more elements than the limit.
    TooManyNiks = "too_many_niks",
    /// The limit or the broker refuses the result's size.
    ResultTooLarge = "result_too_large",
    /// A fault in this program, caught while it worked on this one request.
    Internal = "internal",
}

/// Appends a failure's payload; `niks` are the bytes of the request's `nik` array, given back as
/// they were sent.
pub fn write_failure(out: &mut Vec<u8>, niks: Option<&[u8]>) {
    out.extend_from_slice(br#"{"message":"failed","data":"#);
    out.extend_from_slice(niks.unwrap_or(b"[]"));
    out.push(b'}');
}
