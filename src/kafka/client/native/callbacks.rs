//! The callbacks that all clients share: errors, statistics, log lines, tokens.
//!
//! The safety argument is that of [`super`]. librdkafka calls them on the thread that polls the
//! client, with the opaque pointer that `Client::new` sets: the context, which outlives the handle.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::slice;

use rdkafka::bindings as sys;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::token::set_token_of;

/// Registers the callbacks of `C`.
///
/// # Safety
/// `config` is alive, and its client is created by `Client::new` with a context of type `C`.
pub unsafe fn register<C: ClientContext>(config: *mut sys::rd_kafka_conf_t) {
    // SAFETY: see the contract; the callbacks are functions of this program.
    unsafe {
        sys::rd_kafka_conf_set_error_cb(config, Some(on_error::<C>));
        sys::rd_kafka_conf_set_stats_cb(config, Some(on_statistics::<C>));
        sys::rd_kafka_conf_set_log_cb(config, Some(on_log::<C>));
        if C::ENABLE_REFRESH_OAUTH_TOKEN {
            sys::rd_kafka_conf_set_oauthbearer_token_refresh_cb(config, Some(on_token::<C>));
        }
    }
}

/// A trimmed copy of a text; empty for null.
///
/// # Safety
/// `text` is null or ends with NUL.
pub unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: see the contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}

unsafe extern "C" fn on_error<C: ClientContext>(
    _: *mut sys::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: see the module's argument; the text is alive during the call.
    let (context, reason) = unsafe { (&*opaque.cast::<C>(), text(reason)) };
    let code = sys::rd_kafka_resp_err_t::try_from(code)
        .map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from);
    context.error(KafkaError::Global(code), &reason);
}

unsafe extern "C" fn on_statistics<C: ClientContext>(
    _: *mut sys::rd_kafka_t,
    json: *mut c_char,
    length: usize,
    opaque: *mut c_void,
) -> c_int {
    // SAFETY: see the module's argument; `length` bytes are alive during the call.
    let (context, json) =
        unsafe { (&*opaque.cast::<C>(), slice::from_raw_parts(json.cast::<u8>(), length)) };
    context.stats_raw(json);
    0 // librdkafka frees the text
}

unsafe extern "C" fn on_log<C: ClientContext>(
    client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: see the module's argument; both texts are alive during the call.
    let (context, facility, line) =
        unsafe { (&*sys::rd_kafka_opaque(client).cast::<C>(), text(facility), text(line)) };
    context.log(log_level(level), &facility, &line);
}

/// The level of a log line, by the numbers of syslog.
fn log_level(level: c_int) -> RDKafkaLogLevel {
    match level {
        0 => RDKafkaLogLevel::Emerg,
        1 => RDKafkaLogLevel::Alert,
        2 => RDKafkaLogLevel::Critical,
        3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

unsafe extern "C" fn on_token<C: ClientContext>(
    client: *mut sys::rd_kafka_t,
    config: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: see the module's argument; the text is alive during the call.
    let (context, config) = unsafe { (&*opaque.cast::<C>(), text(config)) };
    let config = (!config.is_empty()).then_some(config.as_str());
    let taken = context.generate_oauth_token(config).and_then(|token| {
        // SAFETY: the client is alive during its callback.
        let is_taken = unsafe { set_token_of(client, token) };
        if is_taken { Ok(()) } else { Err("librdkafka does not accept the token".into()) }
    });
    // Otherwise librdkafka would not ask again.
    if let Err(error) = taken {
        let reason = CString::new(error.to_string()).unwrap_or_default();
        // SAFETY: the client is alive; the text is copied during the call.
        unsafe { sys::rd_kafka_oauthbearer_set_token_failure(client, reason.as_ptr()) };
    }
}
