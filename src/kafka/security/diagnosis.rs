//! Translates librdkafka's text about a failed connection into one line that names the setting to
//! check.

use crate::config::{SaslMechanism, Security};

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    /// One line, identical for each occurrence of the same failure.
    pub message: String,
    /// The broker answered and rejected the connection: an operator has to act.
    pub permanent: bool,
}

/// Reads an error text of librdkafka's.
pub fn diagnose(text: &str, security: &Security) -> ConnectionFailure {
    let permanent = |message| ConnectionFailure { message, permanent: true };
    if let Some((_, why)) = text.split_once("Failed to acquire SASL OAUTHBEARER token: ") {
        return permanent(format!("no token for the brokers: {why}"));
    }
    let (address, why) = split(text);
    let broker = format!("the broker at {address}");
    if why.contains("certificate verify failed") {
        let hint = untrusted_hint(security.ca_file.is_some());
        return permanent(format!(
            "the certificate of {broker} is not trusted: certificate verify failed ({hint})"
        ));
    }
    if let Some(alert) = between(why, "alert ", ":")
        && (alert.contains("certificate") || alert.contains("unknown ca"))
    {
        return permanent(match &security.certificate_file {
            Some(_) => format!(
                "{broker} rejects this program's certificate: {alert} (check issuer and dates of kafka.security.certificate_file)"
            ),
            None => format!(
                "{broker} requires a certificate, and kafka.security.certificate_file is not set ({alert})"
            ),
        });
    }
    if let Some((_, why)) = why.split_once("SASL authentication error: ") {
        if security.sasl_mechanism == Some(SaslMechanism::OauthBearer) {
            return permanent(format!(
                "{broker} refuses the token (check its issuer and lifetime, kafka.security.oauth_scope and oauth_audience): {why}"
            ));
        }
        return permanent(format!("{broker} refuses the user of kafka.security: {why}"));
    }
    if why.contains("Request not valid in current SASL state") {
        return permanent(format!(
            "{broker} refuses to renew a session that has just begun: the tokens of kafka.security live too short"
        ));
    }
    if let Some((_, why)) = why.split_once("mechanism handshake failed: ") {
        return permanent(format!("{broker} refuses kafka.security.sasl_mechanism: {why}"));
    }
    // librdkafka has several texts for a listener without TLS. An established connection that is
    // closed is no more than a broker's restart.
    if why.contains("SSL ") && why.contains("Disconnected") {
        if text.contains("in state UP") {
            return ConnectionFailure { message: format!("{broker}: {why}"), permanent: false };
        }
        return permanent(format!(
            "no TLS connection to {broker}: it closed the connection during the handshake (check kafka.security and the port: is \
             it a listener without TLS?)"
        ));
    }
    if why.contains("SSL ") {
        return permanent(format!("no TLS connection to {broker} (check kafka.security): {why}"));
    }
    let hint = if text.contains("in state APIVERSION_QUERY") || text.contains("in state UP") {
        " (is kafka.security.protocol that of its listener?)"
    } else {
        ""
    };
    ConnectionFailure { message: format!("{broker}: {why}{hint}"), permanent: false }
}

/// What to check if the certificate of a server is not trusted.
pub fn untrusted_hint(has_ca_file: bool) -> &'static str {
    if has_ca_file {
        "check its issuer against kafka.security.ca_file, its host names and dates"
    } else {
        "kafka.security.ca_file is not set, so the system's authorities apply; check its issuer, host names and dates"
    }
}

/// The broker's address and the error, without the parts that vary between occurrences: the thread
/// name, the connection state and the number of suppressed errors.
fn split(text: &str) -> (&str, &str) {
    let text = text
        .strip_prefix("[thrd:")
        .map_or(text, |rest| rest.split_once("]: ").map_or(rest, |(_, rest)| rest));
    let text = text.rsplit_once(" (after ").map_or(text, |(text, _)| text);
    let Some((name, rest)) = text.split_once(": ") else {
        return ("", text);
    };
    if !name.contains(':') && !name.contains('/') {
        // A logical broker such as `GroupCoordinator`: the address follows its name.
        return rest.split_once(": ").unwrap_or((name, rest));
    }
    let address = name.split_once("://").map_or(name, |(_, address)| address);
    (address.split('/').next().unwrap_or(address), rest)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inside, _)| inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn message(text: &str) -> String {
        let loaded = load_from(&[], [], |_, _| Ok(())).unwrap();
        let security = &loaded.settings.kafka.security;
        diagnose(text, security).message
    }

    #[test]
    fn the_message_omits_what_varies_between_occurrences() {
        let refused = "the broker at [::1]:9093 refuses the user of kafka.security: no such user";
        for text in [
            "sasl_ssl://[::1]:9093/bootstrap: SASL authentication error: no such user (after 312ms in state AUTH_REQ, 1 identical \
             error(s) suppressed)",
            "sasl_ssl://[::1]:9093/1: SASL authentication error: no such user (after 2ms in state AUTH_REQ)",
            "GroupCoordinator: [::1]:9093: SASL authentication error: no such user (after 2ms in state AUTH_REQ)",
            "[thrd:sasl_ssl://[::1]:9093/1]: sasl_ssl://[::1]:9093/1: SASL authentication error: no such user (after 2ms in state X)",
        ] {
            assert_eq!(message(text), refused);
        }
    }

    #[test]
    fn an_unreachable_broker_is_not_a_permanent_failure() {
        let text = "127.0.0.1:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: Connection refused (after 0ms in state CONNECT)";
        let expected =
            "the broker at 127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused";
        assert_eq!(message(text), expected);
        let text = "127.0.0.1:1/1: Disconnected: connection closed by peer (after 0ms in state APIVERSION_QUERY)";
        assert!(message(text).ends_with("(is kafka.security.protocol that of its listener?)"));
    }

    #[test]
    fn a_listener_without_tls_has_one_message_and_a_closed_connection_another() {
        let closed = "ssl://a:9093/1: Disconnected: SSL connection closed by peer";
        let plain = "ssl://a:9093/1: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting to a PLAINTEXT \
                     broker listener? (after 5ms in state SSL_HANDSHAKE)";
        let of_handshake = message(&format!("{closed} (after 5ms in state SSL_HANDSHAKE)"));
        assert_eq!(message(plain), of_handshake);
        assert!(of_handshake.ends_with("is it a listener without TLS?)"), "{of_handshake}");
        let of_restart = message(&format!("{closed} (after 60000ms in state UP)"));
        assert_eq!(of_restart, "the broker at a:9093: Disconnected: SSL connection closed by peer");
    }

    #[test]
    fn an_untrusted_certificate_names_the_setting_to_check() {
        let text = "ssl://a:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: verify \
                    that (after 10ms in state SSL_HANDSHAKE)";
        let expected = "the certificate of the broker at a:9093 is not trusted: certificate verify failed \
                        (kafka.security.ca_file is not set, so the system's authorities apply; check its issuer, host names \
                        and dates)";
        assert_eq!(message(text), expected);
    }
}
