//! Sets the OAuth token of a client that is not polled. For the safety argument see [`super`].

use std::ffi::{CString, c_char};
use std::ptr;

use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext, OAuthToken};

use super::NO_ERROR;

/// Sets the client's token; `false` if librdkafka rejects it.
pub fn set_token<C: ClientContext>(client: &Client<C>, token: OAuthToken) -> bool {
    // SAFETY: see the module's argument.
    unsafe { set_token_of(client.native_ptr(), token) }
}

/// As [`set_token`], for the handle that a callback receives.
///
/// # Safety
/// `client` is alive.
pub unsafe fn set_token_of(client: *mut sys::rd_kafka_t, token: OAuthToken) -> bool {
    let (Ok(text), Ok(name)) = (CString::new(token.token), CString::new(token.principal_name))
    else {
        return false;
    };
    let mut error: [c_char; 1] = [0];
    // SAFETY: see the module's argument; the texts are copied, extensions are not passed, and the
    // error text is truncated to its buffer.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client,
            text.as_ptr(),
            token.lifetime_ms,
            name.as_ptr(),
            ptr::null_mut(),
            0,
            error.as_mut_ptr(),
            error.len(),
        )
    };
    code == NO_ERROR
}
