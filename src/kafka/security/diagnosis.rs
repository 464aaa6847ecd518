//! What librdkafka says of a connection that fails, as one line for people that names the setting to look at.

use crate::config::Security;
use crate::kafka::security::certificate::why_out_of_date;

/// What stands in the way of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    /// One line, the same as often as it comes.
    pub line: String,
    /// The brokers are there: it is for who runs the program, or them, to mend.
    pub refusal: bool,
}

/// What `text` of librdkafka's means. `why_untrusted` looks closer at the certificate of the broker at an address.
pub fn read(
    text: &str,
    security: &Security,
    why_untrusted: impl FnOnce(&str) -> Option<String>,
) -> ConnectionFailure {
    let refusal = |line| ConnectionFailure { line, refusal: true };
    if let Some((_, why)) = text.split_once("Failed to acquire SASL OAUTHBEARER token: ") {
        return refusal(format!("no token for the brokers: {why}"));
    }
    let (at, why) = split(text);
    let broker = format!("the broker at {at}");
    if why.contains("certificate verify failed") {
        let why = why_untrusted(at).unwrap_or_else(|| "it cannot be verified".to_owned());
        let trusted = match &security.ca_file {
            Some(_) => "kafka.security.ca_file",
            None => "kafka.security.ca_file is not set: the system's authorities are trusted",
        };
        return refusal(format!("the certificate of {broker} is not trusted: {why} ({trusted})"));
    }
    if let Some(alert) = between(why, "alert ", ":")
        && (alert.contains("certificate") || alert.contains("unknown ca"))
    {
        return refusal(if let Some(file) = &security.certificate_file {
            let why = why_out_of_date(file).unwrap_or(alert);
            format!(
                "{broker} does not take this program's certificate: {why} (kafka.security.certificate_file)"
            )
        } else {
            format!(
                "{broker} asks for a certificate, and kafka.security.certificate_file names none ({alert})"
            )
        });
    }
    if let Some((_, why)) = why.split_once("SASL authentication error: ") {
        return refusal(format!("{broker} refuses the user of kafka.security: {why}"));
    }
    if let Some((_, why)) = why.split_once("mechanism handshake failed: ") {
        return refusal(format!("{broker} refuses kafka.security.sasl_mechanism: {why}"));
    }
    if why.contains("SSL ") {
        return refusal(format!("{broker} and kafka.security do not agree: {why}"));
    }
    let hint = if text.contains("in state APIVERSION_QUERY") || text.contains("in state UP") {
        " (is kafka.security.protocol that of its listener?)"
    } else {
        ""
    };
    ConnectionFailure { line: format!("{broker}: {why}{hint}"), refusal: false }
}

/// The broker's address and what is said of it, less what changes from time to time: its name, the state and the count behind.
fn split(text: &str) -> (&str, &str) {
    let text = text
        .strip_prefix("[thrd:")
        .map_or(text, |rest| rest.split_once("]: ").map_or(rest, |(_, rest)| rest));
    let text = text.rsplit_once(" (after ").map_or(text, |(text, _)| text);
    let Some((name, rest)) = text.split_once(": ") else {
        return ("", text);
    };
    if !name.contains(':') && !name.contains('/') {
        // A role of a broker, its address behind it.
        return rest.split_once(": ").unwrap_or((name, rest));
    }
    let address = name.split_once("://").map_or(name, |(_, address)| address);
    (address.split('/').next().unwrap_or(address), rest)
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn line(text: &str) -> String {
        let loaded = load_from(&[], [], |_, _| Ok(())).unwrap();
        let security = &loaded.settings.kafka.security;
        let looked = |at: &str| Some(format!("looked at {at}"));
        read(text, security, looked).line
    }

    #[test]
    fn a_complaint_loses_what_changes_from_one_time_to_the_next() {
        let refused = "the broker at [::1]:9093 refuses the user of kafka.security: no such user";
        for text in [
            "sasl_ssl://[::1]:9093/bootstrap: SASL authentication error: no such user (after 312ms in state AUTH_REQ, 1 identical \
             error(s) suppressed)",
            "sasl_ssl://[::1]:9093/1: SASL authentication error: no such user (after 2ms in state AUTH_REQ)",
            "GroupCoordinator: [::1]:9093: SASL authentication error: no such user (after 2ms in state AUTH_REQ)",
            "[thrd:sasl_ssl://[::1]:9093/1]: sasl_ssl://[::1]:9093/1: SASL authentication error: no such user (after 2ms in state X)",
        ] {
            assert_eq!(line(text), refused);
        }
    }

    #[test]
    fn a_broker_that_is_not_there_is_no_refusal() {
        let text = "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        let told =
            "the broker at 127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused";
        assert_eq!(line(text), told);
        let text = "127.0.0.1:1/1: Disconnected: connection closed by peer (after 0ms in state APIVERSION_QUERY)";
        assert!(line(text).ends_with("(is kafka.security.protocol that of its listener?)"));
    }

    #[test]
    fn an_untrusted_certificate_is_looked_at() {
        let text = "ssl://a:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: verify \
                    that (after 10ms in state SSL_HANDSHAKE)";
        let told = "the certificate of the broker at a:9093 is not trusted: looked at a:9093 (kafka.security.ca_file is not set: the \
                    system's authorities are trusted)";
        assert_eq!(line(text), told);
    }
}
