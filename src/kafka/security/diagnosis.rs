//! Translates librdkafka's text about a failed connection into one line that names the setting to
//! check.

use crate::config::{Kafka, SaslMechanism};

/// The properties that can take the place of `kafka.security.ca_file` and `certificate_file`.
const AUTHORITIES: &[&str] = &["ssl.ca.location", "ssl.ca.pem"];
const CERTIFICATES: &[&str] =
    &["ssl.certificate.location", "ssl.certificate.pem", "ssl.keystore.location"];

/// Why a connection failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionFailure {
    /// One line, identical for each occurrence of the same failure.
    pub message: String,
    /// The broker answered and rejected the connection: an operator has to act.
    pub permanent: bool,
}

/// Reads an error text of librdkafka's.
pub fn diagnose(text: &str, kafka: &Kafka) -> ConnectionFailure {
    let security = &kafka.security;
    let permanent = |message| ConnectionFailure { message, permanent: true };
    if let Some((_, why)) = text.split_once("Failed to acquire SASL OAUTHBEARER token: ") {
        return permanent(format!("no token for the brokers: {why}"));
    }
    let (address, why) = split(text);
    let broker = format!("the broker at {address}");
    if why.contains("certificate verify failed") {
        let hint = match override_of(AUTHORITIES, kafka) {
            Some(key) => format!("check its issuer against {key}, its host names and dates"),
            None => untrusted_hint(security.ca_file.is_some()).to_owned(),
        };
        return permanent(format!(
            "the certificate of {broker} is not trusted: certificate verify failed ({hint})"
        ));
    }
    if let Some(alert) = between(why, "alert ", ":")
        && (alert.contains("certificate") || alert.contains("unknown ca"))
    {
        let own = security.certificate_file.as_ref();
        let key = own.map(|_| "kafka.security.certificate_file".to_owned());
        return permanent(match key.or_else(|| override_of(CERTIFICATES, kafka)) {
            Some(key) => format!(
                "{broker} rejects this program's certificate: {alert} (check issuer and dates of {key})"
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

/// The key in `kafka.librdkafka` that sets one of `properties`.
fn override_of(properties: &[&str], kafka: &Kafka) -> Option<String> {
    let mut names = kafka.librdkafka.iter().map(|(name, _)| name);
    names.find(|it| properties.contains(it)).map(|it| format!("kafka.librdkafka.{it}"))
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
        message_with(&[], text)
    }

    /// The message with these settings, passed like environment variables.
    fn message_with(given: &[(&str, &str)], text: &str) -> String {
        let given = given
            .iter()
            .map(|(key, value)| (format!("NIK_STREAM__KAFKA__{key}").into(), value.into()));
        diagnose(text, &load_from(&[], given, |_, _| Ok(())).unwrap().settings.kafka).message
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
        let expected = |hint: &str| {
            format!(
                "the certificate of the broker at a:9093 is not trusted: certificate verify failed ({hint})"
            )
        };
        let of_system = "kafka.security.ca_file is not set, so the system's authorities apply; check its issuer, host names and dates";
        assert_eq!(message(text), expected(of_system));
        for (variable, key) in [
            ("SSL_CA_LOCATION", "kafka.librdkafka.ssl.ca.location"),
            ("SSL_CA_PEM", "kafka.librdkafka.ssl.ca.pem"),
        ] {
            let given = [(&*format!("LIBRDKAFKA__{variable}"), "authority")];
            let hint = format!("check its issuer against {key}, its host names and dates");
            assert_eq!(message_with(&given, text), expected(&hint));
        }
    }

    #[test]
    fn a_rejected_certificate_names_the_setting_to_check() {
        let text = "ssl://a:9093/bootstrap: SSL handshake failed: error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert \
                    number 48 (after 10ms in state SSL_HANDSHAKE)";
        let none = "the broker at a:9093 requires a certificate, and kafka.security.certificate_file is not set (unknown ca)";
        assert_eq!(message(text), none);
        for (variable, key) in [
            ("SSL_CERTIFICATE_LOCATION", "kafka.librdkafka.ssl.certificate.location"),
            ("SSL_CERTIFICATE_PEM", "kafka.librdkafka.ssl.certificate.pem"),
            ("SSL_KEYSTORE_LOCATION", "kafka.librdkafka.ssl.keystore.location"),
        ] {
            let given = [(&*format!("LIBRDKAFKA__{variable}"), "client")];
            let expected = format!(
                "the broker at a:9093 rejects this program's certificate: unknown ca (check issuer and dates of {key})"
            );
            assert_eq!(message_with(&given, text), expected);
        }
    }
}
