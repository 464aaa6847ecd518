//! Failures: the reasons, and the payload of a dead letter.

nik::named! {
    /// Why a request could not be processed, in the order of the checks: the first check that
    /// fails gives the reason. The names are those in the header `nik-failure-reason` and in the
    /// metric's label.
    pub enum Reason {
        /// The record has a null value. (A value of 0 bytes is `MalformedJson`.)
        Tombstone = "tombstone",
        /// The request has more bytes than the limit.
        RequestTooLarge = "request_too_large",
        /// The value is not UTF-8 or starts with a byte order mark, is not JSON, is nested deeper than
        /// 128 levels, has an escaped lone surrogate, or has bytes after the object.
        MalformedJson = "malformed_json",
        /// The value is not an object, or `nik` is missing, duplicate or not an array, or `process` is
        /// missing, duplicate or not a string.
        InvalidRequest = "invalid_request",
        /// `process` is none of `limited`, `full` and `explain`.
        UnknownProcess = "unknown_process",
        /// The list has more elements than the limit.
        TooManyNiks = "too_many_niks",
        /// The result is larger than the limit, or than the broker accepts.
        ResultTooLarge = "result_too_large",
        /// A panic in this program, caught while it processed this request.
        Internal = "internal",
    }
}

/// Appends the payload of a failure. `niks` is the request's `nik` array, byte for byte.
pub fn write_failure(out: &mut Vec<u8>, niks: Option<&[u8]>) {
    out.extend_from_slice(br#"{"message":"failed","data":"#);
    out.extend_from_slice(niks.unwrap_or(b"[]"));
    out.push(b'}');
}
